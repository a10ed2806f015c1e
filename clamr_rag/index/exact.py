"""Exact search: every clip of the library is scored, from rows kept in memory."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from clamr_rag.index import Hit
from clamr_rag.index.blas import serial_products
from clamr_rag.index.codec import StoredVectors
from clamr_rag.index.ranking import best, pack
from clamr_rag.index.store import Store
from clamr_rag.scoring import PackedVectors, Scorer, packed_score
from clamr_rag.types import FloatArray, MultiVector

CLIPS_PER_THREAD = 2000
"""Fewer clips than this are scored faster than another thread starts."""
MAX_THREADS = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The rows of one video under one revision."""

    video_id: str
    revision: str
    clip_ids: tuple[str, ...]
    vectors: PackedVectors


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """All that can be searched at one state of the library, in order of clip id."""

    change_token: str
    parts: tuple[_Part, ...]
    clip_ids: tuple[str, ...]
    vectors: PackedVectors | None
    """None for an empty library."""


class ExactIndex:
    """Scores all clips of a library. Needs the memory that their vectors take in the file."""

    def __init__(self, store: Store, scorer: Scorer = "modality_max") -> None:
        """Reads nothing yet; the first search or `refresh` does."""
        self._store = store
        self._scorer = scorer
        self._content = _Content("", (), (), None)

    @property
    def num_clips(self) -> int:
        """Clips in memory."""
        return len(self._content.clip_ids)

    def refresh(self) -> None:
        """Reads the videos that are new or were indexed anew since the last time.

        Raises:
            LibraryDamagedError: Stored vectors do not match their checksum.
        """
        if self._store.change_token() == self._content.change_token:
            return
        with self._store.reading():
            token = self._store.change_token()
            known = {(part.video_id, part.revision): part for part in self._content.parts}
            parts = []
            for record in self._store.searchable():
                key = record.video.video_id, record.revision
                part = known.get(key) or _part(*key, self._store.stored_vectors(record))
                if part is not None:
                    parts.append(part)
        self._content = _content(token, parts)

    def search(
        self,
        query: MultiVector,
        *,
        top_k: int,
        video_ids: Collection[str] | None = None,
        clip_ids: Collection[str] | None = None,
    ) -> list[Hit]:
        """See `ClipIndex.search`; hits carry the scores of the plain reference."""
        self.refresh()
        content = self._content
        vectors = content.vectors
        if vectors is None or top_k < 1:
            return []
        ranges = _ranges(content.parts, video_ids)
        numbers = np.concatenate([np.empty(0, np.int64), *(np.arange(*pair) for pair in ranges)])
        with serial_products.within():
            scores = _scores(query, vectors, ranges, self._scorer)
            if clip_ids is not None:
                wanted = np.fromiter((content.clip_ids[n] in clip_ids for n in numbers), np.bool_)
                scores = np.where(wanted, scores, np.float32(-np.inf))
            return best(query, content.clip_ids, vectors, (numbers, scores), self._scorer, top_k)

    def close(self) -> None:
        """Gives the memory back; a later search reads it anew."""
        self._content = _Content("", (), (), None)


def _part(
    video_id: str, revision: str, stored: Sequence[tuple[str, StoredVectors]]
) -> _Part | None:
    """Packs the rows of one video; None if it has no clips."""
    if not stored:
        return None
    clip_ids = tuple(clip_id for clip_id, _ in stored)
    return _Part(video_id, revision, clip_ids, pack([vectors for _, vectors in stored]))


def _content(change_token: str, parts: Sequence[_Part]) -> _Content:
    if not parts:
        return _Content(change_token, (), (), None)
    vectors = PackedVectors.concatenate([part.vectors for part in parts])
    views, stop = [], 0
    for part in parts:
        first, stop = stop, stop + len(part.clip_ids)
        # Views of the whole: every row is in memory once.
        views.append(replace(part, vectors=vectors.clips(first, stop)))
    clip_ids = tuple(clip_id for part in parts for clip_id in part.clip_ids)
    return _Content(change_token, tuple(views), clip_ids, vectors)


def _ranges(parts: Sequence[_Part], video_ids: Collection[str] | None) -> list[tuple[int, int]]:
    """Ranges of clip numbers ``[first, stop)`` of the wanted videos, neighbours joined."""
    ranges: list[tuple[int, int]] = []
    stop = 0
    for part in parts:
        first, stop = stop, stop + len(part.clip_ids)
        if video_ids is None or part.video_id in video_ids:
            if ranges and ranges[-1][1] == first:
                first = ranges.pop()[0]
            ranges.append((first, stop))
    return ranges


def _scores(
    query: MultiVector, vectors: PackedVectors, ranges: Sequence[tuple[int, int]], scorer: Scorer
) -> FloatArray:
    """Blocked scores of the clips in the ranges, on as many threads as pay."""
    pieces = [
        vectors.clips(first, min(first + CLIPS_PER_THREAD, stop))
        for begin, stop in ranges
        for first in range(begin, stop, CLIPS_PER_THREAD)
    ]
    num_threads = min(os.cpu_count() or 1, MAX_THREADS, len(pieces))
    empty = np.empty(0, np.float32)
    if num_threads < 2:
        return np.concatenate([empty, *(packed_score(query, piece, scorer) for piece in pieces)])
    with ThreadPoolExecutor(num_threads) as pool:
        scored = pool.map(lambda piece: packed_score(query, piece, scorer), pieces)
        return np.concatenate([empty, *scored])
