"""Evidence out of the stretches of time that benchmarks state, by one rule for all of them.

A stretch that ends where it starts or before, or that starts where its video ends or later, holds
nothing. It is left out, the question keeps its others, and it is counted
(`BenchmarkQuestion.num_unusable_evidence`): the published row is believed in all else. A stretch
that runs over the end of the video is cut there. What is no time at all is refused with its row, as
every field is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clamr_rag.types import TimeSpan
from eval.metrics.moments import Moment

Stretch = tuple[float, float]
"""Start and stop in seconds, as stated."""
_TICK_SECONDS = 1.0


def moments_of(
    video_id: str, stretches: Iterable[Stretch], end_seconds: float | None = None
) -> tuple[Moment, ...]:
    """The stretches that hold something, in their order.

    Args:
        video_id: The video they are of.
        stretches: As stated.
        end_seconds: Where the video ends; None where that is not known, or where the published
            scorer takes the stretches as they are.
    """
    end = float("inf") if end_seconds is None else end_seconds
    cut = ((start, min(stop, end)) for start, stop in stretches)
    return tuple(Moment(video_id, TimeSpan(start, stop)) for start, stop in cut if start < stop)


def clock_stretch(start: Sequence[str | None], stop: Sequence[str | None]) -> Stretch:
    """A stretch between two readings of a clock: hours, minutes, seconds; None is 0.

    The clock counts whole seconds, so "05:10-05:10" lasts one.
    """
    begins, ends = _seconds(start), _seconds(stop)
    return begins, ends + _TICK_SECONDS if ends == begins else ends


def _seconds(clock: Sequence[str | None]) -> float:
    hours, minutes, seconds = (int(part or 0) for part in clock)
    return float(hours * 3600 + minutes * 60 + seconds)
