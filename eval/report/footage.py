"""What a run's clips show and say, read from the library that it searched."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from clamr_rag.answering.footage import Footage
from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError, UsageError
from clamr_rag.index.store import FILE_NAME, Store
from clamr_rag.types import Clip, Frame, Modality
from eval.run_records import FoundClip

logger = logging.getLogger(__name__)

_PICTURE_SIDE = 320
_JPEG_QUALITY = 72


@dataclass(frozen=True, slots=True)
class Quote:
    """What a clip has in one modality."""

    modality: Modality
    lines: tuple[str, ...]


class RunFootage:
    """Texts and pictures of clips that were found; knows nothing of clips of other libraries.

    Two libraries may cut the same video otherwise under the same ids, so times must agree too.
    """

    def __init__(self, libraries: Iterable[Path]) -> None:
        """Opens libraries to read.

        Raises:
            UsageError: A folder holds no library.
        """
        self._open = ExitStack()
        self._stores = [
            self._open.enter_context(Store.open(library, create=False, read_only=True))
            for library in libraries
        ]

    def quotes(self, wanted: FoundClip) -> tuple[Quote, ...]:
        """What a clip says, shows in letters and is told by; empty for an unknown clip."""
        found = self._find(wanted)
        if found is None:
            return ()
        clip = found[1]
        quotes = (
            Quote(Modality.ASR, tuple(cue.text for cue in clip.cues)),
            Quote(Modality.OCR, tuple(line.text for line in clip.ocr_lines)),
            Quote(Modality.DESCRIPTION, tuple(line.text for line in clip.metadata)),
        )
        return tuple(quote for quote in quotes if quote.lines)

    def has_any(self, clips: Iterable[FoundClip]) -> bool:
        """Whether any of these clips is known."""
        return any(self._find(clip) for clip in clips)

    def pictures(self, found: Iterable[FoundClip]) -> dict[str, bytes]:
        """A JPEG of the middle of each clip, by its id; the unknown and unreadable have none.

        Each video is read once, in the order of its time.
        """
        wanted: dict[tuple[int, str], list[Clip]] = {}
        for _, each in sorted({clip.clip_id: clip for clip in found}.items()):
            if known := self._find(each):
                number, clip = known
                wanted.setdefault((number, clip.video_id), []).append(clip)
        pictures: dict[str, bytes] = {}
        for (number, video_id), clips in wanted.items():
            pictures.update(self._read(self._stores[number], video_id, clips))
        return pictures

    def close(self) -> None:
        """Closes the libraries."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _find(self, wanted: FoundClip) -> tuple[int, Clip] | None:
        for number, store in enumerate(self._stores):
            try:
                clip = store.clip(wanted.clip_id)
            except UsageError:
                continue
            if _is_same(clip, wanted):
                return number, clip
        return None

    def _read(self, store: Store, video_id: str, clips: Sequence[Clip]) -> Mapping[str, bytes]:
        ordered = sorted(clips, key=_middle_seconds)
        video = store.video(video_id).video
        try:
            frames = Footage(store, MediaOptions()).frames(
                video, [_middle_seconds(clip) for clip in ordered], max_side=_PICTURE_SIDE
            )
        except MediaError as error:
            logger.warning("no pictures of %s: %s", video.path, error)
            return {}
        # Seconds past the last picture have none, so there may be fewer.
        return {clip.clip_id: _jpeg(frame) for clip, frame in zip(ordered, frames, strict=False)}


def find_libraries(folder: Path) -> tuple[Path, ...]:
    """The libraries that `eval.run_qa` and `eval.run_retrieval` keep beside a run by default."""
    places = [
        path.parent
        for base in (folder, folder.parent)
        for pattern in (f"cache/*/library/{FILE_NAME}", f"library/{FILE_NAME}")
        for path in sorted(base.glob(pattern))
    ]
    return tuple(dict.fromkeys(places))


def _is_same(clip: Clip, wanted: FoundClip) -> bool:
    return math.isclose(clip.span.start_seconds, wanted.start_seconds, abs_tol=0.01) and (
        math.isclose(clip.span.stop_seconds, wanted.stop_seconds, abs_tol=0.01)
    )


def _middle_seconds(clip: Clip) -> float:
    return (clip.span.start_seconds + clip.span.stop_seconds) / 2


def _jpeg(frame: Frame) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame.pixels).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
