"""Clips cut at the best places: shots, speech, or both, by a small dynamic programme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from clamr_rag.segmentation.cut_points import CutPoints, CutWeights, Seconds, find_cut_points
from clamr_rag.segmentation.fixed import even_borders, spans_between
from clamr_rag.types import Cue, TimeSpan

WEIGHTS: dict[Literal["combined", "shots", "speech"], CutWeights] = {
    "shots": CutWeights(shot=1.0),
    "speech": CutWeights(cue_end=0.6, sentence_end=0.9, inside_cue=10.0),
    # A shot cut between two sentences is free, one inside a sentence costs as much as a mere pause.
    "combined": CutWeights(shot=0.6, cue_end=0.3, sentence_end=0.4, inside_cue=0.8),
}
"""What each segmenter of the options looks at."""

_STEPS_PER_CLIP = 60
_UNEVEN_COST = 0.3
"""Price of a clip of the shortest or longest length; one of the middle length is free."""
_SLACK_SECONDS = 1e-6
"""Rounding error forgiven when a clip's length is compared with its bounds."""


@dataclass(frozen=True)
class WeighedSegmenter:
    """Cuts where it costs least: few cuts, at cheap places, clips of about the middle length."""

    min_seconds: float
    max_seconds: float
    weights: CutWeights

    def segment(
        self, duration_seconds: float, *, shot_cuts: tuple[float, ...], cues: tuple[Cue, ...]
    ) -> tuple[TimeSpan, ...]:
        """Returns the spans in order, the cheapest tiling of all within the lengths."""
        even = even_borders(
            duration_seconds, min_seconds=self.min_seconds, max_seconds=self.max_seconds
        )
        if len(even) < 2 or not self._may_be_moved(even):
            return spans_between(even)
        points = find_cut_points(
            duration_seconds,
            shot_cuts=shot_cuts,
            cues=cues,
            weights=self.weights,
            step_seconds=self.max_seconds / _STEPS_PER_CLIP,
            # The even tiling keeps within the lengths: with its borders a path always exists.
            needed=even,
        )
        return spans_between(self._cheapest_path(points, duration_seconds))

    def _may_be_moved(self, borders: tuple[float, ...]) -> bool:
        """Whether a tiling within the lengths exists, and any choice with it."""
        shortest = min(np.diff(borders))
        return bool(shortest >= self.min_seconds - _SLACK_SECONDS)

    def _cheapest_path(self, points: CutPoints, duration_seconds: float) -> tuple[float, ...]:
        """Borders of the cheapest tiling, 0 and the end included."""
        times = np.concatenate([[0.0], points.seconds, [duration_seconds]])
        costs = np.concatenate([[0.0], points.costs, [0.0]])
        previous = self._previous_borders(times, costs)
        borders = [len(times) - 1]
        while borders[-1] > 0:
            borders.append(int(previous[borders[-1]]))
        return tuple(float(times[index]) for index in reversed(borders))

    def _previous_borders(self, times: Seconds, costs: Seconds) -> npt.NDArray[np.int64]:
        """For each place the best place for the cut before it, int ``(n,)``, 0 for the first."""
        first = np.searchsorted(times, times - self.max_seconds - _SLACK_SECONDS, side="left")
        stop = np.searchsorted(times, times - self.min_seconds + _SLACK_SECONDS, side="right")
        middle = (self.min_seconds + self.max_seconds) / 2
        # With equal bounds every clip has the middle length and the scale does not matter.
        scale = _UNEVEN_COST / max((self.max_seconds - middle) ** 2, _SLACK_SECONDS)
        total = np.full(len(times), np.inf)
        total[0] = 0.0
        previous = np.zeros(len(times), dtype=np.int64)
        for here in range(1, len(times)):
            window = slice(first[here], stop[here])
            if window.start >= window.stop:
                continue
            lengths = times[here] - times[window]
            # Places that no path reaches cost infinity and are never the cheapest.
            sums = total[window] + scale * (lengths - middle) ** 2
            best = int(sums.argmin())
            total[here] = sums[best] + costs[here]
            previous[here] = window.start + best
        return previous
