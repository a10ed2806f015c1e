"""LlamaIndex retriever for long videos, on clamr-rag; importing it loads no model or decoder."""

from llama_index.retrievers.clamr.answerer import LlamaIndexAnswerer
from llama_index.retrievers.clamr.backend import LibraryBackend, Opening
from llama_index.retrievers.clamr.base import ClamrRetriever
from llama_index.retrievers.clamr.budget import assert_llm_supports, max_images, max_keyframes
from llama_index.retrievers.clamr.citations import (
    CITATION_CHAT_QA_TEMPLATE,
    CITATION_CHAT_REFINE_TEMPLATE,
    CITATION_TEXT_QA_TEMPLATE,
    CITATION_TEXT_REFINE_TEMPLATE,
    AnswerError,
    CitedAnswer,
    ClipCitation,
    cited_answer,
    parse_citations,
)
from llama_index.retrievers.clamr.engine import cited_query_engine
from llama_index.retrievers.clamr.evaluation import aevaluate_retrieval, evaluate_retrieval
from llama_index.retrievers.clamr.events import ClipScore, ClipScoresEvent
from llama_index.retrievers.clamr.hits import hits_from_dicts, hits_to_dicts
from llama_index.retrievers.clamr.nodes import Keyframe, VideoClipNode
from llama_index.retrievers.clamr.postprocessor import ClamrRerank, ClipUpgradePostprocessor
from llama_index.retrievers.clamr.reader import ClamrClipParser, ClamrVideoReader

__all__ = [
    "CITATION_CHAT_QA_TEMPLATE",
    "CITATION_CHAT_REFINE_TEMPLATE",
    "CITATION_TEXT_QA_TEMPLATE",
    "CITATION_TEXT_REFINE_TEMPLATE",
    "AnswerError",
    "CitedAnswer",
    "ClamrClipParser",
    "ClamrRerank",
    "ClamrRetriever",
    "ClamrVideoReader",
    "ClipCitation",
    "ClipScore",
    "ClipScoresEvent",
    "ClipUpgradePostprocessor",
    "Keyframe",
    "LibraryBackend",
    "LlamaIndexAnswerer",
    "Opening",
    "VideoClipNode",
    "aevaluate_retrieval",
    "assert_llm_supports",
    "cited_answer",
    "cited_query_engine",
    "evaluate_retrieval",
    "hits_from_dicts",
    "hits_to_dicts",
    "max_images",
    "max_keyframes",
    "parse_citations",
]
