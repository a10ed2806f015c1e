"""Rows of annotation files, read field by field and checked; JSON and JSON Lines.

Nothing of a published file is trusted: a field that is missing, of another type or out of range is
a `UsageError` that names the file and the row, so that a half-finished download or another revision
is seen at once and not as a figure that is a little off.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from clamr_rag.errors import UsageError

_MAX_BYTES = 1 << 30
"""Larger than any annotation file there is; a video that was named .json is not read whole."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of an annotation file."""

    place: str
    """Where it stands, for messages: "test.json row 3" or "videos.jsonl line 2 qa 1"."""
    fields: Mapping[str, Any]

    def error(self, got: str, *, allowed: str = "", hint: str = "") -> UsageError:
        """An error about this row, to be raised."""
        return UsageError(f"{self.place}: {got}", allowed=allowed, hint=hint)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.fields.get(name) is not None

    def text(self, name: str, *, may_be_blank: bool = False) -> str:
        """A string as it stands.

        Raises:
            UsageError: It is not there, not that, or blank.
        """
        value = self._value(name, str, "a text")
        if not value.strip() and not may_be_blank:
            raise self.error(f"field {name!r} is blank", allowed="a text")
        return str(value)

    def one_of(self, name: str, allowed: Collection[str]) -> str:
        """A string out of a closed set.

        Raises:
            UsageError: It is not there, or none of them.
        """
        value = self.text(name)
        if value not in allowed:
            raise self.error(f"field {name!r} is {value!r}", allowed=", ".join(allowed))
        return value

    def word(self, name: str) -> str:
        """A string or whole number, as a string: ids and levels are written both ways.

        Raises:
            UsageError: It is not there, or something else.
        """
        value = self.fields.get(name)
        return str(self.whole(name)) if isinstance(value, int) else self.text(name)

    def whole(self, name: str) -> int:
        """A whole number.

        Raises:
            UsageError: It is not there, or not that.
        """
        value = self._value(name, int, "a whole number")
        if isinstance(value, bool):
            raise self.error(f"field {name!r} is {value}", allowed="a whole number")
        return int(value)

    def number(self, name: str) -> float:
        """A finite number.

        Raises:
            UsageError: It is not there, or not that.
        """
        value = self._value(name, (int, float), "a number")
        if isinstance(value, bool) or not math.isfinite(value):
            raise self.error(f"field {name!r} is {value}", allowed="a finite number")
        return float(value)

    def seconds(self, name: str) -> float:
        """A finite number that is not negative.

        Raises:
            UsageError: It is not there, or not that.
        """
        value = self.number(name)
        if value < 0:
            raise self.error(f"field {name!r} is {value}", allowed="0 or more seconds")
        return value

    def texts(self, name: str, *, at_least: int = 1) -> tuple[str, ...]:
        """A list of strings.

        Raises:
            UsageError: It is not there, too short, or not all of it are strings.
        """
        values = self.values(name)
        if len(values) < at_least or not all(isinstance(value, str) for value in values):
            raise self.error(
                f"field {name!r} is {_shown(list(values))}", allowed=f"{at_least} or more texts"
            )
        return tuple(values)

    def words(self, name: str, *, at_least: int = 1) -> tuple[str, ...]:
        """A list of strings or whole numbers, as strings: options that count are written both ways.

        Raises:
            UsageError: It is not there, too short, or something else is in it.
        """
        values = self.values(name)
        texts = [str(value) if type(value) is int else value for value in values]
        return Row(self.place, {name: texts}).texts(name, at_least=at_least)

    def rows(self, name: str) -> tuple[Row, ...]:
        """A list of objects, as rows.

        Raises:
            UsageError: It is not there, or not that.
        """
        return rows_of(self.values(name), f"{self.place} {name}")

    def row(self, name: str) -> Row:
        """An object, as a row.

        Raises:
            UsageError: It is not there, or not that.
        """
        return Row(f"{self.place} {name}", self._value(name, dict, "an object"))

    def values(self, name: str) -> Sequence[Any]:
        """A list of anything.

        Raises:
            UsageError: It is not there, or not that.
        """
        value: Sequence[Any] = self._value(name, list, "a list")
        return value

    def file_name(self, name: str) -> str:
        """A relative path with ``/`` that stays in its folder.

        Raises:
            UsageError: It is not there, or leads elsewhere.
        """
        value = self.text(name)
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value or "\0" in value:
            raise self.error(f"field {name!r} is {value!r}", allowed="a path within the benchmark")
        return str(path)

    def _value(self, name: str, kind: type | tuple[type, ...], noun: str) -> Any:
        if name not in self.fields:
            raise self.error(
                f"has no field {name!r}",
                allowed=f"a row with {noun} there",
                hint="is it the published file of this benchmark?",
            )
        value = self.fields[name]
        if not isinstance(value, kind):
            raise self.error(f"field {name!r} is {_shown(value)}", allowed=noun)
        return value


