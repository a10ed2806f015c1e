"""Locks that the system frees when their holder dies: one process at a time, others told which."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from clamr_rag.errors import LibraryError, LibraryLockedError
from clamr_rag.index.faults import FULL_ERRNOS, disk_full


class ProcessLock:
    """A lock file ``PATH`` with its holder's process id in ``PATH.pid``."""

    def __init__(self, path: Path, *, purpose: str, hint: str) -> None:
        """Takes nothing yet; ``purpose`` and ``hint`` tell others why they do not get it."""
        self._purpose, self._hint = purpose, hint
        # In a file of its own: some lock implementations empty the lock file when they try it.
        self._holder_path = path.with_name(path.name + ".pid")
        self._lock = FileLock(path, thread_local=False)

    def acquire(self, wait_seconds: float = 0.0) -> None:
        """Takes the lock; may be nested.

        Raises:
            LibraryLockedError: Another process has it after ``wait_seconds``.
            LibraryError: The folder cannot be written.
            DiskFullError: There is no room for the lock file.
        """
        try:
            self._lock.acquire(timeout=max(0.0, wait_seconds), poll_interval=0.05)
        except Timeout as fault:
            raise self.locked(self._holder()) from fault
        except OSError as fault:
            if fault.errno in FULL_ERRNOS:
                raise disk_full(Path(self._lock.lock_file)) from fault
            raise LibraryError(
                f"cannot lock {self._lock.lock_file}: {fault.strerror}",
                hint="check that the library's folder may be written",
            ) from fault
        if self._lock.lock_counter == 1:
            # Only for the message to others: a full disk must not stop a removal.
            with suppress(OSError):
                self._holder_path.write_text(str(os.getpid()), encoding="ascii")

    def release(self) -> None:
        """Gives the lock back, once per `acquire`."""
        if self._lock.lock_counter == 1:
            with suppress(OSError):
                self._holder_path.unlink(missing_ok=True)
        self._lock.release()

    def locked(self, holder: str) -> LibraryLockedError:
        """The error for one who did not get it."""
        return LibraryLockedError(f"{holder} is {self._purpose}", hint=self._hint)

    def _holder(self) -> str:
        try:
            return f"process {int(self._holder_path.read_text(encoding='ascii'))}"
        except (OSError, ValueError):
            return "another process"


class WriterLock:
    """The right to write to a library: one thread of one process. Readers never ask for it."""

    def __init__(self, folder: Path) -> None:
        self._processes = ProcessLock(
            folder / "clamr-rag.lock",
            purpose=f"writing to the library {folder}",
            hint="wait until it is done; searching works meanwhile",
        )
        self._threads = threading.RLock()

    @contextmanager
    def held(self, wait_seconds: float = 0.0) -> Iterator[None]:
        """Holds the lock; may be nested within one thread.

        Raises:
            LibraryLockedError: Another process or thread holds it after ``wait_seconds``.
            LibraryError: The folder cannot be written.
        """
        if not self._threads.acquire(timeout=max(0.0, wait_seconds)):
            raise self._processes.locked("another thread of this program")
        try:
            self._processes.acquire(wait_seconds)
            try:
                yield
            finally:
                self._processes.release()
        finally:
            self._threads.release()
