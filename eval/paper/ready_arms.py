"""Between arms, which rank one query, and scores of all queries that are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clamr_rag.types import FloatArray, Modality
from eval.arms import Arm, ArmQuery, ClipPool, EncodingCache, Found, IndexCost, PoolClip
from eval.arms.pools import video_hours
from eval.arms.ranking import in_scope, ranked
from eval.arms.router import RouterArm, learn_router
from eval.benchmarks.records import RetrievalQuery
from eval.sentences import Sentences


class ReadyArm:
    """Ranks by scores that were computed for all queries at once, as the arm of its name would."""

    details = "scored before"

    def __init__(
        self,
        modality: Modality,
        clips: Sequence[PoolClip],
        queries: Sequence[RetrievalQuery],
        scores: FloatArray,
    ) -> None:
        """Takes the scores.

        Args:
            modality: That they are of.
            clips: All.
            queries: All.
            scores: ``(Q, C)``.
        """
        self.name = modality.name.lower()
        self._modality = modality
        self._clips = tuple(clips)
        self._scores = {query.text: own for query, own in zip(queries, scores, strict=True)}

    def index(self, pool: ClipPool) -> IndexCost:
        """See `Arm.index`; there is nothing to do."""
        return IndexCost(0.0, 0, len(self._clips), video_hours(self._clips))

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`."""
        numbers = in_scope(self._clips, query)
        modalities = [self._modality] * len(numbers)
        return ranked(self._clips, numbers, self._scores[query.text][numbers], modalities, top_k)


def rank_all(
    arm: Arm, pool: ClipPool, queries: Sequence[RetrievalQuery]
) -> tuple[FloatArray, list[Modality | None]]:
    """Scores of an arm for all queries ``(Q, C)``, -inf where it does not find a clip.

    Returns:
        These, and by which modality it found its first clip.
    """
    arm.index(pool)
    numbers = {clip.clip_id: number for number, clip in enumerate(pool.clips)}
    scores = np.full((len(queries), len(numbers)), -np.inf, np.float32)
    named: list[Modality | None] = []
    for own, query in zip(scores, queries, strict=True):
        found = arm.rank(ArmQuery(query.text))
        own[[numbers[clip.clip_id] for clip in found]] = [clip.score for clip in found]
        named.append(found[0].modality if found else None)
    return scores, named


def routes(queries: Sequence[RetrievalQuery], modalities: Sequence[Modality]) -> list[Modality]:
    """Where the router of `eval.arms` sends each query."""
    sentences = Sentences()
    empty = np.empty((0, 0), np.float32)
    arms: Mapping[Modality, Arm] = {m: ReadyArm(m, (), (), empty) for m in modalities}
    router = RouterArm(learn_router(sentences), sentences, EncodingCache(), arms)
    return [router.route(ArmQuery(query.text)) for query in queries]
