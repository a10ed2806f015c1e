from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest
from clamr_rag import VideoLibrary
from clamr_rag.errors import UsageError
from langchain_core.runnables import RunnableLambda
from langchain_videos import Lectures

from langchain_clamr import ClamrRetriever

CHURN = "Why did churn fall?"
_PATIENCE_SECONDS = 60


@pytest.fixture
def retriever(lectures: Lectures) -> ClamrRetriever:
    return ClamrRetriever(library=lectures.library, k=2)


async def test_it_finds_what_the_other_way_finds(retriever: ClamrRetriever) -> None:
    docs = retriever.invoke(CHURN)
    assert await retriever.ainvoke(CHURN) == docs
    assert await retriever.ainvoke(CHURN, k=1) == docs[:1]
    assert await retriever.abatch([CHURN, ""]) == [docs, []]
    chain = retriever | RunnableLambda(len)
    assert await chain.ainvoke(CHURN, k=3) == 3


async def test_the_loop_runs_on_while_a_question_is_answered(
    retriever: ClamrRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, go_on = threading.Event(), threading.Event()
    search = VideoLibrary.search

    def held(self: VideoLibrary, *args: Any, **options: Any) -> Any:
        going.set()
        # On the loop's own thread nobody could ever call it on.
        assert go_on.wait(_PATIENCE_SECONDS)
        return search(self, *args, **options)

    monkeypatch.setattr(VideoLibrary, "search", held)
    question = asyncio.ensure_future(retriever.ainvoke(CHURN))
    while not going.is_set():
        await asyncio.sleep(0.001)
    assert not question.done()
    go_on.set()
    assert len(await question) == 2


async def test_many_questions_take_one_thread_and_wait_for_each_other(
    retriever: ClamrRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, inside, most = set(), 0, 0
    search = VideoLibrary.search

    def counted(self: VideoLibrary, *args: Any, **options: Any) -> Any:
        nonlocal inside, most
        threads.add(threading.get_ident())
        inside += 1
        most = max(most, inside)
        found = search(self, *args, **options)
        inside -= 1
        return found

    monkeypatch.setattr(VideoLibrary, "search", counted)
    found = await asyncio.gather(*(retriever.ainvoke(CHURN) for _ in range(8)))
    assert all(docs == found[0] for docs in found)
    assert len(threads) == 1
    assert most == 1
    assert threading.get_ident() not in threads


async def test_the_caller_s_context_is_there(
    retriever: ClamrRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = ContextVar("trace", default="none")
    seen = []
    search = VideoLibrary.search

    def noted(self: VideoLibrary, *args: Any, **options: Any) -> Any:
        seen.append(trace.get())
        return search(self, *args, **options)

    monkeypatch.setattr(VideoLibrary, "search", noted)
    trace.set("mine")
    await retriever.ainvoke(CHURN)
    assert seen == ["mine"]


def test_one_retriever_serves_loops_one_after_another(retriever: ClamrRetriever) -> None:
    first = asyncio.run(retriever.ainvoke(CHURN))
    assert asyncio.run(retriever.ainvoke(CHURN)) == first


async def test_errors_reach_the_caller(retriever: ClamrRetriever) -> None:
    with pytest.raises(UsageError, match="no video 'nowhere"):
        await retriever.ainvoke(CHURN, videos=["nowhere.mp4"])
    assert len(await retriever.ainvoke(CHURN)) == 2
