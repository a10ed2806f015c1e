"""Late interaction: modalities encoded together or apart, and what is made of their scores.

A clip's score for a modality is the mean over query tokens of the best cosine among that
modality's vectors (`clamr_rag.scoring`). Joint encoding lets every vector know of the other
modalities; separate encoding is what one gets from one encoder per modality. Both keep as many
vectors, so only the encoding differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Literal

import numpy as np

from clamr_rag.encoder import Encoder
from clamr_rag.encoder.pooling import PoolingMethod
from clamr_rag.encoder.pooling import pool as pool_rows
from clamr_rag.errors import UsageError
from clamr_rag.index.codec import encode
from clamr_rag.scoring import PackedVectors, packed_modality_scores, packed_token_max
from clamr_rag.types import FloatArray, Modality, MultiVector
from eval.arms.arm import ArmQuery, Found, IndexCost
from eval.arms.encodings import Encoded, EncodingCache
from eval.arms.pools import ClipPool, PoolClip, video_hours
from eval.arms.ranking import in_scope, ranked

Encoding = Literal["joint", "separate"]
Fusion = Callable[[FloatArray], FloatArray]
"""From scores per clip and modality ``(n, 6)``, -inf where absent, to one per clip ``(n,)``."""


class LateArm:
    """Ranks by token vectors."""

    def __init__(
        self,
        name: str,
        encoder: Encoder,
        cache: EncodingCache,
        *,
        encoding: Encoding,
        fuse: Fusion,
        modalities: Collection[Modality] | None = None,
        by_token: bool = False,
        vectors_per_clip: int = 0,
        pooling: PoolingMethod = "hierarchical",
    ) -> None:
        """Nothing is encoded yet.

        Args:
            name: As in the tables.
            encoder: Of clips and queries.
            cache: Where its encodings are remembered.
            encoding: All modalities of a clip in one sequence, or each in one of its own.
            fuse: What makes one score of those of the modalities.
            modalities: Compete with these alone; None for all that the encoder reads.
            by_token: Score by token_max instead of ``fuse``: the best vector of any modality.
            vectors_per_clip: Budget that pooling leaves; 0 keeps all.
            pooling: How vectors that are alike are merged.

        Raises:
            UsageError: The encoder does not read one of the modalities.
        """
        self.name = name
        self._encoder = encoder
        self._cache = cache
        self._encoding = encoding
        self._fuse = fuse
        self._wanted = None if modalities is None else frozenset(modalities)
        self._by_token = by_token
        self._budget, self._pooling = vectors_per_clip, pooling
        if unread := sorted((self._wanted or frozenset()) - encoder.reads):
            raise UsageError(
                f"{name} needs {', '.join(m.label for m in unread)}, which encoder "
                f"{encoder.name} does not read",
                allowed=", ".join(sorted(m.label for m in encoder.reads)),
            )
        self._clips: tuple[PoolClip, ...] = ()
        self._packed: PackedVectors | None = None

    @property
    def details(self) -> str:
        """See `Arm.details`."""
        budget = f"{self._budget} vectors a clip ({self._pooling})" if self._budget else "all"
        return f"{self._encoder.fingerprint}, {self._encoding}, vectors: {budget}"

    def index(self, pool: ClipPool) -> IndexCost:
        """See `Arm.index`."""
        encoded = self._encoded(pool)
        started = time.perf_counter()
        kept = [self._kept(vectors) for vectors in encoded.vectors]
        self._packed = PackedVectors.from_multi_vectors(kept, dim=self._encoder.dim)
        self._clips = tuple(pool.clips)
        seconds = encoded.seconds + time.perf_counter() - started
        num_bytes = sum(len(encode(vectors, "int8")) for vectors in kept)
        return IndexCost(seconds, num_bytes, len(kept), video_hours(self._clips))

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`."""
        assert self._packed is not None, "index a pool first"
        vectors = self._cache.query(self._encoder, query.text)
        numbers = in_scope(self._clips, query)
        by_modality = packed_modality_scores(vectors, self._packed)[numbers]
        if self._by_token:
            scores = packed_token_max(vectors, self._packed)[numbers]
        else:
            scores = self._fuse(by_modality)
        best = [Modality(int(number)) for number in by_modality.argmax(axis=1)]
        return ranked(self._clips, numbers, scores, best, top_k)

    def _encoded(self, pool: ClipPool) -> Encoded:
        reads = self._encoder.reads
        if self._encoding == "joint":
            return self._cache.clips(self._encoder, pool, reads)
        return self._cache.separate(self._encoder, pool, self._wanted or reads)

    def _kept(self, vectors: MultiVector) -> MultiVector:
        """The vectors that compete, pooled to the budget.

        A jointly encoded clip is pooled as a whole before one modality of it is taken, as the
        product would have stored it.
        """
        pooled = pool_rows(vectors, self._budget, self._pooling)
        if self._wanted is None:
            return pooled
        rows = np.isin(pooled.modalities, sorted(self._wanted))
        return MultiVector(pooled.vectors[rows], pooled.modalities[rows], pooled.seconds[rows])


def best_modality(scores: FloatArray) -> FloatArray:
    """The best modality of each clip: modality_max of what is in the columns."""
    best: FloatArray = scores.max(axis=1)
    return best


def mean_of_modalities(scores: FloatArray) -> FloatArray:
    """Mean over the modalities that a clip has; -inf for a clip that has none."""
    has = np.isfinite(scores)
    sums = np.where(has, scores, 0).sum(axis=1)
    return np.where(has.any(axis=1), sums / np.maximum(has.sum(axis=1), 1), -np.inf).astype(
        np.float32
    )


def mean_of_standard_scores(scores: FloatArray) -> FloatArray:
    """Mean after each modality's scores have mean 0 and deviation 1 over the clips that have it.

    A modality whose cosines are all higher then weighs no more, and one that a clip lacks counts
    as an average clip.
    """
    has = np.isfinite(scores)
    counts = np.maximum(has.sum(axis=0), 1)
    means = np.where(has, scores, 0).sum(axis=0) / counts
    deviations = np.sqrt((np.where(has, scores - means, 0) ** 2).sum(axis=0) / counts)
    standard = np.where(has, scores - means, 0) / np.where(deviations > 0, deviations, 1)
    columns = has.any(axis=0)
    mean = standard[:, columns].mean(axis=1) if columns.any() else np.zeros(len(scores))
    return np.where(has.any(axis=1), mean, -np.inf).astype(np.float32)
