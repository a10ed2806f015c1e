"""The eyes of `mini`: four frames of a clip become 56 tokens of its trunk.

A small convolutional network reads each frame at 224 by 128 pixels on its own; two layers of full
attention over the patches of all frames tell what moves; a pair of frames then gives one token per
patch (as the temporal patches of Qwen2.5-VL do).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from clamr_rag.types import ByteArray

NUM_FRAMES, HEIGHT, WIDTH = 4, 128, 224
FRAMES_PER_TOKEN = 2
PATCH_WIDTH, FEATURES = 256, 128
GRID = (HEIGHT // 32, WIDTH // 32)
NUM_TOKENS = NUM_FRAMES // FRAMES_PER_TOKEN * GRID[0] * GRID[1]
_CHANNELS = (32, 64, FEATURES, 256)
_HEADS, _INNER, _LAYERS = 4, 768, 2
_MIDDLE, _SPREAD = 127.5, 64.0


class _Stage(nn.Module):
    """Halves a feature map and refines it: convolutions of 3 by 3, the later ones residual."""

    def __init__(self, channels_in: int, channels: int, refinements: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(channels_in, channels, 3, 2, 1)
        self.norm = nn.GroupNorm(1, channels)
        self.refine = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(refinements)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, channels) for _ in range(refinements))

    def forward(self, features: Tensor) -> Tensor:
        features = torch.relu(self.norm(self.halve(features)))
        for refine, norm in zip(self.refine, self.norms, strict=True):
            features = features + torch.relu(norm(refine(features)))
        return features


class VisionStem(nn.Module):
    """Frames to tokens as wide as the trunk; see the module's docstring."""

    def __init__(self, trunk_width: int) -> None:
        super().__init__()
        first, second, third, last = _CHANNELS
        self.patch = nn.Conv2d(3, first, 4, 4)
        self.patch_norm = nn.GroupNorm(1, first)
        self.fine = nn.Sequential(_Stage(first, second, 1), _Stage(second, third, 2))
        self.coarse = _Stage(third, last, 2)
        self.widen = nn.Linear(last, PATCH_WIDTH)
        self.places = nn.Parameter(torch.empty(1, 1, GRID[0] * GRID[1], PATCH_WIDTH))
        self.times = nn.Parameter(torch.empty(1, NUM_FRAMES, 1, PATCH_WIDTH))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                PATCH_WIDTH, _HEADS, _INNER, dropout=0.0, activation="gelu",
                batch_first=True, norm_first=True,
            )
            for _ in range(_LAYERS)
        )  # fmt: skip
        self.pair_norm = nn.LayerNorm(FRAMES_PER_TOKEN * PATCH_WIDTH)
        self.out = nn.Linear(FRAMES_PER_TOKEN * PATCH_WIDTH, trunk_width)

    def features(self, frames: Tensor) -> Tensor:
        """What each place of each frame looks like.

        Args:
            frames: uint8 ``(clips, frames, HEIGHT, WIDTH, 3)``.

        Returns:
            ``(clips * frames, 128, HEIGHT / 16, WIDTH / 16)``.
        """
        pixels = frames.flatten(0, 1).permute(0, 3, 1, 2).to(self.patch.weight.dtype)
        # Channels last, as the pixels lie: convolutions on CPUs are faster so.
        pixels = (pixels - _MIDDLE) / _SPREAD
        fine: Tensor = self.fine(torch.relu(self.patch_norm(self.patch(pixels))))
        return fine

    def patches(self, features: Tensor, num_clips: int) -> Tensor:
        """Patches of 32 pixels that know of all frames of their clip.

        Args:
            features: Of `features`, for up to four frames of each clip.
            num_clips: How many clips they are of.

        Returns:
            ``(num_clips, frames * 28, 256)``, frame by frame and row by row.
        """
        coarse = self.coarse(features).flatten(2).transpose(1, 2)
        patches = self.widen(coarse).view(num_clips, -1, GRID[0] * GRID[1], PATCH_WIDTH)
        patches = (patches + self.places + self.times[:, : patches.shape[1]]).flatten(1, 2)
        for layer in self.layers:
            patches = layer(patches)
        read: Tensor = patches
        return read

    def tokens(self, patches: Tensor) -> Tensor:
        """Joins the patches of each pair of frames: ``(clips, 112, 256)`` to `forward`'s."""
        pairs = patches.view(len(patches), -1, FRAMES_PER_TOKEN, GRID[0] * GRID[1], PATCH_WIDTH)
        pairs = pairs.transpose(2, 3).flatten(3).flatten(1, 2)
        out: Tensor = self.out(self.pair_norm(pairs))
        return out

    def forward(self, frames: Tensor) -> Tensor:
        """Frames ``(clips, 4, HEIGHT, WIDTH, 3)`` to tokens ``(clips, 56, trunk_width)``.

        A clip's tokens are ordered by pair of frames, then row by row.
        """
        return self.tokens(self.patches(self.features(frames), len(frames)))

    @torch.no_grad()
    def draw_weights(self) -> None:
        """Draws the weights that training starts from."""
        for parameter in (self.places, self.times):
            nn.init.normal_(parameter, std=0.02)


def four_of(count: int) -> list[int]:
    """Which of so many frames a clip is seen by: the middles of four equal parts."""
    return [int((part + 0.5) * count / NUM_FRAMES) for part in range(NUM_FRAMES)]


def fitted(frames: Sequence[ByteArray]) -> ByteArray:
    """Four of the frames, each as large as fits, in the middle of black.

    Args:
        frames: RGB uint8 ``(height, width, 3)``, one or more of any size.

    Returns:
        uint8 ``(4, HEIGHT, WIDTH, 3)``.
    """
    out = np.zeros((NUM_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    chosen = four_of(len(frames))
    for number, index in enumerate(chosen):
        if number and index == chosen[number - 1]:
            out[number] = out[number - 1]
            continue
        height, width = frames[index].shape[:2]
        scale = min(HEIGHT / height, WIDTH / width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        top, left = (HEIGHT - size[1]) // 2, (WIDTH - size[0]) // 2
        place = np.s_[number, top : top + size[1], left : left + size[0]]
        out[place] = frames[index] if size == (width, height) else _resized(frames[index], size)
    return out


def _resized(frame: ByteArray, size: tuple[int, int]) -> ByteArray:
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))


def token_seconds(seconds: Sequence[float]) -> list[float]:
    """Second of each of a clip's tokens: that of the first frame of its pair."""
    four = [seconds[index] for index in four_of(len(seconds))]
    return [second for second in four[::FRAMES_PER_TOKEN] for _ in range(GRID[0] * GRID[1])]
