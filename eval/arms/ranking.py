"""From a score per clip to a ranking; ranks of several rankings into one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from clamr_rag.scoring import IndexArray
from clamr_rag.types import FloatArray, Modality
from eval.arms.arm import Arm, ArmQuery, Found, IndexCost
from eval.arms.pools import ClipPool, PoolClip

RRF_RANKS = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009)."""


def in_scope(clips: Sequence[PoolClip], query: ArmQuery) -> IndexArray:
    """Numbers of the clips that a query may find, in order."""
    return np.array(
        [
            number
            for number, clip in enumerate(clips)
            if query.video_id is None or clip.video_id == query.video_id
        ],
        np.int64,
    )


def ranked(
    clips: Sequence[PoolClip],
    numbers: IndexArray,
    scores: FloatArray,
    modalities: Sequence[Modality | None],
    top_k: int | None,
) -> list[Found]:
    """The best of some clips, best first; those with a score of -inf are not found.

    Args:
        clips: The pool's.
        numbers: Which of them compete, ``(n,)``.
        scores: Of these, ``(n,)``.
        modalities: By which each was found.
        top_k: Most clips returned; None for all.
    """
    order = np.argsort(-scores, kind="stable")
    found = order[np.isfinite(scores[order])][:top_k]
    return [
        Found(clips[numbers[place]].clip_id, float(scores[place]), modalities[place])
        for place in found
    ]


class RankFusion:
    """Reciprocal rank fusion of arms: 1 / (60 + rank), summed over those that found the clip."""

    def __init__(self, name: str, arms: Sequence[Arm], ranks: int = RRF_RANKS) -> None:
        self.name = name
        self._arms = tuple(arms)
        self._ranks = ranks
        self._places: dict[str, int] = {}

    @property
    def details(self) -> str:
        """See `Arm.details`."""
        arms = "; ".join(f"{arm.name} ({arm.details})" for arm in self._arms)
        return f"reciprocal ranks, k {self._ranks}: {arms}"

    def index(self, pool: ClipPool) -> IndexCost:
        """See `Arm.index`; the cost is that of all arms."""
        self._places = {clip.clip_id: number for number, clip in enumerate(pool.clips)}
        return added_costs(arm.index(pool) for arm in self._arms)

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`; the modality is that of the arm with the best rank."""
        scores: dict[str, float] = {}
        best: dict[str, tuple[int, Modality | None]] = {}
        for arm in self._arms:
            for rank, found in enumerate(arm.rank(query), start=1):
                clip = found.clip_id
                scores[clip] = scores.get(clip, 0.0) + 1 / (self._ranks + rank)
                if found.modality and (clip not in best or rank < best[clip][0]):
                    best[clip] = rank, found.modality
        order = sorted(scores, key=lambda clip: (-scores[clip], self._places[clip]))
        return [Found(clip, scores[clip], best.get(clip, (0, None))[1]) for clip in order[:top_k]]


def added_costs(costs: Iterable[IndexCost]) -> IndexCost:
    """What several arms over one pool cost together."""
    parts = list(costs)
    return IndexCost(
        seconds=sum(cost.seconds for cost in parts),
        num_bytes=sum(cost.num_bytes for cost in parts),
        num_clips=parts[0].num_clips,
        video_hours=parts[0].video_hours,
    )
