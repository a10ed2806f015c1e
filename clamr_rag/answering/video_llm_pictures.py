"""Pictures as the vision towers of the Qwen family read them, without torchvision.

Each picture is an image of its own: a model that is sent a video works out its times from a frame
rate, which is false for frames that were picked here and there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clamr_rag.encoder.layouts import read_json
from clamr_rag.errors import UsageError
from clamr_rag.types import ByteArray, FloatArray

_PROCESSOR_FILE = "processor_config.json"
_OLD_PROCESSOR_FILE = "preprocessor_config.json"
_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class PictureRules:
    """How a checkpoint wants its pictures."""

    patch_pixels: int
    """Side of a patch."""
    merge_patches: int
    """The language model reads one token per square of so many patches a side."""
    repeats: int
    """Frames that a patch is deep; a picture stands in it as often."""
    min_pixels: int
    max_pixels: int
    mean: tuple[float, ...]
    """Of red, green and blue, in [0, 1]."""
    deviation: tuple[float, ...]

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in whole tokens, within the pixel limits and near the aspect ratio.

        The rule of transformers' processors, but a strip thinner than a token keeps one.
        """
        side = self.patch_pixels * self.merge_patches
        rows, columns = max(1, round(height / side)), max(1, round(width / side))
        if rows * columns * side**2 > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels) * side
            rows = max(1, math.floor(height / shrink))
            columns = max(1, math.floor(width / shrink))
        elif rows * columns * side**2 < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width)) / side
            rows, columns = math.ceil(height * grow), math.ceil(width * grow)
        most = max(1, self.max_pixels // side**2)
        rows, columns = min(rows, max(1, most // columns)), min(columns, max(1, most // rows))
        return rows * side, columns * side


@dataclass(frozen=True, slots=True, eq=False)
class PatchedPicture:
    """One picture, cut into patches."""

    values: FloatArray
    """Normalised, ``(rows * columns, 3 * repeats * patch_pixels**2)``, tokens contiguous."""
    grid: tuple[int, int, int]
    """1, patch rows, patch columns."""
    num_tokens: int
    """That the language model reads."""


def picture_rules(folder: Path, vision_config: Any, default: PictureRules) -> PictureRules:
    """The rules of a checkpoint.

    Args:
        folder: Of the checkpoint; its processor's file need not be there.
        vision_config: transformers' configuration of the vision tower, which has the last word.
        default: Of its family.

    Raises:
        UsageError: They cannot be used.
    """
    stored = _stored_rules(folder)
    size = stored.get("size") or {}
    try:
        rules = replace(
            default,
            patch_pixels=int(vision_config.patch_size),
            merge_patches=int(vision_config.spatial_merge_size),
            repeats=int(vision_config.temporal_patch_size),
            min_pixels=int(
                stored.get("min_pixels") or size.get("shortest_edge") or default.min_pixels
            ),
            max_pixels=int(
                stored.get("max_pixels") or size.get("longest_edge") or default.max_pixels
            ),
            mean=tuple(float(value) for value in stored.get("image_mean") or default.mean),
            deviation=tuple(float(value) for value in stored.get("image_std") or default.deviation),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"the picture settings in {folder} cannot be used: {error}",
            hint="fetch the checkpoint again",
        ) from error
    _check(rules, folder)
    return rules


def patch_picture(pixels: ByteArray, rules: PictureRules) -> PatchedPicture:
    """Resizes, normalises and cuts a picture.

    Args:
        pixels: RGB uint8 ``(height, width, 3)``.
        rules: Of the checkpoint.
    """
    height, width = rules.fit(*pixels.shape[:2])
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    mean, deviation = (np.array(row, np.float32) for row in (rules.mean, rules.deviation))
    normal: FloatArray = (resized / np.float32(255) - mean) / deviation
    side, merge = rules.patch_pixels, rules.merge_patches
    rows, columns = height // side, width // side
    # (token row, row in token, y, token column, column in token, x, channel)
    blocks = normal.reshape(rows // merge, merge, side, columns // merge, merge, side, _CHANNELS)
    patches = blocks.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, _CHANNELS, 1, side**2)
    values: FloatArray = patches.repeat(rules.repeats, axis=2).reshape(rows * columns, -1)
    return PatchedPicture(values, (1, rows, columns), rows * columns // merge**2)


def _stored_rules(folder: Path) -> dict[str, Any]:
    """What the checkpoint's processor was saved with, in the new layout or the old."""
    if (folder / _PROCESSOR_FILE).is_file():
        nested = read_json(folder / _PROCESSOR_FILE).get("image_processor")
        if isinstance(nested, dict):
            return nested
    path = folder / _OLD_PROCESSOR_FILE
    return read_json(path) if path.is_file() else {}


def _check(rules: PictureRules, folder: Path) -> None:
    numbers = (rules.patch_pixels, rules.merge_patches, rules.repeats, rules.min_pixels)
    is_color = len(rules.mean) == len(rules.deviation) == _CHANNELS and all(rules.deviation)
    if min(numbers) < 1 or rules.max_pixels < rules.min_pixels or not is_color:
        raise UsageError(
            f"the picture settings in {folder} cannot be used: {rules}",
            hint="fetch the checkpoint again",
        )
