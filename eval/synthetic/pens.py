"""Pens that draw a thing's parts on a square of 100 by 100: as they are, or bent."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from PIL import ImageDraw

from eval.synthetic.lexicon import Color

INK: Color = (24, 24, 28)
PALE_INK: Color = (150, 150, 158)
Point = tuple[float, float]

_ROUND = 30
"""Corners of a bent ellipse."""
_RIPPLE = 0.063
"""Radians per unit of the wave that bends a thing: one wave across the square."""
_EDGE = 1.5
"""Least distance of a bent thing from the edge of its square."""
_INKS: tuple[Color, ...] = ((24, 24, 28), (70, 44, 26), (22, 30, 72), (92, 92, 98))
_PALE_INKS: tuple[Color, ...] = ((150, 150, 158), (190, 186, 180), (118, 122, 132))


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws on a square of 100 by 100, larger than it is shown."""

    draw: ImageDraw.ImageDraw
    scale: float
    fill: Color
    ink: Color

    @property
    def dim(self) -> Color:
        """A darker shade of the thing's colour, for its parts."""
        return _mixed(self.fill, (0, 0, 0), 0.3)

    @property
    def light(self) -> Color:
        """A lighter shade of the thing's colour."""
        return _mixed(self.fill, (255, 255, 255), 0.35)

    def polygon(self, points: list[Point], fill: Color | None = None) -> None:
        """A filled polygon with an outline."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self.draw.polygon(scaled, fill=fill or self.fill)
        self.draw.line([*scaled, scaled[0]], self.ink, self._width(3), joint="curve")

    def ellipse(
        self, left: float, top: float, right: float, bottom: float, fill: Color | None = None
    ) -> None:
        """A filled ellipse with an outline."""
        box = [value * self.scale for value in (left, top, right, bottom)]
        self.draw.ellipse(box, fill or self.fill, self.ink, self._width(3))

    def box(
        self, left: float, top: float, right: float, bottom: float, fill: Color | None = None
    ) -> None:
        """A filled rectangle with an outline."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def line(self, points: list[Point], width: float = 4, fill: Color | None = None) -> None:
        """Strokes."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self.draw.line(scaled, fill or self.ink, self._width(width), joint="curve")

    def arc(
        self, left: float, top: float, right: float, bottom: float, start: float, stop: float
    ) -> None:
        """A stroke along an ellipse, degrees clockwise from three o'clock."""
        box = [value * self.scale for value in (left, top, right, bottom)]
        self.draw.arc(box, start, stop, self.ink, self._width(5))

    def pie(
        self, left: float, top: float, right: float, bottom: float, start: float, stop: float
    ) -> None:
        """A sector of an ellipse with an outline, degrees clockwise from three o'clock."""
        box = [value * self.scale for value in (left, top, right, bottom)]
        self.draw.pieslice(box, start, stop, self.fill, self.ink, 3 * round(self.scale))

    def hollow(self, left: float, top: float, right: float, bottom: float, width: float) -> None:
        """An ellipse with a hole, in the thing's colour between two outlines."""
        for inset, ink, thick in ((0.0, self.ink, width + 4), (2.0, self.fill, width)):
            box = [left + inset, top + inset, right - inset, bottom - inset]
            self.draw.ellipse([v * self.scale for v in box], None, ink, self._width(thick))

    def frame(self, left: float, top: float, right: float, bottom: float, width: float) -> None:
        """A rectangle with a hole, in the thing's colour between two outlines."""
        for inset, ink, thick in ((0.0, self.ink, width), (2.5, self.fill, width - 5)):
            box = [left + inset, top + inset, right - inset, bottom - inset]
            self.draw.rectangle([v * self.scale for v in box], None, ink, self._width(thick))

    def finish(self) -> None:
        """Says that all parts are drawn."""

    def _width(self, units: float) -> int:
        return max(1, round(units * self.scale))


@dataclass(frozen=True, slots=True)
class Bend:
    """How a thing is deformed."""

    across: tuple[float, float]
    down: tuple[float, float]
    """The rows of the matrix that stretches, shears, turns and mirrors."""
    wave: tuple[float, float, float, float]
    """A smooth shift of all points: how far in x and y, and its phases."""
    jitter: float
    """Most that a point is off for no reason."""
    outline: float
    """Thickness of outlines, in those of an unbent thing."""
    stroke: float
    """Thickness of strokes, likewise."""
    depth: float
    """How much other shades of the colour differ from it, likewise."""

    def moved(self, points: Iterable[Point]) -> list[Point]:
        """Where points go, jitter aside; the square's middle stays about where it is."""
        far_x, far_y, phase_x, phase_y = self.wave
        (a, b), (c, d) = self.across, self.down
        sin, placed = math.sin, []
        for x, y in points:
            off_x = x - 50 + far_x * sin(y * _RIPPLE + phase_x)
            off_y = y - 50 + far_y * sin(x * _RIPPLE + phase_y)
            placed.append((a * off_x + b * off_y + 50, c * off_x + d * off_y + 50))
        return placed


