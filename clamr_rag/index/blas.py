"""Matrix products on one thread each.

A search makes thousands of small products. Split over threads, each waits for the slowest of them,
and on a busy machine that is 10 to 30 times slower than one thread (measured). Whole ranges of
clips are given to threads instead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


class SerialProducts:
    """Holds the process's matrix library to one thread while anyone is within."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None
        self._controller: ThreadpoolController | None = None

    @contextmanager
    def within(self) -> Iterator[None]:
        """One thread per product until the last caller has left."""
        with self._lock:
            if self._inside == 0:
                self._limit = self._libraries().limit(limits=1)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._limit.restore_original_limits()

    def _libraries(self) -> ThreadpoolController:
        if self._controller is None:
            # Looking for the libraries takes milliseconds; numpy's stays the same.
            self._controller = ThreadpoolController().select(user_api="blas")
        return self._controller


serial_products = SerialProducts()
