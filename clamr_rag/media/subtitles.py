"""Speech text that people wrote: subtitle tracks inside the file and subtitle files beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from clamr_rag.config import MediaOptions
from clamr_rag.media.cues import tidy_cues
from clamr_rag.media.files import checked_file, checked_video_path
from clamr_rag.media.process import DecoderProcess
from clamr_rag.types import Cue


def read_subtitle_track(
    path: str | os.PathLike[str], track_index: int, options: MediaOptions | None = None
) -> tuple[Cue, ...]:
    """Returns the plain text cues of an embedded text track, sorted, in video time.

    Args:
        path: A video file.
        track_index: Index of a `SubtitleTrack` with ``is_text``.
        options: Limits of the decoder child.

    Raises:
        MediaError: There is no such text track.
        MediaLimitError: More cues than allowed.
    """
    whole = checked_video_path(path)
    return _cues("subtitle_track", whole, options, {"track_index": track_index})


def read_sidecar_subtitles(
    path: str | os.PathLike[str], options: MediaOptions | None = None
) -> tuple[Cue, ...]:
    """Returns the plain text cues of a .srt, .vtt, .ass or .ssa file, sorted.

    UTF-8, UTF-16 and Latin-1 are understood. Markup is gone and entities are characters, so the
    text may hold ``<`` and ``&``: escape it where it is shown.

    Raises:
        MediaError: Not a subtitle file.
        MediaLimitError: A larger file or more cues than allowed.
    """
    whole = checked_file(path, "a subtitle")
    return _cues("subtitle_file", whole, options, {})


def _cues(
    operation: str, path: Path, options: MediaOptions | None, arguments: dict[str, Any]
) -> tuple[Cue, ...]:
    raw: list[tuple[float, float, str]] = []
    with DecoderProcess(operation, path, options or MediaOptions(), arguments=arguments) as child:
        for message in child.messages():
            try:
                raw += [
                    (float(start), float(stop), str(text))
                    for start, stop, text in message.header["cues"]
                ]
            except (KeyError, TypeError, ValueError) as error:
                raise child.nonsense(error) from error
    return tidy_cues(raw)
