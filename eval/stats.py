"""How sure a figure is: intervals clustered by video, and tests between two runs.

Questions about one video share its difficulty, so they are no independent draws: whole videos are
resampled, which makes intervals wider and honest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_BLOCK = 256
"""Resamples drawn at once: bounds memory to ``(256, num_clusters)`` integers."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over questions with its percentile interval."""

    mean: float
    low: float
    high: float
    level: float
    """Nominal coverage, e.g. 0.95."""
    num_values: int
    num_clusters: int
    seed: int


@dataclass(frozen=True, slots=True)
class McNemar:
    """Exact McNemar test of two runs over the same questions."""

    only_first: int
    """Questions that only the first run has right."""
    only_second: int
    p_value: float
    """Two-sided: chance of a split at least as uneven if both runs were equally good."""


def bootstrap(
    values: Sequence[float],
    clusters: Sequence[str],
    *,
    seed: int = 0,
    num_resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of the mean, whole clusters resampled with replacement.

    The same seed gives the same interval whatever the order of the questions. One cluster alone
    gives an interval without width: it says nothing about other videos.

    Args:
        values: One per question, e.g. 1.0 for right; differences of two runs for a paired interval.
        clusters: The video of each.
        seed: Of the random draws.
        num_resamples: How many.
        level: Share of the resampled means that the interval holds.

    Raises:
        ValueError: There is no value, one is not finite, or lengths differ.
    """
    if not values or len(values) != len(clusters):
        raise ValueError(f"got {len(values)} values and {len(clusters)} clusters; need one each")
    if not all(map(math.isfinite, values)) or not 0 < level < 1 or num_resamples < 1:
        raise ValueError(
            f"got a value that is not finite, level {level} or {num_resamples} resamples; "
            "allowed: finite values, a level between 0 and 1, at least 1 resample"
        )
    sums, sizes = _cluster_sums(values, clusters)
    means = _resampled_means(sums, sizes, seed, num_resamples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    mean = float(sums.sum() / sizes.sum())
    return Interval(mean, float(low), float(high), level, len(values), len(sums), seed)


def bootstrap_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    clusters: Mapping[str, str],
    *,
    seed: int = 0,
    num_resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Interval of how much better the first run is, question by question, clustered by video.

    Args:
        first: Value of each question id in the first run.
        second: The same questions in the second run.
        clusters: Video of each question id.
        seed: Of the random draws.
        num_resamples: How many.
        level: Share of the resampled means that the interval holds.

    Raises:
        ValueError: The runs have different questions.
    """
    questions = _shared_questions(first, second)
    return bootstrap(
        [first[question] - second[question] for question in questions],
        [clusters[question] for question in questions],
        seed=seed,
        num_resamples=num_resamples,
        level=level,
    )


def mcnemar(first: Mapping[str, bool], second: Mapping[str, bool]) -> McNemar:
    """Exact test of whether two runs answer the same questions equally well (McNemar, 1947).

    It takes questions as independent, which several about one video are not: read it beside
    `bootstrap_difference`.

    Args:
        first: Whether each question id is right in the first run.
        second: The same questions in the second run.

    Raises:
        ValueError: The runs have different questions.
    """
    questions = _shared_questions(first, second)
    only_first = sum(first[question] and not second[question] for question in questions)
    only_second = sum(second[question] and not first[question] for question in questions)
    num_split = only_first + only_second
    # Whole numbers up to the last division: exact for any number of questions.
    tail = sum(math.comb(num_split, count) for count in range(min(only_first, only_second) + 1))
    return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**num_split))


def _shared_questions(first: Mapping[str, object], second: Mapping[str, object]) -> list[str]:
    if different := first.keys() ^ second.keys():
        raise ValueError(
            f"{len(different)} questions are in one run only, first {min(different)!r}; "
            "compare runs over the same questions"
        )
    if not first:
        raise ValueError("got no questions to compare")
    return sorted(first)


def _cluster_sums(
    values: Sequence[float], clusters: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Sum and size of each cluster ``(num_clusters,)``, in order of name.

    Order and exact sums (fsum) make the result the same for every order of the questions.
    """
    by_cluster: dict[str, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        by_cluster.setdefault(cluster, []).append(value)
    parts = [by_cluster[name] for name in sorted(by_cluster)]
    return np.array([math.fsum(part) for part in parts]), np.array([len(part) for part in parts])


def _resampled_means(
    sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64], seed: int, num_resamples: int
) -> npt.NDArray[np.float64]:
    """Mean over questions in each resample of clusters, ``(num_resamples,)``."""
    rng, num_clusters, means = np.random.default_rng(seed), len(sums), []
    for start in range(0, num_resamples, _BLOCK):
        size = min(_BLOCK, num_resamples - start), num_clusters
        drawn = rng.integers(num_clusters, size=size)
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(means)
