"""Cutting a video into clips: fixed windows, shots, speech, or all three together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from clamr_rag.errors import UsageError
from clamr_rag.types import Cue, TimeSpan

if TYPE_CHECKING:
    from clamr_rag.config import SegmentationOptions


class Segmenter(Protocol):
    """Cuts the time line of a video into spans.

    Law, whatever the input: the spans tile ``[0, duration_seconds)`` without gap or overlap.
    """

    def segment(
        self, duration_seconds: float, *, shot_cuts: tuple[float, ...], cues: tuple[Cue, ...]
    ) -> tuple[TimeSpan, ...]:
        """Returns the spans in order.

        No span is longer than the longest clip allowed; only the last may be shorter than the
        shortest, and only where no tiling avoids it.

        Args:
            duration_seconds: Length of the video, finite and not negative; 0 gives ``()``.
            shot_cuts: Seconds at which a new shot starts, in any order.
            cues: Speech in order of start time; may overlap each other or leave the video.
        """
        ...


def make_segmenter(options: SegmentationOptions) -> Segmenter:
    """Returns the segmenter that the options name.

    Raises:
        UsageError: The shortest clip would be longer than the longest.
    """
    if options.min_seconds > options.max_seconds:
        raise UsageError(
            f"shortest clip of {options.min_seconds} s, longest of {options.max_seconds} s",
            allowed="min_seconds <= max_seconds",
        )
    if options.segmenter == "fixed":
        from clamr_rag.segmentation.fixed import FixedSegmenter

        return FixedSegmenter(options.min_seconds, options.max_seconds)
    from clamr_rag.segmentation.weighed import WEIGHTS, WeighedSegmenter

    return WeighedSegmenter(options.min_seconds, options.max_seconds, WEIGHTS[options.segmenter])
