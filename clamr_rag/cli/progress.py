"""Progress on stderr: a moving line for people, few lines for a log file, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from clamr_rag.cli.terminal import Terminal, one_line

if TYPE_CHECKING:
    from rich.progress import TaskID

    from clamr_rag.ingest import Progress

_LINE_EVERY_SECONDS = 30.0


class ProgressView(Protocol):
    """Shows the progress of one video after the other."""

    def show(self, progress: Progress) -> None:
        """Called often."""
        ...

    def close(self) -> None:
        """Leaves the terminal as it was."""
        ...


class Hidden:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class JsonLines:
    """One JSON object per event and line."""

    def show(self, progress: Progress) -> None:
        """Writes the event."""
        event = {
            "event": "progress",
            "video_path": progress.video_path,
            "stage": progress.stage,
            "stage_number": progress.stage_number,
            "num_stages": progress.num_stages,
            "done": progress.done,
            "total": progress.total,
            "unit": progress.unit,
        }
        print(json.dumps(event), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Does nothing."""


class PlainLines:
    """A line when a stage starts, and now and then while it lasts: for log files."""

    def __init__(
        self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._stage: tuple[str, str] | None = None
        self._told_at = 0.0
        self._began_at = 0.0
        self._first_done = 0.0

    def show(self, progress: Progress) -> None:
        """Says it if it is worth a line."""
        now = self._clock()
        stage = progress.video_path, progress.stage
        if stage != self._stage:
            self._stage, self._began_at, self._first_done = stage, now, progress.done
        elif now - self._told_at < _LINE_EVERY_SECONDS:
            return
        self._told_at = now
        self._tell(f"{label(progress)} {amount(progress)}{self._pace(progress, now)}")

    def close(self) -> None:
        """Does nothing."""

    def _pace(self, progress: Progress, now: float) -> str:
        """Rate and time left; what an earlier run had done does not count as speed."""
        elapsed = now - self._began_at
        done_now = progress.done - self._first_done
        if elapsed <= 0 or done_now <= 0:
            return ""
        rate = done_now / elapsed
        left = (progress.total - progress.done) / rate
        return f", {rate:.1f} {progress.unit}/s" + (f", {left:.0f} s left" if left >= 1 else "")


class MovingLines:
    """One line per stage with bar, count, rate and time left."""

    def __init__(self, terminal: Terminal) -> None:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Display

        self._display = Display(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=terminal.err,
        )
        self._stage: tuple[str, str] | None = None
        self._task: TaskID | None = None

    def show(self, progress: Progress) -> None:
        """Moves the line of the stage."""
        stage = progress.video_path, progress.stage
        if stage != self._stage or self._task is None:
            self._finish_stage()
            self._display.start()
            self._stage = stage
            self._task = self._display.add_task(label(progress), total=None, amount="", rate="")
        # rich's speed leaves out the first step, and so what an earlier run had done.
        speed = self._display.tasks[-1].speed
        self._display.update(
            self._task,
            completed=progress.done,
            total=progress.total,
            amount=amount(progress),
            rate=f"{speed:.1f} {progress.unit}/s" if speed else "",
        )

    def _finish_stage(self) -> None:
        """The last event of a stage may come a frame before its end."""
        if self._task is not None:
            self._display.update(self._task, completed=self._display.tasks[-1].total)

    def close(self) -> None:
        """Ends the display; the lines of the stages remain."""
        self._display.stop()
        self._stage = None


def make_view(form: str, terminal: Terminal) -> ProgressView:
    """Chooses the view: ``auto`` is a moving line on a terminal and plain lines elsewhere."""
    if form == "json":
        return JsonLines()
    if form == "none" or terminal.quiet:
        return Hidden()
    if terminal.err.is_terminal and not terminal.err.is_dumb_terminal:
        return MovingLines(terminal)
    return PlainLines(terminal.note)


def label(progress: Progress) -> str:
    """Which video and which stage."""
    name = one_line(Path(progress.video_path).name, 40)
    return f"{name} {progress.stage_number}/{progress.num_stages} {progress.stage}"


def amount(progress: Progress) -> str:
    """How much of how much."""
    return f"{progress.done:.0f}/{progress.total:.0f} {progress.unit}"
