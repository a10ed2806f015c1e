"""Which places of the screen hold text that was not read yet, and which of them to read now."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from clamr_rag.extraction import Box
from clamr_rag.extraction.cell_windows import grouped, widened, window_of
from clamr_rag.extraction.text_changes import (
    Cells,
    DetailMap,
    cell_shape,
    changed_cells,
    copy_cells,
)

MARGIN_CELLS = (1, 2)
"""Rows and columns around a change that may belong to the same text."""

_PATIENCE_SECONDS = 8.0
"""A place that keeps moving is read this often."""
_ACTIVITY_MEMORY = 0.8
_RESTLESS = 0.4
"""Share of recent frames in which a cell moved above which standing still once means nothing."""


class UnreadText:
    """What was read last, what moved lately, and since when, per cell of 32 pixels at 1280."""

    def __init__(self, detail: DetailMap, seconds: float) -> None:
        cells = cell_shape(detail)
        self._read: DetailMap = np.zeros_like(detail)
        """Detail of each cell when it was last read: at first a blank screen."""
        self._detail = detail
        self._moved: Cells = np.ones(cells, dtype=bool)
        self._activity: npt.NDArray[np.float64] = np.zeros(cells)
        self._still_since: npt.NDArray[np.float64] = np.full(cells, seconds)
        self._unread_since: npt.NDArray[np.float64] = np.full(cells, math.inf)
        self.differs: Cells = np.zeros(cells, dtype=bool)
        """Cells that look otherwise than when they were read."""
        self._compare_with_read(seconds)

    def update(self, detail: DetailMap, seconds: float, shown_at_seconds: float) -> None:
        """Takes in the detail of the next frame, on screen at its own second or a later one."""
        self._moved = changed_cells(detail, self._detail)
        # A running mean forgets within seconds that a cell belonged to an earlier shot.
        self._activity *= _ACTIVITY_MEMORY
        self._activity += (1 - _ACTIVITY_MEMORY) * self._moved
        self._still_since[self._moved] = seconds
        self._detail = detail
        self._compare_with_read(shown_at_seconds)

    def _compare_with_read(self, shown_at_seconds: float) -> None:
        self.differs = changed_cells(self._detail, self._read)
        self._unread_since[~self.differs] = math.inf
        self._unread_since[self.differs & np.isinf(self._unread_since)] = shown_at_seconds

    def due(self, seconds: float) -> Cells:
        """Cells to read now: those that have come to rest, and those that waited long enough."""
        if not self.differs.any():
            return self.differs
        restless = self._activity >= _RESTLESS
        # The edge of a restless place flickers: it stands still often, and never for long.
        calm = ~widened(restless, (1, 1)) if restless.any() else ~restless
        # Beside a cell that has only just begun to change, the rest of the change is yet to come.
        rested = calm & ~widened(self._moved & calm, MARGIN_CELLS)
        due: Cells = self.differs & rested
        overdue = self.differs & (seconds - self._unread_since >= _PATIENCE_SECONDS)
        if overdue.any():
            # The whole of a restless place at once: each of its cells would ask for its own look.
            for window in grouped(widened(self.differs, MARGIN_CELLS)):
                if overdue[window].any():
                    due[window] |= self.differs[window]
        return due

    def appeared(self, box: Box, seconds: float) -> float:
        """Second of the first frame that showed what is new in the box.

        By its first quarter: a codec goes on refining many cells after a change, and in a few
        the change may not show at all.
        """
        window = window_of(box, self.differs.shape)
        since = np.sort(self._still_since[window][self.differs[window]])
        return float(since[len(since) // 4]) if len(since) else seconds

    def mark_read(self, cells: Cells) -> None:
        """Notes that the text on these cells was read in the present frame."""
        copy_cells(self._detail, self._read, cells)
        self.differs &= ~cells
        self._unread_since[cells] = math.inf
