"""Scores of many queries against many clips at once, per modality and per token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clamr_rag.scoring import NUM_MODALITIES, IndexArray, PackedVectors
from clamr_rag.types import FloatArray, MultiVector

_QUERIES, _CLIPS = 32, 32
"""Scored at a time: their products stay in a core's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Of every query against every clip; -inf where there is nothing to compare."""

    by_modality: FloatArray
    """`packed_modality_scores` of each query, ``(Q, C, 6)``."""
    by_token: FloatArray
    """`packed_token_max` of each query, ``(Q, C)``."""


def score_all(queries: Sequence[MultiVector], clips: Sequence[MultiVector], dim: int) -> Scores:
    """Scores everything.

    Args:
        queries: At least one row each.
        clips: Rows of OTHER do not compete; a clip may be empty.
        dim: Width of all rows.
    """
    packed = PackedVectors.from_multi_vectors(clips, dim=dim)
    scores = Scores(
        np.full((len(queries), len(clips), NUM_MODALITIES), -np.inf, np.float32),
        np.full((len(queries), len(clips)), -np.inf, np.float32),
    )
    for first in range(0, len(clips), _CLIPS):
        part = packed.clips(first, min(first + _CLIPS, len(clips)))
        for at in range(0, len(queries), _QUERIES):
            _score_block(queries[at : at + _QUERIES], part, scores, at, first)
    return scores


def _score_block(
    queries: Sequence[MultiVector], part: PackedVectors, scores: Scores, at: int, first: int
) -> None:
    """Fills in the scores of a few queries against a few clips that have rows."""
    if not len(part.rows):
        return
    rows = np.concatenate([query.vectors for query in queries])
    lengths = np.array([len(query) for query in queries])
    starts = np.cumsum(lengths) - lengths
    cosines = rows @ part.block(slice(None)).T
    maxima = np.maximum.reduceat(cosines, part.group_starts[:-1], axis=1)
    numbers = np.arange(at, at + len(queries))[:, None]
    cells = numbers, first + part.group_clips, part.group_modalities
    scores.by_modality[cells] = _means(maxima, starts, lengths)
    clips, first_groups = np.unique(part.group_clips, return_index=True)
    best = np.maximum.reduceat(maxima, first_groups, axis=1)
    scores.by_token[numbers, first + clips] = _means(best, starts, lengths)


def _means(maxima: FloatArray, starts: IndexArray, lengths: IndexArray) -> FloatArray:
    """Mean over the tokens of each query, ``(tokens, n)`` to ``(queries, n)``."""
    sums = np.add.reduceat(maxima, starts, axis=0, dtype=np.float32)
    return np.divide(sums, lengths[:, None], dtype=np.float32)
