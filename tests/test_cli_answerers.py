"""Answers by a model from the command line: which one, what is said of it, and what if it fails."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest
from cli_runs import Run
from conftest import Talk

Here = Callable[..., Run]
QUESTION = "Why did churn fall?"


@pytest.fixture
def nobody() -> str:
    """The address of a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def test_auto_says_what_it_chose_and_why(run_here: Here, talk: Talk) -> None:
    done = run_here("ask", "--library", talk.library, QUESTION)
    assert done.code == 0
    assert "answered by extractive (auto: no model server is named)" in done.out


def test_what_was_asked_for_needs_no_reason(run_here: Here, talk: Talk) -> None:
    done = run_here("ask", "--library", talk.library, "--answerer", "extractive", QUESTION)
    assert "answered by extractive ·" in done.out
    told = json.loads(
        run_here(
            "ask", "--json", "--library", talk.library, "--answerer", "extractive", QUESTION
        ).out
    )
    assert (told["answerer"], told["answerer_reason"], told["reason"]) == ("extractive", None, None)


@pytest.mark.parametrize("wrong", ["openai:", "openai: ", "hf:", "gpt-5", ""])
def test_an_answerer_that_is_none(run_here: Here, talk: Talk, wrong: str) -> None:
    done = run_here("ask", "--library", talk.library, "--answerer", wrong, QUESTION)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "allowed: auto, extractive, openai:MODEL, hf:MODEL" in done.err


def test_a_server_that_is_down_loses_no_clips(run_here: Here, talk: Talk, nobody: str) -> None:
    options = ("--library", talk.library, "--answerer", "openai:some-model", "--base-url", nobody)
    quick = ("--set", "answer.retries=0")
    done = run_here("ask", *options, *quick, QUESTION)
    assert done.code == 6
    assert "Churn fell, mostly because of the new onboarding" in done.out
    (line,) = done.err.splitlines()
    assert line.startswith("error: ")
    assert nobody.removesuffix("/v1").removeprefix("http://") in line

    failed = run_here("ask", "--json", *options, *quick, QUESTION)
    told = json.loads(failed.out)
    assert failed.code == 6
    assert told["answer"] is None
    assert told["error"] in failed.err
    assert [clip["rank"] for clip in told["clips"]] == [1]


def test_auto_with_a_server_that_is_down_does_not_fall_back(
    run_here: Here, talk: Talk, nobody: str
) -> None:
    done = run_here(
        "ask",
        "--library",
        talk.library,
        "--base-url",
        nobody,
        "--set",
        "answer.retries=0",
        QUESTION,
    )
    assert done.code == 6
    assert "extractive" not in done.out


def test_a_local_model_that_is_not_there(run_here: Here, talk: Talk) -> None:
    done = run_here("ask", "--library", talk.library, "--answerer", "hf:no/such-model", QUESTION)
    assert done.code == 6
    assert "no/such-model" in done.err
    assert len(done.err.splitlines()) == 1


def test_stream_and_json_exclude_each_other(run_here: Here, talk: Talk) -> None:
    done = run_here("ask", "--library", talk.library, "--stream", "--json", QUESTION)
    assert done.code == 2
    assert done.out == ""


def test_quotes_are_streamed_in_one_piece(run_here: Here, talk: Talk) -> None:
    plain = run_here("ask", "--library", talk.library, QUESTION).out.splitlines()
    streamed = run_here("ask", "--library", talk.library, "--stream", QUESTION).out.splitlines()
    header, text, *rest = plain
    assert streamed == [text, header, *rest]


def test_the_reason_for_no_answer_is_said(run_here: Here, talk: Talk) -> None:
    done = run_here("ask", "--library", talk.library, "Which volcano erupted in Iceland?")
    assert done.code == 0
    assert "no answer: confidence 0." in done.err
