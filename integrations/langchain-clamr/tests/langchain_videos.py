"""Small real videos: slides with subtitles, chapters and tags inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clamr_rag.cli.slide_video import Slide, slide_shots, write_slide_video
from clamr_rag.media import Chapter
from clamr_rag.types import Cue, TimeSpan

SIZE = 640, 360
SECONDS_PER_SLIDE = 20.0
"""Two of them are longer than a clip may be: every slide is a clip."""


@dataclass(frozen=True)
class Lectures:
    """Two videos and their library."""

    talk: Path
    """Three slides; churn is explained during the second."""
    garden: Path
    """Two slides that say the same."""
    library: Path


def write_talk(path: Path) -> None:
    slides = [
        Slide("Q3 results", ("Revenue: $4.2M (+18 %)",)),
        Slide("Customers", ("41,000 subscribers",)),
        Slide("Outlook", ("Two new offices",)),
    ]
    said = [
        "Here you see how we did this summer.",
        "Churn fell, mostly because of the new onboarding.",
        "Next year we open offices in Porto and Graz.",
    ]
    _write(path, slides, said, title="Northwind review")


def write_garden(path: Path) -> None:
    slides = [Slide("Water", ("Every morning",)), Slide("Water", ("Every morning",))]
    said = ["Water the tomatoes every morning."] * 2
    _write(path, slides, said, title="Garden")


def _write(path: Path, slides: list[Slide], said: list[str], *, title: str) -> None:
    length = SECONDS_PER_SLIDE
    write_slide_video(
        path,
        slide_shots(slides, length, size=SIZE),
        size=SIZE,
        fps=5,
        subtitles=[Cue(n * length + 1, n * length + 9, text) for n, text in enumerate(said)],
        chapters=[
            Chapter(slide.title, TimeSpan(n * length, (n + 1) * length))
            for n, slide in enumerate(slides)
        ],
        tags={"title": title},
    )
