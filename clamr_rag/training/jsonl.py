r"""Our own form of training data: one JSON object a line, files named relative to it.

::

    {"query": "who founded the bakery", "modality": "asr", "video": "a.mp4",
     "start_seconds": 12, "stop_seconds": 30, "asr": "I founded it in 1990", "ocr": null}
    {"query": "a red kite", "modality": "video", "frames": ["k/1.jpg", "k/2.jpg"],
     "frame_seconds": [0.5, 1.5]}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from clamr_rag.errors import UsageError
from clamr_rag.training.data import MODALITY_WORDS, IntArray, TrainingPair
from clamr_rag.types import TimeSpan

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class ClipRow(BaseModel):
    """What a line says of a clip, with or without a query for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    video_id: Words | None = None
    """Where it is not given, each file and span is a video of its own."""
    video: Words | None = None
    start_seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    stop_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    frames: list[Words] = []
    frame_seconds: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = None
    ocr: str | None = None
    asr: str | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        span = (self.start_seconds, self.stop_seconds)
        if self.video and self.frames:
            raise ValueError("has both video and frames; allowed: one of them")
        if span != (None, None) and not self.video:
            raise ValueError("has a span without a video")
        if (span[0] is None) != (span[1] is None):
            raise ValueError("has half a span; allowed: start_seconds and stop_seconds")
        if span[0] is not None and span[1] is not None and not span[0] < span[1]:
            raise ValueError(
                f"has the span {span}, which ends before it starts; allowed: start before stop"
            )
        if self.frame_seconds is not None and len(self.frame_seconds) != len(self.frames):
            raise ValueError(
                f"has {len(self.frames)} frames and {len(self.frame_seconds)} frame_seconds"
            )
        if not (self.video or self.frames or self.ocr or self.asr or self.description):
            raise ValueError("has no video, no frames and no text")
        return self


class _Row(ClipRow):
    query: Words
    modality: Literal["video", "base", "ocr", "asr", "speech", "description", "audio"]


class JsonlPairs:
    """The rows of a JSONL file; blank lines are none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts, self._numbers = _line_starts(path)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, row: int) -> TrainingPair:
        """Reads a row; see `PairSource`."""
        place = f"{self._path} line {self._numbers[row]}"
        # Opened each time, so that threads do not share a position.
        with self._path.open("rb") as file:
            file.seek(int(self._starts[row]))
            line = file.readline()
        try:
            values = _Row.model_validate_json(line)
        except ValidationError as error:
            raise UsageError(f"{place}: {first_fault(error)}") from None
        return _pair(values, place, self._path.parent)


def first_fault(error: ValidationError) -> str:
    """What is wrong with the first wrong field, in a line."""
    fault = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in fault["loc"])
    told = fault["msg"].removeprefix("Value error, ")
    return f"{field}: {told}" if field else told


def _pair(row: _Row, place: str, folder: Path) -> TrainingPair:
    span = None
    if row.start_seconds is not None and row.stop_seconds is not None:
        span = TimeSpan(row.start_seconds, row.stop_seconds)
    # A clip of texts alone is told from others by the texts.
    own_id = f"{row.video} {span}" if row.video else repr(row.frames or _texts(row))
    return TrainingPair(
        place=place,
        queries=(row.query,),
        gold=MODALITY_WORDS[row.modality],
        video_id=row.video_id or own_id,
        frames=tuple(folder / name for name in row.frames),
        frame_seconds=None if row.frame_seconds is None else tuple(row.frame_seconds),
        video=folder / row.video if row.video else None,
        span=span,
        ocr=row.ocr,
        asr=row.asr,
        description=row.description,
    )


def _texts(row: _Row) -> tuple[str | None, ...]:
    return (row.ocr, row.asr, row.description)


def _line_starts(path: Path) -> tuple[IntArray, IntArray]:
    """Byte where each row begins, and its line number from 1."""
    starts, numbers, at = [], [], 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                starts.append(at)
                numbers.append(number)
            at += len(line)
    return np.array(starts, np.int64), np.array(numbers, np.int64)
