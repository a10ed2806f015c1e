"""The patterns behind the things of a picture."""

from __future__ import annotations

import math

from PIL import ImageDraw

Drawing = ImageDraw.ImageDraw
Shade = tuple[int, ...]


def _stripes(draw: Drawing, size: tuple[int, int], shade: Shade) -> None:
    step = size[1] / 8
    for number in range(math.ceil(size[0] / step / 2) + 1):
        draw.rectangle((2 * number * step, 0, (2 * number + 1) * step, size[1]), fill=shade)


def _dots(draw: Drawing, size: tuple[int, int], shade: Shade) -> None:
    step = size[1] / 7
    for row in range(8):
        for column in range(math.ceil(size[0] / step) + 1):
            x, y = (column + row % 2 / 2) * step, row * step
            draw.ellipse((x - step / 4, y - step / 4, x + step / 4, y + step / 4), fill=shade)


def _checks(draw: Drawing, size: tuple[int, int], shade: Shade) -> None:
    step = size[1] / 6
    for row in range(7):
        for column in range(row % 2, math.ceil(size[0] / step) + 1, 2):
            x, y = column * step, row * step
            draw.rectangle((x, y, x + step, y + step), fill=shade)


def _waves(draw: Drawing, size: tuple[int, int], shade: Shade) -> None:
    step = size[1] / 8
    for row in range(9):
        points = [
            (x, (row + 0.5) * step + step / 3 * math.sin(2 * math.pi * x / (2.4 * step)))
            for x in range(0, size[0] + 8, 4)
        ]
        draw.line(points, fill=shade, width=max(2, round(step / 4)))


def _bricks(draw: Drawing, size: tuple[int, int], shade: Shade) -> None:
    height, width = size[1] / 9, size[1] / 4.5
    line = max(2, round(height / 6))
    for row in range(10):
        y = row * height
        draw.line((0, y, size[0], y), fill=shade, width=line)
        for column in range(math.ceil(size[0] / width) + 1):
            x = (column + row % 2 / 2) * width
            draw.line((x, y, x, y + height), fill=shade, width=line)


def _hills(draw: Drawing, size: tuple[int, int], shade: Shade) -> None:
    width, height = size
    peaks = [
        (0.0, 0.75),
        (0.18, 0.3),
        (0.36, 0.72),
        (0.58, 0.18),
        (0.8, 0.7),
        (0.92, 0.45),
        (1, 0.6),
    ]
    points = [(x * width, y * height) for x, y in peaks]
    draw.polygon([*points, (width, height), (0, height)], fill=shade)


def _rays(draw: Drawing, size: tuple[int, int], shade: Shade) -> None:
    width, height = size
    middle, reach = (width / 2, height / 2), width + height
    for ray in range(12):
        ends = [math.radians(30 * ray + turn) for turn in (0, 15)]
        rim = [
            (middle[0] + reach * math.cos(end), middle[1] + reach * math.sin(end)) for end in ends
        ]
        draw.polygon([middle, *rim], fill=shade)


def _plain(_draw: Drawing, _size: tuple[int, int], _shade: Shade) -> None:
    """Nothing."""


PATTERNS = {
    "stripes": _stripes, "dots": _dots, "checks": _checks, "waves": _waves, "bricks": _bricks,
    "hills": _hills, "rays": _rays, "plain": _plain,
}  # fmt: skip
