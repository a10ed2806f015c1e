"""What goes to which stream, and what the switches change about it."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runs import Run
from conftest import Talk

from clamr_rag.cli import indexing
from clamr_rag.cli.invocation import settle_process
from clamr_rag.cli.options import Given, Switches, take_options
from clamr_rag.cli.settings import Setting
from clamr_rag.errors import DiskFullError, LibraryLockedError, MediaError, UsageError

Runner = Callable[..., Run]


@pytest.fixture
def again(talk: Talk, tmp_path: Path, run_here: Runner) -> Runner:
    """Indexes the talk anew, without reading the screen."""
    library = shutil.copytree(talk.library, tmp_path / "own")

    def index(*arguments: str) -> Run:
        fixed = ("index", "--library", str(library), "--ocr", "none", "--force")
        return run_here(*fixed, *arguments, talk.video)

    return index


def test_progress_and_notes_are_on_stderr_and_data_on_stdout(again: Runner) -> None:
    told = again()
    assert told.code == 0
    assert [line.split()[1] for line in told.out.splitlines()] == ["indexed"]
    assert [line.split()[:3] for line in told.err.splitlines()] == [
        ["encoder", "mini", "on"],
        ["talk.mp4", "1/3", "speech"],
        ["talk.mp4", "2/3", "screen"],
        ["talk.mp4", "3/3", "clips"],
    ]


@pytest.mark.parametrize("switches", [["-q"], ["--progress", "none"], ["-q", "--progress", "auto"]])
def test_quiet_is_silent_on_stderr(switches: list[str], again: Runner) -> None:
    told = again(*switches)
    assert (told.code, told.err) == (0, "")
    assert told.out


def test_json_leaves_nothing_else_on_stdout(again: Runner) -> None:
    told = again("--json", "--progress", "json")
    assert told.json["videos"][0]["status"] == "indexed"
    events = [json.loads(line) for line in told.err.splitlines()]
    assert {event["event"] for event in events} == {"progress"}
    assert [event["stage_number"] for event in events] == sorted(e["stage_number"] for e in events)


def test_what_is_indexed_again_is_said_to_be_so(
    talk: Talk, tmp_path: Path, run_here: Runner
) -> None:
    library = shutil.copytree(talk.library, tmp_path / "own")
    arguments = ("--library", library, talk.video, "Why did churn fall?", "--ocr", "none")
    told = run_here("ask", *arguments)
    assert "indexing talk.mp4 again: its options or subtitles have changed" in told.err
    assert run_here("ask", *arguments).err == ""


def test_a_warning_of_a_video_is_told_with_its_name(
    tmp_path: Path, talk: Talk, again: Runner
) -> None:
    (talk.video.parent / "talk.en.srt").write_text("this is not a subtitle file")
    try:
        told = again("-q")
    finally:
        (talk.video.parent / "talk.en.srt").unlink()
    assert told.code == 0
    assert told.err.startswith("warning: talk.mp4: ")
    assert told.err.count("\n") == 1


# --- errors amid a batch


def failing(error: Exception) -> Callable[..., object]:
    def add_video(*_: object, **__: object) -> object:
        raise error

    return add_video


@pytest.mark.parametrize(
    ("error", "code", "num_tried"),
    [
        (MediaError("a bad file"), 3, 2),
        (DiskFullError("no space left"), 9, 1),
        (LibraryLockedError("locked"), 7, 1),
        (KeyboardInterrupt(), 130, 0),
        (MemoryError(), 10, 0),
    ],
)
def test_only_an_error_of_the_file_itself_lets_the_batch_go_on(
    error: Exception, code: int, num_tried: int, run_here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every outcome is told, also that of the file at which the run ended."""
    monkeypatch.setattr("clamr_rag.cli.index_command.add_video", failing(error))
    told = run_here("index", "--json", "a.mp4", "b.mp4")
    assert told.code == code
    assert [video["path"] for video in told.json["videos"]] == ["a.mp4", "b.mp4"][:num_tried]
    assert all(video["status"] == "failed" for video in told.json["videos"])
    assert len(told.errors) == max(1, num_tried)


