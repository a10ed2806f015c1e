"""What a retrieval tells instrumentation beyond LlamaIndex's own events."""

from __future__ import annotations

from clamr_rag.types import ScoredClip
from llama_index.core.instrumentation.events import BaseEvent
from pydantic import BaseModel


class ClipScore(BaseModel):
    """How one clip was ranked."""

    clip_id: str
    score: float
    best_modality: str
    """The modality that matched best, as a user reads it: "speech", "on screen", …"""
    modality_scores: dict[str, float]
    """Mean cosine per modality that the clip has."""


class ClipScoresEvent(BaseEvent):
    """The scores per modality of the clips that were found.

    They depend on the question, so they stand here and not in the nodes: a node whose metadata
    changed with the question would have another hash every time, and fusion would not know it.
    """

    query: str
    scores: list[ClipScore]

    @classmethod
    def class_name(cls) -> str:
        """Name in a dump."""
        return "ClipScoresEvent"


def clip_scores_event(query: str, found: list[ScoredClip]) -> ClipScoresEvent:
    """Makes the event of a search."""
    scores = [
        ClipScore(
            clip_id=each.clip.clip_id,
            score=each.score,
            best_modality=each.best_modality.label,
            modality_scores={m.label: score for m, score in each.modality_scores.items()},
        )
        for each in found
    ]
    return ClipScoresEvent(query=query, scores=scores)
