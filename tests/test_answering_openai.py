"""What an OpenAI-compatible server is asked, and what becomes of each thing that it may reply."""

from __future__ import annotations

import base64
import io
import logging
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_servers import (
    Reply,
    ScriptedServer,
    answer,
    end,
    event,
    failure,
    free_port,
    models,
    stream,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import MadeVideo, Plan, make_video, numbered_picture, read_number
from PIL import Image

from clamr_rag.answering import Message, Prompt, make_generator
from clamr_rag.answering.evidence import assemble
from clamr_rag.answering.footage import Footage
from clamr_rag.answering.openai import OpenAiModel, only_served_model, server_address
from clamr_rag.answering.prompts import message_of
from clamr_rag.answering.thoughts import ThoughtFilter
from clamr_rag.config import AnswerOptions, MediaOptions
from clamr_rag.errors import AnswererError, UsageError
from clamr_rag.ingest import video_id_of
from clamr_rag.types import Clip, Evidence, Frame, Modality, ScoredClip, TimeSpan, Video

KEY = "sk-very-secret-0123456789"
WORDS = Message("the rules", ("a question\n",))


def picture(number: int) -> Frame:
    return Frame(float(number), numbered_picture(number, (160, 120)))


PICTURES = Message(
    "the rules",
    ("picture at 00:00:07.00:\n", picture(7), "picture at 00:00:03.00:\n", picture(3), "why?\n"),
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def model(server: ScriptedServer, **options: Any) -> OpenAiModel:
    return OpenAiModel("m-7b", of(server, **options))


def of(server: ScriptedServer, **options: Any) -> AnswerOptions:
    return AnswerOptions(base_url=server.root, **{"timeout_seconds": 20, "retries": 0, **options})


def reply(server: ScriptedServer, message: Message = WORDS, **options: Any) -> str:
    return "".join(model(server, **options).stream(message))


def error(server: ScriptedServer, message: Message = WORDS, **options: Any) -> str:
    """The one line that a user is told."""
    with pytest.raises(AnswererError) as caught:
        reply(server, message, **options)
    line = str(caught.value)
    assert caught.value.exit_code == 6
    assert "\n" not in line
    return line


# --- what is asked


def test_the_request_holds_the_question_the_limits_and_nothing_else(server: ScriptedServer) -> None:
    server.script(answer("yes"))
    assert reply(server, PICTURES, max_answer_tokens=77) == "yes"
    (asked,) = server.requests
    assert asked.line == "POST /v1/chat/completions"
    assert set(asked.body) == {"model", "messages", "max_tokens", "temperature", "stream"}
    assert asked.body["model"] == "m-7b"
    assert (asked.body["max_tokens"], asked.body["temperature"]) == (77, 0)
    assert asked.body["stream"] is True
    system, user = asked.body["messages"]
    assert system == {"role": "system", "content": "the rules"}
    assert user["role"] == "user"
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    texts = [part["text"] for part in user["content"] if part["type"] == "text"]
    assert texts == [part for part in PICTURES.parts if isinstance(part, str)]


def test_pictures_go_out_as_jpeg_with_their_own_pixels_in_order(server: ScriptedServer) -> None:
    server.script(answer("yes"))
    reply(server, PICTURES)
    sent = pictures_of(server.requests[0].body)
    assert [read_number(pixels) for _, pixels in sent] == [7, 3]
    for (_, pixels), frame in zip(sent, PICTURES.frames, strict=True):
        assert pixels.shape == frame.pixels.shape
        difference = np.abs(pixels.astype(float) - frame.pixels.astype(float))
        assert difference.mean() < 2


def test_colours_are_not_swapped(server: ScriptedServer) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 250
    server.script(answer("yes"))
    reply(server, Message("rules", ("at 1:\n", Frame(1.0, red))))
    ((_, pixels),) = pictures_of(server.requests[0].body)
    assert pixels[16, 16, 0] > 240
    assert pixels[16, 16, 1:].max() < 15


def test_words_alone_go_out_as_a_string_which_every_template_takes(server: ScriptedServer) -> None:
    server.script(answer("yes"))
    reply(server, Message("rules", ("one\n", "two\n")))
    assert server.requests[0].body["messages"][1]["content"] == "one\ntwo\n"


def test_the_key_comes_from_the_environment(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(answer("yes"))
    reply(server)
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    reply(server)
    without, with_key = (request.headers["authorization"] for request in server.requests)
    assert without == "Bearer none"
    assert with_key == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("ending", "path"),
    [
        ("", "/v1"),
        ("/", "/v1"),
        ("/v1", "/v1"),
        ("/v1/", "/v1"),
        ("/v1//", "/v1"),
        ("/openai/v2/", "/openai/v2"),
    ],
)
def test_an_address_without_a_path_gets_v1_and_another_keeps_its_own(
    server: ScriptedServer, ending: str, path: str
) -> None:
    server.script(answer("yes"), path=f"{path}/chat/completions")
    asked = OpenAiModel("m", AnswerOptions(base_url=server.root + ending, retries=0))
    assert list(asked.stream(WORDS)) == ["yes"]
    assert asked.name == f"m at {server.root.removeprefix('http://')}"
    assert asked.reads_pictures


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://host/v1",
        "localhost:8000/v1",
        "http://",
        "http:///v1",
        "http://host:99999/v1",
        "http://[::1/v1",
        "/v1",
        "data:text/plain,x",
    ],
)
def test_what_is_no_http_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"--base-url .* is no server; allowed: an address like"):
        OpenAiModel("m", AnswerOptions(base_url=address))