def test_a_decoder_that_dies_of_ctrl_c_is_no_bad_file(
    talk: Talk, tmp_path: Path, run_here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child gets the signal as well and may be gone first."""

    def add(self: object, *_: object, **__: object) -> object:
        os.kill(os.getpid(), 2)
        raise MediaError("the decoder died: SIGINT")

    monkeypatch.setattr("clamr_rag.library.VideoLibrary.add", add)
    told = run_here("--library", tmp_path / "library", "index", talk.video)
    assert told.code == 130
    assert "the decoder died" not in told.err


def test_record_of_what_is_no_file(talk: Talk) -> None:
    from clamr_rag.index.store import Store

    with Store.open(talk.library) as store:
        assert indexing.known_of_file(store, talk.video) is not None
        assert indexing.known_of_file(store, talk.video.parent) is None
        assert indexing.known_of_file(store, Path("/no/such.mp4")) is None


# --- switches


def test_switches_after_the_command_win_over_those_before() -> None:
    before = Given(
        Switches(json=True, color="never"), (Setting("search", "top_k", "1", "--top-k"),)
    )
    after = Given(Switches(color="always"), (Setting("search", "top_k", "2", "--top-k"),))
    both = after.over(before)
    assert both.switches == Switches(json=True, color="always")
    assert [setting.value for setting in both.flags] == ["2", "1"]


def test_options_are_taken_out_of_the_arguments() -> None:
    arguments: dict[str, object] = {
        field: getattr(Switches(), field) for field in Switches.__dataclass_fields__
    }
    arguments |= {
        "option_top_k": "3",
        "option_speech": None,
        "words": ["q"],
        "assignments": ["search.top_k=4", "search.top_k=5"],
    }
    given = take_options(arguments)
    assert arguments == {"words": ["q"]}
    assert [(s.key, s.value, s.origin) for s in given.flags] == [
        ("search.top_k", "3", "--top-k"),
        ("search.top_k", "5", "--set"),
        ("search.top_k", "4", "--set"),
    ]


def test_switches_with_unknown_words() -> None:
    with pytest.raises(UsageError, match="auto, json, none"):
        Switches(progress="loud")
    with pytest.raises(UsageError, match="auto, always, never"):
        Switches(color="blue")


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test settle the process and puts everything back."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS",
                 "TOKENIZERS_PARALLELISM", "TRANSFORMERS_VERBOSITY"):  # fmt: skip
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)


@pytest.mark.usefixtures("process")
def test_offline_is_said_to_all_who_could_call_out() -> None:
    settle_process(Switches())
    assert "HF_HUB_OFFLINE" not in os.environ
    settle_process(Switches(offline=True))
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["TRANSFORMERS_OFFLINE"] == "1"


@pytest.mark.usefixtures("process")
@pytest.mark.parametrize(
    ("switches", "told"),
    [
        (Switches(), ""),
        (Switches(verbose=True), "INFO clamr_rag.x: mine\n"),
        (
            Switches(debug=True),
            "DEBUG clamr_rag.x: deep\nINFO clamr_rag.x: mine\nINFO other: theirs\n",
        ),
    ],
)
def test_how_much_is_logged(
    switches: Switches, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settle_process(switches)
    logging.getLogger("clamr_rag.x").debug("deep")
    logging.getLogger("clamr_rag.x").info("mine")
    logging.getLogger("other").info("theirs")
    assert capsys.readouterr().err == told


@pytest.mark.usefixtures("process")
def test_a_log_file_has_everything_and_the_terminal_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settle_process(Switches(log_file=str(tmp_path / "a.log")))
    logging.getLogger("other").debug("name \udcff \u202e")
    for handler in logging.getLogger().handlers:
        handler.close()
    assert "DEBUG other: name" in (tmp_path / "a.log").read_text()
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("process")
def test_a_hostile_name_in_the_log_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    settle_process(Switches(verbose=True))
    logging.getLogger("clamr_rag.x").info("read %s", "a\x1b[2J\u202e.mp4")
    assert capsys.readouterr().err == "INFO clamr_rag.x: read a [2J.mp4\n"
