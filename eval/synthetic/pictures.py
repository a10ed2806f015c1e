"""Draws the pictures of a clip at any second: a staged part and a written part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from clamr_rag.types import ByteArray
from eval.synthetic.backdrops import PATTERNS
from eval.synthetic.boards import Board, Layout
from eval.synthetic.lexicon import Color
from eval.synthetic.shapes import thing
from eval.synthetic.staging import Staging
from eval.synthetic.world import WorldClip
from eval.synthetic.written import Box, draw_board

SIZE = (640, 360)

_GROUNDS: tuple[Color, ...] = (
    (226, 232, 240), (236, 230, 218), (222, 236, 224), (240, 226, 230), (230, 226, 240),
)  # fmt: skip
_PATTERN_SHADE = 30
"""How much darker a pattern is than its ground: seen, but not mistaken for a thing."""
_SWAYS, _TURNS, _BLINKS = 4.75, 2.55, 3.1
"""How often in a clip; with these, 2-10 evenly spaced pictures never all catch one phase."""
_LIT_SHARE = 0.55
_WIDE_GRID = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2), 5: (3, 2)}
"""Columns and rows of 1-5 things in a wide place."""
_TALL_GRID = _WIDE_GRID | {3: (2, 2), 5: (2, 3)}
_GAP = 1.1
"""From middle to middle of large things, in sides of one."""
_SMALL, _HELD, _COMPANION, _HOLDER = 0.65, 0.6, 1.25, 3.2
"""Sides in those of a large thing: of a small one, one that is inside another (by which its own
is multiplied), the companion beside it, and around it."""


_STAGES: dict[Layout | None, tuple[float, float, float, float]] = {
    None: (0, 0, 1, 1),
    "caption": (0, 0, 1, 0.8),
    "sign": (0.38, 0, 0.62, 1),
    "slide": (0.49, 0.04, 0.5, 0.92),
    "chart": (0.51, 0.04, 0.48, 0.92),
}
"""Where the staged part is, by layout: left, top, width and height as shares of the picture."""
_COMPANIONS = {
    "left": (0.84, 0.55), "right": (0.16, 0.55), "above": (0.5, 0.82), "below": (0.5, 0.18),
    "inside": (0.5, 0.5),
}  # fmt: skip
"""Middle of the companion, by where the things are seen from it."""
_THINGS = {
    "left": (0, 0.06, 0.66, 0.88), "right": (0.34, 0.06, 0.66, 0.88),
    "above": (0.08, 0, 0.84, 0.64), "below": (0.08, 0.36, 0.84, 0.64),
    "inside": (0.18, 0.1, 0.64, 0.8),
}  # fmt: skip
"""Place of the things, likewise."""


def frame_seconds(clip: WorldClip, count: int) -> tuple[float, ...]:
    """The middles of equal parts of a clip, in the video's time."""
    step = clip.span.duration_seconds / max(1, count)
    return tuple(clip.span.start_seconds + (number + 0.5) * step for number in range(count))


def frames_of(clip: WorldClip, count: int, size: tuple[int, int] = SIZE) -> ByteArray:
    """Pictures of a clip without a file, uint8 RGB ``(count, height, width, 3)``."""
    width, height = size
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    ground = draw_ground(clip, size)
    for number, seconds in enumerate(frame_seconds(clip, count)):
        frames[number] = np.asarray(draw_frame(clip, ground, seconds - clip.span.start_seconds))
    return frames


def draw_ground(clip: WorldClip, size: tuple[int, int] = SIZE) -> Image.Image:
    """Everything of a clip that does not move: backdrop, border, mark, companion, texts."""
    board, staging = clip.board, clip.staging
    picture = Image.new("RGB", size, (206, 214, 222))
    stage = _stage(board, size)
    _draw_backdrop(picture, stage, staging)
    _draw_mark(picture, stage, staging)
    companion = companion_of(clip, size)
    _paste(picture, staging, companion.middle, companion.side, is_companion=True)
    if board is not None:
        draw_board(ImageDraw.Draw(picture), board, size)
    return picture


def draw_frame(clip: WorldClip, ground: Image.Image, seconds: float) -> Image.Image:
    """The picture at a second of the clip.

    Args:
        clip: A clip of a world.
        ground: Its `draw_ground`.
        seconds: Since the clip's start.
    """
    picture = ground.copy()
    progress = seconds / clip.span.duration_seconds
    # A whole number of steps keeps the number of drawings small.
    is_spun = clip.staging.motion == "spin"
    turn = round(progress * _TURNS * 24) % 24 * 15 if is_spun else 0
    for placed in things_at(clip, seconds, ground.size):
        _paste(picture, clip.staging, placed.middle, placed.side, turn=turn)
    return picture


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a thing or the companion stands in a picture, in pixels."""

    middle: tuple[float, float]
    side: float


def things_at(clip: WorldClip, seconds: float, size: tuple[int, int] = SIZE) -> tuple[Placed, ...]:
    """Where the things are at a second since the clip's start; none while they are dark."""
    staging = clip.staging
    stage = _stage(clip.board, size)
    _, place = _places(stage, staging)
    progress = seconds / clip.span.duration_seconds
    if staging.motion == "blink" and progress * _BLINKS % 1 >= _LIT_SHARE:
        return ()
    unit = _reference(stage) * (_SMALL if staging.size == "small" else 1.0)
    unit *= _HELD if staging.relation == "inside" else 1.0
    side = unit * _growth(staging.motion, progress)
    shift_x, shift_y = _shift(staging.motion, progress, unit, place)
    return tuple(
        Placed((x + shift_x, y + shift_y), side) for x, y in _spots(staging.count, place, unit)
    )


