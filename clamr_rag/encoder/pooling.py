"""Token pooling: fewer vectors per clip, each standing for rows of one modality that are alike.

Rows are grouped within their modality and replaced by the unit mean of the group (hierarchical
pooling with Ward's criterion, arXiv 2409.14683, in two ways of sharing the budget; or spherical
k-means). The pooled row keeps its modality and the source second of the group's medoid (the nearest
row to the mean with a second), so that evidence still points at a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from clamr_rag.types import FloatArray, Modality, MultiVector

PoolingMethod = Literal["hierarchical", "shared", "kmeans"]
LabelArray = npt.NDArray[np.int64]

KMEANS_ROUNDS = 20


def pool(
    vectors: MultiVector, num_vectors: int, method: PoolingMethod = "hierarchical"
) -> MultiVector:
    """Pools the rows of one clip, deterministically.

    Args:
        vectors: Multi-vector ``(n, dim)``; rows of OTHER are dropped.
        num_vectors: Most rows kept, at least one for each modality; 0 keeps all.
        method: How rows that are alike are found. ``hierarchical`` and ``kmeans`` split
            ``num_vectors`` in proportion to the rows of each modality; with ``shared``, Ward's
            criterion tells, too, in which modality the next two groups are merged.

    Returns:
        The rows unchanged and in their order if there are no more than ``num_vectors``; else the
        pooled rows in order of their medoids.
    """
    kept = np.flatnonzero(vectors.modalities != Modality.OTHER)
    if num_vectors == 0 or len(kept) <= num_vectors:
        return _take(vectors, kept)
    groups = _GROUPINGS[method](vectors, kept, num_vectors)
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


def _in_proportion(
    vectors: MultiVector,
    kept: LabelArray,
    num_vectors: int,
    label: Callable[[FloatArray, int], LabelArray],
) -> list[LabelArray]:
    """Groups of row numbers: as many for each modality as it has a share of the rows."""
    return [
        group
        for modality, share in _shares(vectors.modalities[kept], num_vectors)
        for group in _groups(vectors, kept[vectors.modalities[kept] == modality], share, label)
    ]


def _by_cost(vectors: MultiVector, kept: LabelArray, num_vectors: int) -> list[LabelArray]:
    """Groups of row numbers: the cheapest merges of all modalities, two rows of one at a time."""
    modalities = vectors.modalities[kept]
    rows_of = [kept[modalities == modality] for modality in np.unique(modalities)]
    merges_of = [_ward_merges(vectors.vectors[rows]) for rows in rows_of]
    # Costs within a modality never fall, so its cheapest merges are its first ones.
    costs = np.concatenate([merges[:, 2] for merges in merges_of])
    owners = np.repeat(np.arange(len(rows_of)), [len(merges) for merges in merges_of])
    cheapest = np.argsort(costs, kind="stable")[: len(kept) - num_vectors]
    counts = np.bincount(owners[cheapest], minlength=len(rows_of))
    return [
        group
        for rows, merges, count in zip(rows_of, merges_of, counts, strict=True)
        for group in _split(rows, _merged(len(rows), merges[:count]))
    ]


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
    return _split(rows, label(vectors.vectors[rows], num_groups))


def _split(rows: LabelArray, labels: LabelArray) -> list[LabelArray]:
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
    return _merged(len(rows), _ward_merges(rows)[: len(rows) - num_groups])


def _ward_merges(rows: FloatArray) -> npt.NDArray[np.float64]:
    """Two groups and the cost of each merge, ``(n - 1, 4)``, as scipy's ``linkage`` gives them."""
    from scipy.cluster.hierarchy import linkage

    if len(rows) == 1:
        return np.empty((0, 4))
    merges: npt.NDArray[np.float64] = linkage(rows.astype(np.float64), method="ward")
    return merges


def _merged(count: int, merges: npt.NDArray[np.float64]) -> LabelArray:
    """Group number of each of so many rows after these merges.

    Not fcluster: it cuts by height, and equal heights give another number of groups.
    """
    labels = np.arange(count)
    for number, (left, right) in enumerate(merges[:, :2], count):
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


_GROUPINGS: dict[PoolingMethod, Callable[[MultiVector, LabelArray, int], list[LabelArray]]] = {
    "hierarchical": partial(_in_proportion, label=_ward_labels),
    "shared": _by_cost,
    "kmeans": partial(_in_proportion, label=_kmeans_labels),
}
