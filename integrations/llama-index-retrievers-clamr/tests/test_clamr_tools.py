"""Agents: the search as a tool (T); and a LlamaIndex model as a library's answerer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from clamr_rag import VideoLibrary
from clamr_rag.answering import Message
from clamr_rag.errors import AnswererError, UsageError
from clamr_rag.types import Frame
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.tools import QueryEngineTool, RetrieverTool
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from llama_index.retrievers.clamr import ClamrRetriever, LibraryBackend, LlamaIndexAnswerer

QUESTION = "Why did churn fall?"


def test_T1_tool_searches(retriever: ClamrRetriever) -> None:
    tool = retriever.as_tool()
    fields = tool.metadata.get_parameters_dict()["properties"]
    assert fields["top_k"]["default"] == 5
    assert set(fields) == {"query", "top_k", "video_id"}
    assert len(tool.metadata.description) < 1024
    expected = [hit.node.get_content() for hit in retriever.retrieve(QUESTION)]
    for output in (
        tool.call(query=QUESTION, top_k=3),
        asyncio.run(tool.acall(query=QUESTION, top_k=3)),
    ):
        assert [block.text for block in output.blocks] == expected
        assert all(isinstance(block, TextBlock) for block in output.blocks)
    assert len(tool.call(query=QUESTION).blocks) == 5


def test_T1_tool_of_one_video_and_with_pictures(retriever: ClamrRetriever) -> None:
    tool = retriever.as_tool("look", "Looks at videos.", images=True)
    assert (tool.metadata.name, tool.metadata.description) == ("look", "Looks at videos.")
    output = tool.call(query="dough", video_id="kitchen.mp4", top_k=2)
    kinds = [block.block_type for block in output.blocks]
    assert kinds == ["text", "image", "image"] * 2
    assert all("Baking bread" in b.text for b in output.blocks if isinstance(b, TextBlock))
    late = MetadataFilters(filters=[MetadataFilter(key="start_s", value=8.0)])
    both = retriever.with_settings(filters=late).as_tool()
    (block,) = asyncio.run(both.acall(query="dough", video_id="kitchen.mp4")).blocks
    assert "00:00:08.0-" in block.text
    (nothing,) = tool.call(query="  ").blocks
    assert nothing.text == "No clip matches."


def test_T1_what_the_tool_refuses(retriever: ClamrRetriever) -> None:
    with pytest.raises(UsageError, match="1023"):
        retriever.as_tool(description="x" * 1024)
    with pytest.raises(UsageError):
        retriever.as_tool().call(query="dough", video_id="nobody.mp4")


class Listening(LibraryBackend):
    """Keeps the questions that it was asked."""

    asked: tuple[list[str], ...] = ()

    def search(self, questions: Any, *rest: Any) -> Any:
        self.asked = (*self.asked, list(questions))
        return super().search(questions, *rest)


def test_T2_retriever_receives_the_users_words(backend: LibraryBackend) -> None:
    listening = Listening(backend.opening)
    retriever = ClamrRetriever(listening)
    retriever.as_tool().call(query="where is the cat")
    RetrieverTool.from_defaults(retriever).call(input="where is the cat")
    assert listening.asked == (["where is the cat"], ["input is where is the cat"])
    listening.close()


class CallingLLM(MockFunctionCallingLLM):
    """Calls the first tool once, then answers."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__(response_generator=self._respond)
        self._arguments = arguments

    def _respond(self, messages: Any, **kwargs: Any) -> Any:
        if any(message.role == "tool" for message in messages):
            return ChatMessage(role="assistant", content="Because of the onboarding.")
        call = ToolCallBlock(tool_name="videos", tool_kwargs=self._arguments, tool_call_id="1")
        return ChatMessage(role="assistant", blocks=[call])


@pytest.mark.usefixtures("roomy")
@pytest.mark.parametrize("kind", ["search", "retriever", "engine"])
def test_T3_function_agent(retriever: ClamrRetriever, llm: Any, kind: str) -> None:
    if kind == "search":
        tool, arguments = retriever.as_tool("videos"), {"query": QUESTION}
    elif kind == "retriever":
        tool = RetrieverTool.from_defaults(retriever, name="videos")
        arguments = {"input": QUESTION}
    else:
        engine = RetrieverQueryEngine.from_args(retriever, llm=llm, multimodal=True)
        tool = QueryEngineTool.from_defaults(engine, name="videos")
        arguments = {"input": QUESTION}

    async def ask() -> tuple[str, list[ToolCallResult]]:
        agent = FunctionAgent(tools=[tool], llm=CallingLLM(arguments), streaming=False)
        handler = agent.run(user_msg=QUESTION)
        results = [e async for e in handler.stream_events() if isinstance(e, ToolCallResult)]
        return str(await handler), results

    answer, (result,) = asyncio.run(ask())
    assert answer == "Because of the onboarding."
    assert not result.tool_output.is_error
    assert result.model_dump_json()
    if kind == "engine":
        sources = result.tool_output.raw_output.source_nodes
        assert [hit.node.node_id for hit in sources] == [
            hit.node.node_id for hit in retriever.retrieve(QUESTION)
        ]
        assert len(llm.calls[0].images) == 6
    else:
        assert "Churn fell" in result.tool_output.content


