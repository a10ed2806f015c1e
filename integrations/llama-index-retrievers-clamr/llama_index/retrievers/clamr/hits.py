"""Hits as plain dicts: LlamaIndex can write a ``NodeWithScore``, but not read one back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llama_index.core.schema import BaseNode, NodeWithScore, TextNode
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc

from llama_index.retrievers.clamr.nodes import VideoClipNode, is_clip


def hits_to_dicts(hits: Iterable[NodeWithScore]) -> list[dict[str, Any]]:
    """Hits as dicts of plain values, ready for JSON, a queue or a workflow's ``ctx.store``."""
    return [{"node": doc_to_json(hit.node), "score": hit.score} for hit in hits]


def hits_from_dicts(dicts: Iterable[Mapping[str, Any]]) -> list[NodeWithScore]:
    """The hits that `hits_to_dicts` wrote; those of clips are `VideoClipNode` again."""
    return [NodeWithScore(node=upgraded(json_to_doc(d["node"])), score=d["score"]) for d in dicts]


def upgraded(node: BaseNode) -> BaseNode:
    """The node as a `VideoClipNode` if it was made of a clip, else as it is."""
    plain_text = type(node) is TextNode
    return VideoClipNode.from_node(node) if plain_text and is_clip(node) else node
