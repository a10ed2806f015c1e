"""Ranks all queries by one file of weights in every way that the tables compare."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder import Encoder
from clamr_rag.encoder.mini import load_mini
from clamr_rag.encoder.mini_weights import checksum, how_made
from clamr_rag.encoder.pooling import PoolingMethod
from clamr_rag.encoder.pooling import pool as pool_rows
from clamr_rag.types import FloatArray, Modality, MultiVector
from eval.arms import BlankedPool, ClipPool, EncodingCache, MovedPool
from eval.arms.late import Fusion, best_modality, mean_of_modalities, mean_of_standard_scores
from eval.arms.making import SINGLES
from eval.arms.ranking import RankFusion
from eval.arms.texts import Bm25Arm
from eval.paper.figures import Figures, Role, Row, Run, letters, row_of
from eval.paper.pools import MODALITIES, GappyPool, LyingPool, random_gaps
from eval.paper.ready_arms import ReadyArm, rank_all, routes
from eval.paper.scores import Scores, score_all
from eval.paper.subject import Subject

BUDGETS = (16, 32, 64)
MOVED = 4 / 224
"""How far moved pictures are, as a share of their width: 4 pixels of the stem."""
POOLINGS: Mapping[str, PoolingMethod] = {"": "hierarchical", "-shared": "shared"}
"""By how it ends the name of a row: ``joint@16`` and ``joint@16-shared``."""
GAP_SHARE = 0.3
"""Chance of each modality of a clip to be lost."""
FUSIONS: Mapping[str, Fusion] = {
    "max": best_modality,
    "mean": mean_of_modalities,
    "mean-z": mean_of_standard_scores,
}
NAMED = {name: modality for name, modality in SINGLES.items() if modality in MODALITIES}
"""What `mini-vl` reads, by the names of its arms."""
Mask = npt.NDArray[np.bool_]


def at_budget(name: str, budget: str, way: str) -> str:
    """Name of a row whose clips were pooled.

    Args:
        name: Of the row with all vectors.
        budget: Vectors left to a clip, or ``all``.
        way: One of `POOLINGS`.
    """
    return name if budget == "all" else f"{name}@{budget}{way}"


def begun(subject: Subject) -> Figures:
    """Figures of what has no weights of ours: words, and where the router sends each query."""
    scores, _ = rank_all(Bm25Arm(), subject.pool, subject.queries)
    return Figures(
        subject=subject.name,
        kinds=subject.kinds,
        modalities=tuple(letters(modalities) for modalities in subject.needed),
        gold=tuple(subject.gold.tolist()),
        num_clips=len(subject.pool.clips),
        rows={"bm25": row_of(scores, subject.gold)},
        routed=letters(routes(subject.queries, MODALITIES)),
    )


def measured(
    weights: Path,
    role: Role,
    seed: int,
    subject: Subject,
    figures: Figures,
    *,
    commit: str = "unknown",
) -> Run:
    """Ranks with a file of weights.

    Args:
        weights: As `eval.mini.train` writes them.
        role: What they were trained with.
        seed: Of their training.
        subject: Clips and queries.
        figures: What `begun` made of the subject.
        commit: Of the code that measures.

    Raises:
        ModelMissingError: The file holds no weights.
    """
    began = time.monotonic()
    encoder = load_mini(EncoderOptions(), name="mini-vl", weights=weights)
    ranker = Ranker(encoder, subject)
    if role != "separate":
        ranker.rank_joint()
    if role != "token_max":
        ranker.rank_apart(Row(places="", named=figures.routed).modalities)
    if role == "modality_max":
        ranker.rank_with_gaps()
        ranker.rank_with_lies()
        ranker.rank_controls()
    return Run(
        role=role,
        seed=seed,
        file=weights.name,
        sha256=checksum(weights),
        told=how_made(weights),
        subject_sha256=subject.sha256,
        commit=commit,
        seconds=round(time.monotonic() - began, 1),
        vectors=ranker.vectors,
        rows=ranker.rows,
    )


class Ranker:
    """Fills in `rows`; every set of clips is encoded once."""

    def __init__(self, encoder: Encoder, subject: Subject) -> None:
        self.rows: dict[str, Row] = {}
        self.vectors: dict[str, float] = {}
        """Mean number of a clip's vectors by budget, encoded together."""
        self._encoder, self._subject = encoder, subject
        self._cache = EncodingCache()

    def rank_joint(self) -> None:
        """All modalities in one sequence: both scorers, single ones of them, budgets."""
        scores = self._score(self._joint_vectors)
        self._add("joint", scores.by_modality.max(axis=2), scores)
        self._add("joint-token-max", scores.by_token, scores)
        for name, modality in NAMED.items():
            self._add(f"joint-{name}", scores.by_modality[:, :, modality])
        self.vectors["all"] = _mean_length(self._joint_vectors)
        for budget, way in product(BUDGETS, POOLINGS):
            pooled = [pool_rows(clip, budget, POOLINGS[way]) for clip in self._joint_vectors]
            self.vectors[str(budget)] = _mean_length(pooled)
            scores = self._score(pooled)
            best = scores.by_modality.max(axis=2)
            self._add(at_budget("joint", str(budget), way), best, scores)
            self._add(at_budget("joint-token-max", str(budget), way), scores.by_token, scores)

    def rank_apart(self, routed: Sequence[Modality | None]) -> None:
        """Each modality in a sequence of its own: single ones, fusions, routers, budgets."""
        scores, subject = self._apart, self._subject
        clips, queries = subject.pool.clips, subject.queries
        singles = {m: scores.by_modality[:, :, m] for m in NAMED.values()}
        for name, modality in NAMED.items():
            self._add(name, singles[modality])
        for name, fuse in FUSIONS.items():
            self._add(name, _fused(scores, fuse), scores)
        by_rank = RankFusion("rrf", [ReadyArm(m, clips, queries, s) for m, s in singles.items()])
        fused, named = rank_all(by_rank, subject.pool, queries)
        self.rows["rrf"] = row_of(fused, subject.gold, named)
        # Both routers search one modality only: its scores are theirs.
        told = [query.modality for query in queries]
        for name, wanted in (("router", routed), ("router-gold", told)):
            chosen = [m or Modality.OTHER for m in wanted]
            picked = scores.by_modality[np.arange(len(queries)), :, chosen]
            self.rows[name] = row_of(picked, subject.gold, wanted)
        for budget, way in product(BUDGETS, POOLINGS):
            pooled = [pool_rows(clip, budget, POOLINGS[way]) for clip in self._apart_vectors]
            scores = self._score(pooled)
            self._add(at_budget("max", str(budget), way), _fused(scores, best_modality), scores)

    def rank_with_gaps(self) -> None:
        """A modality taken from all clips, or some from each."""
        pool, subject = self._subject.pool, self._subject
        for name, modality in NAMED.items():
            left = self._encoder.reads - {modality}
            scores = self._score(self._vectors(pool, left))
            self._add(f"joint-without-{name}", scores.by_modality.max(axis=2), scores)
            rest = self._apart.by_modality.copy()
            rest[:, :, modality] = -np.inf
            self._add(f"max-without-{name}", rest.max(axis=2))
        kept = random_gaps(pool.clips, GAP_SHARE)
        asked = np.array(
            [
                kept[clip].issuperset(needed)
                for clip, needed in zip(subject.gold, subject.needed, strict=True)
            ],
            np.bool_,
        )
        scores = self._score(self._vectors(GappyPool(pool, kept), self._encoder.reads))
        self._add("joint-with-gaps", scores.by_modality.max(axis=2), scores, asked)
        there = np.array([[m in own for m in Modality] for own in kept], np.bool_)
        rest = np.where(there, self._apart.by_modality, np.float32(-np.inf))
        self._add("max-with-gaps", rest.max(axis=2), asked=asked)

    def rank_with_lies(self) -> None:
        """In every clip a line that describes the picture of another one."""
        subject, about_picture = self._subject, self._subject.is_about_picture
        lying = LyingPool(subject.pool, subject.false_lines)
        joint = self._score(self._vectors(lying, self._encoder.reads))
        told = self._cache.separate(self._encoder, lying, (Modality.ASR, Modality.OCR))
        apart = self._apart.by_modality.copy()
        changed = [Modality.ASR, Modality.OCR]
        apart[:, :, changed] = self._score(told.vectors).by_modality[:, :, changed]
        for name, by_modality in (("joint", joint.by_modality), ("max", apart)):
            best = by_modality.max(axis=2)
            self.rows[f"{name}-with-lies"] = row_of(best, subject.gold, _named(best, by_modality))
            self.rows[f"{name}-liar"] = row_of(best, subject.liars, asked=about_picture)

    def rank_controls(self) -> None:
        """Queries about pictures by the frames alone: moved ones, and such as cannot tell."""
        subject, asked = self._subject, self._subject.is_about_picture
        grey = self._score(self._vectors(BlankedPool(subject.pool), (Modality.VIDEO,)))
        self._add("video-blank", grey.by_modality[:, :, Modality.VIDEO], asked=asked)
        moved = self._score(self._vectors(MovedPool(subject.pool, MOVED), (Modality.VIDEO,)))
        self._add("video-moved", moved.by_modality[:, :, Modality.VIDEO], asked=asked)
        dealt = self._apart.by_modality[:, subject.described, Modality.VIDEO]
        self._add("video-shuffled", dealt, asked=asked)

    @cached_property
    def _queries(self) -> list[MultiVector]:
        return [self._encoder.encode_query(query.text) for query in self._subject.queries]

    @cached_property
    def _joint_vectors(self) -> tuple[MultiVector, ...]:
        return self._vectors(self._subject.pool, self._encoder.reads)

    @cached_property
    def _apart_vectors(self) -> tuple[MultiVector, ...]:
        pool = self._subject.pool
        return self._cache.separate(self._encoder, pool, self._encoder.reads).vectors

    @cached_property
    def _apart(self) -> Scores:
        return self._score(self._apart_vectors)

    def _vectors(self, pool: ClipPool, modalities: Collection[Modality]) -> tuple[MultiVector, ...]:
        return self._cache.clips(self._encoder, pool, modalities).vectors

    def _score(self, vectors: Sequence[MultiVector]) -> Scores:
        return score_all(self._queries, vectors, self._encoder.dim)

    def _add(
        self, name: str, best: FloatArray, scores: Scores | None = None, asked: Mask | None = None
    ) -> None:
        named = () if scores is None else _named(best, scores.by_modality)
        self.rows[name] = row_of(best, self._subject.gold, named, asked)


def _fused(scores: Scores, fuse: Fusion) -> FloatArray:
    return np.stack([fuse(own) for own in scores.by_modality])


def _named(best: FloatArray, by_modality: FloatArray) -> list[Modality]:
    """The best modality of each query's first clip."""
    first = best.argmax(axis=1)
    return [Modality(int(own[clip].argmax())) for own, clip in zip(by_modality, first, strict=True)]


def _mean_length(vectors: Sequence[MultiVector]) -> float:
    return round(sum(map(len, vectors)) / len(vectors), 1)
