"""A small real video for tests of the whole pipeline: four slides of ten seconds, with speech."""

from __future__ import annotations

from pathlib import Path

from clamr_rag.cli.slide_video import Slide, slide_shots, write_slide_video
from clamr_rag.media import Chapter
from clamr_rag.types import TimeSpan

SLIDES = (
    Slide("Welcome", ("Annual meeting of the bee keepers",)),
    Slide("Honey harvest", ("Yield: 4200 jars", "Best meadow: Lindenhof")),
    Slide("Costs", ("Sugar 900 euros", "Glass 1300 euros")),
    Slide("Outlook", ("Two new hives in Dornbach",)),
)
SPEECH = (
    "Good evening everybody, and thank you for coming.",
    "The dry summer was good for the lime trees.",
    "Glass became expensive after the factory in Zwiesel closed.",
    "In spring we will start a course for children.",
)
SECONDS_PER_SLIDE = 10.0


def write_meeting(folder: Path, name: str = "meeting", *, subtitles: bool = True) -> Path:
    """Writes ``meeting.mp4`` (40 s, 640x360, 10 frames a second) and its ``.srt``."""
    path = folder / f"{name}.mp4"
    write_slide_video(
        path,
        slide_shots(SLIDES, SECONDS_PER_SLIDE, size=(640, 360)),
        size=(640, 360),
        fps=10,
        chapters=(
            Chapter("Opening by Theodora", TimeSpan(0, 20)),
            Chapter("Treasurer", TimeSpan(20, 40)),
        ),
        tags={"title": "Bee keepers 2026"},
    )
    if subtitles:
        path.with_suffix(".srt").write_text(srt(SPEECH), encoding="utf-8")
    return path


def srt(sentences: tuple[str, ...]) -> str:
    """One cue per slide, in its middle."""
    cues = []
    for number, text in enumerate(sentences):
        start = number * int(SECONDS_PER_SLIDE) + 2
        times = f"00:00:{start:02d},000 --> 00:00:{start + 6:02d},000"
        cues.append(f"{number + 1}\n{times}\n{text}\n")
    return "\n".join(cues)
