"""The main job on a real video of nine minutes: planted facts are found, absent ones declined."""

from __future__ import annotations

from pathlib import Path

import pytest

from clamr_rag import VideoLibrary
from clamr_rag.types import Modality
from eval.planted_facts import FACTS, make_lecture
from eval.planted_video import SECONDS_PER_SLIDE, slide_span, write_lecture
from eval.run_planted import ask_all

LECTURE = make_lecture(12, seed=5, facts_per_modality=4)


def test_lectures_are_drawn_by_seed() -> None:
    assert make_lecture(12, seed=5, facts_per_modality=4) == LECTURE
    assert make_lecture(12, seed=6, facts_per_modality=4) != LECTURE


def test_a_fact_stands_in_its_modality_alone() -> None:
    said = " ".join(sentence for slide in LECTURE.speech for sentence in slide)
    shown = " ".join(line for slide in LECTURE.slides for line in slide)
    told = " ".join(title for _, title in LECTURE.chapters)
    for planted in LECTURE.planted:
        heading, sentence = planted.fact.heading, planted.fact.sentence
        assert (sentence in said) == (planted.modality == Modality.ASR)
        assert (heading in shown) == (planted.modality == Modality.OCR)
        assert (heading in told) == (planted.modality == Modality.DESCRIPTION)
    for fact in LECTURE.absent:
        assert fact.sentence not in said
        assert fact.heading not in shown + told


def test_the_bank_asks_each_question_once() -> None:
    assert len({fact.question for fact in FACTS}) == len(FACTS) >= 40


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lecture")
    assert write_lecture(folder / "lecture.mp4", LECTURE) == 12 * SECONDS_PER_SLIDE
    with VideoLibrary.open(folder / "library") as library:
        report = library.add(folder / "lecture.mp4")
    assert (report.speech_source, report.screen_source) == ("lecture.srt", "rapidocr")
    return folder / "library"


def test_facts_are_found_and_cited_and_absent_ones_declined(library_folder: Path) -> None:
    with VideoLibrary.open(library_folder) as library:
        outcome = ask_all(library, LECTURE)
    assert outcome.ranked_first.total() >= 11, outcome.lines
    assert outcome.cited.total() >= 11, outcome.lines
    assert outcome.num_declined >= 8, outcome.lines


def test_multiple_choice_picks_the_planted_answer(library_folder: Path) -> None:
    right = 0
    with VideoLibrary.open(library_folder) as library:
        for number, planted in enumerate(LECTURE.planted):
            others = [FACTS[(number * 7 + i) % len(FACTS)] for i in range(1, 4)]
            texts = [fact.heading for fact in others if fact != planted.fact]
            texts.insert(number % 3, planted.fact.heading)
            answer = library.ask(planted.fact.question, choices=texts)
            right += answer.choice == "ABCD"[number % 3]
            for citation in answer.citations:
                assert citation.span.overlap_seconds(slide_span(planted)) > 0
    assert right >= 10


def test_blank_pictures_take_the_screen_facts_away(library_folder: Path, tmp_path: Path) -> None:
    """The control: without the slides' words the on-screen facts cannot be found."""
    from clamr_rag import Options

    options = Options.model_validate({"ocr": {"ocr": "none"}})
    with VideoLibrary.open(tmp_path, options=options) as library:
        library.add(library_folder.parent / "lecture.mp4")
        outcome = ask_all(library, LECTURE)
    assert outcome.cited[Modality.OCR] <= 1, outcome.lines
    assert outcome.cited[Modality.ASR] >= 3, outcome.lines
