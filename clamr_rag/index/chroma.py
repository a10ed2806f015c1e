"""Candidates from Chroma, always scored again exactly from the library."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from clamr_rag.config import SearchOptions
from clamr_rag.errors import LibraryError
from clamr_rag.index import Hit
from clamr_rag.index.blas import serial_products
from clamr_rag.index.chroma_places import ChromaFolder, ChromaPlace, ChromaServer
from clamr_rag.index.chroma_records import ChromaFault, ChromaRecords
from clamr_rag.index.codec import StoredVectors
from clamr_rag.index.ranking import best, pack
from clamr_rag.index.store import Store
from clamr_rag.scoring import NUM_MODALITIES, check_query, packed_score
from clamr_rag.types import MultiVector

logger = logging.getLogger(__name__)


class ChromaIndex:
    """Chroma proposes clips, the library's own vectors rank them.

    A folder beside the library is held by one process from its first search to `close`; a server
    may be shared. Either is derived: what does not agree with the library is made anew.
    """

    def __init__(self, store: Store, options: SearchOptions) -> None:
        """Opens nothing yet; the first search or `refresh` does."""
        self._store = store
        self._options = options
        self._place = _place(store, options.chroma_url)
        self._records: ChromaRecords | None = None
        self._is_checked = False
        self._turn = threading.Lock()

    def refresh(self) -> None:
        """Brings Chroma's records up to the library.

        Raises:
            UsageError: chromadb is not installed, or the server's address makes no sense.
            LibraryLockedError: Another process uses the folder.
            LibraryError: Chroma fails, even with records made anew.
        """
        with self._turn, self._faults():
            self._current()

    def search(
        self,
        query: MultiVector,
        *,
        top_k: int,
        video_ids: Collection[str] | None = None,
        clip_ids: Collection[str] | None = None,
    ) -> list[Hit]:
        """See `ClipIndex.search`; a clip that Chroma does not propose is missed."""
        dim = self._store.dim
        if dim is not None:
            check_query(query, dim)
        # The best k clips are among the best k of each modality, so fewer records never do.
        most = max(self._options.num_candidates, NUM_MODALITIES * top_k)
        with self._turn, self._faults():
            candidates = self._candidates(self._current(), query, most, video_ids, clip_ids)
        if not candidates or top_k < 1:
            return []
        clip_ids = [clip_id for clip_id, _ in candidates]
        packed = pack([vectors for _, vectors in candidates])
        with serial_products.within():
            blocked = np.arange(len(clip_ids)), packed_score(query, packed, self._options.scorer)
            return best(query, clip_ids, packed, blocked, self._options.scorer, top_k)

    def close(self) -> None:
        """Closes Chroma and gives its folder free for other processes."""
        with self._turn:
            self._close(sound=True)

    def _close(self, *, sound: bool) -> None:
        if self._records is not None:
            records, self._records = self._records, None
            self._is_checked = False
            self._place.close(records, sound=sound)

    def _candidates(
        self,
        records: ChromaRecords,
        query: MultiVector,
        most: int,
        video_ids: Collection[str] | None,
        clip_ids: Collection[str] | None,
    ) -> Sequence[tuple[str, StoredVectors]]:
        """Clips that may be among the best, in order of clip id."""
        with self._store.reading():
            videos = self._store.searchable(video_ids)
            if clip_ids is not None:
                # The wish is a choice already; Chroma could only miss some of it.
                ids = [record.video.video_id for record in videos]
                return self._store.stored_vectors_of(clip_ids, ids)
            if sum(record.num_clips for record in videos) <= most:
                # Nothing to choose from: all are candidates.
                return [pair for record in videos for pair in self._store.stored_vectors(record)]
            wanted = None if video_ids is None else [record.video.video_id for record in videos]
            # The mean finds clips that are near in all, single rows find what only one word meets.
            mean = query.vectors.mean(axis=0, keepdims=True)
            found = records.nearest(mean, most, wanted)
            found |= records.nearest(query.vectors, max(1, most // len(query)), wanted)
            return self._store.stored_vectors_of(found)

    # --- agreement with the library

    def _current(self) -> ChromaRecords:
        """The records, opened and up to the library."""
        if self._records is None:
            self._records = self._place.open()
        try:
            # A folder may have been exchanged while it was closed: its own token proves nothing.
            if not self._is_checked or self._records.change_token != self._store.change_token():
                self._reconcile(self._records)
        except ChromaFault as fault:
            if self._place.full():
                raise
            logger.warning("Chroma's records are made anew: %s", fault)
            self._records = self._place.open_empty(self._records)
            self._reconcile(self._records)
        self._is_checked = True
        return self._records

    def _reconcile(self, records: ChromaRecords) -> None:
        """Removes and adds whole videos until Chroma holds what the library holds."""
        with self._place.alone():
            token = self._store.change_token()
            wanted = {r.video.video_id: r.revision for r in self._store.searchable()}
            good: set[str] = set()
            bad: set[str] = set()
            for holding, num_records in records.holdings().items():
                is_good = (
                    wanted.get(holding.video_id) == holding.revision
                    and num_records == holding.num_expected
                )
                (good if is_good else bad).add(holding.video_id)
            for video_id in bad:
                records.remove(video_id)
            for video_id in sorted(wanted.keys() - (good - bad)):
                self._put(records, video_id)
            records.set_change_token(token)

    def _put(self, records: ChromaRecords, video_id: str) -> None:
        with self._store.reading():
            # Removed meanwhile? Then the change token is another one, and the next search sees it.
            clips = [
                (record.revision, self._store.stored_vectors(record))
                for record in self._store.searchable([video_id])
            ]
        for revision, stored in clips:
            records.put(video_id, revision, [(c, vectors.multi_vector()) for c, vectors in stored])

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except ChromaFault as fault:
            self._close(sound=False)
            full = self._place.full()
            if full:
                raise full from fault
            raise LibraryError(
                f"Chroma at {self._place} failed: {fault}",
                hint="search with --candidates exact, which needs no Chroma",
            ) from fault


def _place(store: Store, url: str | None) -> ChromaPlace:
    # One collection per library: a server may hold several.
    name = f"clamr-{store.library_id}"
    if url is None:
        return ChromaFolder(store.directory, name)
    return ChromaServer(store.directory, name, url)
