"""A query engine that answers with citations, from pictures where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.indices.prompt_helper import ChatPromptHelper, PromptHelper
from llama_index.core.llms import LLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer

from llama_index.retrievers.clamr.base import ClamrRetriever
from llama_index.retrievers.clamr.budget import assert_llm_supports, max_keyframes
from llama_index.retrievers.clamr.citations import (
    CITATION_CHAT_QA_TEMPLATE,
    CITATION_CHAT_REFINE_TEMPLATE,
    CITATION_TEXT_QA_TEMPLATE,
    CITATION_TEXT_REFINE_TEMPLATE,
)


def cited_query_engine(
    retriever: ClamrRetriever,
    llm: LLM,
    *,
    multimodal: bool = True,
    node_postprocessors: Sequence[BaseNodePostprocessor] = (),
    **arguments: Any,
) -> RetrieverQueryEngine:
    """Makes a query engine whose answers cite clips; read them with `cited_answer`.

    Args:
        retriever: Its keyframes are cut to what fits into one call.
        llm: Writes the answer.
        multimodal: Give it pictures.
        node_postprocessors: Steps between finding and answering.
        arguments: More of ``get_response_synthesizer``, such as ``streaming``.

    Raises:
        UsageError: The model takes no pictures.
    """
    assert_llm_supports(llm, pictures=multimodal)
    fitting = 0
    if multimodal:
        wanted, top_k = retriever.max_keyframes, retriever.similarity_top_k
        fitting = max_keyframes(llm, num_clips=top_k, wanted=wanted)
    defaults = {
        "text_qa_template": CITATION_TEXT_QA_TEMPLATE,
        "refine_template": CITATION_TEXT_REFINE_TEMPLATE,
        "chat_content_qa_template": CITATION_CHAT_QA_TEMPLATE,
        "chat_content_refine_template": CITATION_CHAT_REFINE_TEMPLATE,
    }
    # Without these, llama-index-core 0.14.23 packs prompts for the default model's window.
    synthesizer = get_response_synthesizer(
        llm=llm,
        multimodal=multimodal,
        prompt_helper=PromptHelper.from_llm_metadata(llm.metadata),
        chat_prompt_helper=ChatPromptHelper.from_llm_metadata(llm.metadata),
        **(defaults | arguments),
    )
    return RetrieverQueryEngine(
        retriever.with_settings(max_keyframes=fitting),
        response_synthesizer=synthesizer,
        node_postprocessors=[*node_postprocessors],
    )
