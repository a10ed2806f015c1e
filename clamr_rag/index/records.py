"""What the library returns beside the vocabulary, and the checksum that its rows carry."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clamr_rag.errors import LibraryDamagedError
from clamr_rag.types import Video

VideoStatus = Literal["indexing", "indexed", "failed"]


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video of the library and how far it has come."""

    video: Video
    status: VideoStatus
    """Only ``indexed`` videos are searched."""
    options_fingerprint: str
    """Of all options that its clips and vectors depend on."""
    revision: str = ""
    """Another one after every finished indexing; what was derived from an earlier one is stale."""
    error: str | None = None
    """Why it failed; None otherwise."""
    speech_source: str | None = None
    """Where speech text was taken from, as said to the user; None before that is known."""
    screen_text_source: str | None = None
    """What read the screen, as said to the user; None before that is known."""
    num_clips: int = 0
    """Clips planned; 0 before."""


@dataclass(frozen=True, slots=True)
class TextHit:
    """A clip whose text has words that were looked for."""

    clip_id: str
    score: float
    """BM25 weight; higher is better, only to be compared within one search."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a library, and what repairs it."""

    where: str
    """A video, a clip, a file or a table."""
    what: str
    repair: str
    """What the user can do."""


def checksum(*values: Any) -> int:
    """CRC32 over a row's values, whatever types a damaged file gives them."""
    return zlib.crc32(json.dumps(values, default=repr).encode("ascii"))


def payload_checksum(key: Sequence[Any], payload: bytes) -> int:
    """CRC32 over a row's key and its bytes."""
    return zlib.crc32(payload, checksum(*key))


def check(stored: int, expected: int, where: str) -> None:
    """Raises LibraryDamagedError unless both checksums are the same."""
    if stored != expected:
        raise LibraryDamagedError(
            f"{where} does not match its checksum",
            hint="run clamr-rag verify; removing and indexing the video again repairs it",
        )
