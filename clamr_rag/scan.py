"""The one pass over a video's pictures: it finds the shots and reads the screen, in parts.

A part is a pure function of its own frames and the one before them, so it is the same whether or
not the pass was interrupted in between.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from clamr_rag.config import MediaOptions, ScanOptions
from clamr_rag.extraction import TextRecognizer
from clamr_rag.extraction.line_merging import merge_lines
from clamr_rag.extraction.screen import ScreenReader
from clamr_rag.media import iter_frames
from clamr_rag.segmentation.shots import ShotFinder
from clamr_rag.types import OcrLine

_LONGEST_SIDE_PIXELS = 1920
"""Of a frame: the small print of a 4K screen is still legible."""
_GAP_LOOKS = 2.5
"""A line that is missed for fewer looks than this goes on."""
_M_MMAP_THRESHOLD = -3
"""Of malloc.h."""
_LARGE_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ScreenPart:
    """What one part of the pass found, or all of them joined."""

    shot_cuts: tuple[float, ...] = ()
    lines: tuple[OcrLine, ...] = ()


def count_parts(duration_seconds: float, options: ScanOptions) -> int:
    """Number of parts that a video of this length takes."""
    return math.ceil(_count_looks(duration_seconds, options) / _looks_per_part(options))


def scan(
    path: Path,
    duration_seconds: float,
    recognizer: TextRecognizer | None,
    *,
    options: ScanOptions,
    media_options: MediaOptions,
    first_part: int = 0,
    on_look: Callable[[float], None] | None = None,
) -> Iterator[ScreenPart]:
    """Yields the parts from one on, streaming the frames once.

    Args:
        path: The video.
        duration_seconds: Its length.
        recognizer: Reads the screen; None finds the shots alone.
        options: How often to look, and how much video a part is.
        media_options: Limits of the decoder.
        first_part: Number of parts that an earlier run has finished.
        on_look: Told the second of every look; what it raises ends the pass.
    """
    parts = [
        _seconds_of_part(number, duration_seconds, options)
        for number in range(first_part, count_parts(duration_seconds, options))
    ]
    if not parts:
        return
    before = [parts[0][0] - options.interval_seconds] if first_part else []
    frames = iter_frames(
        path,
        [*before, *(second for part in parts for second in part)],
        media_options,
        max_side=_LONGEST_SIDE_PIXELS,
    )
    _keep_heap_flat()
    last = next(frames, None) if before else None
    for seconds in parts:
        finder = ShotFinder()
        reader = ScreenReader(recognizer) if recognizer else None
        if last is not None:
            finder.see(last)
        for second, last in zip(seconds, islice(frames, len(seconds)), strict=False):
            finder.see(last)
            if reader:
                # A picture that stands for long is shown until now, not only when it came.
                reader.see(last, shown_at_seconds=max(second, last.seconds))
            if on_look:
                on_look(second)
        yield ScreenPart(finder.cuts(), reader.lines() if reader else ())


def join_parts(parts: Sequence[ScreenPart], options: ScanOptions) -> ScreenPart:
    """Joins all parts of a video: a line that goes on over a border is one line."""
    return ScreenPart(
        shot_cuts=tuple(cut for part in parts for cut in part.shot_cuts),
        lines=merge_lines(
            [part.lines for part in parts], gap_seconds=_GAP_LOOKS * options.interval_seconds
        ),
    )


def _count_looks(duration_seconds: float, options: ScanOptions) -> int:
    return math.ceil(duration_seconds / options.interval_seconds)


def _looks_per_part(options: ScanOptions) -> int:
    return max(1, round(options.chunk_seconds / options.interval_seconds))


def _seconds_of_part(number: int, duration_seconds: float, options: ScanOptions) -> list[float]:
    start = number * _looks_per_part(options)
    stop = min(start + _looks_per_part(options), _count_looks(duration_seconds, options))
    return [look * options.interval_seconds for look in range(start, stop)]


def _keep_heap_flat() -> None:
    """Tells glibc to give large blocks back to the system when they are freed, each on its own.

    By itself it moves the border up to 32 MB; then the recogniser's buffers come and go between
    small blocks that stay, and the heap grows with the length of a video though nothing is kept.
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)
        if set_option is not None:
            set_option(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
