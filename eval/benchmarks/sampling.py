"""Which frames the published harnesses take of a video, each rule by its name.

The indices are those of the source's own arithmetic, float rounding included: subtitles and frames
that belong together are found with these numbers. 300 frames at 30 fps and a budget of 4 give::

    sample("inner@vlmevalkit", Footage(300, 30.0), 4)          # 60 120 180 240
    sample("longvideobench@official", Footage(300, 30.0), 4)   # 0 75 150 225
    sample("linspace@lmms-eval", Footage(300, 30.0), 4)        # 0 99 199 299
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from clamr_rag.types import TimeSpan


@dataclass(frozen=True, slots=True)
class Footage:
    """What a rule needs to know of a video."""

    num_frames: int
    fps: float
    """Average frames per second, as the harness' decoder reports it."""
    stated_seconds: float | None = None
    """Length that the annotation states; None: frames by fps."""

    def __post_init__(self) -> None:
        if self.num_frames < 1 or not self.fps > 0:
            raise ValueError(f"footage needs frames and a rate, got {self.num_frames}, {self.fps}")

    @property
    def duration_seconds(self) -> float:
        """As stated, else as counted."""
        counted = self.num_frames / self.fps
        return counted if self.stated_seconds is None else self.stated_seconds


Sampling = Callable[[Footage, float], tuple[int, ...]]
"""From a video and a budget (frames, or frames per second) to frame indices, ascending."""


def sample(rule: str, footage: Footage, budget: float) -> tuple[int, ...]:
    """The frames that a rule takes.

    Args:
        rule: One of `SAMPLINGS`.
        footage: The video.
        budget: How many frames, or frames per second for the rules with "fps" in their name.

    Raises:
        ValueError: There is no such rule, or nothing may be taken.
    """
    if rule not in SAMPLINGS:
        raise ValueError(f"got sampling {rule!r}; allowed: {', '.join(SAMPLINGS)}")
    if not budget > 0:
        raise ValueError(f"got a budget of {budget}; allowed: more than 0")
    return SAMPLINGS[rule](footage, budget)


def frame_seconds(indices: Sequence[int], footage: Footage) -> tuple[float, ...]:
    """Time of each frame as the harnesses reckon it: index over average rate."""
    return tuple(index / footage.fps for index in indices)


def inner_points(footage: Footage, budget: float) -> tuple[int, ...]:
    """floor(i·N/(n+1)) for i = 1..n: VLMEvalKit and the official Video-MME-v2."""
    num_frames = int(budget)
    step = footage.num_frames / (num_frames + 1)
    return tuple(int(i * step) for i in range(1, num_frames + 1))


def even_steps(footage: Footage, budget: float) -> tuple[int, ...]:
    """floor(total/n)·i for i = 0..n-1, at most one per second: LongVideoBench and lmms-eval."""
    total = int(footage.duration_seconds * footage.fps)
    num_frames = min(int(budget), int(footage.duration_seconds))
    return tuple(int(total / num_frames) * i for i in range(num_frames))


def linspace(footage: Footage, budget: float) -> tuple[int, ...]:
    """int(linspace(0, N-1, n)): lmms-eval's choice of Video-MME subtitles."""
    points = np.linspace(0, footage.num_frames - 1, int(budget), dtype=int)
    return tuple(int(point) for point in points)


def by_rate(footage: Footage, frames_per_second: float) -> tuple[int, ...]:
    """floor(i·source rate/rate) for each i below duration·rate: VLMEvalKit with fps."""
    num_frames = int(footage.num_frames / footage.fps * frames_per_second)
    step = footage.fps / frames_per_second
    return tuple(int(i * step) for i in range(num_frames))


def whole_steps(footage: Footage, frames_per_second: float) -> tuple[int, ...]:
    """Every int(source rate/rate)-th frame: HourVideo, there at half a frame per second."""
    step = max(1, int(footage.fps / frames_per_second))
    return tuple(range(0, footage.num_frames, step))


def in_clues(clues: Sequence[TimeSpan], fps: float, num_frames: int) -> tuple[int, ...]:
    """Centres of equal bins inside each clue: CG-Bench's clue mode in VLMEvalKit.

    A clue gets its share of the budget by length, rounded down and at least one, so that the
    budget can be missed either way; all frames of the clues if there are no more than that.

    Args:
        clues: In order of the annotation.
        fps: Of the video, or of the frames that were extracted.
        num_frames: The budget.
    """
    bounds = [(round(clue.start_seconds * fps), round(clue.stop_seconds * fps)) for clue in clues]
    total = sum(stop - start for start, stop in bounds)
    if num_frames >= total:
        return tuple(index for start, stop in bounds for index in range(start, stop))
    indices: list[int] = []
    for start, stop in bounds:
        share = max(1, int(num_frames * ((stop - start) / total)))
        size = (stop - start) / share
        indices += [int(start + size / 2 + size * i) for i in range(share)]
    return tuple(indices)


def prompt_seconds(duration_seconds: float, num_frames: int) -> tuple[float, ...]:
    """Frame times as lmms-eval's LongVideoBench prompt has them.

    They are not those of the frames that it decodes (`even_steps`): evenly spread without the
    rounding, or the whole seconds of a video shorter than the budget.
    """
    if duration_seconds > num_frames:
        return tuple(duration_seconds / num_frames * i for i in range(num_frames))
    return tuple(float(i) for i in range(int(duration_seconds)))


SAMPLINGS: Mapping[str, Sampling] = MappingProxyType(
    {
        "inner@vlmevalkit": inner_points,
        "longvideobench@official": even_steps,
        "linspace@lmms-eval": linspace,
        "fps@vlmevalkit": by_rate,
        "fps@hourvideo": whole_steps,
    }
)
"""The rules that need no annotation, by name; `in_clues` needs CG-Bench's clue intervals."""
