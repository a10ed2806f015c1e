"""Reading the screen over time: the recogniser runs only where the text has changed.

Every frame is compared with what was read last (`clamr_rag.extraction.text_changes`). Cells that
differ are read once they stand still, so that a fade or a turning page costs one look and not one
per frame. Cells that never stand still (a speaker, film) are read every few seconds instead.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from clamr_rag.extraction import WHOLE_PICTURE, Box, TextRecognizer
from clamr_rag.extraction.line_merging import (
    grows_from,
    join_gaps,
    merged,
    same_place,
    same_text,
)
from clamr_rag.extraction.text_changes import (
    Cells,
    DetailMap,
    cell_shape,
    changed_cells,
    copy_cells,
    detail_map,
)
from clamr_rag.types import Frame, OcrLine

Window = tuple[slice, slice]
"""Rows and columns of cells."""

_PATIENCE_SECONDS = 8.0
"""A place that keeps moving is read this often."""
_ACTIVITY_MEMORY = 0.8
_RESTLESS = 0.5
"""Share of recent frames in which a cell moved above which standing still once means nothing."""
_MARGIN_CELLS = (1, 2)
_WHOLE_SHARE = 0.5
"""Above this share of the picture one look at the whole is cheaper than at its parts."""


class ScreenReader:
    """Turns a run of frames, about one a second, into lines with their first and last second.

    A pure function of the frames seen; `merge_lines` joins the lines of consecutive runs.
    """

    def __init__(self, recognizer: TextRecognizer) -> None:
        self._recognizer = recognizer
        self._open: list[OcrLine] = []
        self._closed: list[OcrLine] = []
        self._frame: Frame | None = None
        self._shown_at = 0.0
        self._seen: _Grid | None = None

    def see(self, frame: Frame, shown_at_seconds: float | None = None) -> None:
        """Looks at the next frame, in order of time.

        Args:
            frame: A picture with its own time.
            shown_at_seconds: A later second at which this frame is still on screen (videos with
                few frames); lines last until then. None is the frame's own time.
        """
        detail = detail_map(frame.pixels)
        if self._seen is None or self._seen.read.shape != detail.shape:
            self._finish()
            self._seen = _Grid(detail.shape)
        self._frame = frame
        self._shown_at = frame.seconds if shown_at_seconds is None else shown_at_seconds
        self._seen.update(detail, frame.seconds, self._shown_at)
        self._prolong(self._seen.differs)
        self._look(self._seen.due(self._shown_at))

    def lines(self) -> tuple[OcrLine, ...]:
        """All lines in order of their first second; what is unread of the last frame is read."""
        self._finish()
        return join_gaps(self._closed)

    def _finish(self) -> None:
        if self._seen is not None:
            self._look(self._seen.differs)
        self._closed += self._open
        self._open = []

    def _prolong(self, differs: Cells) -> None:
        """Notes that every line is still there whose place looks as it did when it was read."""
        for number, line in enumerate(self._open):
            if not differs[_window_of(line.box, differs.shape)].any():
                self._open[number] = replace(line, last_seconds=self._shown_at)

    def _look(self, due: Cells) -> None:
        """Reads the regions around the cells."""
        assert self._frame is not None
        assert self._seen is not None
        for window in self._windows_around(due):
            region = _region_of(window, due.shape)
            lines = self._recognizer.recognize(self._frame, region)
            self._take_over(window, [self._timed(line) for line in lines])
            self._seen.mark_read(window)

    def _timed(self, line: OcrLine) -> OcrLine:
        """A line just read, with the time since which it has been there."""
        assert self._seen is not None
        first = self._seen.appeared(line.box, line.first_seconds)
        return replace(line, first_seconds=first, last_seconds=self._shown_at)

    def _windows_around(self, due: Cells) -> list[Window]:
        """Windows that hold all cells that are due and all lines that touch them."""
        if not due.any():
            return []
        windows = _grouped(due)
        for _ in range(3):
            windows = _grouped(self._with_lines(windows, due.shape), margin=(0, 0))
        area = sum((w[0].stop - w[0].start) * (w[1].stop - w[1].start) for w in windows)
        if area > _WHOLE_SHARE * due.size:
            return [(slice(0, due.shape[0]), slice(0, due.shape[1]))]
        return windows

    def _with_lines(self, windows: list[Window], shape: tuple[int, ...]) -> Cells:
        """The cells of the windows and of every line that reaches into one."""
        covered = np.zeros(shape, dtype=bool)
        for window in windows:
            covered[window] = True
        for line in self._open:
            window = _window_of(line.box, shape)
            if covered[window].any():
                covered[window] = True
        return covered

    def _take_over(self, window: Window, read: list[OcrLine]) -> None:
        """Matches what was read in a window with the lines that were there before."""
        assert self._seen is not None
        shape = self._seen.differs.shape
        before = [line for line in self._open if _overlaps(_window_of(line.box, shape), window)]
        others = [line for line in self._open if line not in before]
        for later in read:
            line = _find_same(before, later)
            if line is None:
                others.append(later)
            else:
                before.remove(line)
                others.append(_continued(line, later))
        self._closed += before
        self._open = others


class _Grid:
    """What was read last, what moved lately, and since when, per cell."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.read: DetailMap = np.zeros(shape, dtype=np.int16)
        """Detail of each cell when it was last read: at first a blank screen."""
        cells = cell_shape(self.read)
        self.differs: Cells = np.zeros(cells, dtype=bool)
        self._detail: DetailMap | None = None
        self._moved: Cells = np.ones(cells, dtype=bool)
        self._activity: npt.NDArray[np.float64] = np.zeros(cells)
        self._still_since: npt.NDArray[np.float64] = np.zeros(cells)
        self._unread_since: npt.NDArray[np.float64] = np.full(cells, math.inf)

    def update(self, detail: DetailMap, seconds: float, shown_at_seconds: float) -> None:
        """Takes in the detail of the frame of a second, on screen at that or a later one."""
        if self._detail is not None:
            self._moved = changed_cells(detail, self._detail)
            self._activity *= _ACTIVITY_MEMORY
            self._activity += (1 - _ACTIVITY_MEMORY) * self._moved
        self._detail = detail
        self.differs = changed_cells(detail, self.read)
        self._still_since[self._moved] = seconds
        self._unread_since[~self.differs] = math.inf
        self._unread_since[self.differs & np.isinf(self._unread_since)] = shown_at_seconds

    def due(self, seconds: float) -> Cells:
        """Cells to read now: those that have come to rest, and those that waited long enough."""
        calm = self._activity < _RESTLESS
        # Beside a cell that has only just begun to change, the rest of the change is yet to come.
        rested = calm & ~_widened(self._moved & calm, _MARGIN_CELLS)
        waited = seconds - self._unread_since >= _PATIENCE_SECONDS
        due: Cells = self.differs & (rested | waited)
        return due

    def appeared(self, box: Box, seconds: float) -> float:
        """Second of the first frame that showed what is new in the box."""
        window = _window_of(box, self.differs.shape)
        since = self._still_since[window][self.differs[window]]
        return float(since.max()) if len(since) else seconds

    def mark_read(self, window: Window) -> None:
        """Notes that a window was read in the present frame."""
        assert self._detail is not None
        copy_cells(self._detail, self.read, window)
        self.differs[window] = False
        self._unread_since[window] = math.inf


