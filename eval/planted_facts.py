"""A bank of made-up facts and the filler talk they are planted in (all self-written).

A lecture plants some facts, each in exactly one modality, and leaves the others out: their
questions are about things that are not in the video.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from clamr_rag.types import Modality

MODALITIES = (Modality.ASR, Modality.OCR, Modality.DESCRIPTION)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact in the wording of a sentence and of a heading, with a question about it."""

    sentence: str
    """As it is spoken."""
    heading: str
    """As it stands on a slide or in a chapter title."""
    question: str
    answer: str
    """A string that a right answer contains."""


@dataclass(frozen=True, slots=True)
class PlantedFact:
    """A fact with its place."""

    fact: Fact
    modality: Modality
    slide: int
    """Number of the slide that shows it, during which it is said, or whose chapter names it."""


@dataclass(frozen=True, slots=True)
class Lecture:
    """Texts of a lecture: slides, speech per slide, chapters, and what was planted."""

    slides: tuple[tuple[str, ...], ...]
    """Title and lines of each slide."""
    speech: tuple[tuple[str, ...], ...]
    """Sentences said during each slide."""
    chapters: tuple[tuple[int, str], ...]
    """(first slide, title) in order."""
    planted: tuple[PlantedFact, ...]
    absent: tuple[Fact, ...]
    """Facts whose questions have no answer in the lecture."""


def make_lecture(
    num_slides: int, seed: int, *, facts_per_modality: int = 10, num_absent: int = 10
) -> Lecture:
    """Draws a lecture; the same arguments give the same one.

    Args:
        num_slides: At least one per planted fact.
        seed: Of the random choices.
        facts_per_modality: Facts planted in each of speech, screen and chapters.
        num_absent: Questions about facts that are not planted.
    """
    rng = random.Random(seed)
    facts = rng.sample(FACTS, k=3 * facts_per_modality + num_absent)
    places = rng.sample(range(num_slides), k=3 * facts_per_modality)
    planted = tuple(
        PlantedFact(fact, MODALITIES[i % 3], place)
        for i, (fact, place) in enumerate(zip(facts, places, strict=False))
    )
    slides = [_filler_slide(rng, number) for number in range(num_slides)]
    speech = [_filler_speech(rng) for _ in range(num_slides)]
    chapters = {number: f"Part {number // 4 + 1}" for number in range(0, num_slides, 4)}
    for plant in planted:
        if plant.modality == Modality.OCR:
            slides[plant.slide].insert(rng.randrange(1, 4), plant.fact.heading)
        elif plant.modality == Modality.ASR:
            speech[plant.slide].insert(rng.randrange(1, 6), plant.fact.sentence)
        else:
            chapters[plant.slide] = plant.fact.heading
            chapters.setdefault(plant.slide + 1, f"Part {plant.slide // 4 + 1}, continued")
    return Lecture(
        tuple(tuple(lines) for lines in slides),
        tuple(tuple(sentences) for sentences in speech),
        tuple(sorted((n, title) for n, title in chapters.items() if n < num_slides)),
        planted,
        tuple(facts[3 * facts_per_modality :]),
    )


def _filler_slide(rng: random.Random, number: int) -> list[str]:
    topic = rng.choice(_TOPICS)
    lines = [f"{rng.choice(_ASPECTS)} of {topic}: {rng.choice(_TERMS)}" for _ in range(3)]
    return [f"{number + 1}. {topic.capitalize()}", *lines]


def _filler_speech(rng: random.Random) -> list[str]:
    return [_filler_sentence(rng) for _ in range(8)]


def _filler_sentence(rng: random.Random) -> str:
    if rng.random() < 0.35:
        return rng.choice(_ASIDES)
    return rng.choice(_PATTERNS).format(
        topic=rng.choice(_TOPICS),
        other=rng.choice(_TOPICS),
        aspect=rng.choice(_ASPECTS).lower(),
        term=rng.choice(_TERMS),
    )


_TOPICS = (
    "soil drainage", "river transport", "brick masonry", "sail making", "tram networks",
    "public libraries", "salt trade", "wool dyeing", "glass blowing", "clock repair",
    "bee keeping", "paper recycling", "wind turbines", "harbour dredging", "seed storage",
    "bread baking", "map drawing", "bird migration", "stone carving", "street lighting",
    "water treatment", "night trains", "apple orchards", "coastal erosion", "violin building",
)  # fmt: skip
_ASPECTS = (
    "History", "Cost", "Methods", "Tools", "Risks", "Regulation", "Training", "Economics",
    "Measurement", "Maintenance", "Planning", "Materials", "Seasonality", "Staffing",
)  # fmt: skip
_TERMS = (
    "a slow but steady decline", "two competing schools", "the northern method",
    "lessons from the last decade", "an open question", "a matter of local taste",
    "better records since the reform", "fewer apprentices each year", "the role of weather",
    "what the survey showed", "trade-offs and compromises", "three common mistakes",
    "the long view", "a short comparison", "evidence from the field", "costs that stay hidden",
)  # fmt: skip
_ASIDES = (
    "Let me go back one step, because this is easy to misunderstand.",
    "I will come to the exceptions in a moment.",
    "You can find the reading list on the course page.",
    "Somebody asked about this after the last session.",
    "This picture is a bit old, but it makes the point.",
    "Please interrupt me if I am going too fast.",
    "We do not have good numbers for that, unfortunately.",
    "That is the standard account, and it is mostly right.",
    "Keep this in mind for the exercise next week.",
    "I find that quite surprising, to be honest.",
    "So what does this mean in practice?",
    "There are of course many other examples.",
)
_PATTERNS = (
    "When people talk about {topic}, they usually think of {term}.",
    "The {aspect} of {topic} is connected with {other} in more ways than one.",
    "If you compare {topic} with {other}, you will see {term}.",
    "Most textbooks treat the {aspect} of {topic} as {term}.",
    "In the case of {topic} the {aspect} matters more than anything else.",
    "What strikes me about {topic} is {term}.",
    "The literature on {topic} tells us about {term}, and about {other}.",
    "Nobody who works with {topic} would ignore the {aspect}.",
)

FACTS = tuple(
    Fact(**fact) for fact in json.loads(Path(__file__).with_name("planted_facts.json").read_text())
)
"""Self-written; names and numbers are invented or common knowledge."""
