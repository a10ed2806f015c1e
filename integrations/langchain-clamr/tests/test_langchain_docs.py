"""The README and the example do what they say; the wheel has what they need."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_videos import Lectures

import langchain_clamr

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "ask_video.py"


def python_blocks() -> list[str]:
    return [part.partition("```")[0] for part in README.split("```python\n")[1:]]


@pytest.fixture
def at_home(lectures: Lectures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(lectures.talk, tmp_path / "lecture.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_s_examples_run_in_order(
    at_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, object] = {}
    blocks = python_blocks()
    assert len(blocks) >= 5
    for number, block in enumerate(blocks):
        exec(compile(block, f"README.md, example {number + 1}", "exec"), names)
    said = capsys.readouterr().out
    assert "speech: (00:21) Churn fell, mostly because of the new onboarding." in said
    assert "Because of the new onboarding (00:00:21)." in said
    assert said.splitlines()[-1].startswith("Churn fell because of the new onboarding [1].")


def test_the_readme_names_every_option_and_export() -> None:
    for name in langchain_clamr.ClamrRetriever.model_fields:
        if name not in BaseRetriever.model_fields:
            assert f"`{name}`" in README, name
    for name in langchain_clamr.__all__:
        assert name in README or name.startswith("__"), name


def test_the_example_answers(at_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLE))
    model = FakeListChatModel(responses=["The new onboarding."])
    example["ask"](at_home / "lecture.mp4", at_home / "library", "Why did churn fall?", model)
    *clips, answer = capsys.readouterr().out.splitlines()
    assert len(clips) == 3
    assert clips[0].startswith("00:00:20.0-00:00:40.0")
    assert answer == "The new onboarding."


def test_the_example_as_a_command(at_home: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run().returncode == 2
    missing = run("nowhere.mp4", "Why?")
    assert missing.returncode == 4
    assert missing.stderr.startswith("error: ")
    assert len(missing.stderr.splitlines()) == 1
    done = run("lecture.mp4", "Why did churn fall?")
    assert done.returncode == 0, done.stderr
    assert "put your own into chat_model" in done.stdout


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == langchain_clamr.__version__
