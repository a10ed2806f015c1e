"""Fixed windows: equal clips, blind to what the video shows and says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from clamr_rag.types import Cue, TimeSpan

_SLACK = 1e-9
"""Relative rounding error forgiven when a number of windows is counted."""


@dataclass(frozen=True)
class FixedSegmenter:
    """Cuts the video into windows of equal length, as near to the middle length as possible."""

    min_seconds: float
    max_seconds: float

    def segment(
        self, duration_seconds: float, *, shot_cuts: tuple[float, ...], cues: tuple[Cue, ...]
    ) -> tuple[TimeSpan, ...]:
        """Returns the windows in order; shots and cues are not looked at."""
        return spans_between(
            even_borders(
                duration_seconds, min_seconds=self.min_seconds, max_seconds=self.max_seconds
            )
        )


def even_borders(
    duration_seconds: float, *, min_seconds: float, max_seconds: float
) -> tuple[float, ...]:
    """Borders of windows that keep within the lengths wherever any tiling does, 0 and end included.

    Some durations have no such tiling (16 s in clips of 10-15 s): then every window but the last
    has the shortest length.

    Raises:
        ValueError: The duration is negative or not finite.
    """
    if not 0 <= duration_seconds < math.inf:
        raise ValueError(f"a video needs 0 <= duration < inf, got {duration_seconds}")
    if duration_seconds == 0:
        return ()
    # The slack forgives 30.0 / 0.1 coming out a hair under 300.
    most = math.floor(duration_seconds / min_seconds * (1 + _SLACK))
    fewest = max(1, math.ceil(duration_seconds / max_seconds * (1 - _SLACK)))
    if fewest > most:
        steps = [min_seconds * number for number in range(fewest)]
        return (*steps, duration_seconds)
    wanted = round(2 * duration_seconds / (min_seconds + max_seconds))
    number_of_windows = min(max(wanted, fewest), most)
    steps = [duration_seconds * number / number_of_windows for number in range(number_of_windows)]
    return (*steps, duration_seconds)


def spans_between(borders: tuple[float, ...]) -> tuple[TimeSpan, ...]:
    """The spans from each border to the next."""
    return tuple(TimeSpan(start, stop) for start, stop in pairwise(borders))
