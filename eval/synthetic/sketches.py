"""Further drawings of each family, as text: only the training of an encoder sees them.

Each part of a sketch is a line of `sketches.json`, by its first word:

- ``polygon PAINT x y …``, ``blob PAINT x y …`` (the same, rounded)
- ``ellipse PAINT left top right bottom``, ``box PAINT left top right bottom``
- ``chord PAINT left top right bottom start stop``: what an ellipse's arc and its chord enclose
- ``line PAINT width x y …``, ``curve PAINT width x y …`` (the same, rounded)
- ``arc PAINT width left top right bottom start stop``, degrees clockwise from three o'clock
- ``hollow width left top right bottom``, ``frame width left top right bottom``

PAINT is ``fill``, ``light``, ``dim``, ``ink``, or ``#rrggbb``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from eval.synthetic.lexicon import Color
from eval.synthetic.pens import Pen, Point, along

NUM_CODED = 5
"""Forms that `shapes` draws; those of the sketches come after them."""
_FINENESS = 5
"""Points for one of a rounded part."""
_STROKES = ("line", "curve", "arc")
_HOLES = ("hollow", "frame")
_NOWHERE = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Part:
    """One call of a pen."""

    method: str
    """ "polygon", "ellipse", "line", "hollow" or "frame"."""
    paint: str
    width: float
    bounds: tuple[float, float, float, float]
    """Of what is round or has a hole; 0 for the others."""
    points: tuple[Point, ...]

    def draw(self, pen: Pen) -> None:
        """Draws the part with a pen."""
        if self.method == "polygon":
            pen.polygon(list(self.points), _colour(pen, self.paint))
        elif self.method == "ellipse":
            pen.ellipse(*self.bounds, _colour(pen, self.paint))
        elif self.method == "line":
            pen.line(list(self.points), self.width, _colour(pen, self.paint))
        elif self.method == "hollow":
            pen.hollow(*self.bounds, self.width)
        else:
            pen.frame(*self.bounds, self.width)


def num_forms(family: str) -> int:
    """How many drawings of a family `shapes.thing` knows: five, and its sketches."""
    return NUM_CODED + len(_sketches().get(family, ()))


def training_forms(family: str) -> tuple[int, ...]:
    """The drawings that an encoder may be trained on: those of the training split, and sketches."""
    return 0, 1, *range(NUM_CODED, num_forms(family))


def draw_sketch(pen: Pen, family: str, form: int) -> None:
    """Draws a family's form of a number from 5 on."""
    for part in _sketches()[family][form - NUM_CODED]:
        part.draw(pen)


@cache
def _sketches() -> dict[str, tuple[tuple[Part, ...], ...]]:
    path = Path(__file__).with_name("sketches.json")
    written: dict[str, dict[str, list[str]]] = json.loads(path.read_text(encoding="utf-8"))
    return {
        family: tuple(tuple(map(_parsed, lines)) for lines in sketches.values())
        for family, sketches in written.items()
    }


def _parsed(line: str) -> Part:
    word, *rest = line.split()
    paint = "fill" if word in _HOLES else rest.pop(0)
    width = float(rest.pop(0)) if word in (*_STROKES, *_HOLES) else 0.0
    numbers = tuple(map(float, rest))
    if word in ("ellipse", *_HOLES):
        left, top, right, bottom = numbers
        return Part(word, paint, width, (left, top, right, bottom), ())
    method = "line" if word in _STROKES else "polygon"
    return Part(method, paint, width, _NOWHERE, tuple(_points(word, numbers)))


def _points(word: str, numbers: tuple[float, ...]) -> list[Point]:
    if word == "box":
        left, top, right, bottom = numbers
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    if word in ("arc", "chord"):
        *box, start, stop = numbers
        return along(box, start, stop)
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    if word == "blob":
        return _rounded([points[-1], *points, *points[:2]])
    if word == "curve":
        return [*_rounded([points[0], *points, points[-1]]), points[-1]]
    assert word in ("polygon", "line"), word
    return points


def _rounded(points: list[Point]) -> list[Point]:
    """A Catmull-Rom spline through all points but the first and the last."""
    spline = []
    for before, start, stop, after in zip(points, points[1:], points[2:], points[3:], strict=False):
        for step in range(_FINENESS):
            t = step / _FINENESS
            x, y = (
                b + t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))) / 2
                for a, b, c, d in zip(before, start, stop, after, strict=True)
            )
            spline.append((x, y))
    return spline


def _colour(pen: Pen, paint: str) -> Color:
    if paint.startswith("#"):
        red, green, blue = bytes.fromhex(paint[1:])
        return red, green, blue
    return {"fill": pen.fill, "light": pen.light, "dim": pen.dim, "ink": pen.ink}[paint]
