"""Late-interaction scores of a batch, with gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clamr_rag.scoring import NUM_MODALITIES, Scorer

_ABSENT = float("-inf")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """How every query of a batch matches every clip: mean cosines per query token."""

    overall: Tensor
    """``(queries, clips)`` under the scorer that is trained."""
    by_modality: Tensor
    """``(queries, clips, 6)``, by `Modality`; -inf where a clip lacks one."""


def batch_scores(
    queries: Tensor,
    query_mask: Tensor,
    clips: Tensor,
    modalities: Tensor,
    scorer: Scorer,
    *,
    released: bool = False,
) -> Scores:
    """Scores all queries against all clips.

    `token_max` is the paper's LI_context (eq. 1), `modality_max` its LI_mw (eq. 3), both divided by
    the number of query tokens.

    Args:
        queries: Unit rows ``(Q, T, dim)``.
        query_mask: True for real tokens ``(Q, T)``; every query has one.
        clips: Unit rows ``(C, N, dim)``; padding is zero rows.
        modalities: `Modality` of each row ``(C, N)``, OTHER for template tokens and padding.
        scorer: Which score is trained.
        released: As the released code, which lets template tokens and padding compete: the zero
            rows as cosine 0, and all of OTHER as one more modality.
    """
    # Only real tokens, one after another: queries are padded to the longest of the batch.
    real = query_mask.bool()
    tokens, query_of = queries[real], real.nonzero()[:, 0]
    # OTHER is 0.
    classes = range(NUM_MODALITIES) if released else range(1, NUM_MODALITIES)
    columns = []
    for rows, kinds in zip(clips, modalities, strict=True):
        # One clip at a time: (tokens, C, N) of a large batch would not fit.
        best = [_best(tokens @ rows[kinds == kind].T) for kind in classes]
        columns.append(torch.stack(best, dim=-1))
    found = torch.stack(columns, dim=1)  # (tokens, C, classes)
    per_modality = _mean(found, query_of, real)
    if scorer == "token_max":
        overall = _mean(found.amax(dim=-1, keepdim=True), query_of, real)[..., 0]
    else:
        overall = per_modality.amax(dim=-1)
    if not released:
        absent = per_modality.new_full((*per_modality.shape[:2], 1), _ABSENT)
        per_modality = torch.cat([absent, per_modality], dim=-1)
    return Scores(overall, per_modality)


def _best(cosines: Tensor) -> Tensor:
    """Highest cosine of each token ``(tokens, n)`` over the last axis; -inf over none."""
    if cosines.shape[-1] == 0:
        return cosines.new_full(cosines.shape[:-1], _ABSENT)
    return cosines.amax(dim=-1)


def _mean(found: Tensor, query_of: Tensor, real: Tensor) -> Tensor:
    """Means over each query's tokens: ``(tokens, C, k)`` to ``(Q, C, k)``; -inf stays -inf."""
    sums = found.new_zeros(len(real), *found.shape[1:]).index_add(0, query_of, found)
    return sums / real.sum(dim=1)[:, None, None]
