"""An index without a cache, blocks or candidates: what all others have to agree with."""

from __future__ import annotations

from collections.abc import Collection

from clamr_rag.index import Hit
from clamr_rag.index.ranking import hit
from clamr_rag.index.store import Store
from clamr_rag.scoring import Scorer
from clamr_rag.types import MultiVector


class FakeIndex:
    """Reads and scores every clip with the plain reference at every search."""

    def __init__(self, store: Store, scorer: Scorer = "modality_max") -> None:
        """Keeps nothing but these."""
        self._store = store
        self._scorer = scorer

    def refresh(self) -> None:
        """Has nothing to catch up with."""

    def search(
        self,
        query: MultiVector,
        *,
        top_k: int,
        video_ids: Collection[str] | None = None,
        clip_ids: Collection[str] | None = None,
    ) -> list[Hit]:
        """See `ClipIndex.search`."""
        with self._store.reading():
            clips = list(self._store.iter_vectors(video_ids))
        hits = [
            hit(query, clip_id, vectors, self._scorer)
            for clip_id, vectors in clips
            if clip_ids is None or clip_id in clip_ids
        ]
        found = [each for each in hits if each.score > float("-inf")]
        return sorted(found, key=lambda each: (-each.score, each.clip_id))[: max(0, top_k)]

    def close(self) -> None:
        """Holds nothing."""
