"""Draws all sketches on one sheet: ``python -m eval.synthetic.sketch_sheet FILE.png``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from eval.synthetic.lexicon import Color
from eval.synthetic.shapes import FAMILIES, thing
from eval.synthetic.sketches import training_forms

_GROUND: Color = (226, 232, 240)
_COLOURS: tuple[Color, ...] = ((214, 48, 40), (40, 110, 200), (52, 140, 70), (236, 190, 40))
_GAP = 4


def draw_sheet(families: Sequence[str], side: int, warps: int = 0) -> Image.Image:
    """A row per family of all drawings for training.

    Args:
        families: Keys of `FAMILIES`.
        side: Pixels of a drawing.
        warps: 0 draws each as it is; otherwise the seed of the first drawing's deformation.
    """
    step = side + _GAP
    columns = max(len(training_forms(family)) for family in families)
    sheet = Image.new("RGB", (columns * step, len(families) * step), _GROUND)
    for row, family in enumerate(families):
        for column, form in enumerate(training_forms(family)):
            warp = warps + row * columns + column if warps else 0
            drawing = thing(family, form, _COLOURS[row % len(_COLOURS)], side, warp)
            sheet.paste(drawing, (column * step + _GAP // 2, row * step + _GAP // 2), drawing)
    return sheet


def main() -> None:
    """Writes the sheet that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=tuple(FAMILIES))
    parser.add_argument("--side", type=int, default=96, help="pixels of a drawing")
    parser.add_argument("--warps", type=int, default=0, help="deform them; the first one's seed")
    args = parser.parse_args()
    draw_sheet(args.families, args.side, args.warps).save(args.file)


if __name__ == "__main__":
    main()
