"""Pictures of clips: as JPEG, as standard message blocks, and as files."""

from __future__ import annotations

import base64
import io
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clamr_rag.errors import UsageError
from clamr_rag.types import ByteArray, Clip, Frame
from langchain_core.messages.content import ImageContentBlock, create_image_block
from PIL import Image

from langchain_clamr.documents import Keyframe

MAX_SIDE = 768
"""Longest side of a picture in pixels: what chat models look at without cutting it up."""
_QUALITY = 85
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def jpeg(pixels: ByteArray) -> bytes:
    """The picture ``(height, width, 3)`` as JPEG, at most `MAX_SIDE` pixels long."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def image_block(payload: bytes) -> ImageContentBlock:
    """A JPEG as LangChain's standard image block."""
    return create_image_block(
        base64=base64.b64encode(payload).decode("ascii"), mime_type="image/jpeg"
    )


class KeyframeFolder:
    """A folder with the keyframes of clips; the name of a file is its time in the video."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of_clip(self, clip: Clip, count: int) -> list[Keyframe]:
        """The keyframes that were put for this clip and span; none if there are not any."""
        place = self._place(clip, count)
        found = [Keyframe(float(path.stem), path) for path in place.glob("*.jpg")]
        return sorted(found, key=lambda keyframe: keyframe.seconds)

    def put(self, clip: Clip, count: int, frames: Sequence[Frame]) -> list[Keyframe]:
        """Writes the keyframes of a clip; they appear whole or not at all."""
        place = self._place(clip, count)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="new-") as name:
            fresh = Path(name) / "clip"
            fresh.mkdir()
            for frame in frames:
                (fresh / f"{frame.seconds:.3f}.jpg").write_bytes(jpeg(frame.pixels))
            if place.exists():
                # Another process was quicker, or an earlier one left it empty.
                shutil.rmtree(place)
            fresh.replace(place)
        return self.of_clip(clip, count)

    def _place(self, clip: Clip, count: int) -> Path:
        if not _NAME.fullmatch(clip.clip_id):
            # The library may come from a stranger: a name never leads out of the folder.
            raise UsageError(f"clip id {clip.clip_id!r} cannot be the name of a folder")
        # A clip id is used anew when a video is cut by other options: the span tells them apart.
        span = f"{clip.span.start_seconds:.3f}-{clip.span.stop_seconds:.3f}"
        return self._folder / f"{clip.clip_id}_{span}_{count}"
