from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from cli_runs import COMMAND, environment
from conftest import Talk

from clamr_rag.cli.progress import Hidden, JsonLines, MovingLines, PlainLines, make_view
from clamr_rag.cli.terminal import Terminal
from clamr_rag.ingest import Progress, Stage


def event(done: float, stage: Stage = "screen", number: int = 2, total: float = 100.0) -> Progress:
    return Progress("/films/a.mp4", stage, number, 3, done, total, "s")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_are_few() -> None:
    told: list[str] = []
    clock = Clock()
    view = PlainLines(told.append, clock)
    for second in range(100):
        clock.now = second
        view.show(event(second))
    assert told == [
        "a.mp4 2/3 screen 0/100 s",
        "a.mp4 2/3 screen 30/100 s, 1.0 s/s, 70 s left",
        "a.mp4 2/3 screen 60/100 s, 1.0 s/s, 40 s left",
        "a.mp4 2/3 screen 90/100 s, 1.0 s/s, 10 s left",
    ]


def test_what_an_earlier_run_had_done_is_not_speed() -> None:
    told: list[str] = []
    clock = Clock()
    view = PlainLines(told.append, clock)
    view.show(event(60))
    clock.now = 30.0
    view.show(event(75))
    assert told[-1] == "a.mp4 2/3 screen 75/100 s, 0.5 s/s, 50 s left"


def test_a_stage_and_a_video_begin_with_a_line() -> None:
    told: list[str] = []
    view = PlainLines(told.append, Clock())
    view.show(event(100, "speech", 1))
    view.show(event(0))
    view.show(Progress("/films/b.mp4", "screen", 2, 3, 0, 5, "s"))
    assert [line.split(" ", 1)[0] for line in told] == ["a.mp4", "a.mp4", "b.mp4"]


def test_json_lines_are_objects_with_the_fields_of_progress(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with closing(JsonLines()) as view:
        view.show(event(1))
        view.show(event(2))
    lines = capsys.readouterr().err.splitlines()
    assert json.loads(lines[1]) == {
        "event": "progress", "video_path": "/films/a.mp4", "stage": "screen", "stage_number": 2,
        "num_stages": 3, "done": 2, "total": 100.0, "unit": "s",
    }  # fmt: skip


def test_the_view_fits_the_wish_and_the_terminal() -> None:
    assert isinstance(make_view("json", Terminal()), JsonLines)
    assert isinstance(make_view("none", Terminal()), Hidden)
    assert isinstance(make_view("auto", Terminal(quiet=True)), Hidden)
    assert isinstance(make_view("auto", Terminal()), PlainLines)
    assert isinstance(make_view("auto", Terminal("always")), MovingLines)


def test_a_hostile_name_does_not_steer_the_progress_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with closing(make_view("auto", Terminal("always"))) as view:
        view.show(Progress("/f/[red]x\x1b[2J\u202e.mp4", "clips", 3, 3, 1, 2, "clips"))
    shown = capsys.readouterr().err
    assert "[red]x" in shown
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown


def test_a_terminal_sees_the_line_move_and_gets_its_cursor_back(talk: Talk, tmp_path: Path) -> None:
    """A real pseudo-terminal on stderr; stdout stays clean for data."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--library", tmp_path / "library", "index", talk.video, "--ocr", "none"],
        env=environment(tmp_path, TERM="xterm-256color"),
        stdin=follower, stdout=subprocess.PIPE, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    shown = _read_all(leader, process)
    assert process.stdout is not None
    with process.stdout:
        out = process.stdout.read().decode()
    assert process.returncode == 0, shown
    assert "talk.mp4 3/3 clips" in shown
    assert "clips" in out
    assert "\x1b" not in out
    hidden, restored = shown.rfind("\x1b[?25l"), shown.rfind("\x1b[?25h")
    assert -1 < hidden < restored


def _read_all(leader: int, process: subprocess.Popen[bytes]) -> str:
    shown = b""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        ready, _, _ = select.select([leader], [], [], 0.1)
        if ready:
            try:
                shown += os.read(leader, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
        elif process.poll() is not None:
            break
    os.close(leader)
    process.wait(timeout=30)
    return shown.decode("utf-8", "replace")