@pytest.mark.parametrize(
    "address",
    [
        "https://user:hunter2@host/v1",
        "https://hunter2@host/v1",
        "https://host/v1?key=hunter2",
        "https://host/v1#hunter2",
        "ftp://user:hunter2@host/v1",
        "user:hunter2@host",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        OpenAiModel("m", AnswerOptions(base_url=address))
    assert "hunter2" not in str(caught.value)


def test_the_environment_names_a_server_where_no_option_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert server_address(AnswerOptions()) == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gpu7:8000")
    assert server_address(AnswerOptions()) == "http://gpu7:8000/v1"
    assert server_address(AnswerOptions(base_url="https://here/api/")) == "https://here/api"
    monkeypatch.setenv("OPENAI_BASE_URL", "gpu7")
    with pytest.raises(UsageError, match="OPENAI_BASE_URL gpu7 is no server"):
        server_address(AnswerOptions())


def test_the_cloud_is_not_asked_without_a_key() -> None:
    with pytest.raises(AnswererError, match=r"api\.openai\.com asks for a key; set OPENAI_API_KEY"):
        list(OpenAiModel("gpt", AnswerOptions()).stream(WORDS))


@pytest.mark.parametrize("key", ["sk-two\nlines-of-it", "sk-ümlaut", "sk-with space"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_repeated(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    line = error(server)
    assert line.startswith("OPENAI_API_KEY holds characters that no key has")
    assert "sk-" not in line
    assert not server.requests


def test_a_model_of_the_cloud_gets_its_own_names_for_the_limits(server: ScriptedServer) -> None:
    def refused(param: str, code: str) -> Reply:
        return failure(400, f"'{param}' is not supported", param=param, code=code)

    server.script(
        refused("max_tokens", "unsupported_parameter"),
        refused("temperature", "unsupported_value"),
        answer("yes"),
    )
    assert reply(server, max_answer_tokens=77) == "yes"
    last = server.requests[-1].body
    assert set(last) == {"model", "messages", "max_completion_tokens", "stream"}
    assert last["max_completion_tokens"] == 77


def test_an_option_that_is_refused_for_good_is_asked_once(server: ScriptedServer) -> None:
    server.script(
        failure(400, "no", param="temperature", code="unsupported_value"),
    )
    assert "HTTP 400: no" in error(server)
    assert len(server.requests) == 2


# --- what is replied


def test_pieces_are_there_as_soon_as_they_are_sent(server: ScriptedServer) -> None:
    gate = threading.Event()
    server.script(stream(event(content="first"), gate, event(content=" second"), end()))
    pieces = model(server).stream(WORDS)
    assert next(pieces) == "first"
    # The server waits for this: a client that gathers the whole reply would stand still before it.
    gate.set()
    assert list(pieces) == [" second"]


def test_a_reader_may_leave_early(server: ScriptedServer) -> None:
    server.script(stream(event(content="first"), "stall"))
    pieces = model(server).stream(WORDS)
    assert next(pieces) == "first"
    pieces.close()  # type: ignore[attr-defined]


def test_thoughts_are_no_part_of_the_answer(server: ScriptedServer) -> None:
    server.script(
        stream(
            event(role="assistant", content=""),
            event(reasoning_content="let me see", content=None),
            event(reasoning="hm"),
            event(content="<thi"),
            event(content="nk>\nis it 4? </th"),
            event(content="ink>\n\nIt is"),
            event(content=" 5 < 6."),
            end(),
        )
    )
    assert list(model(server).stream(WORDS)) == ["It is", " 5 < 6."]


@given(
    parts=st.lists(
        st.tuples(st.text("ab <>/\n", max_size=8), st.booleans()), min_size=1, max_size=5
    ),
    cuts=st.lists(st.integers(0, 80), max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_however_a_reply_is_cut_the_thoughts_come_out_of_it(
    parts: list[tuple[str, bool]], cuts: list[int]
) -> None:
    whole = "".join(f"<think>{text}</think>" if thought else text for text, thought in parts)
    spoken = "".join(text for text, thought in parts if not thought)
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    thoughts = ThoughtFilter()
    heard = [thoughts.feed(whole[a:b]) for a, b in pairwise(places)]
    assert "".join([*heard, thoughts.finish()]) == spoken.lstrip()


def test_reasoning_that_a_server_has_not_told_apart_is_an_error(server: ScriptedServer) -> None:
    server.script(answer("Let me think.", "</think>", "It is 5."))
    assert "start its server with the reasoning parser" in error(server)


def test_thoughts_that_take_up_all_the_tokens_are_an_error(server: ScriptedServer) -> None:
    server.script(answer("<think>", "and then", reason="length"))
    line = error(server, max_answer_tokens=50)
    assert "spent all its 50 tokens before it came to the answer" in line
    assert "--set answer.max_answer_tokens=200" in line


def test_an_answer_that_is_too_long_is_one_and_says_so(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(answer("It is 5 and", reason="length"))
    assert reply(server, max_answer_tokens=50) == "It is 5 and\n…"
    assert "the answer was cut at 50 tokens" in caplog.text


def test_a_refusal_is_said_in_the_words_of_the_model(server: ScriptedServer) -> None:
    server.script(stream(event(refusal="I can't "), event(refusal="help\nwith that."), end()))
    assert error(server).endswith("refuses to answer: I can't help with that.")


def test_a_filtered_answer_is_an_error(server: ScriptedServer) -> None:
    server.script(answer(reason="content_filter"))
    assert "a content filter stopped it" in error(server)


def test_pieces_without_a_choice_and_unknown_fields_are_passed_over(
    server: ScriptedServer,
) -> None:
    odd = (
        b'data: {"choices": []}\n\n',
        b": keep-alive\n\n",
        b'data: {"choices": null, "usage": {}}\n\n',
        b'data: {"choices": [{"delta": null, "extra": 1}]}\n\n',
    )
    server.script(stream(*odd, event(content="yes"), end()))
    assert reply(server) == "yes"


def test_a_reply_without_a_word_is_left_to_the_caller(server: ScriptedServer) -> None:
    server.script(answer())
    assert reply(server) == ""


# --- what goes wrong before the first word

WRONG = {
    "no key": (failure(401, "Missing bearer"), ("HTTP 401: Missing bearer", "set OPENAI_API_KEY")),
    "forbidden": (failure(403, "Not yours"), ("HTTP 403: Not yours", "set OPENAI_API_KEY")),
    "busy": (failure(429, "Slow down"), ("HTTP 429: Slow down", "--set answer.retries")),
    "broken": (failure(500, "Oh no"), ("HTTP 500: Oh no", "see the server's own log")),
    "gone": (failure(503, "Loading model"), ("HTTP 503: Loading model",)),
    "vLLM, too long": (
        failure(400, "This model's maximum context length is 4096 tokens. However, you requested"),
        ("maximum context length", "fewer --frames, --set answer.speech_characters=6000"),
    ),
    "vLLM, too long with pictures": (
        failure(400, "The decoder prompt (length 5000) is longer than the maximum model length of "
                "4096. Make sure that `max_model_len` is no smaller than the number of text tokens "
                "plus multimodal tokens."),
        ("fewer --frames",),
    ),
    "llama.cpp, too long": (
        failure(400, "the request exceeds the available context size", code=400),
        ("fewer --frames",),
    ),
    "proxy, too large": (
        Reply(413, (b"<html><h1>413 Request Entity Too Large",), "text/html"),
        ("HTTP 413: a web page", "fewer --frames"),
    ),
    "OpenAI, blind": (
        failure(400, "Invalid content type. image_url is only supported by certain models."),
        ("only supported by certain models", "--frames 0"),
    ),
    "vLLM, blind": (failure(400, "m-7b is not a multimodal model"), ("--frames 0",)),
    "llama.cpp, blind": (
        failure(500, "image input is not supported - hint: you may need to provide the mmproj"),
        ("--frames 0",),
    ),
    "DeepSeek, blind": (
        failure(422, "unknown variant `image_url`, expected `text`"), ("HTTP 422", "--frames 0")
    ),
    "vLLM, few pictures": (
        failure(400, "At most 1 image(s) may be provided in one prompt."), ("; --frames 1",)
    ),
    "words in detail": (Reply(400, (b'{"detail": "so not"}',)), ("HTTP 400: so not",)),
    "words in error": (Reply(400, (b'{"error": "so not"}',)), ("HTTP 400: so not",)),
    "no words": (Reply(418, (b"",), "text/plain"), ("gave no answer: HTTP 418",)),
    "web page": (
        Reply(200, (b"<html><body>Sign in</body></html>",), "text/html; charset=utf-8"),
        ("answered with text/html, not with a stream of events", "ends with /v1"),
    ),
    "one piece of JSON": (
        Reply(200, (b'{"choices": [{"message": {"content": "hi"}}]}',)),
        ("answered with application/json, not with a stream",),
    ),
    "half a piece": (stream(b'data: {"choices": [{"del\n\n'), ("sent a piece that is none",)),
    "another shape": (stream(b'data: {"choices": 7}\n\n'), ("sent a piece that is none",)),
    "a bare word": (stream(b'data: "hi"\n\n'), ("sent a piece that is none",)),
    "nothing at all": (stream(), ("closed the connection before the end", "ask again")),
    "error within the stream": (
        stream(b'data: {"error": {"message": "CUDA out of memory", "code": 500}}\n\n'),
        ("gave no answer: CUDA out of memory", "see the server's own log"),
    ),
    "bare error within the stream": (
        stream(b'data: {"error": "it broke"}\n\n'), ("gave no answer: it broke",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_failure_is_one_line_that_says_what_to_do(server: ScriptedServer, name: str) -> None:
    wrong, expected = WRONG[name]
    server.script(wrong)
    line = error(server, PICTURES)
    assert line.startswith("m-7b at 127.0.0.1:")
    for words in expected:
        assert words in line


def test_a_complaint_about_pictures_is_no_hint_where_none_were_sent(
    server: ScriptedServer,
) -> None:
    server.script(failure(400, "image_url is not supported"))
    assert "--frames" not in error(server)


def test_an_unknown_model_is_told_with_those_that_are_known(server: ScriptedServer) -> None:
    server.script(failure(404, "The model `m-7b` does not exist."))
    server.script(models("m-3b", "m-72b"), path="/v1/models")
    assert error(server).endswith("does not exist.; it serves m-3b, m-72b")


def test_a_long_list_of_models_is_cut(server: ScriptedServer) -> None:
    server.script(failure(404, "no"))
    server.script(models(*(f"m{n}" for n in range(50))), path="/v1/models")
    assert error(server).endswith("it serves m0, m1, m2, m3, m4, m5, m6, m7 and 42 more")


def test_a_server_that_has_no_such_page_is_a_wrong_address(server: ScriptedServer) -> None:
    assert "is the base URL that of a model server's API?" in error(server)


def test_a_server_that_is_down_is_said_to_be() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    down = OpenAiModel("m", AnswerOptions(base_url=address, retries=0))
    with pytest.raises(AnswererError) as caught:
        list(down.stream(WORDS))
    line = str(caught.value)
    assert line.startswith(f"no server answers at {address}/v1: ")
    assert "Connection refused" in line
    assert "start it, or correct --base-url" in line


def test_a_host_that_there_is_none_of_is_said_to_be_none() -> None:
    lost = OpenAiModel("m", AnswerOptions(base_url="http://no-such-host.invalid", retries=0))
    with pytest.raises(AnswererError, match=r"no server answers at http://no-such-host\.invalid"):
        list(lost.stream(WORDS))


@pytest.mark.parametrize(
    "silent", [Reply(0), stream("stall"), stream(event(role="assistant"), "stall")]
)
def test_silence_before_the_first_word_is_not_asked_again(
    server: ScriptedServer, silent: Reply
) -> None:
    server.script(silent)
    line = error(server, timeout_seconds=0.3, retries=2)
    assert "gave no answer: it was silent for 0.3 s" in line
    assert "--set answer.timeout_seconds=1.2" in line
    assert len(server.requests) == 1


# --- retries


def test_a_busy_server_is_asked_again_when_it_says(server: ScriptedServer) -> None:
    server.script(
        failure(429, "busy", retry_after="1.2"), failure(503, "still loading"), answer("yes")
    )
    assert reply(server, retries=2) == "yes"
    first, second, _ = (request.seconds for request in server.requests)
    # The package's own first pause is half a second at most.
    assert second - first >= 1.2


def test_patience_has_an_end(server: ScriptedServer) -> None:
    server.script(failure(429, "busy"))
    assert "HTTP 429: busy" in error(server, retries=2)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_get_better_is_asked_once(server: ScriptedServer, status: int) -> None:
    server.script(failure(status, "no"))
    error(server, retries=2)
    assert [request.line for request in server.requests].count("POST /v1/chat/completions") == 1


# --- what goes wrong after the first word

BROKEN = {
    "silence": (("stall",), "it was silent for 0.3 s"),
    "the line is cut": (("cut",), "incomplete chunked read"),
    "an end without an end": ((), "closed the connection before the end of the answer"),
    "an error": (
        (b'data: {"error": {"message": "worker died"}}\n\n',), "worker died"
    ),
    "rubbish": ((b"data: {\n\n",), "sent a piece that is none of an answer"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off_says_after_how_much(server: ScriptedServer, name: str) -> None:
    steps, why = BROKEN[name]
    server.script(stream(event(content="It is"), event(content=" 5"), *steps))
    pieces = model(server, timeout_seconds=0.3, retries=2).stream(WORDS)
    assert [next(pieces), next(pieces)] == ["It is", " 5"]
    with pytest.raises(AnswererError) as caught:
        next(pieces)
    assert "broke off after 7 characters: " in str(caught.value)
    assert why in str(caught.value)
    assert len(server.requests) == 1


# --- the key is a secret


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_a_server_that_repeats_the_key_does_not_get_it_shown(
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    server.script(failure(status, f"Incorrect API key provided: {KEY}."))
    asked = model(server, retries=1)
    with pytest.raises(AnswererError) as caught:
        list(asked.stream(WORDS))
    assert "Incorrect API key provided: [key]." in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text
    assert KEY not in repr(asked) + repr(vars(asked)) + repr(caught.value)


def test_neither_words_in_a_stream_nor_a_refusal_show_the_key(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    error_event = f'data: {{"error": {{"message": "key {KEY}"}}}}\n\n'.encode()
    server.script(stream(event(refusal=f"not with {KEY}"), end()), stream(error_event))
    assert "not with [key]" in error(server)
    assert "key [key]" in error(server)
    assert KEY not in caplog.text


# --- which model


def test_the_only_model_of_a_server_is_found(server: ScriptedServer) -> None:
    server.script(models("qwen-vl"), path="/v1/models")
    assert only_served_model(of(server)) == "qwen-vl"
    assert [request.line for request in server.requests] == ["GET /v1/models"]


@pytest.mark.parametrize(
    ("served", "told"),
    [
        (models("a", "b/c"), "serves 2 models: a, b/c; allowed"),
        (models(), "serves 0 models; allowed"),
        (Reply(200, (b'{"object": "list", "data": null}',)), "serves 0 models; allowed"),
    ],
)
def test_none_or_several_models_must_be_named(
    server: ScriptedServer, served: Reply, told: str
) -> None:
    server.script(served, path="/v1/models")
    with pytest.raises(UsageError) as caught:
        only_served_model(of(server))
    assert told in str(caught.value)
    assert "--answerer openai:MODEL" in str(caught.value)


@pytest.mark.parametrize(
    "served",
    [
        Reply(200, (b"<html>Sign in</html>",), "text/html"),
        Reply(200, (b"{",)),
        Reply(200, (b'{"data": [{"name": "x"}]}',)),
        Reply(200, (b"[]",)),
    ],
)
def test_a_list_of_models_that_is_none_is_an_error(server: ScriptedServer, served: Reply) -> None:
    server.script(served, path="/v1/models")
    with pytest.raises(AnswererError, match="answered with something else than models"):
        only_served_model(of(server))


def test_auto_asks_the_server_of_the_base_url(server: ScriptedServer) -> None:
    server.script(models("qwen-vl"), path="/v1/models")
    chosen = make_generator(of(server), None, None)  # type: ignore[arg-type]
    assert chosen.generator.name.startswith("qwen-vl at 127.0.0.1:")
    assert chosen.reason
    with pytest.raises(AnswererError, match="no server answers"):
        make_generator(
            AnswerOptions(base_url=f"http://127.0.0.1:{free_port()}", retries=0),
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
        )


# --- times


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> MadeVideo:
    """40 seconds whose pictures follow one another after 40 to 900 ms, each with its number."""
    chance = random.Random(5)
    seconds = [0.0]
    while seconds[-1] < 40:
        seconds.append(round(seconds[-1] + chance.choice([0.04, 0.1, 0.3, 0.9]), 3))
    path = tmp_path_factory.mktemp("uneven") / "uneven.mp4"
    return make_video(path, Plan(frame_seconds=seconds))


class NoNeighbours:
    """A store of nothing but the clips that are asked about."""

    def clips(self, video_id: str) -> tuple[Clip, ...]:
        return ()


@pytest.mark.parametrize("seed", range(20))
def test_the_times_that_reach_a_model_are_those_of_its_pictures(
    server: ScriptedServer, uneven: MadeVideo, seed: int
) -> None:
    server.script(answer("yes"))
    chance = random.Random(seed)
    size = uneven.path.stat().st_size
    key = video_id_of(uneven.path)
    video = Video(key, str(uneven.path), "Uneven", uneven.frame_seconds[-1], size)
    found = []
    for number in chance.sample(range(4), 3):
        span = TimeSpan(10.0 * number, 10.0 * number + 10)
        seen = [chance.uniform(span.start_seconds, span.stop_seconds) for _ in range(6)]
        evidence = [Evidence("q", Modality.VIDEO, s, None, chance.random()) for s in seen]
        clip = Clip(f"{key}-{number:05d}", key, number, span)
        found.append(
            ScoredClip(len(found) + 1, clip, video, 0.8, Modality.VIDEO, {}, tuple(evidence))
        )
    options = of(server, frames=chance.randrange(6, 20), frame_side=160, neighbours=0)
    prompt = Prompt("when?", (), tuple(found))
    footage = Footage(NoNeighbours(), MediaOptions())  # type: ignore[arg-type]
    sheet = assemble(prompt, footage, options, with_pictures=True)

    assert sheet.notes == ()
    list(OpenAiModel("m", options).stream(message_of(prompt, sheet)))

    sent = pictures_of(server.requests[0].body)
    assert len(sent) >= 6
    for text, pixels in sent:
        said = seconds_in(text.splitlines()[-1])
        assert said == pytest.approx(uneven.frame_seconds[read_number(pixels)], abs=0.05)


def pictures_of(body: Any) -> list[tuple[str, np.ndarray]]:
    """Each picture of a request with the text just before it."""
    parts = body["messages"][1]["content"]
    found = []
    for before, part in pairwise(parts):
        if part["type"] == "image_url":
            kind, _, encoded = part["image_url"]["url"].partition(",")
            assert kind == "data:image/jpeg;base64"
            with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
                assert image.format == "JPEG"
                found.append((before["text"], np.asarray(image)))
    return found


def seconds_in(line: str) -> float:
    """The seconds of ``picture at HH:MM:SS.hh:``."""
    hours, minutes, seconds = line.removeprefix("picture at ").removesuffix(":").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


# --- what it costs


def test_the_package_is_loaded_only_when_a_question_is_put() -> None:
    code = (
        "import sys, clamr_rag.answering, clamr_rag.answering.openai as room\n"
        "from clamr_rag.config import AnswerOptions\n"
        "room.OpenAiModel('m', AnswerOptions(base_url='http://h'))\n"
        "sys.exit('openai' in sys.modules or 'httpx' in sys.modules)"
    )
    folder = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0
