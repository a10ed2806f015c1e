"""Files of JSON lines that are appended to, and that no kill leaves half written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clamr_rag.errors import UsageError


class Frozen(BaseModel):
    """A value that is written as JSON; a field that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordLine(Frozen):
    """A line of a `RecordFile`. What may differ between equal runs is in its field ``timing``."""

    number: int = Field(ge=0)
    """Place in the run, from 0, the same in all shards."""


RecordT = TypeVar("RecordT", bound=RecordLine)


class RecordFile(Generic[RecordT]):
    """A JSONL file that one process appends to; what it holds at the start is in `done`."""

    def __init__(self, path: Path, kind: type[RecordT]) -> None:
        """Cuts off what a kill has torn.

        Raises:
            UsageError: Another process is writing to it, or a line in its middle is no record.
        """
        self._lock = FileLock(f"{path}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another process is writing to {path}", hint="wait for it, or take another --out"
            ) from None
        try:
            done, num_bytes = read_lines(path, kind)
            self.done: tuple[RecordT, ...] = tuple(done)
            self._file = path.open("ab")
            self._file.truncate(num_bytes)
            self._sync()
        except BaseException:
            self._lock.release()
            raise

    def append(self, record: RecordT) -> None:
        """Writes a line; when this returns a kill or a power cut cannot take it back."""
        self._file.write(record.model_dump_json().encode() + b"\n")
        self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._lock.release()


def without_timing(record: RecordT) -> bytes:
    """The line of a record less its last field: what must not differ between equal runs."""
    return record.model_dump_json(exclude={"timing"}).encode() + b"\n"


def read_lines(path: Path, kind: type[RecordT]) -> tuple[list[RecordT], int]:
    """The whole records of a file, and how many bytes they take."""
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        lines = list(file)
    if lines and _is_torn(lines[-1]):
        lines.pop()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise UsageError(
                f"{path}, line {number} is no record: {first_fault(error)}",
                hint="a kill tears the last line only; restore the file or take another --out",
            ) from None
    return records, sum(map(len, lines))


def _is_torn(line: bytes) -> bool:
    """Whether a last line was not written to its end; after a power cut it may hold anything."""
    try:
        json.loads(line)
    except ValueError:
        return True
    return not line.endswith(b"\n")


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    pending = path.with_name(f"{path.name}.part")
    with pending.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    pending.replace(path)


def first_fault(error: ValidationError) -> str:
    """Which field of a value is wrong, and how."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the line'}: {first['msg']}"
