"""From stored vectors to hits: which clips may be among the best, and their exact order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clamr_rag.index import Hit
from clamr_rag.index.codec import StoredVectors
from clamr_rag.scoring import CodeArray, PackedVectors, Scorer, modality_scores, token_max
from clamr_rag.types import FloatArray, Modality, MultiVector

TIE = 1e-5
"""Blocked scores nearer than this are told apart by the reference: far above float32's error."""


def pack(stored: Sequence[StoredVectors]) -> PackedVectors:
    """Joins the rows of at least one clip; int8 if all are stored so, else float32."""
    quantised = all(clip.scales is not None for clip in stored)
    scales = [clip.scales for clip in stored if clip.scales is not None]
    rows: FloatArray | CodeArray
    if quantised:
        rows = np.concatenate([clip.rows for clip in stored]).astype(np.int8, copy=False)
    else:
        rows = np.concatenate([clip.multi_vector().vectors for clip in stored])
    return PackedVectors.pack(
        rows,
        np.concatenate(scales) if quantised else None,
        np.concatenate([clip.modalities for clip in stored]),
        np.repeat(np.arange(len(stored)), [len(clip.rows) for clip in stored]),
        len(stored),
    )


def best(
    query: MultiVector,
    clip_ids: Sequence[str],
    vectors: PackedVectors,
    blocked: tuple[npt.NDArray[np.int64], FloatArray],
    scorer: Scorer,
    top_k: int,
) -> list[Hit]:
    """The best clips, best first, ties in order of clip id, with the scores of the reference.

    Only the clips that may be among them are scored again, one by one: a clip's score then depends
    on nothing but the clip, and every index returns the same.

    Args:
        query: ``(T, dim)``.
        clip_ids: Of all clips in `vectors`.
        vectors: Rows of the clips.
        blocked: Numbers of the clips that take part, and their scores by a blocked twin.
        scorer: Which score ranks.
        top_k: Most hits.
    """
    numbers, scores = blocked
    found = (
        hit(query, clip_ids[number], vectors.multi_vector(int(number)), scorer)
        for number in numbers[_leading(scores, top_k)]
    )
    return sorted(found, key=lambda each: (-each.score, each.clip_id))[:top_k]


def _leading(scores: FloatArray, top_k: int) -> npt.NDArray[np.int64]:
    """Positions of all scores that may be among the best ``top_k``; -inf never is."""
    found = np.flatnonzero(scores > -np.inf)
    if len(found) > top_k:
        last = np.partition(scores[found], -top_k)[-top_k]
        found = found[scores[found] >= last - TIE]
    return found


def hit(query: MultiVector, clip_id: str, vectors: MultiVector, scorer: Scorer) -> Hit:
    """One clip with the scores of the plain reference."""
    (by_modality,) = modality_scores(query, [vectors])
    score = by_modality.max() if scorer == "modality_max" else token_max(query, [vectors])[0]
    present = np.flatnonzero(by_modality > -np.inf)
    return Hit(clip_id, float(score), {Modality(int(m)): float(by_modality[m]) for m in present})