def companion_of(clip: WorldClip, size: tuple[int, int] = SIZE) -> Placed:
    """Where the companion is, all the time."""
    stage = _stage(clip.board, size)
    middle, _ = _places(stage, clip.staging)
    is_holder = clip.staging.relation == "inside"
    return Placed(middle, _reference(stage) * (_HOLDER if is_holder else _COMPANION))


def moves(staging: Staging) -> bool:
    """Whether the pictures of a clip differ."""
    return staging.motion != "still"


def _stage(board: Board | None, size: tuple[int, int]) -> Box:
    return Box(0, 0, *size).part(*_STAGES[board.layout if board else None])


def _reference(stage: Box) -> float:
    """Side of a large thing: five of them fit, wherever they are placed."""
    sides = []
    for share in (_THINGS["left"], _THINGS["above"]):
        place = _inner(stage).part(*share)
        columns, rows = _grid(place)[5]
        sides.append(min(place.width / columns, place.height / rows) / _GAP)
    return min(sides)


def _inner(stage: Box) -> Box:
    """The stage without its border and marks."""
    return stage.part(0.05, 0.06, 0.9, 0.88)


def _grid(place: Box) -> dict[int, tuple[int, int]]:
    return _WIDE_GRID if place.width > 1.3 * place.height else _TALL_GRID


def _places(stage: Box, staging: Staging) -> tuple[tuple[float, float], Box]:
    """Middle of the companion, and the place of the things."""
    inner = _inner(stage)
    companion = _COMPANIONS[staging.relation]
    middle = inner.left + companion[0] * inner.width, inner.top + companion[1] * inner.height
    return middle, inner.part(*_THINGS[staging.relation])


def _spots(count: int, place: Box, unit: float) -> list[tuple[float, float]]:
    """Middles of the things, row by row, each row centred."""
    columns, rows = _grid(place)[count]
    gap = unit * _GAP
    spots = []
    for row in range(rows):
        in_row = min(columns, count - row * columns)
        for column in range(in_row):
            x = place.left + place.width / 2 + (column - (in_row - 1) / 2) * gap
            y = place.top + place.height / 2 + (row - (rows - 1) / 2) * gap
            spots.append((x, y))
    return spots


def _growth(motion: str, progress: float) -> float:
    if motion == "grow":
        return 0.45 + 0.65 * progress
    if motion == "shrink":
        return 1.1 - 0.65 * progress
    return 1.0


def _shift(motion: str, progress: float, unit: float, place: Box) -> tuple[float, float]:
    """How far things are from their spots."""
    way = max(place.height * 0.28, unit * 0.4)
    if motion == "rise":
        return 0, way * (1 - 2 * progress)
    if motion == "sink":
        return 0, way * (2 * progress - 1)
    if motion == "sway":
        return unit * 0.3 * math.sin(2 * math.pi * progress * _SWAYS), 0
    return 0, 0


def _paste(
    picture: Image.Image,
    staging: Staging,
    middle: tuple[float, float],
    side: float,
    *,
    turn: int = 0,
    is_companion: bool = False,
) -> None:
    kind = staging.companion if is_companion else staging.kind
    paint = staging.companion_colour if is_companion else staging.colour
    drawing = thing(kind.family, kind.form, paint.rgb, max(4, round(side)), kind.warp)
    if turn:
        ground = (*paint.rgb, 0)
        drawing = drawing.rotate(-turn, Image.Resampling.BILINEAR, expand=True, fillcolor=ground)
    corner = round(middle[0] - drawing.width / 2), round(middle[1] - drawing.height / 2)
    picture.paste(drawing, corner, drawing)


def _draw_backdrop(picture: Image.Image, stage: Box, staging: Staging) -> None:
    """The pattern behind the things, within its border."""
    draw = ImageDraw.Draw(picture)
    ground = _GROUNDS[staging.wording % len(_GROUNDS)]
    left, top, right, bottom = map(round, stage.corners)
    border = max(2, round(stage.height * 0.035))
    size = right - left + 1, bottom - top + 1
    tile = Image.new("RGB", size, ground)
    shade = tuple(channel - _PATTERN_SHADE for channel in ground)
    PATTERNS[staging.backdrop](ImageDraw.Draw(tile), size, shade)
    picture.paste(tile, (left, top))
    draw.rectangle((left, top, right, bottom), outline=staging.trim.rgb, width=border)


def _draw_mark(picture: Image.Image, stage: Box, staging: Staging) -> None:
    """A small diamond in one corner."""
    radius = stage.height * 0.04
    across, down = staging.corner % 2, staging.corner // 2
    inset = stage.height * 0.05 + radius
    x = stage.left + (stage.width - inset if across else inset)
    y = stage.top + (stage.height - inset if down else inset)
    points = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
    ImageDraw.Draw(picture).polygon(points, fill=(60, 60, 70), outline=(255, 255, 255))
