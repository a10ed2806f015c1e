"""Means over queries and seeds, with intervals that resample both.

A resample draws as many clips as there are, with all queries about them, and as many seeds as there
are, each with replacement and independent of the other (a crossed bootstrap, Owen 2007,
arXiv 0708.3197). Three seeds drawn from three are too few to show all that a seed can do: the means
of the single seeds belong beside the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clamr_rag.scoring import IndexArray
from eval.paper.figures import CUTOFF, Row
from eval.stats import Interval

Values = npt.NDArray[np.float64]
MEASURES = ("nDCG@10", "R@1", "R@5")
LEVEL = 0.95
_RESAMPLES = 2000
_SEED = 0


def gains(row: Row, measure: str = "nDCG@10") -> Values:
    """What each query is worth ``(Q,)``; one clip is wanted, so that nDCG is one discount."""
    ranks = row.ranks
    if measure == "nDCG@10":
        return np.where(ranks < CUTOFF, 1 / np.log2(ranks + 2.0), 0.0)
    depth = {"R@1": 1, "R@5": 5}[measure]
    return (ranks < depth).astype(np.float64)


def interval(values: Values, clips: Sequence[int] | IndexArray) -> Interval:
    """Mean of values with its interval.

    Args:
        values: ``(seeds, Q)``; a difference of two rows for a paired interval.
        clips: What is resampled together, one per query.

    Raises:
        ValueError: There is no value, or there are not as many clips.
    """
    if values.ndim != 2 or not values.size or values.shape[1] != len(clips):
        raise ValueError(f"got values {values.shape} and {len(clips)} clips; need (seeds, Q)")
    names, numbers = np.unique(np.asarray(clips), return_inverse=True)
    num_seeds, num_clips = len(values), len(names)
    sums = np.stack([np.bincount(numbers, own, num_clips) for own in values])
    sizes = np.bincount(numbers, minlength=num_clips)
    rng = np.random.default_rng(_SEED)
    of_clips = rng.multinomial(num_clips, np.full(num_clips, 1 / num_clips), _RESAMPLES)
    of_seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), _RESAMPLES)
    totals = np.einsum("rs,sc,rc->r", of_seeds / num_seeds, sums, of_clips, optimize=True)
    low, high = np.quantile(totals / (of_clips @ sizes), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = float(values.mean())
    return Interval(mean, float(low), float(high), LEVEL, values.shape[1], num_clips, _SEED)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """One measure of one way of ranking: a value per seed and query."""

    values: Values
    """``(seeds, Q)``."""
    clips: IndexArray
    """What each query is about, ``(Q,)``."""

    def of(self, queries: npt.NDArray[np.bool_]) -> Samples:
        """Some of the queries only, ``(Q,)``."""
        return Samples(self.values[:, queries], self.clips[queries])

    def minus(self, other: Samples) -> Samples:
        """Query by query and seed by seed; what has one seed only stands against each."""
        return Samples(self.values - other.values, self.clips)

    @property
    def interval(self) -> Interval:
        """See `interval`."""
        return interval(self.values, self.clips)

    @property
    def mean(self) -> float:
        """Over all seeds and queries."""
        return float(self.values.mean())

    @property
    def by_seed(self) -> list[float]:
        """Mean of each seed."""
        return [float(own.mean()) for own in self.values]
