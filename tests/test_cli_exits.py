from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runs import COMMAND, environment

from clamr_rag import errors
from clamr_rag.cli.exits import foreseen, guarded
from clamr_rag.cli.terminal import Terminal


def told(
    error: BaseException, capsys: pytest.CaptureFixture[str], *, debug: bool = False
) -> tuple[int, str]:
    def body() -> int:
        raise error

    code = guarded(body, Terminal(), debug=debug)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ClamrError("bug"), 1),
        (errors.ExtractionError("broke"), 1),
        (errors.UsageError("option"), 2),
        (errors.MediaError("file"), 4),
        (errors.MediaLimitError("bomb"), 4),
        (errors.ModelMissingError("weights"), 6),
        (errors.LibraryLockedError("locked"), 7),
        (errors.LibraryDamagedError("damaged"), 8),
        (errors.LibraryVersionError("newer"), 8),
        (errors.EncoderMismatchError("other"), 8),
        (errors.DiskFullError("full"), 9),
        (OSError(errno.ENOSPC, "full"), 9),
        (OSError(errno.EDQUOT, "quota"), 9),
        (OSError(errno.EFBIG, "limit", "/some/file"), 9),
        (errors.OutOfMemoryError("memory"), 10),
        (MemoryError(), 10),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_has_its_code_and_one_line(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    got, line = told(error, capsys)
    assert got == code
    assert line.startswith("error: ")
    assert line.count("\n") == 1


def test_the_body_decides_if_nothing_is_raised() -> None:
    assert guarded(lambda: 5, Terminal(), debug=False) == 5


def test_got_allowed_and_hint_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, line = told(errors.UsageError("got x", allowed="a, b", hint="try a"), capsys)
    assert line == "error: got x; allowed: a, b; try a\n"


def test_debug_shows_the_trace_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(errors.MediaError("file"), capsys, debug=True)
    assert code == 4
    assert "Traceback" in text
    assert text.endswith("error: file\n")


def test_a_bug_is_not_swallowed() -> None:
    assert foreseen(OSError(errno.EACCES, "no")) is None
    for bug in (ZeroDivisionError("x"), OSError(errno.EACCES, "no")):
        with pytest.raises(type(bug)):
            guarded(lambda bug=bug: (_ for _ in ()).throw(bug), Terminal(), debug=False)


def test_a_broken_pipe_of_our_own_is_a_bug() -> None:
    with pytest.raises(BrokenPipeError):
        guarded(lambda: (_ for _ in ()).throw(BrokenPipeError()), Terminal(), debug=False)


BREAK = """
import sys
from clamr_rag.cli import config_command
def crash(*_): raise ZeroDivisionError("1 / 0\\x1b[2J\\nsecond")
config_command.library_folder = crash
from clamr_rag.cli import main
sys.argv = ["clamr-rag", *sys.argv[1:]]
raise SystemExit(main())
"""


@pytest.mark.parametrize("debug", [False, True])
def test_a_crash_is_one_line_and_code_1(debug: bool, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BREAK, *(["--debug"] if debug else []), "config", "path"],
        env=environment(tmp_path), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: internal error: ZeroDivisionError: 1 / 0 [2J second")
    assert ("Traceback" in done.stderr) is debug
    assert "\x1b[2J" not in last


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """``clamr-rag config show | head -0``: the pipe is closed before anything is written."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [*COMMAND, "config", "show"],
            env=environment(tmp_path), stdout=write_end, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    finally:
        os.close(write_end)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "config", "show"],
            env=environment(tmp_path), stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 9
    assert done.stderr.splitlines()[0].startswith("error: no space left")
    assert "Traceback" not in done.stderr
