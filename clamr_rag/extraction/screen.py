"""Reading the screen over time: the recogniser runs only where the text has changed.

Every frame is compared with what was read last (`clamr_rag.extraction.text_changes`). Cells that
differ are read once they stand still, so that a fade or a turning page costs one look and not one
per frame. Cells that never stand still (a speaker, film) are read every few seconds instead.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clamr_rag.extraction import Box, TextRecognizer
from clamr_rag.extraction.cell_windows import Window, grouped, region_of, widened, window_of
from clamr_rag.extraction.line_merging import (
    covers,
    grows_from,
    join_gaps,
    merged,
    same_place,
    same_text,
)
from clamr_rag.extraction.text_changes import Cells, DetailMap, detail_map
from clamr_rag.extraction.unread_text import MARGIN_CELLS, UnreadText
from clamr_rag.types import Frame, OcrLine

_WHOLE_SHARE = 0.5
"""Above this share of the picture one look at the whole is cheaper than at its parts."""
_EDGE = 0.003


class ScreenReader:
    """Turns a run of frames, about one a second, into lines with their first and last second.

    A pure function of the frames seen; `merge_lines` joins the lines of consecutive runs.
    """

    def __init__(self, recognizer: TextRecognizer) -> None:
        self._recognizer = recognizer
        self._screen: _Screen | None = None
        self._lines: list[OcrLine] = []
        """Lines of screens of another size that are over."""

    def see(self, frame: Frame, shown_at_seconds: float | None = None) -> None:
        """Looks at the next frame, in order of time.

        Args:
            frame: A picture with its own time.
            shown_at_seconds: A later second at which this frame is still on screen (videos with
                few frames); lines last until then. None is the frame's own time.
        """
        shown_at = frame.seconds if shown_at_seconds is None else shown_at_seconds
        detail = detail_map(frame.pixels)
        if self._screen is None or self._screen.shape != detail.shape:
            self._close_screen()
            self._screen = _Screen(self._recognizer, frame, detail, shown_at)
        else:
            self._screen.see(frame, detail, shown_at)

    def lines(self) -> tuple[OcrLine, ...]:
        """All lines in order of their first second; what is unread of the last frame is read."""
        self._close_screen()
        return join_gaps(self._lines)

    def _close_screen(self) -> None:
        if self._screen is not None:
            self._lines += self._screen.close()
            self._screen = None


class _Screen:
    """A run of frames of one size, and the lines that were read from it."""

    def __init__(
        self, recognizer: TextRecognizer, frame: Frame, detail: DetailMap, shown_at_seconds: float
    ) -> None:
        self._recognizer = recognizer
        self.shape = detail.shape
        self._frame = frame
        self._shown_at_seconds = shown_at_seconds
        self._unread = UnreadText(detail, frame.seconds)
        self._open: list[OcrLine] = []
        self._closed: list[OcrLine] = []

    def see(self, frame: Frame, detail: DetailMap, shown_at_seconds: float) -> None:
        """Takes in the next frame and reads what has come to rest in it."""
        self._frame = frame
        self._shown_at_seconds = shown_at_seconds
        self._unread.update(detail, frame.seconds, shown_at_seconds)
        self._prolong()
        self._look(self._unread.due(shown_at_seconds))

    def close(self) -> list[OcrLine]:
        """Reads what is unread in the last frame and returns all lines."""
        self._look(self._unread.differs)
        return self._closed + self._open

    def _prolong(self) -> None:
        """Notes that every line is still there whose place looks as it did when it was read."""
        for number, line in enumerate(self._open):
            if not _touches(line, self._unread.differs):
                self._open[number] = replace(line, last_seconds=self._shown_at_seconds)

    def _look(self, due: Cells) -> None:
        """Reads the regions around the cells that are due."""
        if not due.any():
            return
        for window in self._windows_around(due):
            asked = np.zeros_like(due)
            asked[window] = due[window]
            region = region_of(window, due.shape)
            lines = self._recognizer.recognize(self._frame, region)
            self._take_over([self._timed(line) for line in lines], asked, region)
            # Other cells of the window may be caught in a change: only these are settled.
            self._unread.mark_read(asked)

    def _timed(self, line: OcrLine) -> OcrLine:
        """A line just read, with the time since which it has been there."""
        first = self._unread.appeared(line.box, line.first_seconds)
        return replace(line, first_seconds=first, last_seconds=self._shown_at_seconds)

    def _windows_around(self, due: Cells) -> list[Window]:
        """Windows around the cells that are due, with all that is unread beside them.

        So a line of which a part still moves is read whole, and so are known lines.
        """
        covered = np.zeros_like(due)
        for window in grouped(widened(self._unread.differs, MARGIN_CELLS)):
            covered[window] = due[window].any()
        for line in self._open:
            window = window_of(line.box, due.shape)
            covered[window] |= due[window].any()
        windows = grouped(covered)
        area = sum((w[0].stop - w[0].start) * (w[1].stop - w[1].start) for w in windows)
        if area > _WHOLE_SHARE * due.size:
            return [(slice(0, due.shape[0]), slice(0, due.shape[1]))]
        return windows

    def _take_over(self, read: list[OcrLine], asked: Cells, region: Box) -> None:
        """Matches what was read in a region with the lines that were there before.

        Only lines on cells that were asked for are in question, and lines that the new ones have
        swallowed. The others stay whatever was read: the region may have cut them.
        """
        news = [line for line in read if _touches(line, asked)]
        in_question = [
            line
            for line in self._open
            if _touches(line, asked) or any(covers(later.box, line.box) for later in news)
        ]
        others = [line for line in self._open if line not in in_question]
        continued: list[OcrLine] = []
        for later in read:
            line = _find_same(in_question, later)
            if line is not None:
                in_question.remove(line)
                continued.append(_continued(line, later))
            elif any(covers(line.box, later.box) for line in others):
                continue
            elif later in news or not _is_cut(later.box, region):
                continued.append(later)
        self._closed += in_question
        self._open = others + continued


def _find_same(before: list[OcrLine], later: OcrLine) -> OcrLine | None:
    """The line that a new reading continues: in its place, or the same words moved elsewhere."""
    for line in before:
        is_same = same_text(line.text, later.text) or grows_from(line, later)
        if is_same and same_place(line.box, later.box):
            return line
    # Text that scrolls is the same line still, if it is read letter by letter the same.
    return next((line for line in before if line.text == later.text), None)


def _continued(line: OcrLine, later: OcrLine) -> OcrLine:
    """The line as it stands now, with its first second and its best reading."""
    whole = merged(line, later)
    # A line that moved is where it was seen last.
    return whole if same_place(line.box, later.box) else replace(whole, box=later.box)


def _touches(line: OcrLine, cells: Cells) -> bool:
    return bool(cells[window_of(line.box, cells.shape)].any())


def _is_cut(box: Box, region: Box) -> bool:
    """Whether a box reaches a border of the region that is no border of the picture."""
    return any(
        abs(edge - border) < _EDGE and border not in (0.0, 1.0)
        for edge, border in zip(box, region, strict=True)
    )
