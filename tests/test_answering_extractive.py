"""What the extractive answerer makes of encoders that spread their cosines differently."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clamr_rag import EncoderOptions
from clamr_rag.answering import Draft, Prompt
from clamr_rag.answering.confidence import (
    CALIBRATIONS,
    Calibration,
    calibration_notes,
    calibration_of,
)
from clamr_rag.answering.extractive import ExtractiveGenerator, _words_of_tokens
from clamr_rag.config import EMBEDDED_ENCODERS
from clamr_rag.encoder.mini import MiniEncoder, load_mini
from clamr_rag.types import Clip, Cue, MetadataLine, Modality, ScoredClip, TimeSpan, Video

VIDEO = Video("v", "/town hall.mp4", "Town hall", 120.0, 1000)
TALK = Clip(
    "v-00000",
    "v",
    0,
    TimeSpan(0, 20),
    (Cue(2, 6, "Churn fell, mostly because of the new onboarding."),),
    (),
    (MetadataLine("Author: Kirsten Oduya", "tags"),),
)


@lru_cache
def encoder(name: str) -> MiniEncoder:
    return load_mini(EncoderOptions(), name=name)


class Renamed:
    """An encoder of weights that nobody calibrated."""

    name = "my-finetune"

    def __init__(self, encoder: MiniEncoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)


def draft(encoder: Any, question: str, *clips: Clip) -> Draft:
    found = tuple(
        ScoredClip(rank, clip, VIDEO, 0.8, Modality.ASR, {Modality.ASR: 0.8})
        for rank, clip in enumerate(clips, start=1)
    )
    return ExtractiveGenerator(encoder).generate(Prompt(question, (), found))


# --- calibration


def test_every_encoder_that_comes_with_the_package_is_calibrated() -> None:
    assert set(CALIBRATIONS) == set(EMBEDDED_ENCODERS)
    assert all(calibration_notes(name) == () for name in EMBEDDED_ENCODERS)


@given(st.floats(-1, 1), st.floats(0.2, 0.8), st.floats(1, 20))
def test_a_score_can_be_read_back(score: float, midpoint: float, slope: float) -> None:
    calibration = Calibration(midpoint, slope)
    confidence = calibration.confidence(score)
    assert (confidence > 0.5) == (score > midpoint) or confidence == pytest.approx(0.5)
    # Beyond that a float's confidence is 0 or 1 to all its digits.
    if 1e-9 < confidence < 1 - 1e-9:
        assert calibration.score(confidence) == pytest.approx(score, abs=1e-5)


def test_certainty_has_a_score_too() -> None:
    own = CALIBRATIONS["mini"]
    assert own.score(0.0) < own.midpoint < own.score(1.0) < 10


def test_an_encoder_that_nobody_calibrated_is_read_as_mini_and_says_so() -> None:
    known, unknown = encoder("mini"), Renamed(encoder("mini"))
    question = "Why did churn fall?"
    assert calibration_of("my-finetune") == CALIBRATIONS["mini"]
    assert draft(unknown, question, TALK).confidence == draft(known, question, TALK).confidence
    assert draft(known, question, TALK).notes == ()
    [note] = draft(unknown, question, TALK).notes
    assert "not calibrated for the encoder my-finetune" in note
    assert draft(unknown, question).notes == (), "nothing quoted, nothing stated"


def test_each_encoder_has_its_own_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CALIBRATIONS, "mini-vl", Calibration(0.99, 50.0))
    assert draft(encoder("mini-vl"), "Why did churn fall?", TALK).confidence < 0.5
    assert draft(encoder("mini"), "Why did churn fall?", TALK).confidence > 0.5


# --- words that a question asks with


@pytest.mark.parametrize("name", EMBEDDED_ENCODERS)
@pytest.mark.parametrize("question", ["Why did churn fall?", "Who is the author?"])
def test_short_questions_of_many_stop_words_are_answered(name: str, question: str) -> None:
    assert draft(encoder(name), question, TALK).confidence > 0.9


@pytest.mark.parametrize("name", EMBEDDED_ENCODERS)
def test_what_is_not_told_is_declined(name: str) -> None:
    assert draft(encoder(name), "How many moons does Jupiter have?", TALK).confidence < 0.1


@pytest.mark.parametrize("name", EMBEDDED_ENCODERS)
def test_a_question_of_stop_words_alone_keeps_them(name: str) -> None:
    assert draft(encoder(name), "What is it?", TALK).quotes


def test_a_piece_that_looks_like_a_stop_word_is_none() -> None:
    tokens = ("Is", "Franc", "is", "the", "boss")
    words = _words_of_tokens("Is Francis the boss?", tokens)
    assert words == ["is", "francis", "francis", "the", "boss"]


def test_tokens_of_a_template_and_leading_spaces_do_no_harm() -> None:
    words = _words_of_tokens("Is it so?", ("<|im_start|>", "Is", " it", " so", "?"))
    assert words == ["", "is", "it", "so", ""]
