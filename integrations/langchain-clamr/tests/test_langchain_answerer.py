from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from clamr_rag import VideoLibrary
from clamr_rag.answering import Message
from clamr_rag.errors import AnswererError, UsageError
from clamr_rag.types import Frame
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_videos import Lectures
from PIL import Image
from pydantic import Field

from langchain_clamr import ChatModelAnswerer


class Recorder(BaseChatModel):
    """Replies with given pieces, fails where a piece is an error, keeps what it was sent."""

    pieces: list[Any] = []  # noqa: RUF012
    sent: list[list[BaseMessage]] = Field(default_factory=list)
    model_name: str = "recorder-7b"

    @property
    def _llm_type(self) -> str:
        return "recorder"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        text = "".join(self.pieces)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self.sent.append(messages)
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))


class Quoter(Recorder):
    """Quotes some words and cites the clip that they stand in, as a model would that reads."""

    words: str

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> Iterator[ChatGenerationChunk]:
        before = messages[-1].text.partition(self.words)[0]
        number = re.findall(r"clip \[(\d+)\] of", before)[-1]
        for piece in ("Churn fell because ", f"of the {self.words} [{number}", "]."):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))


FRAME = Frame(12.5, np.full((360, 640, 3), (200, 30, 30), np.uint8))
MESSAGE = Message("Answer from the clips.", ("Frame at 12.5 s:", FRAME, "Why did churn fall?"))


def test_the_model_reads_the_message_in_order() -> None:
    model = Recorder(pieces=["ok"])
    assert list(ChatModelAnswerer(model).stream(MESSAGE)) == ["ok"]
    ((system, human),) = model.sent
    assert system.text == "Answer from the clips."
    before, shown, question = human.content_blocks
    assert before["text"] == "Frame at 12.5 s:"  # type: ignore[typeddict-item]
    assert question["text"] == "Why did churn fall?"  # type: ignore[typeddict-item]
    assert shown["type"] == "image"
    picture = Image.open(io.BytesIO(base64.b64decode(shown["base64"])))
    assert picture.size == (640, 360)
    assert np.abs(np.asarray(picture, int) - FRAME.pixels).max() < 8


def test_pieces_come_while_they_are_written() -> None:
    stream = ChatModelAnswerer(Recorder(pieces=["Churn ", "fell", ValueError("late")])).stream(
        MESSAGE
    )
    assert next(stream) == "Churn "
    assert next(stream) == "fell"
    with pytest.raises(AnswererError):
        next(stream)


def test_a_stream_may_be_left_early() -> None:
    stream = ChatModelAnswerer(Recorder(pieces=["one", "two"])).stream(MESSAGE)
    assert next(stream) == "one"
    stream.close()  # type: ignore[attr-defined]
    assert list(stream) == []


def test_only_text_is_the_answer() -> None:
    thought = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "Because."}]
    assert list(ChatModelAnswerer(Recorder(pieces=[thought, ""])).stream(MESSAGE)) == ["Because."]


def test_a_model_that_cannot_stream_answers_at_once() -> None:
    class Whole(Recorder):
        _stream = BaseChatModel._stream

    assert list(ChatModelAnswerer(Whole(pieces=["all ", "of it"])).stream(MESSAGE)) == ["all of it"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ConnectionError("refused"), "ConnectionError: refused"),
        (TimeoutError(), "TimeoutError: no reason given"),
        (ValueError("line one\nline two"), "line one line two"),
    ],
)
def test_every_error_of_a_provider_is_one_line(fault: Exception, said: str) -> None:
    with pytest.raises(AnswererError) as caught:
        list(ChatModelAnswerer(Recorder(pieces=["half", fault])).stream(MESSAGE))
    assert said in str(caught.value)
    assert "langchain:recorder-7b failed" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is fault


def test_the_hint_speaks_of_pictures_only_where_some_were_sent() -> None:
    model = Recorder(pieces=[ValueError("400")])
    with pytest.raises(AnswererError, match="reads_pictures=False"):
        list(ChatModelAnswerer(model).stream(MESSAGE))
    with pytest.raises(AnswererError) as caught:
        list(ChatModelAnswerer(model).stream(Message("Answer.", ("Why?",))))
    assert "reads_pictures" not in str(caught.value)


def test_whether_it_sees() -> None:
    assert ChatModelAnswerer(Recorder()).reads_pictures
    blind = Recorder(profile={"image_inputs": False})
    assert not ChatModelAnswerer(blind).reads_pictures
    assert ChatModelAnswerer(blind, reads_pictures=True).reads_pictures
    assert not ChatModelAnswerer(Recorder(), reads_pictures=False).reads_pictures


def test_its_name() -> None:
    assert ChatModelAnswerer(Recorder()).name == "langchain:recorder-7b"
    fake = FakeListChatModel(responses=["x"])
    assert ChatModelAnswerer(fake).name == "langchain:fake-list-chat-model"


def test_only_chat_models_are_taken() -> None:
    with pytest.raises(UsageError, match="got a RunnableLambda as chat model"):
        ChatModelAnswerer(RunnableLambda(len))  # type: ignore[arg-type]


# --- in a library


def test_a_library_answers_with_it_and_the_times_are_the_library_s(lectures: Lectures) -> None:
    model = Quoter(words="new onboarding")
    heard: list[str] = []
    with VideoLibrary.open(lectures.library, answerer=ChatModelAnswerer(model)) as library:
        clips = library.search("Why did churn fall?", top_k=1)
        answer = library.answer("Why did churn fall?", clips, on_text=heard.append)
    assert "new onboarding" in answer.text
    assert "new onboarding" in "".join(heard)
    assert answer.answerer == "langchain:recorder-7b"
    assert answer.citations[0].clip_id == clips[0].clip.clip_id
    assert answer.citations[0].text == "Churn fell, mostly because of the new onboarding."
    assert answer.citations[0].span.start_seconds == pytest.approx(21, abs=0.05)


def test_an_error_of_the_model_is_one_and_the_clips_are_still_there(lectures: Lectures) -> None:
    model = Recorder(pieces=["Churn ", ConnectionError("reset by peer")])
    answerer = ChatModelAnswerer(model)
    with (
        VideoLibrary.open(lectures.library, answerer=answerer) as library,
        pytest.raises(AnswererError, match="reset by peer") as caught,
    ):
        library.ask("Why did churn fall?")
    assert caught.value.clips


def test_frames_reach_it_unless_it_is_blind(lectures: Lectures) -> None:
    kinds = {}
    for sees in (True, False):
        model = Recorder(pieces=["No [1]."])
        answerer = ChatModelAnswerer(model, reads_pictures=sees)
        with VideoLibrary.open(lectures.library, answerer=answerer) as library:
            library.ask("Why did churn fall?")
        kinds[sees] = {block["type"] for block in model.sent[0][1].content_blocks}
    assert kinds == {True: {"text", "image"}, False: {"text"}}
