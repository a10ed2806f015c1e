"""Late-interaction scores of a query against clips, and what each query token points at.

With unit rows ``q_t`` of the query and ``d_u`` of a clip, ``u`` of modality ``m(u)``, over ``T``
query tokens (MaxSim, ColBERT, arXiv 2004.12832; per modality, CLaMR, arXiv 2506.06144)::

    token_max    = 1/T * sum_t  max_u           q_t . d_u
    modality_max = 1/T * max_m  sum_t max_{u: m(u) = m} q_t . d_u

Rows of modality OTHER never compete. A modality that a clip does not have is -inf, and so is a
clip without any competing row. The functions on `MultiVector` are the plain reference; the ones
that take `PackedVectors` are their blocked twins for a whole library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from clamr_rag.types import ByteArray, FloatArray, Modality, MultiVector

Scorer = Literal["modality_max", "token_max"]
CodeArray = npt.NDArray[np.int8]
IndexArray = npt.NDArray[np.int64]

NUM_MODALITIES = len(Modality)
BLOCK_ROWS = 4096
"""Rows scored at a time: their float32 form and their products stay in a core's cache."""


# --- plain reference, one clip at a time


def token_max(query: MultiVector, vectors: Sequence[MultiVector]) -> FloatArray:
    """Mean over query tokens of the best cosine in each clip, float32 ``(n,)``."""
    return _per_clip(query, vectors, lambda maxima: maxima.max(axis=0).mean())


def modality_max(query: MultiVector, vectors: Sequence[MultiVector]) -> FloatArray:
    """Score of the best single modality of each clip, float32 ``(n,)``."""
    return _per_clip(query, vectors, lambda maxima: maxima.mean(axis=1).max())


def modality_scores(query: MultiVector, vectors: Sequence[MultiVector]) -> FloatArray:
    """Mean MaxSim cosine per modality, float32 ``(n, 6)``; -inf where absent and for OTHER."""
    scores = np.full((len(vectors), NUM_MODALITIES), -np.inf, np.float32)
    for number, clip in enumerate(vectors):
        scores[number] = _token_maxima(query, clip).mean(axis=1)
    return scores


def score(query: MultiVector, vectors: Sequence[MultiVector], scorer: Scorer) -> FloatArray:
    """The score with the given name, float32 ``(n,)``."""
    return {"token_max": token_max, "modality_max": modality_max}[scorer](query, vectors)


def _per_clip(
    query: MultiVector,
    vectors: Sequence[MultiVector],
    reduce: Callable[[npt.NDArray[np.float64]], np.float64],
) -> FloatArray:
    return np.array([reduce(_token_maxima(query, clip)) for clip in vectors], np.float32)


def _token_maxima(query: MultiVector, clip: MultiVector) -> npt.NDArray[np.float64]:
    """Best cosine per modality and query token, ``(6, T)``; -inf rows for absent modalities.

    In float64, so that equal clips get equal scores wherever they stand.
    """
    check_query(query, clip.dim)
    maxima = np.full((NUM_MODALITIES, len(query)), -np.inf)
    similarities = query.vectors.astype(np.float64) @ clip.vectors.astype(np.float64).T
    for modality in np.unique(clip.modalities):
        if modality != Modality.OTHER:
            maxima[modality] = similarities[:, clip.modalities == modality].max(axis=1)
    return maxima


def check_query(query: MultiVector, dim: int) -> None:
    """Raises ValueError for a query without rows, or of another width than the clips."""
    if not len(query):
        raise ValueError("a query needs at least one token, got 0 rows")
    if query.dim != dim:
        raise ValueError(f"query and clips need rows of one width, got {query.dim} and {dim}")


# --- evidence


@dataclass(frozen=True, slots=True)
class Attribution:
    """The clip row that one query token points at."""

    query_row: int
    row: int
    """Number of the winning row in the clip's multi-vector; the first of equal ones."""
    modality: Modality
    seconds: float | None
    """Source time of the winning row; None where it has none."""
    similarity: float
    """Cosine of the two rows."""


def attribute(
    query: MultiVector, clip: MultiVector, *, modality: Modality | None = None
) -> tuple[Attribution, ...]:
    """Finds the winning clip row of each query token, in query order.

    Args:
        query: ``(T, dim)``.
        clip: ``(n, dim)``.
        modality: Compete within this modality only; None for all but OTHER.

    Returns:
        One per query token; empty if the clip has no competing row.
    """
    check_query(query, clip.dim)
    wanted = clip.modalities != Modality.OTHER if modality is None else clip.modalities == modality
    rows = np.flatnonzero(wanted)
    if not len(rows):
        return ()
    similarities = query.vectors @ clip.vectors[rows].T
    winners = similarities.argmax(axis=1)
    return tuple(
        _attribution(clip, number, int(rows[winner]), float(similarities[number, winner]))
        for number, winner in enumerate(winners)
    )


