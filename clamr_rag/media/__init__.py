"""The only code that opens a user's file: probe, frames, sound, subtitles, sidecars.

Every parser of foreign bytes runs in a limited child process (`clamr_rag.media.child`); this side
starts it, checks what it says and never imports a decoder.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clamr_rag.media.files import checked_video_path, content_key, full_hash
    from clamr_rag.media.metadata_files import read_chapters, read_info_json, read_nfo
    from clamr_rag.media.pictures import iter_frames
    from clamr_rag.media.probing import probe
    from clamr_rag.media.sidecars import find_sidecars
    from clamr_rag.media.sound import iter_audio
    from clamr_rag.media.subtitles import read_sidecar_subtitles, read_subtitle_track
    from clamr_rag.media.values import (
        AudioTrack,
        Chapter,
        InfoJson,
        MediaInfo,
        Nfo,
        Sidecar,
        SubtitleTrack,
        VideoTrack,
    )

_HOMES = {
    "AudioTrack": "values",
    "Chapter": "values",
    "InfoJson": "values",
    "MediaInfo": "values",
    "Nfo": "values",
    "Sidecar": "values",
    "SubtitleTrack": "values",
    "VideoTrack": "values",
    "checked_video_path": "files",
    "content_key": "files",
    "find_sidecars": "sidecars",
    "full_hash": "files",
    "iter_audio": "sound",
    "iter_frames": "pictures",
    "probe": "probing",
    "read_chapters": "metadata_files",
    "read_info_json": "metadata_files",
    "read_nfo": "metadata_files",
    "read_sidecar_subtitles": "subtitles",
    "read_subtitle_track": "subtitles",
}

__all__ = [
    "AudioTrack",
    "Chapter",
    "InfoJson",
    "MediaInfo",
    "Nfo",
    "Sidecar",
    "SubtitleTrack",
    "VideoTrack",
    "checked_video_path",
    "content_key",
    "find_sidecars",
    "full_hash",
    "iter_audio",
    "iter_frames",
    "probe",
    "read_chapters",
    "read_info_json",
    "read_nfo",
    "read_sidecar_subtitles",
    "read_subtitle_track",
]


def __getattr__(name: str) -> object:
    """Loads a public name on first use (PEP 562): the decoder child must not pay for this side."""
    if name not in _HOMES:
        raise AttributeError(f"module 'clamr_rag.media' has no attribute {name!r}")
    return getattr(import_module(f"clamr_rag.media.{_HOMES[name]}"), name)