def draw_bend(rng: random.Random, *, may_mirror: bool) -> Bend:
    """Draws a small deformation."""
    wide, high = (math.exp(rng.uniform(math.log(0.75), math.log(1.25))) for _ in range(2))
    if rng.random() < 0.5 and may_mirror:
        wide = -wide
    shear, turn = (math.radians(rng.uniform(-most, most)) for most in (12, 8))
    cos, sin, slope = math.cos(turn), math.sin(turn), math.tan(shear)
    far, jitter = rng.uniform(0, 3), rng.uniform(0, 1.2)
    return Bend(
        across=(cos * wide, (cos * slope - sin) * high),
        down=(sin * wide, (sin * slope + cos) * high),
        wave=(rng.uniform(-far, far), rng.uniform(-far, far), rng.uniform(0, 6), rng.uniform(0, 6)),
        jitter=jitter,
        outline=0.0 if rng.random() < 0.2 else rng.uniform(0.4, 1.6),
        stroke=rng.uniform(0.75, 1.4),
        depth=rng.uniform(0.5, 1.15),
    )


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is put on the picture in one go."""

    points: list[Point]
    fill: Color
    width: float | None
    """Of a stroke; None for a filled area."""

    def reach(self) -> tuple[Point, Point]:
        """Its least and greatest x, and y."""
        across, down = zip(*self.points, strict=True)
        half = (self.width or 0) / 2
        return (min(across) - half, max(across) + half), (min(down) - half, max(down) + half)


@dataclass(frozen=True, slots=True)
class BentPen(Pen):
    """Draws the same parts deformed; nothing is seen before `finish`."""

    bend: Bend
    rng: random.Random
    """Draws the jitter."""
    marks: list[_Mark] = field(default_factory=list)

    @property
    def dim(self) -> Color:
        """As of any pen, more or less of it."""
        return _mixed(self.fill, (0, 0, 0), 0.3 * self.bend.depth)

    @property
    def light(self) -> Color:
        """As of any pen, more or less of it."""
        return _mixed(self.fill, (255, 255, 255), 0.35 * self.bend.depth)

    def polygon(self, points: list[Point], fill: Color | None = None) -> None:
        """A filled polygon with an outline."""
        self._area(self._jittered(points), fill or self.fill)

    def ellipse(
        self, left: float, top: float, right: float, bottom: float, fill: Color | None = None
    ) -> None:
        """A filled ellipse with an outline."""
        box = self._shaken((left, top, right, bottom), 1.5)
        self._area(along(box, 0, 360), fill or self.fill)

    def line(self, points: list[Point], width: float = 4, fill: Color | None = None) -> None:
        """Strokes."""
        self._stroke(self._jittered(points), width * self.bend.stroke, fill or self.ink)

    def arc(
        self, left: float, top: float, right: float, bottom: float, start: float, stop: float
    ) -> None:
        """A stroke along an ellipse, degrees clockwise from three o'clock."""
        box = self._shaken((left, top, right, bottom), 2.5)
        self._stroke(along(box, start, stop), 5 * self.bend.stroke, self.ink)

    def pie(
        self, left: float, top: float, right: float, bottom: float, start: float, stop: float
    ) -> None:
        """A sector of an ellipse with an outline, degrees clockwise from three o'clock."""
        box = self._shaken((left, top, right, bottom), 1.5)
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        self._area([*along(box, start, stop), middle], self.fill)

    def hollow(self, left: float, top: float, right: float, bottom: float, width: float) -> None:
        """An ellipse with a hole, in the thing's colour between two outlines."""
        box = self._shaken((left, top, right, bottom), 2)
        edge = 2 * self.bend.outline
        for out, fill in ((edge, self.ink), (0.0, self.fill)):
            inner = along(_inset(box, width + out), 0, 360)
            self._band(along(_inset(box, -out), 0, 360), inner, fill)

    def frame(self, left: float, top: float, right: float, bottom: float, width: float) -> None:
        """A rectangle with a hole, in the thing's colour between two outlines."""
        box = self._shaken((left, top, right, bottom), 2.5)
        edge = 2.5 * self.bend.outline
        for out, fill in ((edge, self.ink), (0.0, self.fill)):
            inner = _corners(_inset(box, width - 5 + out))
            self._band(_corners(_inset(box, -out)), inner, fill)

    def finish(self) -> None:
        """Draws all parts, moved and made smaller as needed to be within the square."""
        reach = [value for mark in self.marks for value in mark.reach()]
        (left, right), (top, bottom) = (
            (min(low for low, _ in reach[side::2]), max(high for _, high in reach[side::2]))
            for side in (0, 1)
        )
        share = min(1.0, (100 - 2 * _EDGE) / max(right - left, bottom - top))
        off_x, off_y = _offset(left, right, share), _offset(top, bottom, share)
        scale = self.scale * share
        for mark in self.marks:
            points = [(x * scale + off_x * self.scale, y * scale + off_y * self.scale)
                      for x, y in mark.points]  # fmt: skip
            if mark.width is None:
                self.draw.polygon(points, fill=mark.fill)
            else:
                width = max(1, round(mark.width * scale))
                self.draw.line(points, mark.fill, width, joint="curve")

    def _jittered(self, points: list[Point]) -> list[Point]:
        most, uniform = self.bend.jitter, self.rng.uniform
        return [(x + uniform(-most, most), y + uniform(-most, most)) for x, y in points]

    def _shaken(self, box: Iterable[float], inset: float) -> tuple[float, float, float, float]:
        """The box within its outline, a little off."""
        most = self.bend.jitter
        left, top, right, bottom = (v + self.rng.uniform(-most, most) for v in box)
        return _inset((left, top, right, bottom), inset)

    def _area(self, points: list[Point], fill: Color) -> None:
        moved = self._put(points, fill)
        if self.bend.outline:
            self.marks.append(_Mark([*moved, moved[0]], self.ink, 3 * self.bend.outline))

    def _band(self, outer: list[Point], inner: list[Point], fill: Color) -> None:
        """The area between two closed lines."""
        moved = self._put([*outer, *reversed(inner)], fill)
        # Where the lines are joined, a gap of a pixel would stay open.
        self.marks.append(_Mark([moved[0], moved[-1]], fill, 0.7))

    def _stroke(self, points: list[Point], width: float, fill: Color) -> None:
        self.marks.append(_Mark(self.bend.moved(points), fill, width))

    def _put(self, points: list[Point], fill: Color) -> list[Point]:
        moved = self.bend.moved(points)
        self.marks.append(_Mark(moved, fill, None))
        return moved


