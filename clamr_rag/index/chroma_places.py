"""Where Chroma's records are kept: a folder beside the library, or a server."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from clamr_rag.errors import DiskFullError
from clamr_rag.index import derived
from clamr_rag.index.chroma_probe import can_be_read
from clamr_rag.index.chroma_records import ChromaFault, ChromaRecords
from clamr_rag.index.faults import disk_full, is_disk_full

logger = logging.getLogger(__name__)

LOCK_WAIT_SECONDS = 10.0


class ChromaPlace(Protocol):
    """Opens and closes the records of one library."""

    def open(self) -> ChromaRecords:
        """Opens the records, empty ones where there are none that can be trusted."""
        ...

    def close(self, records: ChromaRecords, *, sound: bool) -> None:
        """Closes the records; ``sound`` unless Chroma failed before."""
        ...

    def open_empty(self, records: ChromaRecords) -> ChromaRecords:
        """Throws all records away and opens empty ones."""
        ...

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process changes the library's records meanwhile."""
        ...

    def full(self) -> DiskFullError | None:
        """The error to raise if Chroma fails because its disk is full."""
        ...


class ChromaFolder:
    """A folder that one process holds from `open` to `close`.

    Chroma trusts its files: a flipped bit in them may end the process that searches. When they are
    closed their hashes are listed, and files that are not as listed are thrown away. Files of a
    process that was killed have no list; they are read by a process of their own first.
    """

    def __init__(self, library: Path, name: str) -> None:
        """Opens nothing yet."""
        self.path = library / derived.CHROMA_FOLDER
        self._name = name
        self._list_path = library / f"{derived.CHROMA_FOLDER}.sha256"
        self._lock = derived.chroma_lock(library)

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> ChromaRecords:
        """See `ChromaPlace.open`.

        Raises:
            LibraryLockedError: Another process holds the folder.
        """
        self._lock.acquire(LOCK_WAIT_SECONDS)
        try:
            return self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> ChromaRecords:
        if self.path.exists() and not self._is_sound():
            logger.warning("the Chroma folder %s is damaged and is made anew", self.path)
            derived.remove_folder(self.path)
        self._list_path.unlink(missing_ok=True)
        return ChromaRecords.in_folder(self.path, self._name)

    def _is_sound(self) -> bool:
        try:
            listed = json.loads(self._list_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return can_be_read(self.path, self._name)
        except ValueError:
            return False
        return bool(listed == _hashes(self.path))

    def close(self, records: ChromaRecords, *, sound: bool) -> None:
        """See `ChromaPlace.close`."""
        try:
            with suppress(ChromaFault):
                records.close()
                if sound:
                    unfinished = self._list_path.with_name(self._list_path.name + ".new")
                    # Without a list nothing is lost: opening only takes longer.
                    with suppress(OSError):
                        unfinished.write_text(json.dumps(_hashes(self.path)), encoding="utf-8")
                        unfinished.replace(self._list_path)
        finally:
            self._lock.release()

    def open_empty(self, records: ChromaRecords) -> ChromaRecords:
        """See `ChromaPlace.open_empty`."""
        with suppress(ChromaFault):
            records.close()
        derived.remove_folder(self.path)
        return ChromaRecords.in_folder(self.path, self._name)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See `ChromaPlace.alone`: the folder is held anyway."""
        yield

    def full(self) -> DiskFullError | None:
        """See `ChromaPlace.full`."""
        return disk_full(self.path) if is_disk_full(self.path) else None


class ChromaServer:
    """A server, shared with other processes and libraries."""

    def __init__(self, library: Path, name: str, url: str) -> None:
        """Connects to nothing yet."""
        self._name = name
        self._url = url
        self._lock = derived.chroma_lock(library)

    def __str__(self) -> str:
        return self._url

    def open(self) -> ChromaRecords:
        """See `ChromaPlace.open`.

        Raises:
            UsageError: The address makes no sense.
            LibraryError: Nothing answers there.
        """
        return ChromaRecords.at_server(self._url, self._name)

    def close(self, records: ChromaRecords, *, sound: bool) -> None:
        """See `ChromaPlace.close`."""
        with suppress(ChromaFault):
            records.close()

    def open_empty(self, records: ChromaRecords) -> ChromaRecords:
        """See `ChromaPlace.open_empty`."""
        self.close(records, sound=False)
        renewed = self.open()
        renewed.clear()
        return renewed

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See `ChromaPlace.alone`."""
        self._lock.acquire(LOCK_WAIT_SECONDS)
        try:
            yield
        finally:
            self._lock.release()

    def full(self) -> DiskFullError | None:
        """See `ChromaPlace.full`: the server's disk is not ours to look at."""
        return None


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by its path within."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            hashes[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return hashes
