"""Frames as Qwen's vision tower reads them: resized, paired in time, cut into patches.

What qwen-vl-utils and the transformers processor do, without torchvision. The patches stay uint8
until they are on the device; `pixel_values` normalises them there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from clamr_rag.types import ByteArray

if TYPE_CHECKING:
    import torch

PATCH_PIXELS = 14
MERGE_PATCHES = 2
FRAMES_PER_PATCH = 2
CHANNELS = 3
PATCH_VALUES = CHANNELS * FRAMES_PER_PATCH * PATCH_PIXELS**2
MIN_PIXELS = 4 * 28 * 28

# Mean and deviation of CLIP's training pictures: the same in every Qwen2.5-VL and Omni release.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True, eq=False)
class PatchedFrames:
    """The frames of one clip, cut into patches."""

    values: ByteArray
    """uint8 ``(grid_t * grid_h * grid_w, 1176)``: channel, frame of the pair, row, column."""
    grid: tuple[int, int, int]
    """Frame pairs, patch rows, patch columns."""

    @property
    def num_tokens(self) -> int:
        """Tokens the language model reads: one per 2 x 2 patches."""
        pairs, rows, columns = self.grid
        return pairs * rows * columns // MERGE_PATCHES**2


def smart_resize(
    height: int, width: int, *, max_pixels: int, min_pixels: int = MIN_PIXELS
) -> tuple[int, int]:
    """Height and width, multiples of 28, within the pixel limits and near the aspect ratio.

    The rule of qwen-vl-utils 0.0.11, except where that breaks the limit or gives no pixels at all:
    a thin strip keeps 28 pixels, and its length gives way.
    """
    factor = PATCH_PIXELS * MERGE_PATCHES
    new_height = max(factor, round(height / factor) * factor)
    new_width = max(factor, round(width / factor) * factor)
    if new_height * new_width > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        new_height = max(factor, math.floor(height / shrink / factor) * factor)
        new_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    if new_height > new_width:
        return min(new_height, max_pixels // new_width // factor * factor), new_width
    return new_height, min(new_width, max_pixels // new_height // factor * factor)


def pick_frames(num_frames: int, max_frames: int) -> list[int]:
    """Indices of at most ``max_frames`` frames, evenly spread, first and last among them."""
    if num_frames <= max_frames:
        return list(range(num_frames))
    return [round(i) for i in np.linspace(0, num_frames - 1, max_frames)]


def patch_frames(frames: Sequence[ByteArray], *, max_pixels: int) -> PatchedFrames:
    """Cuts a clip's frames into patches; an odd last frame is paired with itself.

    Args:
        frames: RGB uint8 ``(height, width, 3)``; all take the size of the first.
        max_pixels: Limit per frame after resizing.
    """
    height, width = smart_resize(*frames[0].shape[:2], max_pixels=max_pixels)
    resized = [_resize(frame, height, width) for frame in frames]
    if len(resized) % FRAMES_PER_PATCH:
        resized.append(resized[-1])
    pairs = len(resized) // FRAMES_PER_PATCH
    rows, columns = height // PATCH_PIXELS, width // PATCH_PIXELS
    # (pair, frame, block row, row in block, y, block column, column in block, x, channel)
    pixels = np.stack(resized).reshape(
        pairs,
        FRAMES_PER_PATCH,
        rows // MERGE_PATCHES,
        MERGE_PATCHES,
        PATCH_PIXELS,
        columns // MERGE_PATCHES,
        MERGE_PATCHES,
        PATCH_PIXELS,
        CHANNELS,
    )
    patches = pixels.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    values = np.ascontiguousarray(patches).reshape(pairs * rows * columns, PATCH_VALUES)
    return PatchedFrames(values=values, grid=(pairs, rows, columns))


def pixel_values(patches: torch.Tensor) -> torch.Tensor:
    """Normalised pixels ``(n, 1176)`` float32 of uint8 patches, on their device."""
    import torch

    repeats = PATCH_VALUES // CHANNELS
    # One multiply-add per pixel: (x / 255 - mean) / deviation == (x - 255 mean) / (255 deviation).
    mean = (torch.tensor(_MEAN) * 255).repeat_interleave(repeats).to(patches.device)
    deviation = (torch.tensor(_DEVIATION) * 255).repeat_interleave(repeats).to(patches.device)
    return patches.float().sub_(mean).div_(deviation)


def _resize(frame: ByteArray, height: int, width: int) -> ByteArray:
    """Bicubic, as Pillow does by default."""
    if frame.shape[:2] == (height, width):
        return frame
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