def test_T3_react_agent(retriever: ClamrRetriever, llm: Any) -> None:
    llm.reply = f"Thought: I know.\nAnswer: {llm.reply}"

    async def ask() -> str:
        agent = ReActAgent(tools=[retriever.as_tool()], llm=llm, streaming=False)
        return str(await agent.run(user_msg=QUESTION))

    assert asyncio.run(ask()) == "Because of the new onboarding."
    assert "search_videos" in llm.calls[0].text


def test_T4_tool_text_alone_tells_time_and_evidence(retriever: ClamrRetriever) -> None:
    text = retriever.as_tool(images=True).call(query=QUESTION, top_k=1).content
    assert "00:00:08.0-00:00:16.0" in text
    assert "(00:09) Churn fell because of the new onboarding." in text


def test_T5_tool_output_holds_no_base64(retriever: ClamrRetriever) -> None:
    output = retriever.as_tool().call(query=QUESTION)
    dumped = output.model_dump_json(exclude={"raw_output"})
    assert "base64" not in dumped
    assert "image" not in dumped
    assert len(dumped) < 10_000
    pictures = retriever.as_tool(images=True).call(query=QUESTION, top_k=1).blocks[1:]
    assert all(isinstance(each, ImageBlock) and each.image is None for each in pictures)


def test_T6_tool_returns_blocks_not_nodes(retriever: ClamrRetriever) -> None:
    output = retriever.as_tool().call(query=QUESTION)
    assert isinstance(output.raw_output, list)
    assert {type(each) for each in output.raw_output} == {TextBlock}
    assert "NodeWithScore" not in output.content


# --- a LlamaIndex model as the answerer of a library


def test_answerer_writes_for_a_library(corpus: Any, llm: Any) -> None:
    llm.reply = "Churn fell because of the new onboarding [1][2][3][4][5]."
    with VideoLibrary.open(
        corpus.library, options=corpus.options, answerer=LlamaIndexAnswerer(llm)
    ) as library:
        heard: list[str] = []
        answer = library.answer(QUESTION, library.search(QUESTION), on_text=heard.append)
    (call,) = llm.calls
    assert call.messages[0].role == "system"
    assert call.images
    assert all(image.image_mimetype == "image/jpeg" for image in call.images)
    assert QUESTION in call.text
    assert "".join(heard).startswith("Churn fell because of the new onboarding")
    assert not answer.abstained
    assert answer.answerer == "recording through LlamaIndex"
    assert answer.citations


def test_answerer_keeps_reading_order(llm: Any) -> None:
    frame = Frame(3.0, np.zeros((8, 8, 3), np.uint8))
    message = Message("rules", ("at 3 s:", frame, "question"))
    pieces = list(LlamaIndexAnswerer(llm).stream(message))
    assert "".join(pieces) == llm.reply
    assert len(pieces) > 1
    (call,) = llm.calls
    assert [b.block_type for b in call.messages[1].blocks] == ["text", "image", "text"]
    assert call.images[0].resolve_image().read(3) == b"\xff\xd8\xff"
    assert LlamaIndexAnswerer(llm).reads_pictures
    assert not LlamaIndexAnswerer(llm, reads_pictures=False).reads_pictures


def test_answerer_must_be_a_chat_model(make_llm: Any) -> None:
    with pytest.raises(UsageError, match="not a chat model"):
        LlamaIndexAnswerer(make_llm(is_chat_model=False))


@pytest.mark.parametrize("at_once", [True, False])
def test_answerer_that_breaks_off(llm: Any, at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, messages: Any) -> Iterator[Any]:
        if not at_once:
            yield from type(llm).stream_chat(self, messages)
        raise ConnectionError("server went away")

    failing = type("Failing", (type(llm),), {"stream_chat": broken})()
    with pytest.raises(AnswererError, match="server went away"):
        list(LlamaIndexAnswerer(failing).stream(Message("rules", ("question",))))
