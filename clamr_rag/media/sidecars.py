"""Finding the files beside a video that tell about it, by name alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from clamr_rag.media.files import checked_video_path
from clamr_rag.media.languages import is_known_language, language_code
from clamr_rag.media.values import Sidecar, SidecarKind

_SUBTITLE_SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")
_WHOLE_SUFFIXES: tuple[tuple[str, SidecarKind], ...] = (
    (".info.json", "info_json"),
    (".nfo", "nfo"),
    (".chapters", "chapters"),
    (".chapters.txt", "chapters"),
)
_FLAGS = {
    "forced": "forced",
    "foreign": "forced",
    "sdh": "sdh",
    "cc": "sdh",
    "hi": "sdh",
    "default": "default",
    "auto": "auto",
}
_VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .m2ts .mts .mpg .mpeg .vob .flv .ogv .ogg .wmv .asf .3gp "
    ".3g2 .mp3 .m4a .wav .flac .aac .opus".split()
)


def find_sidecars(path: str | os.PathLike[str]) -> tuple[Sidecar, ...]:
    """Returns the sidecars of a video in its own folder, sorted by name.

    For ``Film.mp4``: ``Film.srt``, ``Film.en.srt``, ``Film.de.forced.srt`` (also .vtt, .ass, .ssa),
    ``Film.info.json``, ``Film.nfo``, ``Film.chapters``, ``Film.chapters.txt``. Between stem and
    suffix only languages and flags may stand, so ``Film2.srt`` and ``Film.Part2.srt`` are not
    taken, nor is ``Film.en.srt`` if there is a ``Film.en.mp4``. Only regular files in the folder
    itself count: a link that leads elsewhere does not.

    Raises:
        MediaError: The video cannot be read.
    """
    video = checked_video_path(path)
    try:
        names = sorted(os.listdir(video.parent))  # noqa: PTH208
    except PermissionError:
        return ()
    # Stems of other films that begin with this one's: their sidecars are theirs.
    rivals = {
        Path(name).stem
        for name in names
        if Path(name).suffix.lower() in _VIDEO_SUFFIXES
        and name.startswith(f"{video.stem}.")
        and Path(name).stem != video.stem
    }
    found = (_sidecar(video, name, rivals) for name in names)
    return tuple(sidecar for sidecar in found if sidecar is not None)


def _sidecar(video: Path, name: str, rivals: set[str]) -> Sidecar | None:
    """Returns what a file name is to a video, None for nothing."""
    path = video.parent / name
    if not name.startswith(f"{video.stem}.") or path == video:
        return None
    if any(name.startswith(f"{rival}.") for rival in rivals) or not _stays_here(path):
        return None
    rest = name[len(video.stem) :].lower()
    for suffix, kind in _WHOLE_SUFFIXES:
        if rest == suffix:
            return Sidecar(path, kind)
    if not rest.endswith(_SUBTITLE_SUFFIXES):
        return None
    words = name[len(video.stem) + 1 :].split(".")[:-1]
    return _subtitles(path, words)


def _subtitles(path: Path, words: list[str]) -> Sidecar | None:
    """Reads language and flags from the words between stem and suffix; None for other words."""
    language: str | None = None
    flags = set()
    for word in words:
        # "hi" is Hindi where no language was named yet, "hearing impaired" after one.
        if language is None and is_known_language(word):
            language = language_code(word)
        elif word.lower() in _FLAGS:
            flags.add(_FLAGS[word.lower()])
        else:
            return None
    return Sidecar(path, "subtitles", language, frozenset(flags))


def _stays_here(path: Path) -> bool:
    """Whether this is a regular file of this folder, not a pipe or a link to elsewhere."""
    try:
        real = path.resolve(strict=True)
        return real.parent == path.parent.resolve() and stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError):
        return False
