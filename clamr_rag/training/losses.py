"""What training minimises: InfoNCE on late-interaction scores, and the paper's alternatives.

Each loss takes a `Comparison`: the `Scores` of a batch in which clip ``i`` is the one that query
``i`` is about (there may be more clips than queries: gathered from other processes, or mined), the
`Modality` that each query was written from, and which other clips are no negatives since they show
the same video.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from clamr_rag.errors import UsageError
from clamr_rag.training.scores import Scores
from clamr_rag.types import Modality

LossName = Literal["contrastive", "hard_positive", "hard_negative", "pairwise"]
TEMPERATURE = 0.02
"""Of the released code, fixed; the paper calls it learnable."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What a loss is of: Q queries against C >= Q clips."""

    scores: Scores
    gold: Tensor
    """`Modality` that each query was written from ``(Q,)``."""
    same_video: Tensor | None = None
    """True where a clip shows the video of the query ``(Q, C)``: such a clip is no negative.

    The own one may be True or False. None: all clips differ.
    """
    temperature: float = TEMPERATURE
    """Divides the scores; `pairwise` has none."""
    released: bool = False
    """As the released code computes it, faults included."""

    @property
    def overall(self) -> Tensor:
        """Scores ``(Q, C)`` without those of the other clips of a query's own video."""
        return _without_twins(self.scores.overall, self.same_video)


Loss = Callable[[Comparison], Tensor]
"""Turns the scores of a batch into what training minimises, a scalar."""


def contrastive(of: Comparison) -> Tensor:
    """InfoNCE, query to clip (eq. 2): the paper's loss, if the scores are those of modality_max."""
    logits = of.overall / of.temperature
    return cross_entropy(logits, _own(logits))


def hard_positive(of: Comparison) -> Tensor:
    """L_ModPos (eq. 4): the own clip counts by the modality that the query is about.

    Where the clip lacks that modality (a caption of silence, say) its overall score counts; the
    released code gives an infinite loss there.
    """
    fixed = _with_gold_diagonal(of.scores, of.gold, released=of.released)
    logits = _without_twins(fixed, of.same_video) / of.temperature
    return cross_entropy(logits, _own(logits))


def hard_negative(of: Comparison) -> Tensor:
    """L_ModNeg (eq. 5): every modality of every clip is a negative, but the own clip's gold one.

    Released: the positive is the score over all modalities, although the gold one was computed, so
    that the best modality stands against itself and the loss cannot fall below log 2.
    """
    scores, same_video = of.scores, of.same_video
    num_queries, num_clips, num_modalities = scores.by_modality.shape
    own = torch.arange(num_queries, device=of.gold.device)
    fixed = _with_gold_diagonal(scores, of.gold, released=False)
    overall = scores.overall if of.released else fixed
    negatives = scores.by_modality.clone()
    negatives[own, own, of.gold] = float("-inf")
    negatives[..., Modality.OTHER] = float("-inf")
    if same_video is not None:
        twins = same_video & ~_is_own(same_video)
        negatives = negatives.masked_fill(twins[..., None], float("-inf"))
    flat = negatives.reshape(num_queries, num_clips * num_modalities)
    logits = torch.cat([_without_twins(overall, same_video), flat], dim=1) / of.temperature
    return cross_entropy(logits, _own(logits))


def pairwise(of: Comparison) -> Tensor:
    """Softplus of how far the best other clip is above the own one, as ColBERT and ColPali train.

    Raises:
        UsageError: A query has no other clip to be told from.
    """
    masked = of.overall
    own = torch.diagonal(masked)
    others = masked.masked_fill(_is_own(masked), float("-inf")).amax(dim=1)
    if bool(torch.isinf(others).any()):
        raise UsageError("a batch of one video", allowed="two videos or more for pairwise")
    return softplus(others - own).mean()


LOSSES: dict[LossName, Loss] = {
    "contrastive": contrastive,
    "hard_positive": hard_positive,
    "hard_negative": hard_negative,
    "pairwise": pairwise,
}
assert tuple(LOSSES) == get_args(LossName)


def _own(logits: Tensor) -> Tensor:
    """Clip ``i`` is the one that query ``i`` is about."""
    return torch.arange(len(logits), device=logits.device)


def _is_own(matrix: Tensor) -> Tensor:
    return torch.eye(*matrix.shape[:2], dtype=torch.bool, device=matrix.device)


def _without_twins(overall: Tensor, same_video: Tensor | None) -> Tensor:
    """Takes the other clips of a query's own video out of its negatives."""
    if same_video is None:
        return overall
    return overall.masked_fill(same_video & ~_is_own(same_video), float("-inf"))


def _with_gold_diagonal(scores: Scores, gold: Tensor, *, released: bool) -> Tensor:
    """The overall scores, each own clip's replaced by that of the query's modality."""
    own = torch.arange(len(gold), device=gold.device)
    fixed = scores.by_modality[own, own, gold]
    if not released:
        fixed = torch.where(torch.isinf(fixed), scores.overall[own, own], fixed)
    wanted = _is_own(scores.overall)
    whole = torch.zeros_like(scores.overall)
    whole[own, own] = fixed
    return torch.where(wanted, whole, scores.overall)