def make_pen(
    draw: ImageDraw.ImageDraw, scale: float, fill: Color, warp: int, *, may_mirror: bool
) -> Pen:
    """A pen for one thing.

    Args:
        draw: Of a square picture.
        scale: A hundredth of its side.
        fill: Colour of the thing.
        warp: 0 draws it as it is; any other number is the seed of a small deformation.
        may_mirror: Whether the thing stays the same thing when left and right are swapped.
    """
    is_dark = max(fill) < 60
    if not warp:
        return Pen(draw, scale, fill, PALE_INK if is_dark else INK)
    rng = random.Random(warp)
    ink = rng.choice(_PALE_INKS if is_dark else (*_INKS, _mixed(fill, (0, 0, 0), 0.7)))
    return BentPen(draw, scale, fill, ink, draw_bend(rng, may_mirror=may_mirror), rng)


def along(box: Iterable[float], start: float, stop: float) -> list[Point]:
    """Points on an ellipse, degrees clockwise from three o'clock."""
    left, top, right, bottom = box
    x, y, wide, high = (
        (left + right) / 2,
        (top + bottom) / 2,
        (right - left) / 2,
        (bottom - top) / 2,
    )
    if stop < start:
        stop += 360
    steps = max(2, math.ceil((stop - start) / 360 * _ROUND))
    return [(x + wide * cos, y + high * sin) for cos, sin in _directions(start, stop, steps)]


@lru_cache(maxsize=256)
def _directions(start: float, stop: float, steps: int) -> tuple[Point, ...]:
    angles = (math.radians(start + (stop - start) * step / steps) for step in range(steps + 1))
    return tuple((math.cos(angle), math.sin(angle)) for angle in angles)


def _inset(
    box: tuple[float, float, float, float], inset: float
) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left + inset, top + inset, right - inset, bottom - inset


def _corners(box: tuple[float, float, float, float]) -> list[Point]:
    left, top, right, bottom = box
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


def _offset(low: float, high: float, share: float) -> float:
    """What moves a stretch into the square once it is multiplied by the share."""
    # What was made smaller stays about the middle.
    middle = 50 * (1 - share)
    return min(max(middle, _EDGE - low * share), 100 - _EDGE - high * share)


def _mixed(color: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, other, strict=True))
    return red, green, blue
