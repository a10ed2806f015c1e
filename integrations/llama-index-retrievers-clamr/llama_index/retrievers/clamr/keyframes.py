"""Keyframes of clips: small JPEG files beside the library, made when they are first wanted."""

from __future__ import annotations

import io
import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from clamr_rag.errors import MediaError
from clamr_rag.index.derived import FILES_FOLDER
from clamr_rag.types import ByteArray, Clip, Frame

from llama_index.retrievers.clamr.nodes import Keyframe

logger = logging.getLogger(__name__)

MAX_SIDE = 768
MAX_BYTES = 60_000
"""LlamaIndex opens a picture of a query about nine times, on the event loop: keep it small."""
_QUALITIES = (85, 75, 65, 50)

ReadFrames = Callable[[Clip, int], Sequence[Frame]]


class KeyframeFiles:
    """The keyframes of a library.

    They lie in the folder of what was made from a video, which goes when the video is removed.
    Their names are their times; a list of times per clip and count says that they are complete.
    """

    def __init__(self, library_folder: Path, read_frames: ReadFrames) -> None:
        self._folder = library_folder / FILES_FOLDER
        self._read_frames = read_frames
        self._reported: set[str] = set()

    def of(self, clip: Clip, count: int) -> tuple[Keyframe, ...]:
        """The pictures of a clip, made if need be; none, and a warning, where that is impossible.

        Args:
            clip: Of this library.
            count: Most pictures.
        """
        if count < 1:
            return ()
        known = self._known(clip, count)
        if known is not None:
            return known
        try:
            return self._made(clip, count)
        except (MediaError, OSError) as error:
            # Once per video: a search of a hundred clips must not say it a hundred times.
            if clip.video_id not in self._reported:
                logger.warning("no keyframes of video %s: %s", clip.video_id, error)
                self._reported.add(clip.video_id)
            return ()

    def _known(self, clip: Clip, count: int) -> tuple[Keyframe, ...] | None:
        """The pictures, None unless all of them are there."""
        try:
            times = json.loads(self._list(clip, count).read_text("ascii"))
        except (OSError, ValueError):
            return None
        if not isinstance(times, list) or not all(type(each) is int for each in times):
            return None
        found = tuple(self._keyframe(clip, milliseconds) for milliseconds in times)
        return found if all(each.path.is_file() for each in found) else None

    def _made(self, clip: Clip, count: int) -> tuple[Keyframe, ...]:
        times = []
        for frame in self._read_frames(clip, count):
            milliseconds = round(frame.seconds * 1000)
            write_whole(self._keyframe(clip, milliseconds).path, jpeg(frame.pixels))
            times.append(milliseconds)
        write_whole(self._list(clip, count), json.dumps(times).encode("ascii"))
        return tuple(self._keyframe(clip, milliseconds) for milliseconds in times)

    def _keyframe(self, clip: Clip, milliseconds: int) -> Keyframe:
        name = f"keyframe-{milliseconds:010d}.jpg"
        return Keyframe(milliseconds / 1000, self._folder / clip.video_id / name)

    def _list(self, clip: Clip, count: int) -> Path:
        start, stop = (
            round(seconds * 1000) for seconds in (clip.span.start_seconds, clip.span.stop_seconds)
        )
        return self._folder / clip.video_id / f"keyframes-{start:010d}-{stop:010d}-{count}.json"


def jpeg(pixels: ByteArray) -> bytes:
    """A picture as a JPEG of at most `MAX_SIDE` pixels a side and `MAX_BYTES` bytes.

    Args:
        pixels: RGB uint8 ``(height, width, 3)``.
    """
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=quality)
            if buffer.tell() <= MAX_BYTES:
                return buffer.getvalue()
        picture.thumbnail((picture.width * 3 // 4, picture.height * 3 // 4))


def write_whole(path: Path, payload: bytes) -> None:
    """Writes a file that appears whole or not at all; another process may write the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
