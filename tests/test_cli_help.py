from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runs import Run, clamr, environment

from clamr_rag import __version__
from clamr_rag.cli.options import FLAGS
from clamr_rag.cli.settings import allowed_words, field_of

COMMANDS = ("ask", "search", "index", "ls", "info", "rm", "verify", "doctor", "config", "demo")
COMMON = ("--json", "--fail-if-empty", "--quiet", "--verbose", "--debug", "--log-file", "--color",
          "--offline", "--progress", "--set", "--library", "--encoder", "--device")  # fmt: skip

HEAVY = ("torch", "transformers", "av", "cv2", "numpy", "PIL", "sqlite3", "onnxruntime", "chromadb")


def words(text: str) -> set[str]:
    return set(re.findall(r"--?[a-z][a-z-]*|[a-z]+", text))


def test_help_lists_every_command_and_common_option(
    run_here: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = run_here("--help")
    assert told.code == 0
    assert {*COMMANDS, *COMMON} <= words(told.out)
    assert told.err == ""


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "config"])
def test_every_command_takes_the_common_options(command: str, run_here: Callable[..., Run]) -> None:
    told = run_here(command, "--help")
    assert told.code == 0
    expected = [c for c in COMMON if command != "demo" or c not in FLAGS]
    assert set(expected) <= words(told.out)


def test_every_flag_of_a_stage_is_in_the_help_of_ask(run_here: Callable[..., Run]) -> None:
    shown = run_here("ask", "--help").out
    assert set(FLAGS) <= words(shown)
    for key in FLAGS.values():
        stage, _, name = key.partition(".")
        for word in allowed_words(field_of(stage, name)):
            assert word[:5] in shown


def test_no_arguments_show_the_help_and_are_a_usage_error(run_here: Callable[..., Run]) -> None:
    told = run_here()
    assert told.code == 2
    assert "Usage" in told.out


def test_version(run_here: Callable[..., Run]) -> None:
    told = run_here("--version")
    assert (told.code, told.out) == (0, f"clamr-rag {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["frobnicate"], "frobnicate"),
        (["ask", "--frob", "x"], "--frob"),
        (["ask"], "QUESTION"),
        (["index"], "PATH"),
        (["ls", "--color", "blue"], "auto, always, never"),
        (["--progress", "loud", "ls"], "auto, json, none"),
        (["ls", "--library"], "--library"),
        (["serve"], "serve"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    arguments: list[str], told: str, run_here: Callable[..., Run]
) -> None:
    done = run_here(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert told in done.err


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from clamr_rag.cli import main; code = main(sys.argv[1:]);"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr); raise SystemExit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(tmp_path), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == "[]\n"


def test_help_as_a_process_is_on_stdout_alone(tmp_path: Path) -> None:
    done = clamr("--help", home=tmp_path)
    assert done.code == 0
    assert "Usage" in done.out
    assert done.err == ""
