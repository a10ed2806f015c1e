"""From the stored picture to an upright one with square pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clamr_rag.media.child.limits import RefusedError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_WIDEST_PIXEL = 8.0


def checked_size(width: int, height: int, max_pixels: int) -> None:
    """Refuses pictures that are too large before a decoder allocates them.

    FFmpeg forgets a size that it finds too large itself, so no size is a size too large.

    Raises:
        RefusedError: More pixels than allowed.
    """
    if 0 < width * height <= max_pixels:
        return
    size = f"{width}x{height}" if width * height else "or damaged: its size cannot be told"
    raise RefusedError(
        f"its picture is too large ({size})",
        allowed=f"at most {max_pixels} pixels (media.max_pixels)",
        hint="convert it to a smaller size",
        limit=True,
    )


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the stored pictures of a track are to be seen."""

    stored_size: tuple[int, int]
    """Width and height as decoded."""
    pixel_aspect: float
    """Width of a pixel over its height."""
    clockwise_degrees: int
    """0, 90, 180 or 270: the turn that makes the picture upright."""

    @classmethod
    def of(cls, stream: VideoStream, frame: VideoFrame | None) -> Geometry:
        """Returns the geometry of a frame, as far as the stream's header tells without one."""
        aspect = float(stream.sample_aspect_ratio or 1) or 1.0
        if not 1 / _WIDEST_PIXEL <= aspect <= _WIDEST_PIXEL:
            aspect = 1.0
        if frame is None:
            return cls((stream.width, stream.height), aspect, 0)
        # The display matrix counts against the clock; a quarter turn is all that cameras write.
        turns = round(-frame.rotation / 90) % 4
        return cls((frame.width, frame.height), aspect, 90 * turns)

    def scaled_size(self, max_side: int | None) -> tuple[int, int]:
        """Returns stored-orientation width and height with square pixels, fit into ``max_side``.

        Pixels are only made wider or higher, never thrown away, unless ``max_side`` says so.
        """
        width, height = self.stored_size
        wide = width * max(1.0, self.pixel_aspect)
        high = height / min(1.0, self.pixel_aspect)
        shrink = min(1.0, max_side / max(wide, high)) if max_side else 1.0
        return max(1, round(wide * shrink)), max(1, round(high * shrink))

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        width, height = self.scaled_size(None)
        return (height, width) if self.clockwise_degrees in (90, 270) else (width, height)
