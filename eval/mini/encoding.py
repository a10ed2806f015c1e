"""Queries and clips through the network while it is trained, gradients and all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from clamr_rag.encoder.mini_network import MiniNetwork, MiniSequence
from clamr_rag.encoder.mini_reading import MiniReader
from clamr_rag.encoder.minilm import load_minilm
from clamr_rag.types import Modality
from eval.mini import UNTRAINED

_CLIPS_AT_A_TIME, _QUERIES_AT_A_TIME = 16, 32
_LENGTH_STEP = 8
"""Lengths are multiples of it: oneDNN makes a kernel for each new shape, which costs a quarter of a
step if every batch has a length of its own."""


def untrained_network() -> MiniNetwork:
    """The published trunk, a stem drawn at random, and the projection of `fit_projection`."""
    network = MiniNetwork(load_minilm())
    network.stem.draw_weights()
    network.projection.data = load_file(UNTRAINED)["projection"]
    network.trunk.requires_grad_(False)
    return network


def embed_queries(
    network: MiniNetwork, reader: MiniReader, queries: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Unit rows of queries ``(Q, T, 128)``, and which of them count ``(Q, T)``."""
    read = [reader.query(query) for query in queries]
    rows = _embed(network, [query.sequence for query in read], _QUERIES_AT_A_TIME)
    mask = torch.zeros(rows.shape[:2], dtype=torch.bool)
    for number, query in enumerate(read):
        mask[number, query.kept] = True
    return rows, mask


def embed_clips(network: MiniNetwork, sequences: Sequence[MiniSequence]) -> Tensor:
    """Unit rows of clips ``(C, longest, 128)``; those of padding mean nothing."""
    return _embed(network, sequences, _CLIPS_AT_A_TIME)


def _embed(network: MiniNetwork, sequences: Sequence[MiniSequence], at_a_time: int) -> Tensor:
    """Unit rows ``(sequences, longest, 128)``.

    Sequences of like length go through the network together, which saves a third of the clips' time
    and more of the queries': a few that come from prose are three times as long as the rest.
    """
    order = sorted(range(len(sequences)), key=lambda number: len(sequences[number].ids))
    longest = len(sequences[order[-1]].ids)
    rows: dict[int, Tensor] = {}
    for at in range(0, len(order), at_a_time):
        part = order[at : at + at_a_time]
        with half():
            found = network([sequences[number] for number in part], _LENGTH_STEP)
        found = pad(found[:, :longest], (0, 0, 0, max(0, longest - found.shape[1])))
        rows |= dict(zip(part, found, strict=True))
    return torch.stack([rows[number] for number in range(len(sequences))])


def padded_modalities(sequences: Sequence[MiniSequence]) -> Tensor:
    """`Modality` of each row ``(sequences, longest)``; padding is OTHER."""
    rows = [torch.tensor(sequence.modalities) for sequence in sequences]
    return pad_sequence(rows, batch_first=True, padding_value=int(Modality.OTHER))


def half() -> torch.autocast:
    """Computes in bfloat16 what can be, where this machine is faster so."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=knows_bfloat16())


@cache
def knows_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16 much faster than in float32, by trial.

    Those with AVX512-BF16 or AMX do, and need half to a fifth of the time; without, it is emulated
    and takes up to a hundred times as long.
    """
    took = []
    for kind in (torch.float32, torch.bfloat16):
        rows, weights = torch.ones(256, 384, dtype=kind), torch.ones(384, 384, dtype=kind)
        tries = []
        for _ in range(5):
            began = time.perf_counter()
            rows @ weights
            tries.append(time.perf_counter() - began)
        took.append(min(tries))
    return took[1] * 1.5 < took[0]
