"""Training data for tests: a few pairs with pictures drawn at random."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MODALITIES = ("video", "ocr", "asr", "description")


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes rows, one a line."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def draw(path: Path, seed: int, size: tuple[int, int] = (84, 56)) -> Path:
    """Saves a picture of random pixels, width and height given."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def pair_rows(folder: Path, count: int = 8) -> list[dict[str, Any]]:
    """Rows whose modalities are missing here and there, and their pictures in the folder."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        frames = [
            draw(folder / f"{number}-{k}.png", 10 * number + k).name for k in range(number % 3)
        ]
        rows.append(
            {
                "query": f"the river {number} of company {7 * number}",
                "modality": MODALITIES[number % 4],
                "video_id": f"v{number}",
                "frames": frames,
                "ocr": None if number % 4 == 0 else f"banks {3 * number}",
                "asr": None if number % 3 == 0 else f"bread {number} and altitude",
                "description": f"interview {number}",
            }
        )
    return rows


def write_pairs(folder: Path, count: int = 8) -> Path:
    """Writes a JSONL file of such rows."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_jsonl(folder / "pairs.jsonl", pair_rows(folder, count))
