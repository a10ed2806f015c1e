"""Arms that do not look at the query: what any retriever must beat, and what none can."""

from __future__ import annotations

import numpy as np

from eval.arms.arm import ArmQuery, Found, IndexCost
from eval.arms.pools import ClipPool, PoolClip, video_hours
from eval.arms.ranking import in_scope


class _Free:
    """Costs nothing to index."""

    details = ""

    def __init__(self) -> None:
        self._clips: tuple[PoolClip, ...] = ()

    def index(self, pool: ClipPool) -> IndexCost:
        """See `Arm.index`."""
        self._clips = tuple(pool.clips)
        return IndexCost(0.0, 0, len(self._clips), video_hours(self._clips))


class UniformArm(_Free):
    """Clips at even distances, in time order: the middles of ``top_k`` equal parts."""

    name = "uniform"

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`; scores only say the order."""
        numbers = in_scope(self._clips, query)
        count = len(numbers) if top_k is None else min(top_k, len(numbers))
        places = ((np.arange(count) + 0.5) * len(numbers) / max(1, count)).astype(np.int64)
        return [
            Found(self._clips[number].clip_id, 1 / rank, None)
            for rank, number in enumerate(numbers[places], start=1)
        ]


class OracleArm(_Free):
    """The clips that are right, the best grade first: what perfect retrieval would give."""

    name = "oracle"

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`."""
        found = [
            Found(clip.clip_id, float(query.relevant[clip.clip_id]), query.modality)
            for clip in self._clips
            if query.relevant.get(clip.clip_id, 0) > 0
        ]
        return sorted(found, key=lambda clip: -clip.score)[:top_k]


class NoArm(_Free):
    """Finds no clip: what an answerer knows by itself."""

    name = "none"

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`."""
        return []
