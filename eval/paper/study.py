"""Figures over seeds: what the tables and plots ask for by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clamr_rag.scoring import IndexArray
from eval.paper.figures import Figures, Role, Row
from eval.paper.intervals import Samples, gains
from eval.paper.subject import PICTURE_KINDS

MAIN: Role = "modality_max"
"""The paper's way to train."""
SINGLES = ("video", "ocr", "asr", "description")
FUSIONS = ("max", "mean", "mean-z", "rrf", "router")
"""Of modalities encoded apart, without being told what is right."""
Queries = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Raw figures, read by name."""

    figures: Figures

    def rows(self, name: str, role: Role = MAIN) -> list[Row]:
        """A row of all seeds of a role, or the one that has no weights; empty if there is none."""
        if name in self.figures.rows:
            return [self.figures.rows[name]]
        return [r.rows[name] for r in self.figures.runs if r.role == role and name in r.rows]

    def samples(
        self,
        name: str,
        measure: str = "nDCG@10",
        *,
        role: Role = MAIN,
        queries: Queries | None = None,
    ) -> Samples | None:
        """What each query is worth; None where there is no such row.

        Args:
            name: Of the row.
            measure: One of `intervals.MEASURES`.
            role: Of the weights.
            queries: Of these only, ``(Q,)``; None for all that were asked.
        """
        rows = self.rows(name, role)
        if not rows:
            return None
        wanted = rows[0].asked if queries is None else queries & rows[0].asked
        values = np.stack([gains(row, measure) for row in rows])
        return Samples(values, self.clips).of(wanted)

    def lead(self, name: str, *, queries: Queries | None = None) -> Samples | None:
        """By how much the joint encoding is better, on the same queries (nDCG@10)."""
        other = self.samples(name, queries=queries)
        own = self.samples("joint", queries=queries)
        return own.minus(other) if own and other else None

    def named_rightly(
        self, name: str, *, role: Role = MAIN, queries: Queries | None = None
    ) -> Samples | None:
        """Whether the first clip was found by the modality asked about, of queries about one."""
        rows = [row for row in self.rows(name, role) if row.named]
        if not rows:
            return None
        wanted = self.about_one if queries is None else queries & self.about_one
        values = [
            [sign == gold for sign, gold in zip(row.named, self.figures.modalities, strict=True)]
            for row in rows
        ]
        return Samples(np.array(values, np.float64), self.clips).of(wanted)

    def best_of(self, names: Sequence[str]) -> str | None:
        """The row with the highest mean nDCG@10."""
        found = {name: self.samples(name) for name in names}
        means = {name: samples.mean for name, samples in found.items() if samples}
        return max(means, key=lambda name: means[name]) if means else None

    @property
    def clips(self) -> IndexArray:
        """The clip that each query is about, ``(Q,)``."""
        return np.array(self.figures.gold, np.int64)

    @property
    def about_one(self) -> Queries:
        """Queries that one modality answers."""
        return np.array([len(needed) == 1 for needed in self.figures.modalities], np.bool_)

    @property
    def about_pictures(self) -> Queries:
        """Queries that the picture alone answers."""
        return self.of_kind(*PICTURE_KINDS)

    def of_kind(self, *kinds: str) -> Queries:
        """Queries of some kinds."""
        return np.array([kind in kinds for kind in self.figures.kinds], np.bool_)

    def not_about(self, letter: str) -> Queries:
        """Queries that a modality has no part in."""
        return np.array([letter not in needed for needed in self.figures.modalities], np.bool_)
