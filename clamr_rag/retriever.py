"""From a question to ranked clips with their evidence."""

from __future__ import annotations

from collections.abc import Collection

from clamr_rag.encoder import Encoder
from clamr_rag.encoder.inputs import text_at
from clamr_rag.index import ClipIndex, Hit
from clamr_rag.index.store import Store
from clamr_rag.scoring import attribute
from clamr_rag.types import Evidence, MultiVector, ScoredClip, TimeSpan


class Retriever:
    """Encodes a question, asks an index, and says what every query token points at."""

    def __init__(self, encoder: Encoder, index: ClipIndex, store: Store) -> None:
        self._encoder = encoder
        self._index = index
        self._store = store

    def retrieve(
        self,
        question: str,
        *,
        top_k: int,
        video_ids: Collection[str] | None = None,
        clip_ids: Collection[str] | None = None,
    ) -> list[ScoredClip]:
        """Returns the best clips, best first.

        Args:
            question: In words.
            top_k: Most clips returned.
            video_ids: Search in these videos only; None for all.
            clip_ids: Search among these clips only; None for all.

        Raises:
            UsageError: The question is blank.
        """
        query = self._encoder.encode_query(question)
        hits = self._index.search(query, top_k=top_k, video_ids=video_ids, clip_ids=clip_ids)
        return [self._scored(query, hit, rank) for rank, hit in enumerate(hits, start=1)]

    def _scored(self, query: MultiVector, hit: Hit, rank: int) -> ScoredClip:
        clip = self._store.clip(hit.clip_id)
        winners = attribute(query, self._store.vectors(hit.clip_id))
        evidence = tuple(
            Evidence(
                query_token=token,
                modality=winner.modality,
                seconds=_within(clip.span, winner.seconds),
                text=text_at(clip, winner.modality, winner.seconds, token),
                similarity=winner.similarity,
            )
            for token, winner in zip(query.tokens, winners, strict=True)
        )
        return ScoredClip(
            rank=rank,
            clip=clip,
            video=self._store.video(clip.video_id).video,
            score=hit.score,
            best_modality=max(hit.modality_scores, key=lambda m: hit.modality_scores[m]),
            modality_scores=hit.modality_scores,
            evidence=evidence,
        )


def _within(span: TimeSpan, seconds: float | None) -> float | None:
    """Undoes the rounding of a token's second, which may put it just outside of its clip."""
    if seconds is None:
        return None
    return min(max(seconds, span.start_seconds), span.stop_seconds)
