"""Steps between a retriever and an answer: exact reranking, and clips made whole again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from clamr_rag.errors import UsageError
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import Field, PrivateAttr

from llama_index.retrievers.clamr.backend import LibraryBackend
from llama_index.retrievers.clamr.hits import upgraded

if TYPE_CHECKING:
    from clamr_rag.library import VideoLibrary

dispatcher = get_dispatcher(__name__)


class ClamrRerank(BaseNodePostprocessor):
    """Orders nodes of any retriever by the exact late-interaction score of the library.

    A node of a clip is scored from the vectors in the library; any other node from its text.
    """

    top_n: int = Field(default=5, ge=0, description="Most nodes returned.")
    _backend: LibraryBackend = PrivateAttr()

    def __init__(
        self,
        library: LibraryBackend | VideoLibrary | str | os.PathLike[str],
        top_n: int = 5,
        **fields: Any,
    ) -> None:
        """Opens nothing yet.

        Args:
            library: Folder of a library, an open one, or a retriever's ``backend``.
            top_n: Most nodes returned.
            fields: Of the base class.
        """
        super().__init__(top_n=top_n, **fields)
        self._backend = LibraryBackend.over(library)

    @classmethod
    def class_name(cls) -> str:
        """Name in a dump."""
        return "ClamrRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Best first, ties by id; the nodes given are left as they are.

        Raises:
            UsageError: There is no query.
        """
        if query_bundle is None or not query_bundle.query_str.strip():
            raise UsageError("got no question to rerank by", hint="pass query_bundle or query_str")
        dispatcher.event(
            ReRankStartEvent(
                query=query_bundle, nodes=nodes, top_n=self.top_n, model_name="clamr-rag MaxSim"
            )
        )
        scores = _exact_scores(self._backend, query_bundle.query_str.strip(), nodes)
        fresh = [
            NodeWithScore(node=hit.node, score=score)
            for hit, score in zip(nodes, scores, strict=True)
        ]
        fresh.sort(key=lambda hit: (-(hit.score or 0.0), hit.node.node_id))
        best = fresh[: self.top_n]
        dispatcher.event(ReRankEndEvent(nodes=best))
        return best

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await self._backend.run(partial(self._postprocess_nodes, nodes, query_bundle))


class ClipUpgradePostprocessor(BaseNodePostprocessor):
    """Makes clips of the plain text nodes that docstores, caches and PrevNext give back.

    Without it a multimodal answer sees their text, but not their pictures.
    """

    @classmethod
    def class_name(cls) -> str:
        """Name in a dump."""
        return "ClipUpgradePostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return [NodeWithScore(node=upgraded(hit.node), score=hit.score) for hit in nodes]


def _exact_scores(
    backend: LibraryBackend, question: str, nodes: Sequence[NodeWithScore]
) -> list[float]:
    """Score of each node; nodes that the library does not know are encoded by their text."""
    ids = {hit.node.node_id for hit in nodes}
    known = backend.scored(question, ids) if ids else {}
    strangers = [hit for hit in nodes if hit.node.node_id not in known]
    texts = [hit.node.get_content(MetadataMode.NONE) for hit in strangers]
    scored = backend.scored_texts(question, texts)
    by_stranger = {id(hit): score for hit, score in zip(strangers, scored, strict=True)}
    return [known.get(hit.node.node_id, by_stranger.get(id(hit), -1.0)) for hit in nodes]
