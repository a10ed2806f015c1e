"""Pairs of a query and the clip it is about, read row by row, in an order that a seed decides.

Only the places of the rows are in memory. A row can be read on its own, so that shuffling, sharing
between processes and going on after a stop are all arithmetic on row numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clamr_rag.errors import UsageError
from clamr_rag.types import Modality, TimeSpan

IntArray = npt.NDArray[np.int64]

MODALITY_WORDS = {
    "video": Modality.VIDEO,
    "base": Modality.VIDEO,
    "ocr": Modality.OCR,
    "asr": Modality.ASR,
    "speech": Modality.ASR,
    "description": Modality.DESCRIPTION,
    "audio": Modality.AUDIO,
}
"""What a row may call the modality of its query; the released data says both speech and asr."""


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """A query and the clip it is about, not yet decoded."""

    place: str
    """File and row, for messages."""
    queries: tuple[str, ...]
    """One or more wordings; one is drawn each time."""
    gold: Modality
    """What the query was written from."""
    video_id: str
    """Pairs of one id are no negatives of each other."""
    frames: tuple[Path, ...] = ()
    """Picture files in time order."""
    frame_seconds: tuple[float, ...] | None = None
    """True time of each picture; None where it is not known."""
    video: Path | None = None
    """Video file, instead of pictures."""
    span: TimeSpan | None = None
    """The clip's time in the video; None for the whole."""
    ocr: str | None = None
    asr: str | None = None
    description: str | None = None


class PairSource(Protocol):
    """Rows that can be read in any order, from several threads."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> TrainingPair:
        """Reads a row.

        Raises:
            UsageError: It is not as it should be; names file and row.
        """
        ...


def open_pairs(
    path: Path, *, split: str, frames_dir: Path | None = None, video_dir: Path | None = None
) -> PairSource:
    """Opens a JSONL file or a DatasetDict that ``datasets`` saved to disk.

    Args:
        path: The file, or the folder of the DatasetDict or of one of its splits.
        split: Of a DatasetDict.
        frames_dir: Where a DatasetDict's images are.
        video_dir: Where its videos are; they are read in place of the images.

    Raises:
        UsageError: There is no such thing, or it has no rows.
    """
    pairs: PairSource
    if path.is_dir():
        from clamr_rag.training.released import ReleasedPairs

        pairs = ReleasedPairs(path, split=split, frames_dir=frames_dir, video_dir=video_dir)
    elif path.is_file():
        from clamr_rag.training.jsonl import JsonlPairs

        if frames_dir or video_dir:
            raise UsageError(
                f"got frames_dir or video_dir for {path}",
                allowed="a DatasetDict; a JSONL file names its files itself",
            )
        pairs = JsonlPairs(path)
    else:
        raise UsageError(f"{path} is not there", allowed="a JSONL file or a DatasetDict's folder")
    if not len(pairs):
        raise UsageError(f"{path} has no rows")
    return pairs


def num_steps_per_epoch(num_pairs: int, batch_pairs: int) -> int:
    """Full batches in the pairs; the rest of an epoch waits for the next order.

    Raises:
        UsageError: There is not even one.
    """
    if num_pairs < batch_pairs:
        raise UsageError(
            f"got {num_pairs} pairs for batches of {batch_pairs}", hint="lower --batch-pairs"
        )
    return num_pairs // batch_pairs


def rows_of_step(step: int, *, num_pairs: int, batch_pairs: int, seed: int) -> IntArray:
    """Rows of the pairs of a step (counted from 0), over all processes ``(batch_pairs,)``."""
    epoch, place = divmod(step, num_steps_per_epoch(num_pairs, batch_pairs))
    return _order(num_pairs, seed, epoch)[place * batch_pairs : (place + 1) * batch_pairs]


@lru_cache(maxsize=2)
def _order(num_pairs: int, seed: int, epoch: int) -> IntArray:
    # Two are kept: batches are read ahead into the next epoch.
    return np.random.default_rng((seed, epoch)).permutation(num_pairs)
