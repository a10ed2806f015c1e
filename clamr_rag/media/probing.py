"""What a file holds."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError
from clamr_rag.media.files import checked_video_path
from clamr_rag.media.languages import language_code
from clamr_rag.media.process import DecoderProcess
from clamr_rag.media.values import AudioTrack, Chapter, MediaInfo, SubtitleTrack, VideoTrack
from clamr_rag.types import TimeSpan


def probe(path: str | os.PathLike[str], options: MediaOptions | None = None) -> MediaInfo:
    """Returns what a file holds, with its measured length.

    Raises:
        MediaError: Not a readable video, sound or text subtitle file.
        MediaLimitError: It would take too much memory, time or pixels.
    """
    whole = checked_video_path(path)
    with DecoderProcess("probe", whole, options or MediaOptions()) as child:
        for message in child.messages():
            try:
                return _media_info(message.header, whole)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise child.nonsense(error) from error
        raise MediaError(f"{str(whole)!r}: the decoder said nothing")


def chapters_in_order(
    parts: list[tuple[str, float, float | None]], duration_seconds: float | None = None
) -> tuple[Chapter, ...]:
    """Returns chapters from (title, start, stop or None), sorted; an open one ends at the next.

    Parts outside the video or without a title are dropped.
    """
    named = [(max(0.0, start), stop, title.strip()) for title, start, stop in parts]
    ordered = sorted(named, key=lambda part: part[0])
    chapters = []
    for number, (start, stop, title) in enumerate(ordered):
        following = ordered[number + 1][0] if number + 1 < len(ordered) else duration_seconds
        end = stop if stop is not None and stop > start else following
        end = start if end is None else end
        if duration_seconds is not None:
            end = min(end, duration_seconds)
        if title and end >= start:
            chapters.append(Chapter(title, TimeSpan(start, end)))
    return tuple(chapters)


def _media_info(header: dict[str, Any], path: Path) -> MediaInfo:
    duration = float(header["duration_seconds"])
    parts = [(str(c["title"]), float(c["start"]), float(c["stop"])) for c in header["chapters"]]
    tags = {str(key): str(value) for key, value in header["tags"].items()}
    return MediaInfo(
        format_name=str(header["format_name"]),
        duration_seconds=duration,
        size_bytes=path.stat().st_size,
        video=_video_track(header["video"]) if header["video"] is not None else None,
        audio_tracks=tuple(
            AudioTrack(
                index, str(track["codec"]), _language(track["language"]), bool(track["default"])
            )
            for index, track in enumerate(header["audio"])
        ),
        subtitle_tracks=tuple(
            _subtitle_track(index, track) for index, track in enumerate(header["subtitles"])
        ),
        chapters=chapters_in_order(list(parts), duration),
        tags=MappingProxyType(tags),
    )


def _video_track(track: dict[str, Any]) -> VideoTrack:
    return VideoTrack(
        codec=str(track["codec"]),
        width=int(track["width"]),
        height=int(track["height"]),
        rotation_degrees=int(track["rotation_degrees"]),
        average_rate=float(track["average_rate"]),
    )


def _subtitle_track(index: int, track: dict[str, Any]) -> SubtitleTrack:
    return SubtitleTrack(
        index=index,
        codec=str(track["codec"]),
        language=_language(track["language"]),
        title=str(track["title"]) if track["title"] else None,
        default=bool(track["default"]),
        forced=bool(track["forced"]),
        is_text=bool(track["is_text"]),
    )


def _language(tag: object) -> str | None:
    return language_code(tag) if isinstance(tag, str) else None
