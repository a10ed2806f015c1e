"""Boxes of a picture as windows of cells, and cells as windows."""

from __future__ import annotations

import math

import numpy as np

from clamr_rag.extraction import WHOLE_PICTURE, Box
from clamr_rag.extraction.text_changes import Cells

Window = tuple[slice, slice]
"""Rows and columns of cells."""


def grouped(cells: Cells) -> list[Window]:
    """Windows around the connected groups of cells; windows that touch are one."""
    import cv2

    filled = cells.astype(np.uint8)
    num_groups = -1
    while True:
        count, _, stats, _ = cv2.connectedComponentsWithStats(filled, connectivity=8)
        windows = [
            (slice(int(top), int(top + height)), slice(int(left), int(left + width)))
            for left, top, width, height, _ in stats[1:]
        ]
        if count == num_groups:
            return windows
        num_groups = count
        for window in windows:
            filled[window] = 1


def widened(cells: Cells, margin: tuple[int, int]) -> Cells:
    """The cells and those within so many rows and columns of them."""
    import cv2

    kernel = np.ones((2 * margin[0] + 1, 2 * margin[1] + 1), np.uint8)
    wide: Cells = cv2.dilate(cells.view(np.uint8), kernel).view(np.bool_)
    return wide


def window_of(box: Box, shape: tuple[int, ...]) -> Window:
    """The cells that a box touches."""
    rows, columns = shape[0], shape[1]
    top, bottom = int(box[1] * rows), math.ceil(box[3] * rows)
    left, right = int(box[0] * columns), math.ceil(box[2] * columns)
    top, left = min(top, rows - 1), min(left, columns - 1)
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def region_of(window: Window, shape: tuple[int, ...]) -> Box:
    """The box of a window of cells."""
    rows, columns = shape[0], shape[1]
    if window == (slice(0, rows), slice(0, columns)):
        return WHOLE_PICTURE
    return (
        window[1].start / columns,
        window[0].start / rows,
        window[1].stop / columns,
        window[0].stop / rows,
    )
