"""Where a video may be cut, and how good each place is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clamr_rag.types import Cue

Seconds = npt.NDArray[np.float64]

SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！")
_CLOSERS = "\"'”’»)]}"
_NEAR_SECONDS = 1.5
"""A sentence that ends this close to a shot cut is as good a place as the cut itself."""


@dataclass(frozen=True, slots=True)
class CutWeights:
    """What makes a place cheap or dear to cut at. A place with nothing to say for it costs 1."""

    shot: float = 0.0
    """Taken off at a shot cut; half of it off close to one."""
    cue_end: float = 0.0
    """Taken off where a cue ends."""
    sentence_end: float = 0.0
    """Taken off where a cue ends with its sentence."""
    inside_cue: float = 0.0
    """Added where somebody is speaking."""


@dataclass(frozen=True, slots=True, eq=False)
class CutPoints:
    """Places to cut at, in order of time."""

    seconds: Seconds
    """float64 ``(n,)``, strictly rising, inside the video."""
    costs: Seconds
    """float64 ``(n,)``, not negative."""


def find_cut_points(
    duration_seconds: float,
    *,
    shot_cuts: tuple[float, ...],
    cues: tuple[Cue, ...],
    weights: CutWeights,
    step_seconds: float,
    needed: tuple[float, ...],
) -> CutPoints:
    """Lists and prices the places: shot cuts, cue ends, a grid, and the ``needed`` ones.

    Only the cheapest place of every ``step_seconds`` is kept, so that the number of places grows
    with the video and not with its cues; ``needed`` ones are always kept.
    """
    shots = _inside(np.asarray(shot_cuts, dtype=np.float64), duration_seconds)
    ends = np.array([cue.stop_seconds for cue in cues], dtype=np.float64)
    full_stops = np.array([ends_sentence(cue.text) for cue in cues], dtype=bool)
    sentence_ends = _inside(ends[full_stops], duration_seconds)
    cue_ends = _inside(ends, duration_seconds)
    grid = np.arange(1, int(duration_seconds / step_seconds) + 1) * step_seconds
    must = _inside(np.asarray(needed, dtype=np.float64), duration_seconds)
    places = _inside(np.concatenate([shots, cue_ends, grid, must]), duration_seconds)

    # Every cut has a price, so that no more are made than the lengths ask for.
    costs = np.ones_like(places)
    costs -= weights.shot * _closeness(places, shots)
    costs -= np.where(
        np.isin(places, sentence_ends),
        weights.sentence_end,
        weights.cue_end * np.isin(places, cue_ends),
    )
    costs += weights.inside_cue * _is_inside_cue(places, cues)
    costs = np.maximum(costs, 0.0)
    kept = _cheapest_per_step(places, costs, step_seconds) | np.isin(places, must)
    return CutPoints(places[kept], costs[kept])


def ends_sentence(text: str) -> bool:
    """Whether a text ends with its sentence, quotes and brackets aside."""
    return text.rstrip().rstrip(_CLOSERS).endswith(SENTENCE_ENDS)


def _inside(seconds: Seconds, duration_seconds: float) -> Seconds:
    """The distinct times strictly inside the video, in order; NaN and infinity are dropped."""
    within: Seconds = np.unique(seconds[(seconds > 0) & (seconds < duration_seconds)])
    return within


def _closeness(places: Seconds, shots: Seconds) -> Seconds:
    """1 at a shot cut, 0.5 close to one, else 0, ``(len(places),)``."""
    if not len(shots):
        return np.zeros_like(places)
    after = np.searchsorted(shots, places)
    distance_before = np.abs(places - shots[np.maximum(after - 1, 0)])
    distance_after = np.abs(places - shots[np.minimum(after, len(shots) - 1)])
    distance = np.minimum(distance_before, distance_after)
    return np.where(distance == 0, 1.0, np.where(distance <= _NEAR_SECONDS, 0.5, 0.0))


def _is_inside_cue(places: Seconds, cues: tuple[Cue, ...]) -> npt.NDArray[np.bool_]:
    """Whether some cue starts before and stops after each place, ``(len(places),)``."""
    if not cues:
        return np.zeros(len(places), dtype=bool)
    starts = np.array([cue.start_seconds for cue in cues])
    # Cues overlap and come unsorted: the latest stop so far tells whether anyone still speaks.
    order = np.argsort(starts, kind="stable")
    stops = np.array([cue.stop_seconds for cue in cues])[order]
    latest_stop = np.concatenate([[-np.inf], np.maximum.accumulate(stops)])
    num_started = np.searchsorted(starts[order], places, side="left")
    speaking: npt.NDArray[np.bool_] = latest_stop[num_started] > places
    return speaking


def _cheapest_per_step(
    places: Seconds, costs: Seconds, step_seconds: float
) -> npt.NDArray[np.bool_]:
    """Marks the cheapest place of each step, the earliest of equals, ``(len(places),)``."""
    steps = np.floor(places / step_seconds)
    # Sorted by step, then price, then time: the first of each step is the one to keep.
    order = np.lexsort((places, costs, steps))
    _, first = np.unique(steps[order], return_index=True)
    kept = np.zeros(len(places), dtype=bool)
    kept[order[first]] = True
    return kept
