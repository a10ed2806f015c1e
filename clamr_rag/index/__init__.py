"""The library on disk (SQLite, the truth) and the indexes that find clips in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from clamr_rag.config import SearchOptions
from clamr_rag.types import Modality, MultiVector

if TYPE_CHECKING:
    from clamr_rag.index.store import Store


@dataclass(frozen=True, slots=True)
class Hit:
    """One clip found by an index."""

    clip_id: str
    score: float
    """Mean cosine per query token under the scorer asked for."""
    modality_scores: dict[Modality, float]
    """Mean MaxSim cosine per modality that the clip has."""


class ClipIndex(Protocol):
    """Finds the clips of a library whose multi-vectors match a query best.

    The library file is the truth; an index is derived from it and follows it by itself.
    """

    def refresh(self) -> None:
        """Catches up with the library, whoever changed it; cheap if nobody did."""
        ...

    def search(
        self,
        query: MultiVector,
        *,
        top_k: int,
        video_ids: Collection[str] | None = None,
        clip_ids: Collection[str] | None = None,
    ) -> list[Hit]:
        """Refreshes, then returns the best clips, best first, ties in order of clip id.

        A clip without any vector that may compete is never found.

        Args:
            query: At least one row, of the same width as the clips.
            top_k: Most clips returned.
            video_ids: Search in these videos only; None for all. Filtered before top-k.
            clip_ids: Search among these clips only; None for all. Filtered before top-k.
        """
        ...

    def close(self) -> None:
        """Gives back memory, files and locks."""
        ...


def open_index(store: Store, options: SearchOptions) -> ClipIndex:
    """Returns the index that the options name.

    Raises:
        UsageError: Chroma was asked for and is not installed.
    """
    if options.candidates == "exact":
        from clamr_rag.index.exact import ExactIndex

        return ExactIndex(store, options.scorer)
    from clamr_rag.index.chroma import ChromaIndex

    return ChromaIndex(store, options)
