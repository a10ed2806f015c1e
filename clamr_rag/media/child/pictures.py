"""The pictures operation: the frames displayed at the wanted seconds, in one pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from av.video.reformatter import VideoReformatter

from clamr_rag.media.child.container import codec_of, guarded_picture_stream, opened
from clamr_rag.media.child.duration import measured_duration
from clamr_rag.media.child.geometry import Geometry, checked_size
from clamr_rag.media.child.limits import RefusedError
from clamr_rag.media.child.reader import PictureReader, TimedFrame

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from clamr_rag.media.child.channel import Channel, Payload
    from clamr_rag.media.child.main import Request


_ROUNDING = 1e-6
"""A wish of 0.08 means the picture at 2/25 s, however floats round."""


def pictures(request: Request, channel: Channel) -> None:
    """Sends one message per wanted second, until the wishes or the video end."""
    max_side: int | None = request.arguments["max_side"]
    max_pixels: int = request.limits["max_pixels"]
    with opened(request) as container:
        stream = guarded_picture_stream(container, max_pixels)
        if stream is None:
            raise RefusedError("it has no picture track", hint="use its sound and subtitles")
        ahead, wanted = itertools.tee(float(second) + _ROUNDING for second in channel.wishes())
        reader = PictureReader(container, stream, channel)
        painter = Painter(max_side, max_pixels)
        for shown in _shown_at(wanted, reader.frames(ahead), request, channel):
            geometry = Geometry.of(stream, shown.frame)
            size, payload = painter.rgb(shown.frame, geometry)
            channel.send(
                {
                    "kind": "frame",
                    "seconds": shown.seconds,
                    "width": size[0],
                    "height": size[1],
                    "turns": geometry.clockwise_degrees // 90,
                },
                payload,
            )
        if reader.was_asked and reader.num_decoded == 0:
            raise RefusedError(
                f"no picture of its {codec_of(stream)} track can be decoded",
                hint="the file is damaged or cut off",
            )
        channel.send(
            {
                "kind": "passed",
                "num_bad_packets": reader.num_bad,
                "num_decoded_frames": reader.num_decoded,
            }
        )


def _shown_at(
    wanted: Iterator[float],
    frames: Iterator[TimedFrame],
    request: Request,
    channel: Channel,
) -> Iterator[TimedFrame]:
    """Yields for each wanted second the latest frame not after it (before the first: the first)."""
    second = next(wanted, None)
    shown: TimedFrame | None = None
    for frame in frames:
        while shown is not None and second is not None and frame.seconds > second:
            yield shown
            second = next(wanted, None)
        if second is None:
            return
        if shown is None or frame.seconds >= shown.seconds:
            shown = frame
    # The last picture stands until the end of the file, also while only sound goes on.
    stop: float | None = None
    while shown is not None and second is not None:
        if second > shown.seconds and stop is None:
            stop = measured_duration(request, channel)
        if stop is not None and second >= max(stop, shown.stop_seconds):
            return
        yield shown
        second = next(wanted, None)


class Painter:
    """Turns decoded frames into packed RGB rows; keeps the scaler between frames."""

    def __init__(self, max_side: int | None, max_pixels: int) -> None:
        self._max_side = max_side
        self._max_pixels = max_pixels
        self._scaler = VideoReformatter()

    def rgb(self, frame: VideoFrame, geometry: Geometry) -> tuple[tuple[int, int], Payload]:
        """Returns width and height in stored orientation and the bytes of the rows, RGB."""
        width, height = geometry.scaled_size(self._max_side)
        checked_size(width, height, self._max_pixels)
        # One thread: the decoder's own threads keep the cores busy.
        picture = self._scaler.reformat(frame, width, height, "rgb24", threads=1)
        plane = picture.planes[0]
        view = memoryview(plane)
        row_bytes = width * 3
        if plane.line_size == row_bytes:
            return (width, height), view[: row_bytes * height]
        # Rows are padded to the CPU's liking; the wire carries none of that.
        starts = range(0, plane.line_size * height, plane.line_size)
        return (width, height), b"".join(view[start : start + row_bytes] for start in starts)
