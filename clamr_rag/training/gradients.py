"""Gradients of a batch, encoded all at once or part by part (GradCache, arXiv 2101.06983)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.processing import TokenSequence
from clamr_rag.training.collator import Batch
from clamr_rag.training.gather import Processes, gather
from clamr_rag.training.losses import LOSSES, Comparison
from clamr_rag.training.options import TrainOptions
from clamr_rag.training.scores import Scores, batch_scores

_CLIPS_SCORED_AT_A_TIME = 8


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Vectors of a batch's queries and clips, padded with zero rows."""

    queries: Tensor
    """``(n, query tokens, dim)``."""
    clips: Tensor
    """``(n, clip tokens, dim)``."""


class BatchLoss(nn.Module):
    """Loss of vectors against all processes' clips; holds the temperature where it is learned."""

    def __init__(self, options: TrainOptions, processes: Processes) -> None:
        super().__init__()
        self._options = options
        self._processes = processes
        start = torch.tensor(options.temperature).log()
        self.log_temperature = nn.Parameter(start) if options.learned_temperature else None

    def forward(self, embedded: Embedded, batch: Batch, *, in_blocks: bool = False) -> Tensor:
        """The mean loss of this process's queries, a scalar.

        Args:
            embedded: Of the batch.
            batch: Its modalities and videos.
            in_blocks: Score a few clips at a time and again in the backward pass: less memory.
        """
        device = embedded.clips.device
        keys = torch.from_numpy(batch.video_keys).to(device)
        all_keys = gather(keys, self._processes)
        scores = self._scores(
            embedded.queries,
            query_mask(batch.queries, embedded.queries),
            gather(embedded.clips, self._processes),
            gather(_modalities(batch, device), self._processes),
            in_blocks=in_blocks,
        )
        temperature = self._options.temperature
        # The losses take a number: one that is learned divides the scores here.
        if self.log_temperature is not None:
            scores, temperature = _divided(scores, self.log_temperature.exp()), 1.0
        comparison = Comparison(
            scores,
            torch.from_numpy(batch.gold).to(device),
            same_video=keys[:, None] == all_keys[None, :],
            temperature=temperature,
            released=self._options.released_losses,
        )
        return LOSSES[self._options.loss](comparison)

    def _scores(
        self, queries: Tensor, mask: Tensor, clips: Tensor, modalities: Tensor, *, in_blocks: bool
    ) -> Scores:
        def of(some: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
            options = self._options
            found = batch_scores(
                queries, mask, some, kinds, options.scorer, released=options.released_losses
            )
            return found.overall, found.by_modality

        if not in_blocks:
            return Scores(*of(clips, modalities))
        blocks = [
            checkpoint(of, some, kinds, use_reentrant=False)
            for some, kinds in zip(
                torch.split(clips, _CLIPS_SCORED_AT_A_TIME),
                torch.split(modalities, _CLIPS_SCORED_AT_A_TIME),
                strict=True,
            )
        ]
        overall, by_modality = zip(*blocks, strict=True)
        return Scores(torch.cat(overall, dim=1), torch.cat(by_modality, dim=1))


def backward(
    backbone: Backbone,
    loss: BatchLoss,
    batch: Batch,
    *,
    pairs_at_a_time: int | None,
    seed: tuple[int, ...],
    autocast: bool = False,
) -> Tensor:
    """Adds the gradients of a batch to the parameters and returns its loss.

    Args:
        backbone: The model that is trained.
        loss: Of the vectors.
        batch: Of this process.
        pairs_at_a_time: Encodes as many pairs at a time, twice; None encodes all at once.
        seed: Decides the dropout, so that the second time is like the first.
        autocast: Compute in bfloat16.
    """

    def encoded(part: slice) -> tuple[Tensor, Tensor]:
        torch.manual_seed(_seed(*seed, part.start))
        return (
            embed(backbone, batch.queries[part], autocast=autocast),
            embed(backbone, batch.clips[part], autocast=autocast),
        )

    if pairs_at_a_time is None or pairs_at_a_time >= len(batch):
        queries, clips = encoded(slice(0, len(batch)))
        value: Tensor = loss(_padded([queries], [clips]), batch)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()
    # Vectors of all parts first, without activations; then the gradient of each vector; then each
    # part again with activations, and backward from its vectors.
    parts = [slice(at, at + pairs_at_a_time) for at in range(0, len(batch), pairs_at_a_time)]
    with torch.no_grad():
        cached = [encoded(part) for part in parts]
    for vectors in (vectors for part in cached for vectors in part):
        vectors.requires_grad_()
    value = loss(_padded(*zip(*cached, strict=True)), batch, in_blocks=True)
    value.backward()  # type: ignore[no-untyped-call]
    for part, (queries, clips) in zip(parts, cached, strict=True):
        torch.autograd.backward(encoded(part), [queries.grad, clips.grad])
    return value.detach()


def embed(
    backbone: Backbone, sequences: Sequence[TokenSequence], *, autocast: bool = False
) -> Tensor:
    """Unit vectors ``(n, longest, dim)`` with gradients, shorter sequences with zero rows.

    Autocast computes in bfloat16; the vectors are float32 in either case.
    """
    # Around this alone: sound and scores are float32, and what is cast without gradients must not
    # be used again with them.
    with torch.autocast(backbone.device.type, torch.bfloat16, enabled=autocast):
        vectors: Tensor = backbone(sequences)
    rows = torch.split(vectors, [len(each) for each in sequences])
    return pad_sequence(list(rows), batch_first=True)


def query_mask(queries: Sequence[TokenSequence], vectors: Tensor) -> Tensor:
    """True where padded vectors ``(n, longest, dim)`` are of a real token ``(n, longest)``."""
    lengths = torch.tensor([len(query) for query in queries], device=vectors.device)
    return torch.arange(vectors.shape[1], device=vectors.device) < lengths[:, None]


def _padded(queries: Sequence[Tensor], clips: Sequence[Tensor]) -> Embedded:
    return Embedded(_stacked(queries), _stacked(clips))


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    rows = [row for part in parts for row in part]
    return pad_sequence(rows, batch_first=True)


def _modalities(batch: Batch, device: torch.device) -> Tensor:
    rows = [torch.from_numpy(clip.modalities).long() for clip in batch.clips]
    # Padding is OTHER, 0, which never competes.
    return pad_sequence(rows, batch_first=True).to(device)


def _divided(scores: Scores, temperature: Tensor) -> Scores:
    return Scores(*(_quotient(each, temperature) for each in (scores.overall, scores.by_modality)))


def _quotient(scores: Tensor, temperature: Tensor) -> Tensor:
    """What is absent stays -inf, without a gradient that would be no number."""
    absent = torch.isinf(scores)
    return (scores.masked_fill(absent, 0.0) / temperature).masked_fill(absent, float("-inf"))


def _seed(*numbers: int) -> int:
    """63 bits that differ wherever a number does."""
    digest = hashlib.sha256(",".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
