"""The words and phrasings of one split, read from its JSON file (all self-written)."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from clamr_rag.errors import UsageError

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

Color = tuple[int, int, int]
TextModality = Literal["asr", "ocr", "description"]

_FIRST_FORM: dict[Split, int] = {"train": 0, "dev": 2, "test": 3}
"""Each split draws its kinds in forms of its own: no test object is ever seen in training."""
_ONSETS = "b br d dr f g gr h j k kl l m n p pr r s sk st t tr v w z".split()
_VOWELS = "a e i o u ai ei ou".split()
_CODAS = "l m n r s t k nd lm rn x th".split()


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attribute(_Words):
    """Something that a text can tell of a subject, and the phrasings that tell and ask it."""

    name: str
    bare: str
    """The noun that asks for it without its subject: "price"."""
    unit: str = ""
    low: int = 0
    high: int = 0
    """Bounds of a number; equal for an attribute that is none."""
    words: tuple[str, ...] = ()
    """Values of an attribute that is a word."""
    people: bool = False
    """Whether the value is a person's name."""
    core: tuple[str, ...]
    """Questions without their first capital and their question mark."""
    spoken: tuple[str, ...]
    written: tuple[str, ...]
    listed: tuple[str, ...]


class ChartWords(_Words):
    """Labels of charts and questions about them."""

    labels: tuple[str, ...]
    printed: tuple[str, ...]
    tallest: tuple[str, ...]
    shortest: tuple[str, ...]
    query: tuple[str, ...]


class Lexicon(_Words):
    """All words and phrasings of one split."""

    split: Split
    counts: tuple[str, ...]
    """Phrases of 1, 2, … things, with a hole for the noun."""
    numbers: tuple[str, ...]
    """Answers of 1, 2, …"""
    sizes: dict[str, str]
    colours: dict[str, tuple[tuple[str, Color], ...]]
    kinds: dict[str, tuple[tuple[str, str], ...]]
    motions: dict[str, str]
    relations: dict[str, str]
    corners: tuple[str, ...]
    backdrops: dict[str, str]
    staging: tuple[str, ...]
    asks: dict[str, tuple[str, ...]]
    video_queries: tuple[str, ...]
    hints: dict[TextModality, tuple[str, ...]]
    text_queries: dict[TextModality, tuple[str, ...]]
    identify: dict[str, tuple[str, ...]]
    ask_text: dict[TextModality, tuple[str, ...]]
    subjects: tuple[str, ...]
    attributes: Annotated[tuple[Attribute, ...], Field(min_length=1)]
    chart: ChartWords
    fillers: tuple[str, ...]
    bullets: tuple[str, ...]
    decoys: tuple[str, ...]
    titles: tuple[str, ...]
    descriptions: tuple[str, ...]

    def form_of(self, family: str, number: int) -> int:
        """Which of a family's five drawings the split's kind of this number is."""
        assert number < len(self.kinds[family])
        return _FIRST_FORM[self.split] + number

    def texts(self) -> Iterator[str]:
        """Every word and phrasing of the split that can be drawn, said, told or asked."""
        yield from _strings(self.model_dump(exclude={"split"}))


def read_lexicon(split: str) -> Lexicon:
    """Returns the words of a split.

    Raises:
        UsageError: There is no such split.
    """
    if split not in SPLITS:
        raise UsageError(f"got split {split!r}", allowed=", ".join(SPLITS))
    return _read(split)


@cache
def _read(split: Split) -> Lexicon:
    path = Path(__file__).with_name(f"lexicon_{split}.json")
    words = Lexicon.model_validate_json(
        path.read_text(encoding="utf-8").replace("{", f'{{"split": "{split}",', 1)
    )
    return words


def new_name(rng: random.Random, split: Split) -> str:
    """An invented name that no other split can draw."""
    while True:
        syllables = 2 if rng.random() < 0.7 else 3
        start = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables - 1))
        name = start + rng.choice(_ONSETS) + rng.choice(_VOWELS[:5]) + rng.choice(_CODAS)
        # A checksum deals the names out: the splits need no list of each other's.
        if len(name) >= 5 and zlib.crc32(name.encode()) % len(SPLITS) == SPLITS.index(split):
            return name.capitalize()


def _strings(value: object) -> Iterator[str]:
    """The strings of a nested value; keys name families and slots, and are no words of a split."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            # "name" is what the program calls an attribute.
            if key != "name":
                yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
