"""From a question to clips: marks, attribution and the texts that evidence shows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from clamr_rag import EncoderOptions
from clamr_rag.config import SearchOptions
from clamr_rag.encoder.inputs import clip_input, text_at
from clamr_rag.encoder.mini import load_mini
from clamr_rag.index import open_index
from clamr_rag.index.store import Store
from clamr_rag.retriever import Retriever
from clamr_rag.types import (
    Clip,
    Cue,
    Frame,
    MetadataLine,
    Modality,
    OcrLine,
    TimeSpan,
    Video,
    Word,
)


def line(text: str, first: float, last: float) -> OcrLine:
    return OcrLine(text, first, last, (0, 0, 1, 1), 0.9)


CLIP = Clip(
    "v-00001",
    "v",
    1,
    TimeSpan(20, 40),
    cues=(
        Cue(21, 24, "churn fell", (Word(21.5, 22, " churn"), Word(22.5, 23, " fell"))),
        Cue(25, 28, "we hired Ada"),
    ),
    ocr_lines=(line("Agenda", 5, 30), line("Revenue $4.2M", 26, 38), line("Costs", 26, 38)),
    metadata=(
        MetadataLine("Title: All-hands", "tags"),
        MetadataLine("Chapter: Numbers", "chapters", TimeSpan(22, 60)),
    ),
)


def marked(clip: Clip, modality: Modality) -> list[tuple[str, float]]:
    read = clip_input(clip)
    text = read.text(modality)
    assert text is not None
    marks = read.text_marks[modality]
    stops = [offset for offset, _ in marks[1:]] + [len(text) + 1]
    return [
        (text[offset : stop - 1], seconds)
        for (offset, seconds), stop in zip(marks, stops, strict=True)
    ]


def test_every_piece_of_text_is_dated() -> None:
    assert marked(CLIP, Modality.ASR) == [
        ("churn", 21.5), ("fell", 22.5), ("we hired Ada", 25),
    ]  # fmt: skip
    assert marked(CLIP, Modality.OCR) == [
        ("Agenda", 20), ("Revenue $4.2M", 26), ("Costs", 26),
    ]  # fmt: skip
    (title, no_second), chapter = marked(CLIP, Modality.DESCRIPTION)
    assert title == "Title: All-hands"
    assert math.isnan(no_second)
    assert chapter == ("Chapter: Numbers", 22)


def test_frames_go_with_their_true_seconds() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    read = clip_input(CLIP, [Frame(21.04, pixels), Frame(30.0, pixels)])
    assert read.frame_seconds == (21.04, 30.0)
    assert len(read.frames) == 2


def test_a_clip_without_texts_has_no_modalities() -> None:
    read = clip_input(Clip("v-00000", "v", 0, TimeSpan(0, 10)))
    assert (read.ocr, read.asr, read.description) == (None, None, None)


@pytest.mark.parametrize(
    ("modality", "seconds", "token", "text"),
    [
        (Modality.ASR, 25.0, "Ada", "we hired Ada"),
        (Modality.OCR, 26.0, "revenue", "Revenue $4.2M"),
        (Modality.OCR, 26.0, "zebra", "Revenue $4.2M"),
        (Modality.OCR, float(np.float32(25.999)), "revenue", "Revenue $4.2M"),
        (Modality.DESCRIPTION, None, "title", "Title: All-hands"),
        (Modality.DESCRIPTION, 22.0, "numbers", "Chapter: Numbers"),
        (Modality.VIDEO, 25.0, "zebra", None),
        (Modality.ASR, 39.0, "Ada", None),
    ],
)
def test_evidence_text(
    modality: Modality, seconds: float | None, token: str, text: str | None
) -> None:
    assert text_at(CLIP, modality, seconds, token) == text


def test_retrieves_with_attribution(tmp_path: Path) -> None:
    encoder = load_mini(EncoderOptions())
    other = Clip("v-00000", "v", 0, TimeSpan(0, 20), cues=(Cue(1, 3, "welcome to the meeting"),))
    with Store.open(tmp_path) as store:
        store.claim_encoder(encoder.name, encoder.fingerprint)
        store.begin_video(Video("v", "/v.mp4", "v", 40.0, 1), "options")
        store.plan_clips("v", [other, CLIP])
        vectors = encoder.encode_clips([clip_input(other), clip_input(CLIP)])
        store.put_vectors("v", [("v-00000", vectors[0]), ("v-00001", vectors[1])])
        store.finish_video("v")
        retriever = Retriever(encoder, open_index(store, SearchOptions()), store)
        best, second = retriever.retrieve("Whom did they hire?", top_k=2)
        assert retriever.retrieve("Whom did they hire?", top_k=1, video_ids=["no such"]) == []
    assert (best.rank, best.clip, best.best_modality) == (1, CLIP, Modality.ASR)
    assert best.score > second.score
    assert best.video.path == "/v.mp4"
    [evidence] = best.evidence
    assert (evidence.query_token, evidence.text, evidence.seconds) == ("hire", "we hired Ada", 25)
    assert set(best.modality_scores) == {Modality.ASR, Modality.OCR, Modality.DESCRIPTION}
    assert best.score == pytest.approx(max(best.modality_scores.values()), abs=1e-6)
