"""Values refuse what they cannot mean."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from clamr_rag.types import (
    ClipInput,
    Cue,
    Frame,
    Modality,
    MultiVector,
    OcrLine,
    TimeSpan,
)


@pytest.mark.parametrize(
    ("start", "stop"), [(-1, 2), (3, 2), (0, math.inf), (math.nan, 1), (0, math.nan)]
)
def test_spans_that_are_none(start: float, stop: float) -> None:
    with pytest.raises(ValueError, match="a span needs"):
        TimeSpan(start, stop)


def test_spans_are_half_open() -> None:
    span = TimeSpan(2.0, 5.0)
    assert span.contains(2.0)
    assert not span.contains(5.0)
    assert span.duration_seconds == 3.0
    assert span.overlap_seconds(TimeSpan(4.0, 9.0)) == 1.0
    assert span.overlap_seconds(TimeSpan(5.0, 9.0)) == 0.0


def test_values_are_frozen() -> None:
    cue = Cue(0.0, 1.0, "hello")
    with pytest.raises(dataclasses.FrozenInstanceError):
        cue.text = "bye"  # type: ignore[misc]
    assert cue.span == TimeSpan(0.0, 1.0)


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)]
)
def test_frames_are_rgb_bytes(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a frame needs uint8"):
        Frame(0.0, pixels)


@pytest.mark.parametrize("box", [(0.5, 0, 0.2, 1), (0, 0, 1.2, 1), (-0.1, 0, 1, 1)])
def test_boxes_lie_in_the_picture(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="box"):
        OcrLine("text", 0, 1, box, 0.9)


def test_lines_end_after_they_begin() -> None:
    with pytest.raises(ValueError, match="first <= last"):
        OcrLine("text", 3, 2, (0, 0, 1, 1), 0.9)


def rows(n: int, dim: int = 4) -> np.ndarray:
    return np.ones((n, dim), np.float32)


def test_multi_vectors_have_one_modality_and_second_per_row() -> None:
    seconds = np.zeros(2, np.float32)
    modalities = np.zeros(2, np.uint8)
    assert len(MultiVector(rows(2), modalities, seconds)) == 2
    with pytest.raises(ValueError, match="uint8 modalities"):
        MultiVector(rows(3), modalities, seconds)
    with pytest.raises(ValueError, match="float32 seconds"):
        MultiVector(rows(2), modalities, seconds.astype(np.float64))
    with pytest.raises(ValueError, match="float32 "):
        MultiVector(rows(2).astype(np.float64), modalities, seconds)
    with pytest.raises(ValueError, match="token texts"):
        MultiVector(rows(2), modalities, seconds, ("one",))


def test_clip_inputs_have_one_second_per_frame() -> None:
    with pytest.raises(ValueError, match="one second per frame"):
        ClipInput(frames=(np.zeros((2, 2, 3), np.uint8),))


def test_blank_text_is_a_missing_modality() -> None:
    clip = ClipInput(ocr=" \n", asr="hello")
    assert clip.text(Modality.OCR) is None
    assert clip.text(Modality.DESCRIPTION) is None
    assert clip.text(Modality.ASR) == "hello"


def test_modality_numbers_are_those_of_the_released_recipe() -> None:
    assert [m.name for m in Modality] == ["OTHER", "VIDEO", "OCR", "ASR", "DESCRIPTION", "AUDIO"]
    assert [m.value for m in Modality] == [0, 1, 2, 3, 4, 5]
    assert len({m.label for m in Modality}) == 6
