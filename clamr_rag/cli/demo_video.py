"""The video of ``clamr-rag demo``: a short company review, drawn and written by code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from clamr_rag.cli.slide_video import (
    Color,
    Shot,
    Slide,
    draw_slide,
    gradient,
    still_shot,
    write_slide_video,
)
from clamr_rag.media.values import Chapter
from clamr_rag.types import Cue, TimeSpan

_SIZE = (1280, 720)
_VAN_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class _Part:
    """A chapter with its picture and what is said meanwhile."""

    chapter: str
    seconds: float
    slide: Slide | None
    """None: the drawn delivery van."""
    sentences: tuple[str, ...]


PARTS = (
    _Part(
        "Welcome", 12.0,
        Slide("Northwind Coffee", ("Review of the third quarter",)),
        (
            "Good morning everybody, and welcome to our review.",
            "I will go through the numbers first and then tell you about our customers.",
            "Please keep your questions for the end.",
        ),
    ),
    _Part(
        "The numbers", 18.0,
        Slide("Q3 results", ("Revenue: $4.2M (+18 %)", "Gross margin: 41 %", "New shops: 6")),
        (
            "So here you see how we did between July and September.",
            "I am very pleased with the first line, as you can imagine.",
            "The margin is a little lower than I had hoped.",
            "We will come back to that in the spring.",
        ),
    ),
    _Part(
        "On the road", _VAN_SECONDS, None,
        (
            "This little film is from our delivery service.",
            "The vans now run on electricity, and they are much quieter in the morning.",
        ),
    ),
    _Part(
        "Our customers", 20.0,
        Slide("Customers", ("41,000 subscribers", "Net promoter score: 62")),
        (
            "Now to the people who buy our coffee.",
            "Churn fell to two percent, mostly because of the new onboarding.",
            "People used to cancel after the first parcel, since nobody told them how to grind.",
            "Today every new customer gets a phone call in the first week.",
        ),
    ),
    _Part(
        "Suppliers", 16.0,
        Slide("Where the beans come from", ("Huila, Colombia", "Sidama, Ethiopia")),
        (
            "We buy from two regions, and we have visited both of them this year.",
            "The harvest in the south was late because of the heavy rain.",
            "Prices should settle down by the end of the year.",
        ),
    ),
    _Part(
        "What comes next", 18.0,
        Slide("Next steps", ("Roastery opens in May", "Hiring: 12 people", "New app for iOS")),
        (
            "Let me finish with what we are planning.",
            "The building is nearly done, and the machines arrive in March.",
            "We are looking for roasters, drivers and two engineers.",
            "Thank you for listening, and now I am happy to take your questions.",
        ),
    ),
)  # fmt: skip

TAGS = {
    "title": "Northwind Coffee: review of the third quarter",
    "artist": "Dana Whitfield",
    "comment": "Recorded in Lisbon on 3 October",
}


def write_demo_video(path: Path) -> float:
    """Writes the video and returns its length in seconds."""
    return write_slide_video(
        path, _shots(), size=_SIZE, subtitles=cues(), chapters=chapters(), tags=TAGS
    )


def chapters() -> tuple[Chapter, ...]:
    """One chapter per part."""
    found, start = [], 0.0
    for part in PARTS:
        found.append(Chapter(part.chapter, TimeSpan(start, start + part.seconds)))
        start += part.seconds
    return tuple(found)


def cues() -> tuple[Cue, ...]:
    """The sentences of each part, spread over its time with a short pause between them."""
    found = []
    for part, chapter in zip(PARTS, chapters(), strict=True):
        share = part.seconds / len(part.sentences)
        for number, sentence in enumerate(part.sentences):
            start = chapter.span.start_seconds + number * share
            found.append(Cue(start + 0.2, start + share - 0.3, sentence))
    return tuple(found)


def _shots() -> list[Shot]:
    shots = []
    for number, part in enumerate(PARTS, start=1):
        if part.slide is None:
            shots.append(Shot(part.seconds, draw_van, draws_per_second=10))
        else:
            picture = draw_slide(part.slide, size=_SIZE, number=number)
            shots.append(still_shot(part.seconds, picture))
    return shots


def draw_van(seconds: float) -> Image.Image:
    """A van on a hilly road at sunrise, drawn at a second of the shot."""
    width, height = _SIZE
    picture = gradient(_SIZE, (255, 196, 140), (255, 240, 220))
    draw = ImageDraw.Draw(picture)
    sun = height * (0.62 - 0.3 * seconds / _VAN_SECONDS)
    draw.ellipse((width * 0.7, sun, width * 0.7 + 130, sun + 130), (255, 140, 80))
    _hills(draw, 0.62, 60, 4, seconds * 12, (150, 170, 140))
    _hills(draw, 0.74, 40, 6, seconds * 40, (104, 140, 108))
    draw.rectangle((0, height * 0.84, width, height), (70, 72, 80))
    for number in range(-1, 9):
        left = (number * 180 - seconds * 240) % (width + 180) - 180
        draw.rectangle((left, height * 0.915, left + 90, height * 0.925), (235, 235, 225))
    bounce = 3 * math.sin(seconds * 9)
    _van(draw, width * (0.12 + 0.045 * seconds), height * 0.62 + bounce, seconds)
    return picture


def _hills(
    draw: ImageDraw.ImageDraw, level: float, swing: float, waves: int, shift: float, color: Color
) -> None:
    width, height = _SIZE
    crest = [
        (x, height * level - swing * math.sin((x + shift) * waves * math.pi / width))
        for x in range(0, width + 20, 20)
    ]
    draw.polygon([(0, height), *crest, (width, height)], fill=color)


def _van(draw: ImageDraw.ImageDraw, left: float, top: float, seconds: float) -> None:
    draw.rounded_rectangle((left, top, left + 250, top + 150), 16, (38, 84, 124))
    draw.rounded_rectangle((left + 225, top + 45, left + 340, top + 150), 22, (38, 84, 124))
    draw.rounded_rectangle((left + 262, top + 60, left + 326, top + 102), 10, (200, 228, 240))
    draw.ellipse((left + 90, top + 40, left + 160, top + 110), (255, 246, 230))
    draw.arc((left + 108, top + 58, left + 142, top + 92), 200, 520, (120, 72, 40), 7)
    for center in (left + 70, left + 275):
        draw.ellipse((center - 32, top + 118, center + 32, top + 182), (40, 40, 46))
        draw.ellipse((center - 14, top + 136, center + 14, top + 164), (200, 200, 205))
        angle = seconds * 6
        tip = (center + 12 * math.cos(angle), top + 150 + 12 * math.sin(angle))
        draw.line(((center, top + 150), tip), (90, 90, 96), 4)