def json_rows(path: Path) -> tuple[Row, ...]:
    """The objects of a JSON file that holds a list of them.

    Raises:
        UsageError: It is not there or holds something else.
    """
    values = json_value(path)
    if not isinstance(values, list):
        raise UsageError(f"{path}: holds {_shown(values)}", allowed="a JSON list of objects")
    return rows_of(values, f"{path} row")


def json_row(path: Path) -> Row:
    """The object that a JSON file holds.

    Raises:
        UsageError: It is not there or holds something else.
    """
    value = json_value(path)
    if not isinstance(value, dict):
        raise UsageError(f"{path}: holds {_shown(value)}", allowed="a JSON object")
    return Row(str(path), value)


def json_value(path: Path) -> Any:
    """Whatever a JSON file holds.

    Raises:
        UsageError: It is not there or not JSON.
    """
    try:
        return json.loads(file_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: not JSON: {error}", hint="was it downloaded completely?"
        ) from None


def jsonl_rows(path: Path) -> tuple[Row, ...]:
    """The objects of a JSON Lines file, blank lines skipped.

    Raises:
        UsageError: It is not there, or a line is something else.
    """
    rows: list[Row] = []
    # Not splitlines: U+2028 and its like may stand inside a JSON string.
    for number, line in enumerate(file_text(path).split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path} line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{place}: not JSON: {error}", hint="was the file downloaded completely?"
            ) from None
        rows.append(_row(value, place))
    return tuple(rows)


def file_text(path: Path) -> str:
    """The text of a file in UTF-8, a byte order mark removed, every line end a line feed.

    Raises:
        UsageError: It is not there, too large, or not UTF-8.
    """
    check_readable(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error}", allowed="a text file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def source_of(*paths: Path) -> str:
    """The files and the SHA-256 of each: "test.parquet sha256:…"."""
    return ", ".join(f"{path.name} sha256:{_sha256(path)}" for path in paths)


def check_readable(path: Path) -> None:
    """Refuses what is no file, or larger than any annotation file.

    Raises:
        UsageError: It is.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file", hint="eval/README.md says which files a benchmark must hold"
        )
    if path.stat().st_size > _MAX_BYTES:
        raise UsageError(f"{path}: has {path.stat().st_size} bytes", allowed=f"{_MAX_BYTES}")


def check_columns(path: Path, names: Collection[str], columns: Sequence[str]) -> None:
    """Refuses a table without these columns.

    Raises:
        UsageError: One is not among its names.
    """
    missing = [name for name in columns if name not in names]
    if missing:
        raise UsageError(
            f"{path}: has no column {missing[0]!r}",
            allowed=f"columns {', '.join(columns)}",
            hint=f"it has {', '.join(names) or 'no header'}",
        )


def rows_of(values: Sequence[Any], place: str) -> tuple[Row, ...]:
    """Objects as rows; their place is a name with their number.

    Raises:
        UsageError: One is no object.
    """
    return tuple(_row(value, f"{place} {number}") for number, value in enumerate(values, 1))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _row(value: object, place: str) -> Row:
    if not isinstance(value, dict):
        raise UsageError(f"{place}: is {_shown(value)}", allowed="an object")
    return Row(place, value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
