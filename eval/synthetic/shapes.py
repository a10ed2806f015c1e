"""Draws the things of a picture: one drawing per family, in five forms each and in sketches."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageDraw

from eval.synthetic.lexicon import Color
from eval.synthetic.pens import INK, Pen, make_pen
from eval.synthetic.sketches import NUM_CODED, draw_sketch

_OVERSAMPLED = 3
_DIRECTED = ("arrow",)
"""Families that mean something else in a mirror."""


@lru_cache(maxsize=512)
def thing(family: str, form: int, colour: Color, side: int, warp: int = 0) -> Image.Image:
    """A square RGBA picture of one thing on a transparent ground; shared, so do not draw on it.

    Args:
        family: A key of `FAMILIES`.
        form: Which of its drawings: 0-4, or from 5 on one of its sketches.
        colour: Of most of it.
        side: Pixels.
        warp: 0 draws it as it is; any other number is the seed of a small deformation.
    """
    large = side * _OVERSAMPLED
    # Transparent pixels have the colour, so that edges do not darken when it is made smaller.
    picture = Image.new("RGBA", (large, large), (*colour, 0))
    draw = ImageDraw.Draw(picture)
    pen = make_pen(draw, large / 100, colour, warp, may_mirror=family not in _DIRECTED)
    if form < NUM_CODED:
        FAMILIES[family](pen, form)
    else:
        draw_sketch(pen, family, form)
    pen.finish()
    return picture.resize((side, side), Image.Resampling.BOX)


def _vessel(pen: Pen, form: int) -> None:
    depth = (24, 12, 16, 28, 20)[form]
    if form != 1:
        pen.line([(50, 70), (50, 8)], 5)
        pen.polygon([(54, 10), (54, 60), (54 + (32, 0, 24, 36, 40)[form], 60)], pen.light)
    if form in (2, 3):
        pen.polygon([(46, 20), (46, 60), (20, 60)], pen.light)
    pen.polygon([(6, 68), (94, 68), (80, 68 + depth), (22, 68 + depth)])
    if form == 1:
        pen.box(10, 56, 90, 68, pen.light)
    if form == 3:
        for x in (30, 50, 70):
            pen.ellipse(x - 4, 74, x + 4, 82, pen.light)


def _dwelling(pen: Pen, form: int) -> None:
    roof = (44, 52, 38, 48, 34)[form]
    side = (14, 22, 10, 16, 8)[form]
    pen.box(side, roof, 100 - side, 94)
    if form == 4:
        pen.polygon([(2, roof), (16, 14), (84, 14), (98, roof)], pen.dim)
    else:
        pen.polygon([(4, roof), (50, 6), (96, roof)], pen.dim)
    pen.box(42, 64, 58, 94, pen.dim)
    if form != 1:
        pen.box(22, 56, 36, 70, pen.light)
    if form in (0, 3):
        pen.box(64, 56, 78, 70, pen.light)


def _tree(pen: Pen, form: int) -> None:
    pen.box(44, 62, 56, 96, (120, 84, 50))
    if form in (0, 1):
        pen.ellipse(12, 8, 88, 70) if form == 0 else pen.ellipse(20, 4, 80, 74)
        if form == 1:
            pen.ellipse(4, 30, 50, 70)
            pen.ellipse(50, 30, 96, 70)
        return
    layers = {2: 3, 3: 4, 4: 2}[form]
    for layer in reversed(range(layers)):
        top = 4 + layer * 64 / layers * 0.8
        half = 18 + (layer + 1) * 26 / layers
        pen.polygon([(50, top), (50 + half, top + 30), (50 - half, top + 30)])


def _vehicle(pen: Pen, form: int) -> None:
    if form in (1, 2):
        pen.box(4, 26, 96, 76)
        for x in (14, 34, 54, 74)[: 4 if form == 1 else 2]:
            pen.box(x, 34, x + 14, 50, pen.light)
    elif form == 3:
        pen.box(2, 22, 66, 76)
        pen.polygon([(68, 42), (86, 42), (98, 58), (98, 76), (68, 76)], pen.dim)
    else:
        pen.polygon([(24, 52), (34, 32), (68, 32), (80, 52)], pen.light)
        pen.box(4, 52, 96, 76)
        if form == 4:
            pen.box(42, 22, 60, 32, pen.dim)
    for x in (24, 76):
        pen.ellipse(x - 12, 66, x + 12, 90, (70, 70, 74))


def _bird(pen: Pen, form: int) -> None:
    neck = (0, 6, 14, 2, 18)[form]
    pen.line([(48, 80), (48, 96)], 4)
    pen.line([(58, 80), (58, 96)], 4)
    pen.polygon([(84, 30 - neck), (99, 36 - neck), (84, 42 - neck)], (240, 170, 40))
    if neck > 5:
        pen.polygon([(60, 56), (64, 30), (80, 30), (78, 60)])
    pen.polygon([(2, 48), (24, 50), (22, 70)])
    pen.ellipse(14, 44, 84, 84)
    pen.ellipse(58, 20 - neck, 88, 50 - neck)
    pen.ellipse(72, 28 - neck, 78, 34 - neck, INK)
    pen.ellipse(28, 52, 62, 72, pen.dim)


def _fish(pen: Pen, form: int) -> None:
    half = (24, 18, 28, 20, 16)[form]
    pen.polygon([(74, 50), (97, 50 - half), (97, 50 + half)], pen.dim)
    pen.polygon([(40, 54 - half), (60, 40 - half), (62, 52 - half)], pen.dim)
    pen.ellipse(4, 50 - half, 80, 50 + half)
    pen.ellipse(16, 42, 24, 50, INK)
    for stripe in range((0, 1, 2, 0, 3)[form]):
        pen.line([(36 + 10 * stripe, 52 - half / 2), (36 + 10 * stripe, 48 + half / 2)], 4)


def _flower(pen: Pen, form: int) -> None:
    pen.line([(50, 44), (50, 98)], 6, (50, 130, 60))
    pen.polygon([(50, 84), (72, 68), (78, 78)], (70, 160, 80))
    if form == 3:
        pen.polygon([(26, 10), (40, 28), (50, 8), (60, 28), (74, 10), (70, 50), (50, 60), (30, 50)])
        return
    petals = (5, 9, 4, 0, 12)[form]
    for petal in range(petals):
        angle = 2 * math.pi * petal / petals
        x, y, r = 50 + 22 * math.cos(angle), 34 + 22 * math.sin(angle), (15, 9, 18, 0, 8)[form]
        pen.ellipse(x - r, y - r, x + r, y + r)
    core = 10 if form != 4 else 16
    pen.ellipse(50 - core, 34 - core, 50 + core, 34 + core, (250, 220, 90))


def _cup(pen: Pen, form: int) -> None:
    if form == 3:
        pen.line([(50, 50), (50, 90)], 8)
        pen.polygon([(18, 10), (82, 10), (66, 54), (34, 54)])
        pen.ellipse(26, 84, 74, 96)
        return
    top = (24, 12, 8, 0, 38)[form]
    if form != 2:
        pen.arc(58, top + 10, 96, 76, 270, 90)
    taper = (8, 0, 4, 0, 16)[form]
    pen.polygon([(14, top), (76, top), (76 - taper, 88), (14 + taper, 88)])
    pen.ellipse(14, top - 8, 76, top + 8, pen.light)
    if form == 4:
        pen.ellipse(2, 84, 88, 96, pen.light)


def _hat(pen: Pen, form: int) -> None:
    if form == 0:
        pen.box(26, 22, 74, 74)
        pen.box(26, 60, 74, 72, pen.dim)
        pen.ellipse(4, 68, 96, 88)
        return
    pen.pie(12, 18, 88, 110, 180, 360)
    if form == 1:
        pen.polygon([(60, 62), (99, 64), (96, 76), (60, 76)], pen.dim)
    elif form == 3:
        pen.box(8, 62, 92, 74, pen.dim)
        pen.box(46, 10, 54, 60, pen.light)
    elif form == 2:
        pen.ellipse(0, 58, 100, 82)
        pen.ellipse(42, 8, 58, 24, pen.light)
    else:
        pen.ellipse(6, 40, 94, 76)
        pen.line([(50, 40), (54, 20)], 5)


def _ball(pen: Pen, form: int) -> None:
    if form == 1:
        pen.line([(50, 74), (46, 98)], 3)
        pen.ellipse(18, 2, 82, 76)
        return
    pen.ellipse(8, 8, 92, 92)
    if form == 0:
        pen.arc(-30, 8, 50, 92, 300, 60)
        pen.arc(50, 8, 130, 92, 120, 240)
    elif form == 2:
        pen.arc(30, 8, 70, 92, 0, 360)
        pen.line([(8, 50), (92, 50)], 4)
    pen.ellipse(26, 20, 44, 38, pen.light)
    if form == 3:
        pen.ellipse(54, 54, 84, 84, pen.dim)


def _ring(pen: Pen, form: int) -> None:
    pen.hollow(4, 4, 96, 96, (17, 11, 14, 13, 19)[form])
    if form in (3, 4):
        for angle in range(0, 360, 45):
            x = 50 + 41 * math.cos(math.radians(angle))
            y = 50 + 41 * math.sin(math.radians(angle))
            pen.ellipse(x - 6, y - 6, x + 6, y + 6, pen.light)


def _box(pen: Pen, form: int) -> None:
    """A frame, open in the middle, so that it can hold something."""
    thick = (16, 20, 13, 17, 22)[form]
    pen.frame(4, 4, 96, 96, thick)
    if form in (1, 4):
        for x, y in ((10, 10), (90, 10), (10, 90), (90, 90)):
            pen.ellipse(x - 5, y - 5, x + 5, y + 5, pen.dim)
    if form == 3:
        pen.line([(50, 4), (50, 4 + thick)], 4)
        pen.line([(50, 96 - thick), (50, 96)], 4)


def _lamp(pen: Pen, form: int) -> None:
    if form in (1, 2):
        pen.box(38, 40, 62, 94)
        pen.ellipse(40, 8, 60, 38, (255, 220, 90))
        if form == 2:
            pen.polygon([(30, 40), (70, 40), (62, 54), (38, 54)], pen.dim)
    elif form == 0:
        pen.line([(50, 50), (50, 90)], 6)
        pen.ellipse(28, 84, 72, 96, pen.dim)
        pen.polygon([(34, 8), (66, 8), (88, 54), (12, 54)])
    else:
        pen.arc(34, 0, 66, 36, 180, 360)
        pen.box(22, 18, 78, 30, pen.dim)
        pen.box(28, 30, 72, 80)
        pen.ellipse(42, 42, 58, 70, (255, 220, 90))
        pen.box(22, 80, 78, 92, pen.dim)


def _umbrella(pen: Pen, form: int) -> None:
    pen.line([(50, 10), (50, 92)], 5)
    if form < 3:
        pen.arc(50, 80, 70, 98, 20, 180)
    height = 100 if form < 3 else 76
    pen.pie(4, 10, 96, height, 180, 360)
    if form >= 3:
        for x in (27, 50, 73):
            pen.line([(50, 10), (x, (10 + height) / 2)], 3)


def _book(pen: Pen, form: int) -> None:
    if form in (1, 4):
        pen.polygon([(4, 22), (48, 30), (48, 88), (4, 80)])
        pen.polygon([(96, 22), (52, 30), (52, 88), (96, 80)])
        if form == 4:
            for y in (44, 56, 68):
                pen.line([(12, y - 2), (42, y + 4)], 3)
                pen.line([(88, y - 2), (58, y + 4)], 3)
        return
    pen.box(18, 8, 82, 92)
    pen.box(18, 8, 30, 92, pen.dim)
    if form == 2:
        for y in range(16, 90, 14):
            pen.ellipse(13, y, 23, y + 8, pen.light)
    if form == 3:
        pen.polygon([(62, 8), (74, 8), (74, 40), (68, 32), (62, 40)], pen.light)
        pen.line([(38, 62), (72, 62)], 5)
    else:
        pen.box(40, 24, 72, 42, pen.light)


def _chair(pen: Pen, form: int) -> None:
    for x in (24, 76) if form != 2 else (14, 86):
        pen.line([(x, 60), (x, 97)], 7)
    if form == 1:
        pen.ellipse(14, 46, 86, 66)
        return
    back = {0: 8, 2: 30, 3: 24, 4: 2}[form]
    pen.box(*((22, back, 78, 58) if form != 2 else (6, back, 94, 54)), pen.light)
    pen.box(*((18, 54, 82, 68) if form != 2 else (4, 56, 96, 66)))
    if form in (3, 4):
        pen.box(6, 40, 20, 80, pen.dim)
        pen.box(80, 40, 94, 80, pen.dim)
    if form == 4:
        pen.polygon([(22, 20), (30, 0), (40, 16), (50, -4), (60, 16), (70, 0), (78, 20)])


def _flag(pen: Pen, form: int) -> None:
    pen.line([(14, 4), (14, 98)], 6)
    if form in (0, 1):
        pen.polygon([(16, 8), (50, 14), (92, 8), (92, 54), (50, 60), (16, 54)])
    elif form == 2:
        pen.polygon([(16, 8), (96, 32), (16, 56)])
    else:
        pen.polygon([(16, 8), (92, 8), (72, 34), (92, 62), (16, 62)])
        pen.line([(16, 35), (74, 35)], 6, pen.light)


def _bottle(pen: Pen, form: int) -> None:
    if form >= 3:
        pen.arc(56, 30, 94, 78, 270, 90)
        pen.polygon(
            [(36, 10), (64, 10), (60, 30), (76, 56), (70, 94), (30, 94), (24, 56), (40, 30)]
        )
        return
    pen.box(42, 4, 58, 14, pen.dim)
    body = 36 if form < 2 else 50
    pen.polygon([(43, 14), (57, 14), (57, 30), (100 - body + 6, 46), (100 - body + 6, 95),
                 (body - 6, 95), (body - 6, 46), (43, 30)] if form < 2 else
                [(44, 14), (56, 14), (56, 44), (86, 94), (14, 94), (44, 44)])  # fmt: skip


def _star(pen: Pen, _form: int) -> None:
    points = []
    for corner in range(10):
        radius = 48 if corner % 2 == 0 else 20
        angle = math.pi * corner / 5 - math.pi / 2
        points.append((50 + radius * math.cos(angle), 52 + radius * math.sin(angle)))
    pen.polygon(points)


def _arrow(pen: Pen, _form: int) -> None:
    pen.polygon([(4, 38), (56, 38), (56, 14), (96, 50), (56, 86), (56, 62), (4, 62)])


FAMILIES: dict[str, Callable[[Pen, int], None]] = {
    "vessel": _vessel, "dwelling": _dwelling, "tree": _tree, "vehicle": _vehicle, "bird": _bird,
    "fish": _fish, "flower": _flower, "cup": _cup, "hat": _hat, "ball": _ball, "ring": _ring,
    "box": _box, "lamp": _lamp, "umbrella": _umbrella, "book": _book, "chair": _chair,
    "flag": _flag, "bottle": _bottle, "star": _star, "arrow": _arrow,
}  # fmt: skip
