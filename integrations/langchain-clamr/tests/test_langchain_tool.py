from __future__ import annotations

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.tools import create_retriever_tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_videos import Lectures

from langchain_clamr import ClamrRetriever, create_clip_tool
from langchain_clamr.tool import DESCRIPTION, NOTHING_FOUND


@pytest.fixture
def retriever(lectures: Lectures) -> ClamrRetriever:
    return ClamrRetriever(library=lectures.library, k=2)


def call(query: str) -> dict[str, object]:
    return {"type": "tool_call", "id": "7", "name": "search_videos", "args": {"query": query}}


def test_the_message_has_times_and_the_artifact_the_documents(retriever: ClamrRetriever) -> None:
    docs = retriever.invoke("churn")
    reply = create_clip_tool(retriever).invoke(call("churn"))
    assert isinstance(reply, ToolMessage)
    assert reply.artifact == docs
    assert reply.content == f"{docs[0].page_content}\n\n{docs[1].page_content}"
    assert docs[0].metadata["timecode"] in reply.content


async def test_it_is_the_same_without_blocking(retriever: ClamrRetriever) -> None:
    tool = create_clip_tool(retriever)
    assert await tool.ainvoke(call("churn")) == tool.invoke(call("churn"))


def test_nothing_found_is_said(retriever: ClamrRetriever) -> None:
    reply = create_clip_tool(retriever).invoke(call(" "))
    assert reply.content == NOTHING_FOUND
    assert reply.artifact == []


def test_what_a_model_is_told(retriever: ClamrRetriever) -> None:
    told = convert_to_openai_tool(create_clip_tool(retriever))["function"]
    assert told["name"] == "search_videos"
    assert told["description"] == DESCRIPTION
    assert list(told["parameters"]["properties"]) == ["query"]
    renamed = create_clip_tool(retriever, name="films", description="Searches films.")
    assert (renamed.name, renamed.description) == ("films", "Searches films.")


def test_the_retriever_is_a_child_of_the_tool_in_traces(retriever: ClamrRetriever) -> None:
    class Listener(BaseCallbackHandler):
        parents: list[object] = []  # noqa: RUF012

        def on_retriever_start(
            self, *_: object, parent_run_id: object = None, **__: object
        ) -> None:
            self.parents = [parent_run_id]

    listener = Listener()
    create_clip_tool(retriever).invoke({"query": "churn"}, config={"callbacks": [listener]})
    assert listener.parents != [None]
    assert len(listener.parents) == 1


def test_langchain_s_own_tool_keeps_the_documents_too(retriever: ClamrRetriever) -> None:
    tool = create_retriever_tool(
        retriever, "videos", "Searches.", response_format="content_and_artifact"
    )
    reply = tool.invoke({**call("churn"), "name": "videos"})
    assert reply.artifact == retriever.invoke("churn")
    assert reply.artifact[0].metadata["timecode"] in reply.content
