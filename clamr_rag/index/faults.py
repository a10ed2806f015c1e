"""SQLite's errors, told in the words of `clamr_rag.errors`."""

from __future__ import annotations

import errno
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clamr_rag.errors import (
    ClamrError,
    DiskFullError,
    LibraryDamagedError,
    LibraryError,
    LibraryLockedError,
    OutOfMemoryError,
)

_PROBE_BYTES = 1 << 22
FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def library_errors(path: Path) -> Iterator[None]:
    """Raises what SQLite raises within as a `ClamrError` that names the library file."""
    try:
        yield
    except sqlite3.Error as fault:
        raise explain(fault, path) from fault
    except UnicodeDecodeError as fault:
        # Python cannot even read SQLite's message when it quotes damaged bytes.
        raise damaged(path, "has text that is not UTF-8") from fault


def explain(fault: sqlite3.Error, path: Path) -> ClamrError:
    """The error that a user should read for what SQLite says about the file."""
    # Extended codes keep the primary code in their low byte.
    code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    said = f"{path}: {fault}"
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and is_disk_full(path)):
        return disk_full(path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LibraryLockedError(said, hint="wait until the other program is done with it")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, str(fault))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LibraryError(
            said, hint=f"check that {path.parent} and the files in it may be read and written"
        )
    if code == sqlite3.SQLITE_NOMEM:
        return OutOfMemoryError(said, hint="close other programs or use a larger machine")
    if "no such" in str(fault) or "UTF-8" in str(fault):
        return damaged(path, str(fault))
    return LibraryError(said, hint="run clamr-rag verify on the library")


def damaged(path: Path, what: str) -> LibraryDamagedError:
    """The error for a file whose content cannot be trusted."""
    return LibraryDamagedError(
        f"{path}: {what}",
        hint="run clamr-rag verify; restore a copy, or delete the library and index again",
    )


def disk_full(path: Path) -> DiskFullError:
    """The error for a disk without room for the library."""
    return DiskFullError(
        f"no space left to write {path}",
        hint="free some space and run the same command again: everything finished is kept",
    )


def is_disk_full(path: Path) -> bool:
    """Tries what engines do not tell apart from a broken disk: space, quota, file size limit.

    Args:
        path: A file, whose log and journal count too, or a folder with all its files.
    """
    files = path.rglob("*") if path.is_dir() else path.parent.glob(path.name + "*")
    largest = max((file.stat().st_size for file in files if file.is_file()), default=0)
    try:
        with tempfile.TemporaryFile(dir=path.parent, buffering=0) as probe:
            probe.seek(largest)
            # A first write may fit in part; the next one then says why.
            while probe.tell() < largest + _PROBE_BYTES:
                probe.write(bytes(_PROBE_BYTES))
    except OSError as fault:
        return fault.errno in FULL_ERRNOS
    return False
