"""The report on how far an answerer's confidence can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clamr_rag.answering import Message
from clamr_rag.answering.confidence import CALIBRATIONS
from clamr_rag.answering.fake import ScriptedModel
from clamr_rag.answering.prompts import NOT_IN_VIDEO
from clamr_rag.encoder import load_encoder
from clamr_rag.errors import ModelMissingError, UsageError
from eval.calibrate_abstention import (
    Asked,
    _named_encoder,
    ask_lecture,
    ask_world,
    calibration_error,
    fit,
    fit_lines,
    reliability,
    report_lines,
    world_clips,
)
from eval.planted_facts import Lecture, make_lecture
from eval.synthetic import World, make_questions, make_world


@pytest.fixture(scope="module")
def lecture() -> Lecture:
    return make_lecture(12, seed=5, facts_per_modality=3, num_absent=6)


class Reader:
    """A model that knows all facts and says one where the evidence has its words."""

    name = "reader"
    reads_pictures = True

    def __init__(self, lecture: Lecture) -> None:
        self._facts = [*(plant.fact for plant in lecture.planted), *lecture.absent]
        self.num_frames = 0

    def stream(self, message: Message) -> Iterator[str]:
        self.num_frames += len(message.frames)
        text = "".join(part for part in message.parts if isinstance(part, str))
        fact = next(fact for fact in self._facts if fact.question in text)
        number = 0
        for line in text.splitlines():
            if " clip [" in line:
                number = int(line.split("clip [")[1].split("]")[0])
            if fact.sentence in line or fact.heading in line:
                words = fact.sentence if fact.sentence in line else fact.heading
                yield f"{words} [{number}]"
                return
        yield NOT_IN_VIDEO


def test_an_answerer_that_reads_well_is_reported_so(lecture: Lecture) -> None:
    model = Reader(lecture)
    asked = ask_lecture(lecture, model=model)
    assert model.num_frames == 0, "there is no video to show pictures of"
    assert [each.is_planted for each in asked] == [True] * 9 + [False] * 6
    assert [each.is_given for each in asked] == [True] * 9 + [False] * 6
    assert all(each.is_right for each in asked[:9])
    lines = report_lines(asked, threshold=0.5)
    assert lines[0] == (
        "at threshold 0.5: answers 9/9 (100.0%) planted, 9/9 (100.0%) of these rightly; "
        "declines 6/6 (100.0%) absent"
    )
    assert calibration_error(reliability(asked)) < 0.1


def test_an_answerer_that_makes_things_up_is_found_out(lecture: Lecture) -> None:
    asked = ask_lecture(lecture, model=ScriptedModel("The yield of figs was 4711 tons [1]."))
    assert all(each.is_given and each.confidence == 0.0 for each in asked)
    assert not any(each.is_right for each in asked)
    assert report_lines(asked, threshold=0.5)[0].startswith("at threshold 0.5: answers 0/9")
    # With no threshold every one of these would have passed for an answer.
    assert "declines 0/6" in report_lines(asked, threshold=0.0)[0]


def test_an_answerer_that_always_declines_is_no_use(lecture: Lecture) -> None:
    asked = ask_lecture(lecture, model=ScriptedModel(NOT_IN_VIDEO))
    assert not any(each.is_given for each in asked)
    assert "answers 0/9 (0.0%) planted, 0/0 of these" in report_lines(asked, threshold=0.5)[0]


def test_the_extractive_answerer_tells_the_planted_from_the_absent(lecture: Lecture) -> None:
    asked = ask_lecture(lecture)
    planted = [each.confidence for each in asked if each.is_planted]
    absent = [each.confidence for each in asked if not each.is_planted]
    assert np.mean(planted) > 0.8
    assert np.mean(absent) < 0.3
    assert len(fit_lines(asked)) == 2


def test_mini_vl_is_calibrated_on_its_own_and_tells_them_apart(lecture: Lecture) -> None:
    asked = ask_lecture(lecture, encoder=load_encoder("mini-vl"))
    assert np.mean([each.confidence for each in asked if each.is_planted]) > 0.75
    assert np.mean([each.confidence for each in asked if not each.is_planted]) < 0.35
    present = fit_lines(asked, "mini-vl")[0]
    assert f"midpoint {CALIBRATIONS['mini-vl'].midpoint:.3f}" in present


def test_other_weights_are_those_of_mini_vl_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--weights for mini;"):
        _named_encoder("mini", tmp_path / "w.safetensors")
    with pytest.raises(ModelMissingError):
        _named_encoder("mini-vl", tmp_path / "w.safetensors")
    assert _named_encoder("mini-vl", None).name == "mini-vl"


# --- a world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(3, 0.1, "train")


def test_a_worlds_clips_hold_its_facts_and_nothing_more(world: World) -> None:
    for video in world.videos:
        clips = list(world_clips(video))
        assert len(clips) == len(video.clips)
        for clip, drawn in zip(clips, video.clips, strict=True):
            texts = "\n".join(
                [cue.text for cue in clip.cues]
                + [line.text for line in clip.ocr_lines]
                + [line.text for line in clip.metadata]
            )
            assert all(fact.told() in texts for fact in drawn.facts)
            assert not any(fact.told() in texts for fact in world.unseen)
            assert clip.span == drawn.span


def test_a_world_is_asked_what_one_text_tells_and_what_none_does(world: World) -> None:
    asked = ask_world(world, model=ScriptedModel(NOT_IN_VIDEO))
    kinds = [question.kind for question in make_questions(world)]
    assert sum(each.is_planted for each in asked) == kinds.count("fact") + kinds.count("rival")
    assert sum(not each.is_planted for each in asked) == kinds.count("absent")
    assert not any(each.is_given for each in asked)


# --- arithmetic


def test_bins_weigh_both_kinds_alike() -> None:
    asked = [
        *[Asked(True, 0.95, True, True)] * 3,
        Asked(True, 0.15, True, False),
        Asked(False, 0.95, True, False),
        Asked(False, 0.15, False, False),
    ]
    low, high = reliability(asked)
    assert (low.low, low.high, low.num_planted, low.num_absent) == (0.1, 0.2, 1, 1)
    assert (high.num_planted, high.num_absent) == (3, 1)
    # Planted questions weigh 1/8 each, absent ones 1/4.
    assert high.weight == pytest.approx(3 / 8 + 1 / 4)
    assert high.observed == pytest.approx((3 / 8) / (3 / 8 + 1 / 4))
    assert high.stated == pytest.approx(0.95)
    assert low.right == 0.0
    assert high.right == pytest.approx(high.observed)


def test_the_error_is_nil_for_true_words_and_one_for_the_contrary() -> None:
    true = [Asked(True, 1.0, True, True), Asked(False, 0.0, False, False)]
    assert calibration_error(reliability(true)) == 0.0
    assert calibration_error(reliability(true), of_right=True) == 0.0
    false = [Asked(True, 0.0, True, True), Asked(False, 1.0, True, False)]
    assert calibration_error(reliability(false)) == 1.0
    half = [Asked(True, 0.5, True, True), Asked(False, 0.5, True, False)]
    assert calibration_error(reliability(half)) == 0.0


def test_one_kind_of_question_alone_can_be_reported() -> None:
    only = [Asked(True, 1.0, True, True)]
    assert reliability(only)[0].weight == 1.0
    assert "0/0 absent" in report_lines(only, threshold=0.5)[0]


def test_a_fit_reads_its_scores_off_the_encoders_own_constants() -> None:
    """Scores that lie 0.1 about the midpoint of `mini-vl` are fitted back to that midpoint."""
    own = CALIBRATIONS["mini-vl"]
    scores = np.linspace(0.0, 0.1, 20)
    asked = [Asked(True, own.confidence(own.midpoint + score), True, True) for score in scores]
    asked += [Asked(False, own.confidence(own.midpoint - score), True, False) for score in scores]
    fitted = fit_lines(asked, "mini-vl")[1]
    found = float(fitted.split("midpoint ")[1].split(",")[0])
    assert found == pytest.approx(own.midpoint, abs=0.005)


def test_the_fit_parts_what_can_be_parted() -> None:
    random = np.random.default_rng(0)
    midpoint, slope = fit(random.normal(0.7, 0.05, 400), random.normal(0.4, 0.05, 400))
    assert midpoint == pytest.approx(0.55, abs=0.02)
    assert slope > 20
