"""What `mini` computes: stem, trunk and head over one sequence per clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from clamr_rag.encoder.minilm import MiniLM
from clamr_rag.encoder.stem import VisionStem
from clamr_rag.types import ByteArray, Modality

DIM = 128
_NUM_KINDS = len(Modality)
_PAD = 0
_ADAPTED = ("self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2")


@dataclass(frozen=True, slots=True)
class MiniSequence:
    """One query or clip as the trunk reads it: parallel lists of ``n`` entries."""

    ids: list[int]
    """Where a token of a picture stands, any."""
    positions: list[int]
    modalities: list[int]
    seconds: list[float]
    frames: ByteArray | None = None
    """Of `stem.fitted`; its tokens are those of modality VIDEO."""


class MiniNetwork(nn.Module):
    """Sequences to unit rows of 128 dimensions."""

    def __init__(self, trunk: MiniLM) -> None:
        super().__init__()
        width = trunk.words.weight.shape[1]
        self.trunk = trunk
        self.stem = VisionStem(width)
        self.kinds = nn.Parameter(torch.zeros(_NUM_KINDS, width))
        """Added to a token of each modality; that of OTHER to queries and separators, too."""
        self.trunk_share = nn.Parameter(torch.full((width,), 0.1))
        """How much the trunk adds to what the stem says of a picture."""
        self.projection = nn.Parameter(torch.zeros(width, DIM))

    def forward(self, sequences: Sequence[MiniSequence], length_step: int = 1) -> Tensor:
        """Unit rows ``(sequences, longest, 128)``; rows of padding are meaningless.

        Args:
            sequences: Of queries or clips.
            length_step: ``longest`` is rounded up to a multiple of it.
        """
        device = self.projection.device
        longest = max(len(sequence.ids) for sequence in sequences)
        longest += -longest % length_step
        ids = torch.full((len(sequences), longest), _PAD)
        positions, kinds = torch.zeros_like(ids), torch.zeros_like(ids)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, sequence in enumerate(sequences):
            length = len(sequence.ids)
            ids[row, :length] = torch.tensor(sequence.ids)
            positions[row, :length] = torch.tensor(sequence.positions)
            kinds[row, :length] = torch.tensor(sequence.modalities)
            mask[row, :length] = True
        ids, positions, kinds, mask = (x.to(device) for x in (ids, positions, kinds, mask))
        hidden = self.trunk.words(ids) + self.trunk.positions(positions)
        pictures = [torch.from_numpy(s.frames) for s in sequences if s.frames is not None]
        if not pictures:
            return self.unit(self._read(hidden, kinds, mask))
        seen = self.stem(torch.stack(pictures).to(device)).flatten(0, 1).to(hidden.dtype)
        is_video = kinds == Modality.VIDEO
        read = self._read(hidden.masked_scatter(is_video[..., None], seen), kinds, mask)
        # What is seen reaches the head on a way of its own, too: the trunk was made for words.
        both = read[is_video] * self.trunk_share + seen
        return self.unit(read.masked_scatter(is_video[..., None], both.to(read.dtype)))

    def _read(self, hidden: Tensor, kinds: Tensor, mask: Tensor) -> Tensor:
        hidden = hidden + self.trunk.token_types.weight[0] + self.kinds[kinds]
        return self.trunk.layers_of(self.trunk.norm(hidden), mask)

    def unit(self, hidden: Tensor) -> Tensor:
        """Hidden states to unit rows of 128 dimensions, float32."""
        return normalize((hidden @ self.projection).float(), dim=-1)


class LowRank(nn.Module):
    """A linear map that stays, and a change of it by two small matrices (LoRA, Hu et al. 2021)."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)

    def forward(self, hidden: Tensor) -> Tensor:
        """What the linear map makes of it and what was learned.

        The small matrices are applied one after the other, so that training never computes a
        gradient as large as the weight.
        """
        out: Tensor = self.linear(hidden) + hidden @ self.down.T @ self.up.T
        return out


def adapt(trunk: MiniLM, rank: int) -> dict[str, LowRank]:
    """Freezes the trunk and gives the linear maps of its layers low-rank changes to train."""
    trunk.requires_grad_(False)
    adapters = {}
    for layer in range(len(trunk.layers)):
        for attribute in _ADAPTED:
            name = f"layers.{layer}.{attribute}"
            linear = trunk.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            adapters[name] = LowRank(linear, rank)
            trunk.set_submodule(name, adapters[name])
    return adapters


@torch.no_grad()
def add_changes(trunk: MiniLM, changes: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Adds trained changes, ``up @ down`` by the name of their linear map, to the trunk."""
    for name, (up, down) in changes.items():
        weight = trunk.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        weight.add_(up @ down)
