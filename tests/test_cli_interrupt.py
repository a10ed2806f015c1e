from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_runs import clamr, start

from clamr_rag import VideoLibrary
from clamr_rag.cli.interrupt import GracefulInterrupt
from clamr_rag.cli.slide_video import Slide, slide_shots, write_slide_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight slides of five seconds: enough to read that Ctrl-C comes in the midst of it."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    slides = [Slide(f"Slide {n}", (f"Words of number {n}",) * 2) for n in range(8)]
    write_slide_video(path, slide_shots(slides, 5.0, size=(640, 360)), size=(640, 360), fps=5)
    return path


def test_the_first_ctrl_c_waits_for_a_check() -> None:
    with GracefulInterrupt() as interrupt:
        interrupt.check()
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()


def test_the_second_ctrl_c_is_left_to_the_system() -> None:
    before = signal.getsignal(signal.SIGINT)
    with GracefulInterrupt():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is before


def start_indexing(video: Path, library: Path, home: Path) -> subprocess.Popen[bytes]:
    """Starts to index in small parts and returns when the first of them is saved."""
    process = start(
        ["--library", library, "index", video, "--progress", "json",
         "--set", "scan.chunk_seconds=5"],
        home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        event = _event(line)
        if event.get("stage") == "screen" and event["done"] > 8:
            return process
    raise AssertionError("indexing ended before it could be interrupted")


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    assert isinstance(event, dict)
    return event


def clips_of(library: Path) -> list[Any]:
    with VideoLibrary.open(library, create=False) as opened:
        record = opened.videos()[0]
        return list(opened.store.clips(record.video.video_id))


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(
    video: Path, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    process = start_indexing(video, library, tmp_path)
    # A terminal sends it to the whole group: the decoder child is hit as well.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    told = err.decode()
    assert process.returncode == 130
    assert "stopping at the next safe point" in told
    assert [line for line in told.splitlines() if line.startswith("error: ")] == [
        "error: interrupted; the same command goes on from here"
    ]
    assert "Traceback" not in told

    again = clamr(
        "--library", library, "index", video, "--json", "--progress", "json",
        "--set", "scan.chunk_seconds=5", home=tmp_path,
    )  # fmt: skip
    assert again.code == 0
    assert again.json["videos"][0]["status"] == "resumed"
    screen = [e for e in map(_event, again.err.encode().splitlines()) if e.get("stage") == "screen"]
    assert screen[0]["done"] >= 5, "the part that was saved is not looked at again"

    other = tmp_path / "undisturbed"
    undisturbed = clamr(
        "--library", other, "index", video, "--set", "scan.chunk_seconds=5", home=tmp_path
    )
    assert undisturbed.code == 0
    assert clips_of(library) == clips_of(other)


def test_a_second_ctrl_c_stops_at_once_and_loses_nothing(video: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    process = start_indexing(video, library, tmp_path)
    process.send_signal(signal.SIGINT)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.communicate()
    # Killed by the signal (a shell says 130), or already gone by the first one.
    assert process.returncode in (-signal.SIGINT, 130)
    assert clamr("--library", library, "verify", home=tmp_path).code == 0
