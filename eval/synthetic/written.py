"""Draws the written part of a picture: captions, signs, slides, charts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageDraw, ImageFont

from eval.synthetic.boards import Board, Chart
from eval.synthetic.lexicon import Color

_PAPER: Color = (250, 250, 246)
_TEXT: Color = (16, 20, 34)
_ACCENT: Color = (40, 70, 120)
_MARK: Color = (86, 120, 176)
"""Of bars and lines."""
Drawing = ImageDraw.ImageDraw


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float

    def part(self, left: float, top: float, width: float, height: float) -> Box:
        """A part of it, given in shares of it."""
        return Box(
            self.left + left * self.width,
            self.top + top * self.height,
            width * self.width,
            height * self.height,
        )

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        right = self.left + max(self.width - 1, 0)
        return self.left, self.top, right, self.top + max(self.height - 1, 0)


def draw_board(draw: Drawing, board: Board, size: tuple[int, int]) -> None:
    """The written part of a picture."""
    whole = Box(0, 0, *size)
    if board.layout == "caption":
        bar = whole.part(0, 0.8, 1, 0.2)
        draw.rectangle(bar.corners, fill=(22, 26, 40))
        _write(draw, board.lines, bar.part(0.03, 0.12, 0.94, 0.8), 0.36, (250, 250, 250))
    elif board.layout == "sign":
        post = whole.part(0.17, 0.5, 0.025, 0.5)
        draw.rectangle(post.corners, fill=(110, 84, 60))
        plate = whole.part(0.015, 0.1, 0.35, 0.6)
        draw.rectangle(plate.corners, fill=_PAPER, outline=_ACCENT, width=max(2, size[1] // 90))
        _write(draw, board.lines, plate.part(0.07, 0.1, 0.86, 0.8), 0.115, _TEXT)
    elif board.layout == "slide":
        paper = whole.part(0.01, 0.04, 0.47, 0.92)
        draw.rectangle(paper.corners, fill=_PAPER)
        _write(draw, board.lines[:1], paper.part(0.05, 0.06, 0.9, 0.2), 0.42, _ACCENT)
        rule = paper.part(0.05, 0.21, 0.3, 0.012)
        draw.rectangle(rule.corners, fill=_ACCENT)
        _write(draw, board.lines[1:], paper.part(0.05, 0.28, 0.9, 0.68), 0.085, _TEXT)
    elif board.chart is not None:
        paper = whole.part(0.01, 0.04, 0.49, 0.92)
        draw.rectangle(paper.corners, fill=_PAPER)
        _write(draw, board.lines, paper.part(0.04, 0.04, 0.92, 0.2), 0.31, _TEXT)
        _draw_chart(draw, board.chart, paper.part(0.05, 0.26, 0.9, 0.7))


def _draw_chart(draw: Drawing, chart: Chart, box: Box) -> None:
    """Bars or a line over labels, with or without the values."""
    column = box.width / len(chart.labels)
    font = _font(round(box.height * 0.085))
    widest = max(map(font.getlength, chart.labels))
    if widest > 0.92 * column:
        font = _font(int(font.size * 0.92 * column / widest))
    floor = box.top + box.height * 0.86
    tallest = box.height * 0.72
    tops = []
    for number, (label, value) in enumerate(zip(chart.labels, chart.values, strict=True)):
        x = box.left + (number + 0.5) * column
        top = floor - tallest * value / 100
        tops.append((x, top))
        if chart.style == "bars":
            draw.rectangle((x - column * 0.3, top, x + column * 0.3, floor), fill=_MARK)
        draw.text((x, floor + box.height * 0.03), label, _TEXT, font, anchor="ma")
    if chart.style == "line":
        draw.line(tops, fill=_MARK, width=max(2, round(box.height / 60)))
        for x, y in tops:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_ACCENT)
    for (x, top), value in zip(tops, chart.values if chart.is_printed else (), strict=False):
        # A halo keeps the figure off the line.
        place = x, top - box.height * 0.035
        draw.text(place, str(value), _TEXT, font, "ms", stroke_width=3, stroke_fill=_PAPER)
    draw.line((box.left, floor, box.left + box.width, floor), fill=_TEXT, width=1)


def _write(draw: Drawing, lines: tuple[str, ...], box: Box, size: float, color: Color) -> None:
    """Texts from the top of a box, wrapped to its width, smaller where they would not fit.

    Args:
        draw: Of the picture.
        lines: Each begins a new line.
        box: Where.
        size: Height of the letters as a share of the box's.
        color: Of the letters.
    """
    pixels = size * box.height
    while True:
        font = _font(max(4, round(pixels)))
        rows = [row for line in lines for row in (*_wrapped(line, font, box.width), "")][:-1]
        heights = [font.size * (1.3 if row else 0.45) for row in rows]
        if sum(heights) <= box.height or pixels <= 5:
            break
        pixels *= 0.93
    y = box.top
    for row, height in zip(rows, heights, strict=True):
        draw.text((box.left, y), row, color, font)
        y += height


def _wrapped(line: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    rows = [""]
    for word in line.split():
        longer = f"{rows[-1]} {word}".strip()
        if rows[-1] and font.getlength(longer) > width:
            rows.append(word)
        else:
            rows[-1] = longer
    return rows


@lru_cache(maxsize=64)
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font: the same on every machine."""
    font: object = ImageFont.load_default(max(4, pixels))
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font
