"""Frames at wanted seconds, decoded in a child that runs ahead of the reader."""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import numpy as np

from clamr_rag.config import MediaOptions
from clamr_rag.errors import UsageError
from clamr_rag.media.files import checked_video_path
from clamr_rag.media.process import DecoderProcess, Message
from clamr_rag.types import Frame

_log = logging.getLogger(__name__)

_WISHES_AHEAD = 256
"""Wanted seconds that the child knows of in advance; enough to keep its pipeline full."""


def iter_frames(
    path: str | os.PathLike[str],
    seconds: Iterable[float],
    options: MediaOptions | None = None,
    *,
    max_side: int | None = None,
) -> Generator[Frame, None, None]:
    """Yields the frame displayed at each wanted second, in one pass and bounded memory.

    That is the latest frame not after the second; before the first frame it is the first. A wanted
    second at or past the end of the file (`MediaInfo.duration_seconds`) ends the iteration, so
    ``itertools.count()`` is a fine wish. Frames are upright, have square pixels, and bear their
    own true time. Damaged places are passed over. Close the generator to stop early.

    Args:
        path: A video file.
        seconds: Wanted seconds in ascending order; up to 256 of them are read ahead.
        options: Limits of the decoder child.
        max_side: Longest side of a frame in pixels; larger ones are made smaller.

    Raises:
        UsageError: The wanted seconds are negative, not finite, or not ascending.
        MediaError: The file has no picture that can be decoded.
        MediaLimitError: It would take too much memory, time or pixels.
    """
    if max_side is not None and max_side < 1:
        raise UsageError(f"max_side {max_side}", allowed="1 or more")
    whole = checked_video_path(path)
    return _frames(whole, _ascending(seconds), options or MediaOptions(), max_side)


def _frames(
    path: Path, wanted: Iterator[float], options: MediaOptions, max_side: int | None
) -> Generator[Frame, None, None]:
    with DecoderProcess(
        "pictures",
        path,
        options,
        arguments={"max_side": max_side},
        max_payload_bytes=options.max_pixels * 3,
    ) as child:
        wishes = _Wishes(child, wanted)
        for message in child.messages():
            if message.header.get("kind") == "passed":
                _report_damage(path, message)
                continue
            try:
                frame = _frame(message)
                wishes.granted()
            except (KeyError, TypeError, ValueError) as error:
                raise child.nonsense(error) from error
            yield frame


class _Wishes:
    """Keeps the child supplied with wanted seconds without flooding the pipe."""

    def __init__(self, child: DecoderProcess, wanted: Iterator[float]) -> None:
        self._child = child
        self._wanted: Iterator[float] | None = wanted
        self._open = 0
        self._top_up()

    def granted(self) -> None:
        """Notes that one wish was fulfilled."""
        if self._open == 0:
            raise ValueError("a frame that nobody asked for")
        self._open -= 1
        if self._open <= _WISHES_AHEAD // 2:
            self._top_up()

    def _top_up(self) -> None:
        if self._wanted is None:
            return
        count = _WISHES_AHEAD - self._open
        batch = list(itertools.islice(self._wanted, count))
        self._open += len(batch)
        if batch:
            self._child.tell(batch)
        if len(batch) < count:
            self._wanted = None
            self._child.tell(None)


def _ascending(seconds: Iterable[float]) -> Iterator[float]:
    """Passes the wanted seconds on, checked."""
    last = 0.0
    for second in seconds:
        if not (math.isfinite(second) and second >= last):
            raise UsageError(
                f"wanted second {second} after {last}", allowed="finite seconds, ascending from 0"
            )
        last = float(second)
        yield last


def _frame(message: Message) -> Frame:
    """Returns the frame of a message, turned upright."""
    header = message.header
    width, height, turns = int(header["width"]), int(header["height"]), int(header["turns"])
    if min(width, height) < 1:
        raise ValueError(f"frame size {width}x{height}")
    pixels = message.payload.reshape(height, width, 3)
    if turns % 4:
        # np.rot90 turns against the clock.
        pixels = np.ascontiguousarray(np.rot90(pixels, -turns))
    seconds = float(header["seconds"])
    if not 0 <= seconds < math.inf:
        raise ValueError(f"frame time {seconds}")
    return Frame(seconds, pixels)


def _report_damage(path: Path, message: Message) -> None:
    count = message.header.get("num_bad_packets")
    if count:
        _log.warning("%r: damaged packets passed over: %s", str(path), count)
