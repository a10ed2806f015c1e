"""What many tests share: one tiny video and a library that has read it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_runs import Run

from clamr_rag.cli.app import run
from clamr_rag.cli.slide_video import Slide, slide_shots, write_slide_video
from clamr_rag.media.values import Chapter
from clamr_rag.types import Cue, TimeSpan


@dataclass(frozen=True)
class Talk:
    """A video with one fact said, one shown, one in its metadata, and its library."""

    video: Path
    library: Path


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Talk:
    from clamr_rag import VideoLibrary

    folder = tmp_path_factory.mktemp("talk")
    video, library = folder / "talk.mp4", folder / "library"
    write_talk(video)
    with VideoLibrary.open(library) as opened:
        opened.add(video)
    return Talk(video, library)


def write_talk(path: Path) -> None:
    """Two slides: revenue is shown on the first, churn is explained during the second."""
    slides = [
        Slide("Q3 results", ("Revenue: $4.2M (+18 %)", "New shops: 6")),
        Slide("Customers", ("41,000 subscribers",)),
    ]
    middle, end = 12.0, 24.0
    write_slide_video(
        path,
        slide_shots(slides, middle, size=(640, 360)),
        size=(640, 360),
        fps=5,
        subtitles=[
            Cue(1, 5, "Here you see how we did this summer."),
            Cue(middle + 1, end - 2, "Churn fell, mostly because of the new onboarding."),
        ],
        chapters=[
            Chapter("The numbers", TimeSpan(0, middle)),
            Chapter("The people", TimeSpan(middle, end)),
        ],
        tags={"title": "Northwind review", "comment": "Recorded in Lisbon"},
    )


@pytest.fixture
def run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Run]]:
    """Runs the command within this process, in an empty home: quicker than a process each."""
    for name in [name for name in os.environ if name.startswith("CLAMR_RAG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook

    def here(*arguments: str | Path) -> Run:
        capfd.readouterr()
        code = run([os.fspath(argument) for argument in arguments])
        told = capfd.readouterr()
        return Run(code, told.out, told.err)

    yield here
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook = hook