def _attribution(clip: MultiVector, query_row: int, row: int, similarity: float) -> Attribution:
    seconds = float(clip.seconds[row])
    return Attribution(
        query_row=query_row,
        row=row,
        modality=Modality(int(clip.modalities[row])),
        seconds=None if np.isnan(seconds) else seconds,
        similarity=similarity,
    )


# --- the released code's way


def released(
    query: MultiVector,
    vectors: Sequence[MultiVector],
    scorer: Scorer = "modality_max",
    *,
    padded_rows: int | None = None,
) -> FloatArray:
    """Scores as the authors' released code does, to reproduce published numbers, ``(n,)``.

    Clips are padded with zero rows of class 0, and class 0 (padding and template) competes like a
    modality: no token's best cosine in a padded clip is below 0, and template rows can win.

    Args:
        query: Without its padding rows: they are zero and add nothing to the sum.
        vectors: Encoded with ``keep_other=True``.
        scorer: Which of the two scores.
        padded_rows: Length after padding (2048 in the released code); None for the longest clip.
    """
    longest = max((len(clip) for clip in vectors), default=0)
    width = longest if padded_rows is None else max(padded_rows, longest)
    scores = np.empty(len(vectors), np.float32)
    for number, clip in enumerate(vectors):
        maxima = _released_maxima(query, clip, padded=len(clip) < width)
        by_token, by_modality = maxima.max(axis=0).mean(), maxima.mean(axis=1).max()
        scores[number] = by_token if scorer == "token_max" else by_modality
    return scores


def _released_maxima(
    query: MultiVector, clip: MultiVector, *, padded: bool
) -> npt.NDArray[np.float64]:
    maxima = _token_maxima(query, clip)
    template = clip.vectors[clip.modalities == Modality.OTHER]
    if len(template):
        maxima[Modality.OTHER] = (query.vectors @ template.T).max(axis=1)
    if padded:
        np.maximum(maxima[Modality.OTHER], 0.0, out=maxima[Modality.OTHER])
    return maxima


# --- blocked twins over a whole library


