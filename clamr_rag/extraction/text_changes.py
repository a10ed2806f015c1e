"""Where the text on a picture may have changed: a cheap test on every frame before any reading.

Text is thin strokes of strong contrast. What is compared is therefore the picture at 640 pixels
width less its own blur: brightness, slow fades and smooth surfaces fall away, strokes remain. A
cell of 16 x 16 has changed when enough of its pixels have changed by more than a codec does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clamr_rag.types import ByteArray

DetailMap = npt.NDArray[np.int16]
"""The picture less its blur, ``(rows * 16, 40 * 16)``."""
Cells = npt.NDArray[np.bool_]
"""One flag per cell, ``(rows, columns)``."""

_MAP_WIDTH = 640
_CELL = 16
_BLUR = (9, 9)
_MIN_CHANGE = 24
_MIN_PIXELS = 3
"""Measured at 1280 x 720: one digit for another moves 3 or more pixels of the map by more than 24
down to text of 14 px; JPEG at quality 40 against 95 moves none, H.264 (crf 23 and 33) none or, in
the second after a change, one cell."""


def detail_map(pixels: ByteArray) -> DetailMap:
    """The fine detail of an RGB picture ``(height, width, 3)``."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    # Whole cells only: a picture is stretched by up to half a cell rather than cut or padded.
    rows = max(1, round(height * _MAP_WIDTH / width / _CELL))
    grey = cv2.resize(grey, (_MAP_WIDTH, rows * _CELL), interpolation=cv2.INTER_AREA)
    detail = cv2.subtract(grey, cv2.blur(grey, _BLUR), dtype=cv2.CV_16S)
    return detail.astype(np.int16, copy=False)


def changed_cells(detail: DetailMap, other: DetailMap) -> Cells:
    """Which cells differ by more than compression noise, ``(rows, columns)``."""
    import cv2

    if detail.shape != other.shape:
        return np.ones(cell_shape(detail), dtype=bool)
    # Few pixels that change much are letters; many that change little are light.
    strong = (cv2.absdiff(detail, other) > _MIN_CHANGE).view(np.uint8) * np.uint8(255)
    rows, columns = cell_shape(detail)
    # The mean of 0 and 255 over 256 pixels is all but the number of pixels.
    counts = cv2.resize(strong, (columns, rows), interpolation=cv2.INTER_AREA)
    changed: Cells = counts >= _MIN_PIXELS
    return changed


def cell_shape(detail: DetailMap) -> tuple[int, int]:
    """Rows and columns of the grid of cells."""
    return detail.shape[0] // _CELL, detail.shape[1] // _CELL


def copy_cells(source: DetailMap, target: DetailMap, cells: Cells) -> None:
    """Copies the chosen cells of one map into another of the same shape."""
    rows, columns = cell_shape(source)
    in_cells = (rows, _CELL, columns, _CELL)
    chosen = cells[:, None, :, None]
    np.copyto(target.reshape(in_cells), source.reshape(in_cells), where=chosen)
