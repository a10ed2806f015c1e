"""What this room tells about a file and its neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from clamr_rag.types import TimeSpan

SidecarKind = Literal["subtitles", "info_json", "nfo", "chapters"]


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """The picture track that is read: the best one, never a cover picture."""

    codec: str
    """Canonical name, e.g. ``"h264"``."""
    width: int
    """Of the upright picture with square pixels, as frames have it."""
    height: int
    """Of the upright picture with square pixels, as frames have it."""
    rotation_degrees: int
    """Clockwise turn in [0, 360) that makes the stored picture upright; frames have it applied."""
    average_rate: float
    """Frames per second as the header claims; 0.0 where it says nothing. Never a clock."""


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One sound track."""

    index: int
    """0 for the file's first sound track: what `iter_audio` takes as ``track``."""
    codec: str
    language: str | None
    """ISO 639-1 code where there is one, else 639-2; None where the file does not say."""
    default: bool
    """Whether `iter_audio` reads it unasked, as a player would; so of exactly one track."""


@dataclass(frozen=True, slots=True)
class SubtitleTrack:
    """One subtitle track inside the file."""

    index: int
    """0 for the first subtitle track: what `read_subtitle_track` takes."""
    codec: str
    language: str | None
    """ISO 639-1 code where there is one, else 639-2; None where the file does not say."""
    title: str | None
    default: bool
    forced: bool
    """Holds only what the viewer would not understand (foreign speech), not all speech."""
    is_text: bool
    """False for pictures of text, which `read_subtitle_track` does not read."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A named part of a video."""

    title: str
    span: TimeSpan


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file holds, as read and not as its header claims."""

    format_name: str
    """The container's demuxer, e.g. ``"matroska,webm"``."""
    duration_seconds: float
    """End of the last picture or sound, measured on packets."""
    size_bytes: int
    video: VideoTrack | None
    audio_tracks: tuple[AudioTrack, ...] = ()
    subtitle_tracks: tuple[SubtitleTrack, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Container tags such as title, artist, comment; names in lower case."""

    def __post_init__(self) -> None:
        if not 0 <= self.duration_seconds < math.inf:
            raise ValueError(f"a duration needs 0 <= seconds < inf, got {self.duration_seconds}")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file beside a video that tells about it."""

    path: Path
    kind: SidecarKind
    language: str | None = None
    """From the name: ``Film.en.srt`` is "en", ``Film.pt-BR.srt`` is "pt-BR"; None without."""
    flags: frozenset[str] = frozenset()
    """Of "forced", "sdh", "default", "auto" (made by a machine)."""


@dataclass(frozen=True, slots=True)
class InfoJson:
    """A ``.info.json`` as yt-dlp writes it; what it does not say is empty."""

    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    uploader: str | None = None
    upload_date: str | None = None
    """As written, e.g. ``"20240131"``."""
    chapters: tuple[Chapter, ...] = ()


@dataclass(frozen=True, slots=True)
class Nfo:
    """A Kodi/Jellyfin ``.nfo``; what it does not say is empty."""

    title: str | None = None
    plot: str | None = None
    tagline: str | None = None
    genres: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    """Directors, writers and actors."""
    premiered: str | None = None
    """Date or year as written."""
