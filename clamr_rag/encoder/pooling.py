"""Token pooling: fewer vectors per clip, each standing for rows of one modality that are alike.

Rows are grouped within their modality and replaced by the unit mean of the group (hierarchical
pooling with Ward's criterion, arXiv 2409.14683; or spherical k-means). The pooled row keeps its
modality and the source second of the group's medoid (the nearest row to the mean with a second),
so that evidence still points at a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from clamr_rag.types import FloatArray, Modality, MultiVector

PoolingMethod = Literal["hierarchical", "kmeans"]
LabelArray = npt.NDArray[np.int64]

KMEANS_ROUNDS = 20


def pool(
    vectors: MultiVector, num_vectors: int, method: PoolingMethod = "hierarchical"
) -> MultiVector:
    """Pools the rows of one clip, deterministically.

    Args:
        vectors: Multi-vector ``(n, dim)``; rows of OTHER are dropped.
        num_vectors: Most rows kept, shared by the modalities in proportion to their rows, at least
            one each; 0 keeps all.
        method: How rows that are alike are found.

    Returns:
        The rows unchanged and in their order if there are no more than ``num_vectors``; else the
        pooled rows in order of their medoids.
    """
    kept = np.flatnonzero(vectors.modalities != Modality.OTHER)
    if num_vectors == 0 or len(kept) <= num_vectors:
        return _take(vectors, kept)
    label = {"hierarchical": _ward_labels, "kmeans": _kmeans_labels}[method]
    groups = [
        group
        for modality, share in _shares(vectors.modalities[kept], num_vectors)
        for group in _groups(vectors, kept[vectors.modalities[kept] == modality], share, label)
    ]
    pooled = np.stack([_centre(vectors.vectors[group]) for group in groups])
    medoids = np.array(
        [_medoid(vectors, group, row) for group, row in zip(groups, pooled, strict=True)]
    )
    order = np.argsort(medoids)
    return MultiVector(
        pooled[order], vectors.modalities[medoids[order]], vectors.seconds[medoids[order]]
    )


def _take(vectors: MultiVector, rows: LabelArray) -> MultiVector:
    return MultiVector(vectors.vectors[rows], vectors.modalities[rows], vectors.seconds[rows])


def _shares(modalities: npt.NDArray[np.uint8], num_vectors: int) -> list[tuple[int, int]]:
    """Splits the budget by modality: in proportion (largest remainder), at least one each."""
    present, counts = np.unique(modalities, return_counts=True)
    shares = np.ones(len(present), np.int64)
    for _ in range(num_vectors - len(present)):
        # The modality that is furthest below its proportion and still has rows to give.
        lacking = np.where(shares < counts, counts / counts.sum() * num_vectors - shares, -np.inf)
        shares[lacking.argmax()] += 1
    return [(int(modality), int(share)) for modality, share in zip(present, shares, strict=True)]


def _groups(
    vectors: MultiVector,
    rows: LabelArray,
    num_groups: int,
    label: Callable[[FloatArray, int], LabelArray],
) -> list[LabelArray]:
    """Splits the rows of one modality into ``num_groups`` groups of row numbers."""
    if num_groups == len(rows):
        return [rows[[number]] for number in range(len(rows))]
    labels = label(vectors.vectors[rows], num_groups)
    return [rows[labels == group] for group in np.unique(labels)]


def _centre(rows: FloatArray) -> FloatArray:
    """The unit mean of rows; their first where opposite rows cancel out."""
    mean = rows.mean(axis=0, dtype=np.float64)
    norm = np.linalg.norm(mean)
    centre: FloatArray = (mean / norm).astype(np.float32) if norm > 1e-6 else rows[0]
    return centre


def _medoid(vectors: MultiVector, group: LabelArray, centre: FloatArray) -> int:
    """The row of a group nearest its centre, among those with a second where there are any."""
    dated = group[np.isfinite(vectors.seconds[group])]
    rows = dated if len(dated) else group
    return int(rows[(vectors.vectors[rows] @ centre).argmax()])


def _ward_labels(rows: FloatArray, num_groups: int) -> LabelArray:
    """Group number of each row ``(n,)`` by Ward's hierarchical clustering."""
    from scipy.cluster.hierarchy import linkage

    merges = linkage(rows.astype(np.float64), method="ward")
    # Not fcluster: it cuts by height, and equal heights give another number of groups.
    labels = np.arange(len(rows))
    for number, (left, right) in enumerate(merges[: len(rows) - num_groups, :2], len(rows)):
        labels[(labels == left) | (labels == right)] = number
    return labels


def _kmeans_labels(rows: FloatArray, num_groups: int) -> LabelArray:
    """Group number of each row ``(n,)`` by spherical k-means, seeded farthest-first."""
    centres = rows[_farthest_first(rows, num_groups)]
    labels = np.full(len(rows), -1)
    for _ in range(KMEANS_ROUNDS):
        similarities = rows @ centres.T
        previous, labels = labels, _fill_empty_groups(similarities)
        if np.array_equal(previous, labels):
            break
        centres = np.stack([_centre(rows[labels == group]) for group in range(num_groups)])
    return labels


def _farthest_first(rows: FloatArray, num_groups: int) -> list[int]:
    """Rows that are far from each other: the one nearest the mean, then always the farthest."""
    chosen = [int((rows @ rows.mean(axis=0)).argmax())]
    nearest = rows @ rows[chosen[0]]
    while len(chosen) < num_groups:
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
    return chosen


def _fill_empty_groups(similarities: FloatArray) -> LabelArray:
    """The best group of each row; a group without rows takes the worst placed one of another."""
    labels: LabelArray = similarities.argmax(axis=1)
    placed = similarities.max(axis=1)
    sizes = np.bincount(labels, minlength=similarities.shape[1])
    for empty in np.flatnonzero(sizes == 0):
        moved = int(np.where(sizes[labels] > 1, placed, np.inf).argmin())
        sizes[labels[moved]] -= 1
        labels[moved], placed[moved], sizes[empty] = empty, np.inf, 1
    return labels
