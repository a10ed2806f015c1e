"""Answers as a user meets them when something goes wrong while, or before, a model writes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chat_servers import ScriptedServer, event, models, stream
from cli_runs import Run, start
from conftest import Talk

from clamr_rag import Options, VideoLibrary
from clamr_rag.config import AnswerOptions
from clamr_rag.errors import ModelMissingError, OutOfMemoryError, UsageError

Here = Callable[..., Run]
QUESTION = "Why did churn fall?"
FOUND = "Churn fell, mostly because of the new onboarding"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        running.script(models("m-7b"), path="/v1/models")
        yield running


def test_a_streamed_answer_that_breaks_off_ends_its_line(
    run_here: Here, talk: Talk, server: ScriptedServer
) -> None:
    server.script(stream(event(content="It fell")))
    done = run_here(
        "ask", "--library", talk.library, "--base-url", server.root, "--set", "answer.retries=0",
        "--frames", "0", "--stream", QUESTION,
    )  # fmt: skip
    begun, clip, *_ = done.out.splitlines()
    assert done.code == 6
    assert begun == "It fell"
    assert FOUND in clip


def test_quotes_that_are_no_answer_are_not_streamed(run_here: Here, talk: Talk) -> None:
    done = run_here("ask", "--library", talk.library, "--stream", "Which volcano erupted?")
    assert done.out.startswith("The videos do not seem to tell.\n")


def test_ctrl_c_while_a_model_writes_is_one_line_of_its_own(
    talk: Talk, server: ScriptedServer, tmp_path: Path
) -> None:
    server.script(stream(event(content="It fell"), "stall"))
    process = start(
        ["--library", talk.library, "ask", "--base-url", server.root, "--frames", "0", "--stream",
         QUESTION],
        tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(7) == b"It fell"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b"\n"
    (line,) = err.decode().splitlines()
    assert line.startswith("error: interrupted")


@pytest.mark.parametrize("name", ["/no/such/folder", "no/such-model"])
def test_a_local_model_that_is_missing_loses_no_clips(
    run_here: Here, talk: Talk, name: str
) -> None:
    options = ("--library", talk.library, "--answerer", f"hf:{name}")
    done = run_here("ask", *options, QUESTION)
    assert done.code == 6
    assert len(done.err.splitlines()) == 1
    assert FOUND in done.out

    failed = run_here("ask", "--json", *options, QUESTION)
    told = json.loads(failed.out)
    assert failed.code == 6
    assert told["answer"] is None
    assert name in told["error"]
    assert len(told["clips"]) == 1


class FullModel:
    """Runs out of memory."""

    name = "full"
    reads_pictures = False

    def stream(self, message: object) -> Iterator[str]:
        raise OutOfMemoryError("full ran out of memory")
        yield ""


def test_whoever_fails_the_library_hands_the_clips_on(talk: Talk) -> None:
    with (
        VideoLibrary.open(talk.library, answerer=FullModel(), create=False) as library,
        pytest.raises(OutOfMemoryError) as memory,
    ):
        library.ask(QUESTION)
    assert memory.value.clips

    options = Options(answer=AnswerOptions(answerer="hf:/no/such/folder"))
    with (
        VideoLibrary.open(talk.library, options=options, create=False) as library,
        pytest.raises(ModelMissingError) as missing,
    ):
        library.ask(QUESTION)
    assert [found.rank for found in missing.value.clips] == [1]


def test_one_string_is_no_list_of_choices(talk: Talk) -> None:
    with (
        VideoLibrary.open(talk.library, create=False) as library,
        pytest.raises(UsageError, match="a list of options"),
    ):
        library.ask(QUESTION, choices="prices")
