"""From spans to clips: each gets the speech, the screen lines and the metadata of its time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from clamr_rag.types import Clip, Cue, MetadataLine, OcrLine, TimeSpan

_SLIVER_SECONDS = 1.0
"""A text that a clip shares for less than this belongs to its neighbour."""


def make_clips(
    video_id: str,
    spans: Sequence[TimeSpan],
    cues: Sequence[Cue],
    ocr_lines: Sequence[OcrLine],
    metadata: Sequence[MetadataLine],
) -> tuple[Clip, ...]:
    """Returns one clip per span.

    Args:
        video_id: Of the video that they are cut from.
        spans: In order, tiling the video.
        cues: In order of start; each goes to the one clip in which it starts.
        ocr_lines: Each goes to every clip that shows it.
        metadata: Lines without a time go to all clips, the others to those that they speak of.
    """
    return tuple(
        Clip(
            clip_id=f"{video_id}-{number:05d}",
            video_id=video_id,
            number=number,
            span=span,
            cues=_starting_in(span, cues),
            ocr_lines=tuple(line for line in ocr_lines if _is_shown(line, span)),
            metadata=tuple(line for line in metadata if _is_about(line, span)),
        )
        for number, span in enumerate(spans)
    )


def _starting_in(span: TimeSpan, cues: Sequence[Cue]) -> tuple[Cue, ...]:
    """The cues, in order of start, that begin in a span."""
    first = bisect_left(cues, span.start_seconds, key=lambda cue: cue.start_seconds)
    stop = bisect_left(cues, span.stop_seconds, key=lambda cue: cue.start_seconds)
    return tuple(cues[first:stop])


def _is_shown(line: OcrLine, span: TimeSpan) -> bool:
    # The last frame that shows a line does so until the next frame is looked at.
    shown = TimeSpan(line.first_seconds, line.last_seconds + _SLIVER_SECONDS)
    return _meets(shown, span)


def _is_about(line: MetadataLine, span: TimeSpan) -> bool:
    return line.span is None or _meets(line.span, span)


def _meets(text: TimeSpan, clip: TimeSpan) -> bool:
    """Whether a text belongs to a clip: a sliver of a slide at a clip's edge does not."""
    least = min(_SLIVER_SECONDS, text.duration_seconds / 2, clip.duration_seconds / 2)
    return text.overlap_seconds(clip) >= max(least, 1e-6)
