"""Long videos in LangChain: a retriever, messages with pictures, a tool, a model that answers.

Importing this package loads no model, decoder or database.
"""

from __future__ import annotations

from langchain_clamr.answerer import ChatModelAnswerer
from langchain_clamr.messages import documents_to_content_blocks
from langchain_clamr.retriever import ClamrRetriever
from langchain_clamr.tool import create_clip_tool

__version__ = "0.1.0"

__all__ = [
    "ChatModelAnswerer",
    "ClamrRetriever",
    "__version__",
    "create_clip_tool",
    "documents_to_content_blocks",
]
