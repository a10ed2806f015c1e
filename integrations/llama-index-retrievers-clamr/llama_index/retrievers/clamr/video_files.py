"""The video files that a user names, folders searched."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from clamr_rag.errors import UsageError

VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv".split()
)

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def video_files(names: Names) -> list[Path]:
    """The files meant, in order; a file that is named is taken whatever its ending.

    Raises:
        UsageError: A folder holds no video.
    """
    listed = [names] if isinstance(names, (str, os.PathLike)) else names
    files: list[Path] = []
    for path in map(Path, listed):
        inside = sorted(_in_folder(path)) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"no video in {path}", allowed=", ".join(sorted(VIDEO_SUFFIXES)))
        files.extend(inside)
    return files


def _in_folder(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            yield path
