"""One connection to a library file: opening, snapshots, transactions. Knows no table."""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from clamr_rag.errors import LibraryError, LibraryVersionError
from clamr_rag.index import schema
from clamr_rag.index.faults import damaged, library_errors

_BUSY_SECONDS = 10.0
_CHECKPOINT_WAIT_SECONDS = 0.5
_HEADER_BYTES = 100


class Database:
    """A library file, opened. Safe to use from several threads; calls wait for each other."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Opens a file that `schema.create` made.

        Raises:
            LibraryVersionError: Written by a later version; the file is left untouched.
            LibraryDamagedError: Not a library file.
            LibraryError: May not be read.
        """
        self.path = path
        self.read_only = read_only
        check_header(path)
        self._lock = threading.RLock()
        self._depth = 0
        self._writes = False
        with library_errors(path):
            self._connection = _connect(path, read_only=read_only)
        try:
            with library_errors(path):
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA trusted_schema = OFF")
        run("PRAGMA cell_size_check = ON")
        run("PRAGMA foreign_keys = ON")
        run("PRAGMA secure_delete = ON")
        run("PRAGMA synchronous = FULL")
        _check_version(self.path, *run("PRAGMA user_version").fetchone())
        if not schema.is_ours(self._connection):
            raise damaged(self.path, "its tables are not those of a clamr-rag library")

    def close(self) -> None:
        """Closes the connection; further calls fail."""
        with self._lock, library_errors(self.path):
            self._connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads within see one state of the library, whatever others write."""
        with self._block("BEGIN", writes=False):
            if self._depth == 1:
                # A deferred BEGIN takes its snapshot only with the first read.
                self.rows("SELECT 1 FROM meta LIMIT 1")
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes within last once it ends, or none of them; may be nested."""
        if self.read_only:
            raise LibraryError(f"{self.path} was opened for reading only")
        with self._block("BEGIN IMMEDIATE", writes=True):
            yield

    @contextmanager
    def _block(self, begin: str, *, writes: bool) -> Iterator[None]:
        with self._lock:
            if self._depth and writes and not self._writes:
                raise LibraryError("a write was asked for inside a reading snapshot")
            if not self._depth:
                with library_errors(self.path):
                    self._connection.execute(begin)
                self._writes = writes
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if not self._depth:
                    self._roll_back()
                raise
            self._depth -= 1
            if not self._depth:
                self._commit()

    def _commit(self) -> None:
        try:
            with library_errors(self.path):
                self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # SQLite has rolled back by itself after some errors (full disk).
        if self._connection.in_transaction:
            with library_errors(self.path):
                self._connection.execute("ROLLBACK")

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock, library_errors(self.path):
            return self._connection.execute(statement, values).fetchall()

    def row(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a query, None if there is none."""
        with self._lock, library_errors(self.path):
            found: tuple[Any, ...] | None = self._connection.execute(statement, values).fetchone()
            return found

    def run(self, statement: str, *values: Any) -> int:
        """Runs a statement within a transaction; returns the id of the row it added."""
        with self._lock, library_errors(self.path):
            return self._connection.execute(statement, values).lastrowid or 0

    def run_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Runs a statement per row within a transaction."""
        with self._lock, library_errors(self.path):
            self._connection.executemany(statement, rows)

    def checkpoint(self) -> None:
        """Moves all changes into the file and empties the log, unless a reader still needs it."""
        with self._lock, library_errors(self.path):
            self._connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT_SECONDS * 1000:.0f}")
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")


def check_header(path: Path) -> None:
    """Reads the application id and version as plain bytes, so that a foreign file stays untouched.

    Raises:
        LibraryDamagedError: Not a library file.
        LibraryVersionError: Of a later version.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as fault:
        raise LibraryError(
            f"cannot read {path}: {fault.strerror}", hint="check the file's permissions"
        ) from fault
    if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise damaged(path, "is not a clamr-rag library")
    # https://www.sqlite.org/fileformat.html: user version at byte 60, application id at byte 68.
    version, application = struct.unpack_from(">I4xI", header, 60)
    if application != schema.APPLICATION_ID:
        raise damaged(path, "is not a clamr-rag library")
    _check_version(path, version)


def _check_version(path: Path, version: int) -> None:
    if version > schema.USER_VERSION:
        raise LibraryVersionError(
            f"{path} has library format {version}",
            allowed=f"up to {schema.USER_VERSION}",
            hint="update clamr-rag",
        )
    if version < 1:
        raise damaged(path, f"has library format {version}")


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}"
    if read_only and not _log_needed(path):
        uri += "&immutable=1"
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False
    )


def _log_needed(path: Path) -> bool:
    """Whether the write-ahead log must be read: false only for a finished file on a sealed disk.

    SQLite cannot read a library in a folder that may not be written, unless told that nobody else
    writes to it either; that is taken for granted only where no log is left.
    """
    log = path.with_name(path.name + "-wal")
    return os.access(path.parent, os.W_OK) or (log.exists() and log.stat().st_size > 0)
