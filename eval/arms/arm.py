"""What an arm is: takes in clips, and ranks them for queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from clamr_rag.types import Modality
from eval.arms.pools import ClipPool

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ArmQuery:
    """What is looked for."""

    text: str
    video_id: str | None = None
    """Search in this video only; None for the whole pool."""
    relevant: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    """Grade per clip id that is right; only ``oracle`` may look at it."""
    modality: Modality | None = None
    """What tells that it is right; only ``oracle`` and ``router-gold`` may look at it."""


@dataclass(frozen=True, slots=True)
class Found:
    """One clip of a ranking."""

    clip_id: str
    score: float
    """Higher is better; to be compared within one ranking only."""
    modality: Modality | None
    """Which modality the arm found it by; None for an arm that cannot tell."""


@dataclass(frozen=True, slots=True)
class IndexCost:
    """What it took to make the pool searchable, from texts and pictures that were read already."""

    seconds: float
    """Wall clock of encoding and packing."""
    num_bytes: int
    """Of what has to be kept, in the form in which the product would keep it."""
    num_clips: int
    video_hours: float
    """Of all clips of the pool together."""

    @property
    def seconds_per_hour(self) -> float:
        """Of video."""
        return self.seconds / self.video_hours if self.video_hours else 0.0

    @property
    def bytes_per_hour(self) -> float:
        """Of video."""
        return self.num_bytes / self.video_hours if self.video_hours else 0.0


class Arm(Protocol):
    """One way to find clips."""

    @property
    def name(self) -> str:
        """As in the tables."""
        ...

    @property
    def details(self) -> str:
        """Weights and parameters: two arms that say the same rank alike."""
        ...

    def index(self, pool: ClipPool) -> IndexCost:
        """Takes in the clips, instead of those it had."""
        ...

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """The best clips, best first; equal scores stay in order of the pool.

        Args:
            query: In words.
            top_k: Most clips returned; None for all that have a score.

        Raises:
            UsageError: The query is blank, or lacks what the arm needs of it.
        """
        ...
