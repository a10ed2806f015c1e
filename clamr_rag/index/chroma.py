"""Candidates from Chroma, always scored again exactly from the library."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from clamr_rag.config import SearchOptions
from clamr_rag.errors import LibraryError
from clamr_rag.index import Hit
from clamr_rag.index.blas import serial_products
from clamr_rag.index.chroma_probe import can_be_read
from clamr_rag.index.chroma_records import ChromaRecords, Holding
from clamr_rag.index.codec import StoredVectors
from clamr_rag.index.faults import disk_full, is_disk_full
from clamr_rag.index.lock import ProcessLock
from clamr_rag.index.ranking import best, pack
from clamr_rag.index.store import Store
from clamr_rag.scoring import packed_score
from clamr_rag.types import FloatArray, MultiVector

logger = logging.getLogger(__name__)

FOLDER_NAME = "clamr-rag.chroma"
LOCK_WAIT_SECONDS = 10.0


class ChromaIndex:
    """Chroma proposes clips, the library's own vectors rank them.

    A folder beside the library is held by one process from the first search to `close`; a server
    may be shared. Either is derived from the library, and made anew when it does not agree with it.
    """

    def __init__(self, store: Store, options: SearchOptions) -> None:
        """Opens nothing yet; the first search or `refresh` does."""
        self._store = store
        self._options = options
        self._folder = store.directory / FOLDER_NAME
        self._name = f"clamr-{store.library_id}"
        self._records: ChromaRecords | None = None
        self._use = threading.Lock()
        self._lock = ProcessLock(
            store.directory / f"{FOLDER_NAME}.lock", f"using the Chroma folder {self._folder}"
        )
