"""How well held-out queries find their clips, while training goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.processing import TokenSequence
from clamr_rag.scoring import Scorer
from clamr_rag.training.collator import Collator, video_key
from clamr_rag.training.data import PairSource
from clamr_rag.training.gather import Processes, gather
from clamr_rag.training.gradients import embed, query_mask
from clamr_rag.training.scores import batch_scores

_DEPTH = 10
_QUERIES_SCORED_AT_A_TIME = 64


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over the queries; each has one relevant clip, and equal scores count against it."""

    ndcg_at_10: float
    recall_at_1: float
    num_queries: int
    num_clips: int
    """Distinct ones: the released evaluation counts copies of a video against each other."""


@torch.no_grad()
def evaluate(
    backbone: Backbone,
    collator: Collator,
    pairs: PairSource,
    *,
    most_pairs: int,
    scorer: Scorer,
    processes: Processes,
    autocast: bool = False,
) -> Evaluation:
    """Ranks the distinct clips of held-out pairs for each of their queries.

    Args:
        backbone: In evaluation mode.
        collator: Of the model.
        pairs: Held out.
        most_pairs: The first so many are taken.
        scorer: That ranks.
        processes: Each encodes a share of the clips.
        autocast: Compute in bfloat16.
    """
    asked = [pairs[row] for row in range(min(len(pairs), most_pairs))]
    # Reversed, so that the first pair of a video stays.
    first = {video_key(pair.video_id): pair for pair in reversed(asked)}
    keys = sorted(first)
    size = collator.options.batch_clips
    queries = [collator.query(pair) for pair in asked]
    parts = [queries[at : at + size] for at in range(0, len(queries), size)]
    rows = [row for part in parts for row in embed(backbone, part, autocast=autocast)]
    own = [first[key] for key in keys[processes.rank :: processes.count]]
    columns = []
    for at in range(0, len(own), size):
        clips = [collator.clip(pair) for pair in own[at : at + size]]
        vectors = embed(backbone, clips, autocast=autocast)
        columns += [
            _scores(queries, rows, *one, scorer) for one in zip(clips, vectors, strict=True)
        ]
    share = math.ceil(len(keys) / processes.count)
    # Processes have equal shares: the last ones may miss a clip.
    columns += [torch.full((len(queries),), -math.inf, device=backbone.device)] * (
        share - len(columns)
    )
    found = gather(torch.stack(columns), processes)
    order = _gathered_keys(keys, share, processes)
    gold = torch.tensor([order.index(video_key(pair.video_id)) for pair in asked])
    return _measured(found.T.float().cpu(), gold, len(keys))


def _scores(
    queries: Sequence[TokenSequence],
    rows: Sequence[Tensor],
    clip: TokenSequence,
    vectors: Tensor,
    scorer: Scorer,
) -> Tensor:
    """Of one clip for all queries ``(queries,)``."""
    kinds = torch.from_numpy(clip.modalities).long().to(vectors.device)
    columns = []
    for at in range(0, len(queries), _QUERIES_SCORED_AT_A_TIME):
        part = slice(at, at + _QUERIES_SCORED_AT_A_TIME)
        asked = torch.nn.utils.rnn.pad_sequence(list(rows[part]), batch_first=True)
        mask = query_mask(queries[part], asked)
        clips = vectors[None, : len(clip)]
        columns.append(batch_scores(asked, mask, clips, kinds[None], scorer).overall[:, 0])
    return torch.cat(columns)


def _gathered_keys(keys: Sequence[int], share: int, processes: Processes) -> list[int | None]:
    """Which clip each gathered row is of, own process first; None for those to fill up."""
    ranks = [processes.rank, *(r for r in range(processes.count) if r != processes.rank)]
    order: list[int | None] = []
    for rank in ranks:
        of_rank = keys[rank :: processes.count]
        order += [*of_rank, *[None] * (share - len(of_rank))]
    return order


def _measured(scores: Tensor, gold: Tensor, num_clips: int) -> Evaluation:
    """From scores ``(queries, clips)`` and the relevant clip of each query ``(queries,)``."""
    own = scores.gather(1, gold[:, None])
    ranks = (scores >= own).sum(dim=1)
    gains = torch.where(ranks <= _DEPTH, 1 / torch.log2(ranks + 1.0), 0.0)
    return Evaluation(
        ndcg_at_10=float(gains.mean()),
        recall_at_1=float((ranks == 1).float().mean()),
        num_queries=len(gold),
        num_clips=num_clips,
    )
