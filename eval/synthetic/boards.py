"""What is written in a picture: captions, signs, slides, charts."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from eval.synthetic.facts import Fact
from eval.synthetic.lexicon import Lexicon
from eval.synthetic.words import content_words

Layout = Literal["caption", "sign", "slide", "chart"]
LAYOUTS: tuple[Layout, ...] = ("caption", "sign", "slide", "slide", "chart")
"""Drawn evenly: slides are twice as common."""
_NUM_BARS = 5
_MIN_GAP = 12
"""The tallest and the shortest bar stand out by at least this many points of 100."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Values by label, as bars or as a line."""

    style: Literal["bars", "line"]
    labels: tuple[str, ...]
    values: tuple[int, ...]
    """One per label, all different, 10-99."""
    is_printed: bool
    """Whether the values stand over the marks; if not, only their heights tell them."""

    @property
    def tallest(self) -> str:
        """Label of the highest value."""
        return self.labels[self.values.index(max(self.values))]

    @property
    def shortest(self) -> str:
        """Label of the lowest value."""
        return self.labels[self.values.index(min(self.values))]


@dataclass(frozen=True, slots=True)
class Board:
    """The texts in a picture, and how they stand there."""

    layout: Layout
    lines: tuple[str, ...]
    """From top to bottom."""
    chart: Chart | None = None
    """With the layout "chart"."""

    def texts(self) -> tuple[str, ...]:
        """Everything that can be read, in reading order."""
        if self.chart is None:
            return self.lines
        printed = tuple(map(str, self.chart.values)) if self.chart.is_printed else ()
        return (*self.lines, *printed, *self.chart.labels)


def draw_board(
    rng: random.Random, lexicon: Lexicon, fact: Fact, decoy: str | None, taken: set[str]
) -> Board:
    """A board that tells a fact.

    Args:
        rng: Of the choices.
        lexicon: The split's words.
        fact: What it tells.
        decoy: A line about something that is not to be seen.
        taken: Stems that must not stand on it.
    """
    layout = rng.choice(LAYOUTS)
    if layout == "chart":
        chart = _draw_chart(rng, lexicon, taken | fact.words)
        return Board("chart", (fact.told(),), chart)
    if layout == "slide":
        bullets = [b for b in lexicon.bullets if not content_words(b) & (taken | fact.words)]
        title, *others = rng.sample(bullets, 3)
        body = [fact.told(), *([decoy] if decoy else others[:1]), *others[1:]]
        rng.shuffle(body)
        return Board("slide", (title, *body))
    lines = [fact.told(), *([decoy] if decoy and layout == "sign" else [])]
    return Board(layout, tuple(lines))


def _draw_chart(rng: random.Random, lexicon: Lexicon, taken: set[str]) -> Chart:
    # A line shows a course: its ends would be as good an answer as its peak.
    style: Literal["bars", "line"] = rng.choice(("bars", "bars", "line"))
    labels = tuple(rng.sample(lexicon.chart.labels, _NUM_BARS))
    while True:
        values = rng.sample(range(10, 100), _NUM_BARS)
        lowest, second, *_, last_but_one, highest = sorted(values)
        stands_out = second - lowest >= _MIN_GAP <= highest - last_but_one
        if stands_out and not taken & set(map(str, values)):
            return Chart(style, labels, tuple(values), rng.random() < 0.5)