@dataclass(frozen=True, slots=True, eq=False)
class PackedVectors:
    """Competing rows of many clips in one array, sorted by clip and modality.

    A *group* is the rows of one (clip, modality); groups are never empty.
    """

    rows: FloatArray | CodeArray
    """float32 rows, or int8 codes that `scales` turns into rows, ``(N, dim)``."""
    scales: FloatArray | None
    """Factor of each int8 row ``(N,)``; None for float32 rows."""
    group_starts: IndexArray
    """First row of each group, then N: ``(groups + 1,)``."""
    group_clips: IndexArray
    """Clip number of each group, ascending, ``(groups,)``."""
    group_modalities: ByteArray
    """Modality of each group, ascending within a clip, ``(groups,)``."""
    num_clips: int
    """All clips, those without rows included."""

    @property
    def dim(self) -> int:
        """Width of a row."""
        return int(self.rows.shape[1])

    @classmethod
    def pack(
        cls,
        rows: FloatArray | CodeArray,
        scales: FloatArray | None,
        modalities: ByteArray,
        clips: IndexArray,
        num_clips: int,
    ) -> PackedVectors:
        """Packs rows given with their modality and clip number, in any order within a clip.

        Args:
            rows: ``(n, dim)``.
            scales: ``(n,)`` with int8 rows, else None.
            modalities: ``(n,)``; rows of OTHER are dropped.
            clips: ``(n,)``.
            num_clips: All clips, those without rows included.
        """
        keys = clips * NUM_MODALITIES + modalities
        order = np.argsort(keys, kind="stable")
        order = order[modalities[order] != Modality.OTHER]
        keys = keys[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else keys
        return cls(
            rows=np.ascontiguousarray(rows[order]),
            scales=None if scales is None else scales[order],
            group_starts=np.append(starts, len(keys)).astype(np.int64),
            group_clips=keys[starts] // NUM_MODALITIES,
            group_modalities=(keys[starts] % NUM_MODALITIES).astype(np.uint8),
            num_clips=num_clips,
        )

    @classmethod
    def from_multi_vectors(
        cls, vectors: Sequence[MultiVector], *, dim: int, quantised: bool = False
    ) -> PackedVectors:
        """Packs multi-vectors of one width, as float32 or as int8 codes."""
        empty = np.empty((0, dim), np.float32)
        rows = np.concatenate([empty, *(clip.vectors for clip in vectors)])
        codes, scales = quantise(rows) if quantised else (rows, None)
        return cls.pack(
            codes,
            scales,
            np.concatenate([np.empty(0, np.uint8), *(clip.modalities for clip in vectors)]),
            np.repeat(np.arange(len(vectors)), [len(clip) for clip in vectors]),
            len(vectors),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[PackedVectors]) -> PackedVectors:
        """Joins packs of one width, clips numbered on; int8 only if all parts are."""
        quantised = all(part.scales is not None for part in parts)
        first_rows = np.cumsum([0, *(len(part.rows) for part in parts)])
        first_clips = np.cumsum([0, *(part.num_clips for part in parts)])
        starts = [part.group_starts[:-1] + at for part, at in zip(parts, first_rows, strict=False)]
        clips = [part.group_clips + at for part, at in zip(parts, first_clips, strict=False)]
        scales = [part.scales for part in parts if part.scales is not None]
        return cls(
            rows=np.concatenate([p.rows if quantised else p.block(slice(None)) for p in parts]),
            scales=np.concatenate(scales) if quantised else None,
            group_starts=np.concatenate([*starts, first_rows[-1:]]),
            group_clips=np.concatenate(clips),
            group_modalities=np.concatenate([part.group_modalities for part in parts]),
            num_clips=int(first_clips[-1]),
        )

    def clips(self, first: int, stop: int) -> PackedVectors:
        """The clips ``[first, stop)``, as views, numbered from 0."""
        low, high = np.searchsorted(self.group_clips, [first, stop])
        begin, end = self.group_starts[low], self.group_starts[high]
        return PackedVectors(
            rows=self.rows[begin:end],
            scales=None if self.scales is None else self.scales[begin:end],
            group_starts=self.group_starts[low : high + 1] - begin,
            group_clips=self.group_clips[low:high] - first,
            group_modalities=self.group_modalities[low:high],
            num_clips=stop - first,
        )

    def multi_vector(self, clip: int) -> MultiVector:
        """The competing rows of one clip, without their seconds."""
        part = self.clips(clip, clip + 1)
        modalities = np.repeat(part.group_modalities, np.diff(part.group_starts))
        seconds = np.full(len(part.rows), np.nan, np.float32)
        return MultiVector(part.block(slice(None)), modalities, seconds)

    def block(self, rows: slice) -> FloatArray:
        """Some rows as float32 ``(m, dim)``."""
        block = self.rows[rows].astype(np.float32, copy=False)
        return block if self.scales is None else block * self.scales[rows, None]


def quantise(rows: FloatArray) -> tuple[CodeArray, FloatArray]:
    """Rounds rows ``(n, dim)`` to int8 codes and one scale per row ``(n,)`` that keeps its length.

    A scale that keeps the length, not the largest value, leaves only the error of direction.
    """
    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    codes = np.rint(rows * (127.0 / np.where(largest > 0, largest, 1.0))).astype(np.int8)
    norms = np.linalg.norm(codes.astype(np.float32), axis=1)
    scales = np.linalg.norm(rows, axis=1) / np.where(norms > 0, norms, 1.0)
    return codes, scales.astype(np.float32)


def packed_modality_scores(query: MultiVector, packed: PackedVectors) -> FloatArray:
    """Blocked twin of `modality_scores`, float32 ``(num_clips, 6)``."""
    scores = np.full((packed.num_clips, NUM_MODALITIES), -np.inf, np.float32)
    for groups, maxima in _group_maxima(query, packed):
        cells = packed.group_clips[groups], packed.group_modalities[groups]
        scores[cells] = maxima.mean(axis=0)
    return scores


def packed_modality_max(query: MultiVector, packed: PackedVectors) -> FloatArray:
    """Blocked twin of `modality_max`, float32 ``(num_clips,)``."""
    scores: FloatArray = packed_modality_scores(query, packed).max(axis=1)
    return scores


def packed_token_max(query: MultiVector, packed: PackedVectors) -> FloatArray:
    """Blocked twin of `token_max`, float32 ``(num_clips,)``."""
    best = np.full((len(query), packed.num_clips), -np.inf, np.float32)
    for groups, maxima in _group_maxima(query, packed):
        clips = packed.group_clips[groups]
        firsts = np.flatnonzero(np.r_[True, clips[1:] != clips[:-1]])
        # A clip may go on from the block before: take the best of both.
        cells = clips[firsts]
        best[:, cells] = np.maximum(best[:, cells], np.maximum.reduceat(maxima, firsts, axis=1))
    scores: FloatArray = best.mean(axis=0)
    return scores


def packed_score(query: MultiVector, packed: PackedVectors, scorer: Scorer) -> FloatArray:
    """Blocked twin of `score`, float32 ``(num_clips,)``."""
    if scorer == "token_max":
        return packed_token_max(query, packed)
    return packed_modality_max(query, packed)


def _group_maxima(query: MultiVector, packed: PackedVectors) -> Iterator[tuple[slice, FloatArray]]:
    """Yields runs of groups with the best cosine per query token, ``(T, groups of the run)``."""
    check_query(query, packed.dim)
    starts = packed.group_starts
    first = 0
    while first < len(packed.group_clips):
        # Whole groups only; a group larger than a block is a run of its own.
        stop = int(np.searchsorted(starts, starts[first] + BLOCK_ROWS, side="right")) - 1
        stop = max(stop, first + 1)
        rows = slice(int(starts[first]), int(starts[stop]))
        similarities = query.vectors @ packed.rows[rows].astype(np.float32, copy=False).T
        if packed.scales is not None:
            similarities *= packed.scales[rows]
        yield (
            slice(first, stop),
            np.maximum.reduceat(similarities, starts[first:stop] - starts[first], axis=1),
        )
        first = stop
