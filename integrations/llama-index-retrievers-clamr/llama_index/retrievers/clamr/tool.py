"""The search as a tool for agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clamr_rag.errors import UsageError
from llama_index.core.base.llms.types import BaseContentBlock, ImageBlock, TextBlock
from llama_index.core.schema import MetadataMode, NodeWithScore
from llama_index.core.tools import FunctionTool
from llama_index.core.vector_stores.types import FilterCondition, MetadataFilter, MetadataFilters

if TYPE_CHECKING:
    from llama_index.retrievers.clamr.base import ClamrRetriever

DEFAULT_NAME = "search_videos"
DEFAULT_DESCRIPTION = (
    "Searches long videos (speech, on-screen text, pictures, metadata) for the moments that match "
    "a question. Returns clips, best first: each starts with [title | start-end | clip id], "
    "followed by what is said and shown with its times. Cite a moment as [clip id @ mm:ss]."
)
NOTHING_FOUND = "No clip matches."
_LONGEST_DESCRIPTION = 1023


def search_tool(
    retriever: ClamrRetriever, name: str, description: str, *, images: bool
) -> FunctionTool:
    """Makes the tool.

    Raises:
        UsageError: The description is longer than model servers take.
    """
    if len(description) > _LONGEST_DESCRIPTION:
        raise UsageError(
            f"got a description of {len(description)} characters",
            allowed=f"up to {_LONGEST_DESCRIPTION}",
        )

    def narrowed(top_k: int, video_id: str | None) -> ClamrRetriever:
        filters = retriever.filters if video_id is None else _only(retriever, video_id)
        return retriever.with_settings(
            similarity_top_k=top_k,
            filters=filters,
            max_keyframes=retriever.max_keyframes if images else 0,
        )

    def search(query: str, top_k: int = 5, video_id: str | None = None) -> list[BaseContentBlock]:
        return _blocks(narrowed(top_k, video_id).retrieve(query), images=images)

    async def asearch(
        query: str, top_k: int = 5, video_id: str | None = None
    ) -> list[BaseContentBlock]:
        one = await retriever.backend.run(lambda: narrowed(top_k, video_id))
        return _blocks(await one.aretrieve(query), images=images)

    return FunctionTool.from_defaults(
        fn=search, async_fn=asearch, name=name, description=description
    )


def _only(retriever: ClamrRetriever, reference: str) -> MetadataFilters:
    """The retriever's own filters, and one video."""
    with retriever.backend.using() as library:
        video_id = library.find(reference).video.video_id
    filters: list[MetadataFilter | MetadataFilters] = [
        MetadataFilter(key="video_id", value=video_id)
    ]
    if retriever.filters is not None:
        filters.append(retriever.filters)
    return MetadataFilters(filters=list(filters), condition=FilterCondition.AND)


def _blocks(hits: list[NodeWithScore], *, images: bool) -> list[BaseContentBlock]:
    """A text block per hit: a list of nodes would reach the model as Python's repr."""
    blocks: list[BaseContentBlock] = []
    for hit in hits:
        blocks.append(TextBlock(text=hit.node.get_content(MetadataMode.NONE)))
        if images:
            found = hit.node.get_content_blocks(MetadataMode.NONE)
            blocks.extend(block for block in found if isinstance(block, ImageBlock))
    return blocks or [TextBlock(text=NOTHING_FOUND)]
