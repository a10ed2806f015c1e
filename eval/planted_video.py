"""Renders a lecture of planted facts as a real video with a subtitles sidecar and chapters.

``python -m eval.planted_video OUT.mp4 --slides 80 --seed 7``: 80 slides of 45 s are one hour of
1280x720 H.264 at 25 frames a second.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pysubs2

from clamr_rag.cli.slide_video import Slide, slide_shots, write_slide_video
from clamr_rag.media import Chapter
from clamr_rag.types import TimeSpan
from eval.planted_facts import Lecture, PlantedFact, make_lecture

SECONDS_PER_SLIDE = 45.0
_PAUSE_SECONDS = 0.1


def slide_span(planted: PlantedFact) -> TimeSpan:
    """The time of the slide that a fact is planted in: a right answer cites a part of it."""
    start = planted.slide * SECONDS_PER_SLIDE
    return TimeSpan(start, start + SECONDS_PER_SLIDE)


def write_lecture(path: Path, lecture: Lecture) -> float:
    """Writes the video and its ``.srt``; returns the length in seconds."""
    slides = (Slide(title, tuple(lines)) for title, *lines in lecture.slides)
    _subtitles(lecture).save(str(path.with_suffix(".srt")))
    return write_slide_video(
        path,
        slide_shots(slides, SECONDS_PER_SLIDE),
        chapters=_chapters(lecture),
        tags={"title": "Autumn lecture series"},
    )


def _subtitles(lecture: Lecture) -> pysubs2.SSAFile:
    subtitles = pysubs2.SSAFile()
    for number, sentences in enumerate(lecture.speech):
        step = SECONDS_PER_SLIDE / len(sentences)
        for place, sentence in enumerate(sentences):
            start = number * SECONDS_PER_SLIDE + place * step
            stop = start + step - _PAUSE_SECONDS
            subtitles.append(
                pysubs2.SSAEvent(pysubs2.make_time(s=start), pysubs2.make_time(s=stop), sentence)
            )
    return subtitles


def _chapters(lecture: Lecture) -> list[Chapter]:
    starts = [number * SECONDS_PER_SLIDE for number, _ in lecture.chapters]
    stops = [*starts[1:], len(lecture.slides) * SECONDS_PER_SLIDE]
    return [
        Chapter(title, TimeSpan(start, stop))
        for (_, title), start, stop in zip(lecture.chapters, starts, stops, strict=True)
    ]


def main() -> None:
    """Writes one lecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--slides", type=int, default=80)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    started = time.monotonic()
    # A lecture of few slides has room for few facts.
    facts = min(10, arguments.slides // 3)
    lecture = make_lecture(arguments.slides, arguments.seed, facts_per_modality=facts)
    seconds = write_lecture(arguments.out, lecture)
    size = arguments.out.stat().st_size
    print(f"{arguments.out}: {seconds:.0f} s, {size / 1e6:.1f} MB, "
          f"written in {time.monotonic() - started:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
