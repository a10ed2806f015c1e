"""Long videos in LlamaIndex's ingestion: a reader for files, a transform from videos to clips."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clamr_rag.answering.plain import one_plain_line
from clamr_rag.errors import UsageError
from clamr_rag.types import Clip
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import BaseNode, Document, TransformComponent
from pydantic import Field, PrivateAttr

from llama_index.retrievers.clamr.backend import LibraryBackend
from llama_index.retrievers.clamr.nodes import clean, clock

if TYPE_CHECKING:
    from clamr_rag.index.records import VideoRecord
    from clamr_rag.library import VideoLibrary

logger = logging.getLogger(__name__)


class ClamrVideoReader(BaseReader):
    """Reads a video into a library and returns one document with all that is said and shown.

    The document's id is the content key of the video, and its text begins with that key: two videos
    never share a place in an ingestion cache, and a file that was encoded anew is another document.
    Do not split it into chunks, which know no times: turn it into clips with `ClamrClipParser`.
    """

    def __init__(
        self, library: LibraryBackend | VideoLibrary | str | os.PathLike[str], **opening: Any
    ) -> None:
        """Opens nothing yet.

        Args:
            library: Folder of a library, made if need be; an open one; or a backend.
            opening: Fields of `Opening`, for a folder: ``encoder``, ``options``, ….
        """
        if isinstance(library, (str, os.PathLike)):
            opening.setdefault("create", True)
        self.backend = LibraryBackend.over(library, **opening)

    def load_data(
        self,
        file: str | os.PathLike[str],
        extra_info: dict[str, Any] | None = None,
        fs: AbstractFileSystem | None = None,
    ) -> list[Document]:
        """Indexes a video unless it is indexed already, and returns its document.

        Args:
            file: Of a local file system.
            extra_info: Metadata that the document is given too.
            fs: The file system; a remote one cannot be used.

        Raises:
            MediaError: The file cannot be read as a video.
            UsageError: The file system is not the local one.
        """
        if fs is not None and not isinstance(fs, LocalFileSystem):
            raise UsageError(
                f"got {type(fs).__name__} for {os.fspath(file)}",
                allowed="the local file system",
                hint="download the video first",
            )
        with self.backend.using() as library:
            report = library.add(Path(file))
            for warning in report.warnings:
                logger.warning("%s: %s", file, warning)
            record = library.find(report.video_id)
            clips = library.clips(record.video.video_id)
        return [_document(record, clips, extra_info or {})]


class ClamrClipParser(TransformComponent):
    """Turns the documents of `ClamrVideoReader` into clip nodes; other nodes pass unchanged."""

    library: str = Field(description="Folder of the library that the reader filled.")
    max_keyframes: int = Field(default=2, ge=0, description="Most pictures per clip.")
    _backend: LibraryBackend = PrivateAttr()

    def __init__(
        self,
        library: LibraryBackend | VideoLibrary | str | os.PathLike[str],
        *,
        max_keyframes: int = 2,
    ) -> None:
        """Opens nothing yet.

        Args:
            library: Folder of the library that the reader filled, or the reader's ``backend``.
            max_keyframes: Most pictures per clip.
        """
        backend = LibraryBackend.over(library)
        super().__init__(library=str(backend.opening.folder), max_keyframes=max_keyframes)
        self._backend = backend

    @classmethod
    def class_name(cls) -> str:
        """Part of the key of LlamaIndex's ingestion cache."""
        return "ClamrClipParser"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[BaseNode]:
        """The clips of each video once, however many nodes stand for it."""
        made: list[BaseNode] = []
        seen: set[str] = set()
        for node in nodes:
            video_id = node.metadata.get("video_id")
            if video_id is None:
                made.append(node)
            elif video_id not in seen:
                seen.add(video_id)
                made.extend(self._backend.all_nodes([video_id], self.max_keyframes))
        return made


def _document(record: VideoRecord, clips: Sequence[Clip], extra: dict[str, Any]) -> Document:
    video = record.video
    metadata = {
        **extra,
        "video_id": video.video_id,
        "title": clean(video.title),
        "duration_s": round(float(video.duration_seconds), 3),
        "size_bytes": video.size_bytes,
        "video_path": clean(video.path),
    }
    # What is in the header already, and paths, stay out of prompts.
    hidden = [*metadata]
    return Document(
        id_=video.video_id,
        text=_document_text(record, clips),
        metadata=metadata,
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=hidden,
    )


def _document_text(record: VideoRecord, clips: Sequence[Clip]) -> str:
    video = record.video
    lines = [
        f"[{one_plain_line(video.title)} | {clock(video.duration_seconds)} | "
        f"{video.size_bytes} bytes | content {video.video_id}]"
    ]
    for clip in clips:
        lines += [
            f"({clock(cue.start_seconds)}) speech: {one_plain_line(cue.text)}" for cue in clip.cues
        ]
        lines += [
            f"({clock(line.first_seconds)}) ocr: {one_plain_line(line.text)}"
            for line in clip.ocr_lines
        ]
    facts = dict.fromkeys(line.text for clip in clips for line in clip.metadata)
    lines += [f"metadata: {one_plain_line(fact)}" for fact in facts]
    return "\n".join(lines)
