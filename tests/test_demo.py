"""``clamr-rag demo`` as people run it, and the judge that decides whether it went well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli_runs import clamr
from cli_values import make_answer

from clamr_rag import VideoLibrary
from clamr_rag.cli.demo import LIBRARY_NAME, QUESTIONS, VIDEO_NAME, Question, is_right
from clamr_rag.media import probe


def test_the_demo_answers_from_speech_screen_and_metadata_and_declines(tmp_path: Path) -> None:
    told = clamr("demo", "--keep", tmp_path / "kept", home=tmp_path, timeout_seconds=300)
    assert told.code == 0, told.err
    assert told.errors == []
    for question in QUESTIONS:
        assert f'"{question.text}"' in told.out
    speech, screen, metadata = (line for line in told.out.splitlines() if "  [1] " in line)
    assert " speech " in speech
    assert "mostly because of the new onboarding" in speech
    assert " on screen " in screen
    assert "$4.2M" in screen
    assert " metadata " in metadata
    assert "Lisbon" in metadata
    assert "encoder mini · speech from subtitle track" in told.out

    info = probe(tmp_path / "kept" / VIDEO_NAME)
    assert 90 <= info.duration_seconds <= 120
    assert info.video is not None
    assert (info.video.codec, info.video.width, info.video.height) == ("h264", 1280, 720)
    assert len(info.chapters) >= 5
    with VideoLibrary.open(tmp_path / "kept" / LIBRARY_NAME, create=False) as library:
        assert [record.status for record in library.videos()] == ["indexed"]
    assert not (tmp_path / "data").exists(), "the user's own library is left alone"


@pytest.mark.parametrize(
    ("question", "right"),
    [
        (Question("?", "Q3 results", "on screen"), True),
        (Question("?", "Q3", "on screen"), True),
        (Question("?", "Q3 results", "speech"), False),
        (Question("?", "churn", "on screen"), False),
        (Question("?", None), False),
    ],
)
def test_an_answer_is_right_only_if_it_cites_the_evidence(question: Question, right: bool) -> None:
    answer = make_answer(texts=(None, "Q3 results"))
    assert is_right(question, answer) is right
    declined = replace(answer, abstained=True)
    assert is_right(question, declined) is (question.quote is None)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = clamr("demo", "--keep", tmp_path / "file", home=tmp_path)
    assert told.code == 2
    assert len(told.errors) == 1
