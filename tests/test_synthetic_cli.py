"""``python -m eval.synthetic``: makes, checks, and says in one line what it cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.synthetic import read_questions
from eval.synthetic.__main__ import main


def test_a_world_is_made_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "world"
    made = main(["make", "--hours", "0.0167", "--seed", "7", "--split", "dev", "--out", str(out)])
    assert made == 0
    said = capsys.readouterr().out
    assert "1 videos" in said
    assert f"{len(read_questions(out))} questions" in said
    assert main(["check", str(out)]) == 0
    said = capsys.readouterr().out
    assert "near-duplicates that BM25 over all texts tells apart" in said
    assert "WRONG" not in said


def test_a_spoiled_world_fails_its_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["make", "--hours", "0.0167", "--out", str(tmp_path / "w")])
    path = tmp_path / "w" / "questions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    assert main(["check", str(tmp_path / "w")]) == 1
    assert "WRONG: questions.jsonl differs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["make", "--hours", "0", "--out", "w"], "got 0.0 hours"),
        (["make", "--hours", "nan", "--out", "w"], "got nan hours"),
        (["make", "--split", "all", "--out", "w"], "allowed: train, dev, test"),
        (["make", "--seed", "-3", "--out", "w"], "got seed -3"),
        (["make", "--video-minutes", "0", "--out", "w"], "videos of 0.0 minutes"),
        (["check", "nowhere"], "no world.json in 'nowhere'"),
    ],
)
def test_bad_input_is_one_clear_line(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["make", "--hours", "many", "--out", "w"], "invalid float value: 'many'"),
        (["make"], "--out"),
        (["paint"], "invalid choice: 'paint'"),
        ([], "command"),
    ],
)
def test_wrong_use_is_one_line_too(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(words)
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_place_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["make", "--hours", "0.02", "--out", str(tmp_path / "file" / "w")]) == 1
    error = capsys.readouterr().err
    assert "Not a directory" in error
    assert error.count("\n") == 1
