"""The library on disk (SQLite, the truth) and the indexes that find clips in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from clamr_rag.types import Modality, MultiVector


@dataclass(frozen=True, slots=True)
class Hit:
    """One clip found by an index."""

    clip_id: str
    score: float
    """Mean cosine per query token under the scorer asked for."""
    modality_scores: dict[Modality, float]
    """Mean MaxSim cosine per modality that the clip has."""


class ClipIndex(Protocol):
    """Finds the clips whose multi-vectors match a query best."""

    def add(self, clip_ids: Sequence[str], vectors: Sequence[MultiVector]) -> None:
        """Adds or replaces clips."""
        ...

    def remove(self, clip_ids: Collection[str]) -> None:
        """Removes clips; unknown ones are ignored."""
        ...

    def search(
        self, query: MultiVector, *, top_k: int, video_ids: Collection[str] | None = None
    ) -> list[Hit]:
        """Returns the best clips, best first, ties in order of clip id.

        Args:
            query: Rows of the same width as the clips.
            top_k: Most clips returned.
            video_ids: Search in these videos only; None for all. Filtered before top-k.
        """
        ...
