"""Answers from clips: response modes, pictures, streams, citations and the budget (S)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from clamr_rag.errors import UsageError
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.base.response.schema import Response
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode

from llama_index.retrievers.clamr import (
    CITATION_CHAT_QA_TEMPLATE,
    CITATION_CHAT_REFINE_TEMPLATE,
    CITATION_TEXT_QA_TEMPLATE,
    CITATION_TEXT_REFINE_TEMPLATE,
    AnswerError,
    ClamrRetriever,
    assert_llm_supports,
    cited_answer,
    cited_query_engine,
    max_images,
    max_keyframes,
    parse_citations,
)

# LlamaIndex's own chat memory closes its event loop before the thread of its SQLite connection has
# answered, now and then, on a busy machine. Nothing of ours runs in that thread.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception in thread .*_connection_worker_thread:"
    "pytest.PytestUnhandledThreadExceptionWarning"
)

QUESTION = "Why did churn fall?"


def headers(retriever: ClamrRetriever) -> list[str]:
    return [hit.node.get_content().splitlines()[0] for hit in retriever.retrieve(QUESTION)]


def found_ids(hits: Any) -> list[str]:
    return [hit.node.node_id for hit in hits]


def test_S1_text_mode_shows_every_clip(retriever: ClamrRetriever, llm: Any) -> None:
    engine = RetrieverQueryEngine.from_args(retriever, llm=llm)
    response = engine.query(QUESTION)
    asyncio.run(engine.aquery(QUESTION))
    assert found_ids(response.source_nodes) == found_ids(retriever.retrieve(QUESTION))
    for call in llm.calls:
        assert all(header in call.text for header in headers(retriever))
        assert "/" + "review.mp4" not in call.text


@pytest.mark.usefixtures("roomy")
def test_S2_multimodal_sends_each_clip_with_its_pictures(
    retriever: ClamrRetriever, llm: Any
) -> None:
    engine = RetrieverQueryEngine.from_args(retriever, llm=llm, multimodal=True)
    response = engine.query(QUESTION)
    (call,) = llm.calls
    assert len(call.images) == 6
    expected = headers(retriever)
    blocks = [block for message in call.messages for block in message.blocks]
    order: list[str] = []
    for block in blocks:
        if isinstance(block, TextBlock):
            order += [f"clip {n}" for n, header in enumerate(expected) if header in block.text]
        elif isinstance(block, ImageBlock):
            order.append("picture")
    assert order == [each for n in range(3) for each in (f"clip {n}", "picture", "picture")]
    assert found_ids(response.source_nodes) == found_ids(retriever.retrieve(QUESTION))
    asyncio.run(engine.aquery(QUESTION))
    assert len(llm.calls) == 2
    assert len(llm.calls[1].images) == 6


@pytest.mark.usefixtures("roomy")
@pytest.mark.parametrize("mode", sorted(set(ResponseMode) - {ResponseMode.GENERATION}))
@pytest.mark.parametrize("multimodal", [False, True])
def test_S2_every_response_mode(
    retriever: ClamrRetriever, llm: Any, mode: ResponseMode, multimodal: bool
) -> None:
    engine = RetrieverQueryEngine.from_args(
        retriever, llm=llm, response_mode=mode, multimodal=multimodal
    )
    response = engine.query(QUESTION)
    assert found_ids(response.source_nodes) == found_ids(retriever.retrieve(QUESTION))
    if mode not in (ResponseMode.NO_TEXT, ResponseMode.CONTEXT_ONLY):
        assert llm.reply in str(response)
        pictures = sum(len(call.images) for call in llm.calls)
        assert pictures == (6 if multimodal else 0)


@pytest.mark.parametrize("multimodal", [False, True])
def test_S3_streaming_keeps_sources(retriever: ClamrRetriever, llm: Any, multimodal: bool) -> None:
    engine = RetrieverQueryEngine.from_args(
        retriever, llm=llm, streaming=True, multimodal=multimodal
    )
    response = engine.query(QUESTION)
    assert "".join(response.response_gen) == llm.reply
    assert found_ids(response.source_nodes) == found_ids(retriever.retrieve(QUESTION))

    async def streamed() -> tuple[str, list[str]]:
        answer = await engine.aquery(QUESTION)
        said = "".join([piece async for piece in answer.async_response_gen()])
        return said, found_ids(answer.source_nodes)

    said, sources = asyncio.run(streamed())
    assert said == llm.reply
    assert sources == found_ids(retriever.retrieve(QUESTION))


def test_S4_model_without_chat_is_refused(retriever: ClamrRetriever, make_llm: Any) -> None:
    blind = make_llm(is_chat_model=False)
    with pytest.raises(ValueError, match="chat"):
        RetrieverQueryEngine.from_args(retriever, llm=blind, multimodal=True)
    with pytest.raises(UsageError, match="is_chat_model=True"):
        cited_query_engine(retriever, blind)
    assert str(cited_query_engine(retriever, blind, multimodal=False).query(QUESTION))


def test_S5_templates_keep_their_variables() -> None:
    assert {"query_str", "context_str"} <= set(CITATION_TEXT_QA_TEMPLATE.template_vars)
    assert {"query_str", "context_msg", "existing_answer"} <= set(
        CITATION_TEXT_REFINE_TEMPLATE.template_vars
    )
    assert {"query_str", "context_messages"} <= set(CITATION_CHAT_QA_TEMPLATE.template_vars)
    assert {"query_str", "context_messages", "existing_answer"} <= set(
        CITATION_CHAT_REFINE_TEMPLATE.template_vars
    )


@pytest.mark.parametrize("multimodal", [False, True])
def test_S5_answer_with_true_citations(
    retriever: ClamrRetriever, llm: Any, multimodal: bool
) -> None:
    best = retriever.retrieve(QUESTION)[0].node
    llm.reply = (
        f"The onboarding [{best.node_id} @ 00:09]. Also [{best.node_id}]. Late [{best.node_id} "
        f"@ 59:00]. Invented [ffffffffffffffff-00001 @ 00:01]. See [1] and [note]."
    )
    engine = cited_query_engine(retriever, llm, multimodal=multimodal)
    answer = cited_answer(engine.query(QUESTION))
    (call,) = llm.calls
    assert "[clip id @ mm:ss]" in call.text
    assert "Never directly reference" not in call.text
    assert QUESTION in call.text
    assert len(call.images) == (6 if multimodal else 0)
    assert [(each.clip_id, each.seconds) for each in answer.citations] == [
        (best.node_id, 9.0),
        (best.node_id, None),
        (best.node_id, None),
    ]
    assert {each.hit.node.node_id for each in answer.citations} == {best.node_id}
    assert answer.rejected == ("[ffffffffffffffff-00001 @ 00:01]",)


def test_S5_swallowed_refusal_is_an_error(retriever: ClamrRetriever) -> None:
    hits = retriever.retrieve(QUESTION)
    with pytest.raises(AnswerError, match="gave no answer to 3 clips"):
        cited_answer(Response("Empty Response", source_nodes=hits))
    assert cited_answer(Response("Empty Response", source_nodes=[])).citations == ()


def test_S6_citation_engine_has_one_source_per_clip(retriever: ClamrRetriever, llm: Any) -> None:
    response = CitationQueryEngine(retriever, llm=llm).query(QUESTION)
    hits = retriever.retrieve(QUESTION)
    assert len(response.source_nodes) == 3
    for source, hit in zip(response.source_nodes, hits, strict=True):
        assert source.node.metadata["clip_id"] == hit.node.node_id
        assert hit.node.metadata["timecode"] in source.node.get_content()


@pytest.mark.parametrize("context_window", [8_192, 32_768, 131_072])
def test_S7_budget_keeps_all_pictures_in_one_call(
    retriever: ClamrRetriever, make_llm: Any, context_window: int
) -> None:
    llm = make_llm(context_window=context_window)
    greedy = retriever.with_settings(max_keyframes=4)
    engine = cited_query_engine(greedy, llm)
    engine.query(QUESTION)
    per_clip = max_keyframes(llm, num_clips=3, wanted=4)
    (call,) = llm.calls
    assert len(call.images) == 3 * per_clip
    assert per_clip == {8_192: 1, 32_768: 4, 131_072: 4}[context_window]
    assert all(header in call.text for header in headers(retriever))


def test_S7_without_the_budget_pictures_are_spread_over_calls(
    retriever: ClamrRetriever, make_llm: Any
) -> None:
    """What the budget guards against: should this fail, LlamaIndex has mended it."""
    llm = make_llm(context_window=8_192)
    greedy = retriever.with_settings(max_keyframes=4)
    RetrieverQueryEngine.from_args(greedy, llm=llm, multimodal=True).query(QUESTION)
    assert len(llm.calls) > 1


def test_S7_images_of_a_window() -> None:
    sizes = [max_images(window, num_clips=5) for window in (2_000, 8_192, 32_768, 131_072)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 0
    assert sizes[-1] >= 20


def test_S7_window_too_small_for_any_picture(make_llm: Any) -> None:
    with pytest.raises(UsageError, match="context_window"):
        assert_llm_supports(make_llm(context_window=2_000))
    assert_llm_supports(make_llm(context_window=2_000), pictures=False)


def test_cited_engine_takes_steps_and_streams(retriever: ClamrRetriever, llm: Any) -> None:
    few = SimilarityPostprocessor(similarity_cutoff=0.999)
    engine = cited_query_engine(retriever, llm, node_postprocessors=[few], streaming=True)
    assert engine.query(QUESTION).source_nodes == []
    engine = cited_query_engine(retriever, llm, streaming=True)
    assert "".join(engine.query(QUESTION).response_gen) == llm.reply


@pytest.mark.parametrize("chat", [ContextChatEngine, CondensePlusContextChatEngine])
def test_S8_chat_engines_return_our_nodes(retriever: ClamrRetriever, llm: Any, chat: Any) -> None:
    response = chat.from_defaults(retriever=retriever, llm=llm).chat(QUESTION)
    assert found_ids(response.source_nodes) == found_ids(retriever.retrieve(QUESTION))
    assert headers(retriever)[0] in llm.calls[-1].text


def test_S5_clock_of_hours() -> None:
    from clamr_rag.types import Clip, TimeSpan, Video
    from llama_index.core.schema import NodeWithScore

    from llama_index.retrievers.clamr.nodes import ClipSource, clip_node

    clip = Clip("ab-00009", "ab", 9, TimeSpan(3600.4, 3625.0))
    video = Video("ab", "/v.mp4", "Long", 4000.0, 1)
    hit = NodeWithScore(node=clip_node(clip, ClipSource(video, 10, "v", "m")), score=1.0)
    text = "[ab-00009 @ 1:00:00] [ab-00009 @ 60:05.5] [ab-00009@1:00:26] [ab-00009 @ 10:00]"
    answer = parse_citations(text, [hit])
    assert [each.seconds for each in answer.citations] == [3600.0, 3605.5, None, None]
    assert [text[each.position] for each in answer.citations] == ["["] * 4