def _find_same(before: list[OcrLine], later: OcrLine) -> OcrLine | None:
    """The line that a new reading continues: in its place, or the same words moved elsewhere."""
    here = [line for line in before if same_place(line.box, later.box)]
    for line in here:
        if same_text(line.text, later.text) or grows_from(line, later):
            return line
    return next((line for line in before if line.text == later.text), None)


def _continued(line: OcrLine, later: OcrLine) -> OcrLine:
    """The line as it stands now, with its first second and its best reading."""
    whole = merged(line, later)
    if same_text(line.text, later.text) and same_place(line.box, later.box):
        return whole
    # Typed on or moved: the newest text and place are the true ones.
    return replace(whole, text=later.text, box=later.box)


def _grouped(cells: Cells, margin: tuple[int, int] = _MARGIN_CELLS) -> list[Window]:
    """Windows around the connected groups of cells, widened by a margin and merged."""
    import cv2

    wide = _widened(cells, margin).view(np.uint8)
    while True:
        count, _, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=8)
        windows = [
            (slice(int(top), int(top + height)), slice(int(left), int(left + width)))
            for left, top, width, height, _ in stats[1:]
        ]
        filled = np.zeros_like(wide)
        for window in windows:
            filled[window] = 1
        if count == cv2.connectedComponents(filled, connectivity=8)[0]:
            return windows
        wide = filled


def _widened(cells: Cells, margin: tuple[int, int]) -> Cells:
    """The cells and those within so many rows and columns of them."""
    import cv2

    kernel = np.ones((2 * margin[0] + 1, 2 * margin[1] + 1), np.uint8)
    wide: Cells = cv2.dilate(cells.view(np.uint8), kernel).view(np.bool_)
    return wide


def _window_of(box: Box, shape: tuple[int, ...]) -> Window:
    """The cells that a box touches."""
    rows, columns = shape[0], shape[1]
    top, bottom = int(box[1] * rows), math.ceil(box[3] * rows)
    left, right = int(box[0] * columns), math.ceil(box[2] * columns)
    top, left = min(top, rows - 1), min(left, columns - 1)
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def _region_of(window: Window, shape: tuple[int, ...]) -> Box:
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


def _overlaps(window: Window, other: Window) -> bool:
    return all(
        mine.start < theirs.stop and theirs.start < mine.stop
        for mine, theirs in zip(window, other, strict=True)
    )
