"""Answers by a model from the command line: which one, what is said of it, and what if it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chat_servers import ScriptedServer, answer, event, failure, free_port, models, stream
from cli_runs import Run, clamr
from conftest import Talk

Here = Callable[..., Run]
QUESTION = "Why did churn fall?"


@pytest.fixture
def nobody() -> str:
    """The address of a port on which nobody listens."""
    return f"http://127.0.0.1:{free_port()}/v1"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        running.script(models("m-7b"), path="/v1/models")
        yield running


@pytest.fixture
def ask(run_here: Here, talk: Talk, server: ScriptedServer) -> Here:
    """Asks the scripted server's only model."""
    options = ("--library", talk.library, "--base-url", server.root, "--set", "answer.retries=0")
    return lambda *more: run_here("ask", *options, *more)


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


REPLY = (
    "Churn fell because of the new onbo",
    "arding [1]. The onboarding",
    " is new [1",
    "]. ",
    "Anna did it [7].",
)


def test_a_models_answer_with_its_citations_and_its_inventions(
    ask: Here, server: ScriptedServer
) -> None:
    server.script(answer(*REPLY))
    done = ask("--frames", "2", QUESTION)
    assert done.code == 0
    header, text, citation, *rest = done.out.splitlines()
    where = server.root.removeprefix("http://")
    assert f"answered by m-7b at {where} (auto: the model that --base-url serves)" in header
    assert text == (
        "Churn fell because of the new onboarding [1]. The onboarding is new [1]. Anna did it. [?]"
    )
    assert '"Churn fell, mostly because of the new onboarding."' in citation
    assert "[?] nothing in the evidence bears this out" in "\n".join(rest)
    assert "1 citation" in done.err


def test_the_answer_is_streamed(ask: Here, server: ScriptedServer) -> None:
    server.script(answer(*REPLY))
    lines = ask("--stream", "--frames", "0", QUESTION).out.splitlines()
    assert lines[:2] == [
        "Churn fell because of the new onboarding [1]. The onboarding is new [1]. Anna did it.",
        "  [?] Anna did it.",
    ]
    assert lines[2].startswith("encoder mini")


def test_statements_and_notes_are_in_json(ask: Here, server: ScriptedServer) -> None:
    server.script(answer(*REPLY))
    told = json.loads(ask("--json", "--frames", "0", QUESTION).out)
    assert [s["support"] for s in told["statements"]] == ["text", "text", "none"]
    assert [s["citations"] for s in told["statements"]] == [[1], [1], []]
    assert told["answerer_reason"] == "auto: the model that --base-url serves"
    assert len(told["notes"]) == 1
    assert 0 < told["confidence"] < 1


def test_a_reply_without_citations_is_no_answer_but_shows_the_clips(
    ask: Here, server: ScriptedServer
) -> None:
    server.script(answer("It is because of the onboarding."))
    done = ask("--frames", "0", QUESTION)
    assert done.code == 0
    assert "The videos do not seem to tell." in done.out
    assert "Churn fell, mostly" in done.out
    assert "no answer: the model cited none of the clips it was given" in done.err
    assert ask("--frames", "0", "--fail-if-empty", QUESTION).code == 5


def test_a_letter_is_picked(ask: Here, server: ScriptedServer) -> None:
    server.script(answer("Onboarding [1].\nAnswer: B"))
    done = ask("--json", "--frames", "0", "--choice", "prices", "--choice", "onboarding", QUESTION)
    assert json.loads(done.out)["choice"] == "B"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (failure(401, "bad key"), "OPENAI_API_KEY"),
        (failure(429, "slow down"), "429"),
        (answer(""), "nothing"),
        (stream(event(content="Churn fell")), "broke off"),
        (failure(400, "this model does not support image input"), "--frames 0"),
    ],
)
def test_whatever_goes_wrong_is_one_line_and_the_clips_are_shown(
    ask: Here, server: ScriptedServer, reply: object, said: str
) -> None:
    server.script(reply)  # type: ignore[arg-type]
    done = ask("--frames", "1", QUESTION)
    assert done.code == 6
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Churn fell, mostly because of the new onboarding" in done.out


def test_no_picture_and_no_key_stand_in_the_log(
    server: ScriptedServer, talk: Talk, tmp_path: Path
) -> None:
    server.script(answer("Onboarding [1]."))
    log = tmp_path / "log.txt"
    done = clamr(
        "ask", "--library", talk.library, "--base-url", server.root, "--frames", "1", "--debug",
        "--log-file", log, QUESTION, home=tmp_path,
        variables={"OPENAI_API_KEY": "sk-very-secret", "NO_PROXY": "*"},
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "sk-very-secret" in server.requests[-1].headers["authorization"]
    assert b"base64" in server.requests[-1].raw
    told = log.read_text() + done.err + done.out
    assert "chat/completions" in told
    assert "base64" not in told
    assert "sk-very-secret" not in told
