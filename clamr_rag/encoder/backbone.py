"""The towers of Qwen2.5-VL and Qwen2.5-Omni with CLaMR's projection on top, and no LM head.

The modules are transformers' own. The vision tower is walked here: transformers attends window by
window in a Python loop, here all windows of one size are one attention call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from clamr_rag.encoder.patches import MERGE_PATCHES, PATCH_PIXELS, pixel_values
from clamr_rag.encoder.processing import IntArray, TokenSequence

_UNIT = MERGE_PATCHES**2
_ROPE_BASE = 10_000.0


@dataclass(frozen=True, slots=True)
class AttentionGroups:
    """Patches that attend to each other: runs of ``count`` groups of ``length`` patches."""

    order: torch.Tensor | None
    """``(patches,)`` to bring the runs together; None where they are already."""
    inverse: torch.Tensor | None
    runs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class VisionPlan:
    """How the patches of a batch are ordered and who attends to whom."""

    unit_order: torch.Tensor
    """``(units,)`` brings 2 x 2 units of one window together, windows of one size adjacent."""
    unit_inverse: torch.Tensor
    places: torch.Tensor
    """Row and column of each patch in that order, ``(patches, 2)``."""
    windows: AttentionGroups
    frames: AttentionGroups


def plan_vision(
    grids: Sequence[tuple[int, int, int]], window_pixels: int, device: torch.device
) -> VisionPlan:
    """Plans windowed and full attention over the frames of a batch of clips.

    Args:
        grids: Frame pairs, patch rows, patch columns of each clip.
        window_pixels: Side of an attention window.
        device: Where the plan is used.
    """
    window_units = window_pixels // PATCH_PIXELS // MERGE_PATCHES
    frame, row, column = _unit_places(grids)
    _, frame_sizes = np.unique(frame, return_counts=True)
    across = int(column.max()) // window_units + 1
    down = int(row.max()) // window_units + 1
    window = (frame * down + row // window_units) * across + column // window_units
    _, window_of, window_sizes = np.unique(window, return_inverse=True, return_counts=True)
    order = np.lexsort((np.arange(len(window)), window_of, window_sizes[window_of]))
    inside = np.array([(y, x) for y in range(MERGE_PATCHES) for x in range(MERGE_PATCHES)])
    corners = np.stack([row, column], axis=1)[order] * MERGE_PATCHES
    places = (corners[:, None, :] + inside).reshape(-1, 2)
    by_frame = _by_frame(np.repeat(frame[order], _UNIT), frame_sizes)

    def tensor(array: IntArray) -> torch.Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    return VisionPlan(
        unit_order=tensor(order),
        unit_inverse=tensor(np.argsort(order)),
        places=tensor(places),
        windows=AttentionGroups(None, None, _runs(window_sizes)),
        frames=AttentionGroups(tensor(by_frame), tensor(np.argsort(by_frame)), _runs(frame_sizes)),
    )


class Backbone(nn.Module):
    """Vision tower, sound tower where there is one, language model and projection."""

    # Modules of transformers, which mypy cannot see into.
    language_model: Any
    visual: Any
    audio_tower: Any | None

    def __init__(
        self,
        language_model: Any,
        visual: Any,
        audio_tower: Any | None,
        projection: nn.Linear,
        *,
        video_token: int,
        audio_token: int | None,
    ) -> None:
        super().__init__()
        self.language_model = language_model
        self.visual = visual
        self.audio_tower = audio_tower
        self.projection = projection
        self._video_token = video_token
        self._audio_token = audio_token

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.projection.weight.device

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.projection.out_features)

    def forward(self, sequences: Sequence[TokenSequence]) -> torch.Tensor:
        """Unit vectors of all tokens, one sequence after the other: float32 ``(tokens, dim)``.

        Shorter sequences are padded on the right. Attention is causal, so no token sees a pad
        and none needs a mask.
        """
        longest = max(len(sequence) for sequence in sequences)
        ids = np.zeros((len(sequences), longest), np.int64)
        positions = np.zeros((3, len(sequences), longest), np.int64)
        valid = np.zeros((len(sequences), longest), bool)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = sequence.ids
            positions[:, row, : len(sequence)] = sequence.positions
            valid[row, : len(sequence)] = True
        embeddings = self.language_model.get_input_embeddings()(self._tensor(ids))
        self._place(embeddings, ids, valid, self._video_token, self._see(sequences))
        if self._audio_token is not None:
            self._place(embeddings, ids, valid, self._audio_token, self._hear(sequences))
        hidden = self.language_model(
            inputs_embeds=embeddings,
            position_ids=self._tensor(positions),
            attention_mask=None,
            use_cache=False,
        ).last_hidden_state
        kept = hidden.flatten(0, 1)[self._tensor(np.flatnonzero(valid))]
        return F.normalize(self.projection(kept).float(), dim=-1)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _place(
        self,
        embeddings: torch.Tensor,
        ids: IntArray,
        valid: np.ndarray,
        token: int,
        features: torch.Tensor | None,
    ) -> None:
        """Writes features ``(n, hidden)`` over the embeddings of their ``n`` placeholders."""
        if features is None:
            return
        places = np.flatnonzero((ids == token) & valid)
        embeddings.view(-1, embeddings.shape[-1])[self._tensor(places)] = features.to(
            embeddings.dtype
        )

    def _see(self, sequences: Sequence[TokenSequence]) -> torch.Tensor | None:
        """Features of all frame tokens of the batch ``(n, hidden)``."""
        frames = [sequence.frames for sequence in sequences if sequence.frames]
        if not frames:
            return None
        patches = self._tensor(np.concatenate([clip.values for clip in frames]))
        window = self.visual.config.window_size
        plan = plan_vision([clip.grid for clip in frames], window, self.device)
        return see(self.visual, pixel_values(patches), plan)

    def _hear(self, sequences: Sequence[TokenSequence]) -> torch.Tensor | None:
        """Features of all sound tokens of the batch ``(n, hidden)``."""
        mels = [sequence.mel for sequence in sequences if sequence.mel is not None]
        if not mels or self.audio_tower is None:
            return None
        lengths = np.array([mel.shape[1] for mel in mels], np.int64)
        features: torch.Tensor = self.audio_tower(
            self._tensor(np.concatenate(mels, axis=1)),
            feature_lens=self._tensor(lengths),
            aftercnn_lens=self._tensor((lengths - 1) // 2 + 1),
        ).last_hidden_state
        return features


def see(visual: Any, pixels: torch.Tensor, plan: VisionPlan) -> torch.Tensor:
    """Runs the vision tower over normalised patches.

    Args:
        visual: transformers' vision tower of Qwen2.5-VL or Omni.
        pixels: ``(patches, 1176)``, 2 x 2 units contiguous.
        plan: From `plan_vision` for the same patches.

    Returns:
        One row per unit, in the order of the patches: ``(patches / 4, hidden)``.
    """
    kernel = visual.patch_embed.proj.weight
    hidden = F.linear(pixels.to(kernel.dtype), kernel.flatten(1))
    hidden = hidden.view(-1, _UNIT, hidden.shape[-1])[plan.unit_order].flatten(0, 1)
    config = visual.config
    rotation = _rotation(plan.places, config.hidden_size // config.num_heads)
    for number, block in enumerate(visual.blocks):
        groups = plan.frames if number in config.fullatt_block_indexes else plan.windows
        hidden = hidden + _attend(block.attn, block.norm1(hidden), rotation, groups)
        hidden = hidden + block.mlp(block.norm2(hidden))
    merged: torch.Tensor = visual.merger(hidden)
    return merged[plan.unit_inverse]


def _attend(
    attention: Any,
    hidden: torch.Tensor,
    rotation: tuple[torch.Tensor, torch.Tensor],
    groups: AttentionGroups,
) -> torch.Tensor:
    """Self-attention within each group of patches, ``(patches, hidden)``."""
    if hasattr(attention, "qkv"):
        queries, keys, values = attention.qkv(hidden).chunk(3, dim=-1)
    else:
        queries, keys, values = attention.q(hidden), attention.k(hidden), attention.v(hidden)
    heads = attention.num_heads
    parts = [part.unflatten(-1, (heads, -1)) for part in (queries, keys, values)]
    parts[:2] = [_rotate(part, rotation) for part in parts[:2]]
    if groups.order is not None:
        parts = [part[groups.order] for part in parts]
    outputs, start = [], 0
    for count, length in groups.runs:
        stop = start + count * length
        # (groups, heads, patches of a group, head width)
        run = [part[start:stop].unflatten(0, (count, length)).transpose(1, 2) for part in parts]
        attended = F.scaled_dot_product_attention(*run)
        outputs.append(attended.transpose(1, 2).flatten(2).flatten(0, 1))
        start = stop
    output = torch.cat(outputs)
    if groups.inverse is not None:
        output = output[groups.inverse]
    projected: torch.Tensor = attention.proj(output)
    return projected


def _rotation(places: torch.Tensor, head_width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines ``(patches, 1, head_width)`` of the rotary position embedding."""
    quarter = torch.arange(0, head_width // 2, 2, dtype=torch.float32, device=places.device)
    frequencies = 1.0 / _ROPE_BASE ** (quarter / (head_width // 2))
    angles = (places[:, :, None].float() * frequencies).flatten(1).repeat(1, 2)[:, None]
    return angles.cos(), angles.sin()


def _rotate(heads: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotates ``(patches, heads, head_width)`` in float32."""
    cosines, sines = rotation
    wide = heads.float()
    left, right = wide.chunk(2, dim=-1)
    turned = torch.cat((-right, left), dim=-1)
    return (wide * cosines + turned * sines).to(heads.dtype)


def _unit_places(grids: Sequence[tuple[int, int, int]]) -> tuple[IntArray, IntArray, IntArray]:
    """Frame pair (counted over the batch), row and column of each 2 x 2 unit, in patch order."""
    places, first = [], 0
    for pairs, rows, columns in grids:
        grid = np.indices((pairs, rows // MERGE_PATCHES, columns // MERGE_PATCHES)).reshape(3, -1)
        grid[0] += first
        first += pairs
        places.append(grid)
    frame, row, column = np.concatenate(places, axis=1)
    return frame, row, column


def _by_frame(frame: IntArray, frame_sizes: IntArray) -> IntArray:
    """Order of the patches that brings each frame together, frames of one size adjacent."""
    return np.lexsort((np.arange(len(frame)), frame, frame_sizes[frame]))


def _runs(sizes_in_units: IntArray) -> tuple[tuple[int, int], ...]:
    """How many groups of each size there are, smallest first; sizes in patches."""
    sizes, counts = np.unique(sizes_in_units, return_counts=True)
    return tuple((int(count), int(size) * _UNIT) for size, count in zip(sizes, counts, strict=True))
