"""What the loaders share beside rows: options, which files are there, CSV and text, videos."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from clamr_rag.errors import UsageError
from eval.benchmarks.records import BenchmarkVideo
from eval.benchmarks.rows import Row, check_columns, file_text

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v")
"""In upper case too; earlier ones win where a video is there twice."""
_EXCESS = "beyond the columns"


def checked_choice(option: str, value: str, allowed: Iterable[str]) -> str:
    """The value of a loader's option, if there is such a one.

    Raises:
        UsageError: There is none.
    """
    choices = list(allowed)
    if value not in choices:
        raise UsageError(f"got {option} {value!r}", allowed=", ".join(choices))
    return value


def needed_file(root: Path, names: Sequence[str], hint: str) -> Path:
    """The first of these patterns' files under a folder, in order of name.

    Raises:
        UsageError: None is there.
    """
    for name in names:
        found = sorted(path for path in root.glob(name) if path.is_file())
        if found:
            return found[0]
    raise UsageError(f"{root}: has no {names[0]}", allowed=" or ".join(names), hint=hint)


def csv_rows(path: Path, columns: Sequence[str]) -> tuple[Row, ...]:
    """The rows of a CSV file with a header, every value a text; the header is not counted.

    Raises:
        UsageError: It is not there, no CSV, lacks a column, or has a row of another length.
    """
    reader = csv.DictReader(io.StringIO(file_text(path)), restkey=_EXCESS, strict=True)
    try:
        names = reader.fieldnames or ()
        rows = [Row(f"{path} row {number}", row) for number, row in enumerate(reader, 1)]
    except csv.Error as error:
        raise UsageError(f"{path}: not CSV: line {reader.line_num}: {error}") from None
    check_columns(path, names, columns)
    for row in rows:
        if _EXCESS in row.fields or None in row.fields.values():
            raise row.error("has more or fewer values than the header", allowed=", ".join(names))
    return tuple(rows)


def text_rows(path: Path) -> tuple[tuple[str, str], ...]:
    """Place and text of each line that is not blank.

    Raises:
        UsageError: The file is not there or no text.
    """
    lines = enumerate(file_text(path).split("\n"), 1)
    return tuple((f"{path} line {n}", line.strip()) for n, line in lines if line.strip())


def videos_under(folder: Path) -> dict[str, Path]:
    """Every video file below a folder by its name without the suffix; {} if it is not there.

    Ids are only looked up among the files that are there, so one like ``../x`` leads nowhere.
    """
    found: dict[str, Path] = {}
    videos = (path for path in _files(folder) if path.suffix.lower() in VIDEO_SUFFIXES)
    for path in sorted(videos, key=lambda p: (VIDEO_SUFFIXES.index(p.suffix.lower()), p)):
        found.setdefault(path.stem, path)
    return found


def missing_of(videos: Mapping[str, BenchmarkVideo]) -> tuple[str, ...]:
    """Ids of the videos that are not on disk, sorted."""
    return tuple(sorted(name for name, video in videos.items() if video.path is None))


def _files(folder: Path) -> Iterator[Path]:
    # Links are followed, as videos often lie on another disk; a circle is entered once.
    entered: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        yield from (Path(place, name) for name in sorted(names))
