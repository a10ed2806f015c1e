"""Which files the words on the command line mean."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

VIDEO_EXTENSIONS = (
    "3gp", "asf", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv",
    "ts", "vob", "webm", "wmv",
)  # fmt: skip
"""What a folder is searched for unless ``--ext`` says otherwise."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files of a folder are taken."""

    recursive: bool = False
    """Folders are searched, with all folders in them."""
    extensions: tuple[str, ...] = VIDEO_EXTENSIONS
    """Without the dot; case does not matter."""
    exclude: tuple[str, ...] = ()
    """Shell patterns for a file's name or its path below the folder."""

    def takes(self, path: Path, root: Path) -> bool:
        """Whether a file of the folder is one that is wanted."""
        below = str(path.relative_to(root))
        if any(fnmatch(path.name, p) or fnmatch(below, p) for p in self.exclude):
            return False
        return path.suffix.lower().removeprefix(".") in self.extensions


def parse_extensions(texts: Iterable[str]) -> tuple[str, ...]:
    """Reads ``--ext mp4,.MKV``; nothing given means every kind of video."""
    names = [part.strip().lower().removeprefix(".") for text in texts for part in text.split(",")]
    return tuple(filter(None, names)) or VIDEO_EXTENSIONS


def expand(words: Sequence[str], wanted: Wanted, stdin: Iterable[str] = ()) -> tuple[Path, ...]:
    """Returns the files meant, each once, in the order named.

    A word is a file, a shell pattern, ``-`` for a list of files on stdin (one per line), or a
    folder. A folder is only searched if that is wanted, else it stands for itself; so does what is
    not there: whoever reads it says what is wrong with it.
    """
    found: dict[Path, None] = {}
    for word in _lines(words, stdin):
        for path in _matches(word):
            inside = _walk(path, wanted) if wanted.recursive and is_folder(path) else [path]
            found.update(dict.fromkeys(inside))
    return tuple(found)


def _lines(words: Sequence[str], stdin: Iterable[str]) -> Iterator[str]:
    for word in words:
        if word == "-":
            yield from (line.rstrip("\r\n") for line in stdin if line.strip())
        else:
            yield word


def _matches(word: str) -> list[Path]:
    """The files that a pattern names; a name that is there is no pattern, whatever it looks like.

    Most shells have expanded patterns already; cmd.exe and a quoted pattern leave it to us.
    """
    path = Path(word)
    if not glob.has_magic(word) or is_there(word):
        return [path]
    return [Path(name) for name in sorted(glob.glob(word, recursive=True))] or [path]  # noqa: PTH207


def is_there(word: str) -> bool:
    """Whether something stands at that path, readable or not."""
    try:
        Path(word).stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        # No right to look, a loop of links, a name too long: opening it will say what is wrong.
        return True
    return True


def is_folder(path: Path) -> bool:
    """Whether a folder stands there; of what cannot be a path, none does."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _walk(root: Path, wanted: Wanted) -> Iterator[Path]:
    """The wanted files below a folder, in order of name.

    Hidden files are left out, and so are links that lead out of the folder.
    """
    home = root.resolve()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if name.startswith(".") or not wanted.takes(path, root):
                continue
            # is_file follows links: pipes and devices are passed over, dangling links too.
            if path.resolve().is_relative_to(home) and path.is_file():
                yield path
