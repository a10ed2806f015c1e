"""Reads from a video file what an encoder reads of its clips: texts, frames, sound."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from clamr_rag import media
from clamr_rag.config import EncoderOptions, MediaOptions
from clamr_rag.encoder.inputs import clip_input
from clamr_rag.types import Clip, ClipInput, Frame, Modality, TimeSpan

_SIDE_PIXELS = 768
"""Frames for an encoder, which scales them down further, unless it may have more pixels."""
_WIDEST = 4
"""Frames up to this many times as wide as high come with all the pixels an encoder may have."""


@dataclass(frozen=True, slots=True)
class FramesWanted:
    """What an encoder wants to see of a clip."""

    count: int
    """Evenly spread frames."""
    longest_side: int
    """Pixels; larger frames are scaled down before the encoder gets them."""


def read_clips(
    path: Path,
    clips: Sequence[Clip],
    senses: Collection[Modality],
    wanted: FramesWanted,
    media_options: MediaOptions,
) -> Iterator[ClipInput]:
    """Reads one clip after the other, in one pass over the pictures.

    Args:
        path: The video file.
        clips: In time order.
        senses: VIDEO reads frames, AUDIO reads sound; texts are always read.
        wanted: The encoder's `frames_wanted`.
        media_options: Of the decoder.

    Raises:
        MediaError: The file cannot be read to its end.
    """
    looks, hears = Modality.VIDEO in senses, Modality.AUDIO in senses
    seconds = [frame_seconds(clip.span, wanted.count) if looks else [] for clip in clips]
    frames: Iterator[Frame] = iter(())
    if looks:
        spread = [second for of_clip in seconds for second in of_clip]
        frames = media.iter_frames(path, spread, media_options, max_side=wanted.longest_side)
    for clip, of_clip in zip(clips, seconds, strict=True):
        read = clip_input(clip, list(islice(frames, len(of_clip))))
        yield _with_sound(read, path, clip.span, media_options) if hears else read


def longest_side(options: EncoderOptions) -> int:
    """Longest side in pixels at which frames are read: none that the encoder uses is lost."""
    return max(_SIDE_PIXELS, math.isqrt(options.max_pixels * _WIDEST))


def frame_seconds(span: TimeSpan, count: int) -> list[float]:
    """Evenly spread seconds, each in the middle of its share of the span."""
    step = span.duration_seconds / count
    return [span.start_seconds + (number + 0.5) * step for number in range(count)]


def _with_sound(read: ClipInput, path: Path, span: TimeSpan, options: MediaOptions) -> ClipInput:
    windows = media.iter_audio(
        path,
        window_seconds=span.duration_seconds,
        start_seconds=span.start_seconds,
        options=options,
    )
    window = next(windows, None)
    if window is None:
        return read
    return replace(read, audio=window.samples, audio_start_seconds=window.start_seconds)
