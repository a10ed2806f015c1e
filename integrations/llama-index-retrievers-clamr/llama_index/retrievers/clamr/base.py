"""The retriever: from a question to clips of long videos, as nodes."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from clamr_rag.errors import UsageError
from clamr_rag.types import ScoredClip
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.schema import BaseNode, IndexNode, NodeWithScore, QueryBundle
from llama_index.core.tools import FunctionTool
from llama_index.core.utils import print_text
from llama_index.core.vector_stores.types import MetadataFilters

from llama_index.retrievers.clamr.backend import LibraryBackend
from llama_index.retrievers.clamr.events import clip_scores_event
from llama_index.retrievers.clamr.multimodal import NodeFormat, as_multimodal
from llama_index.retrievers.clamr.nodes import VideoClipNode
from llama_index.retrievers.clamr.persistence import Settings, persist, read_settings
from llama_index.retrievers.clamr.tool import DEFAULT_DESCRIPTION, DEFAULT_NAME, search_tool
from llama_index.retrievers.clamr.video_files import video_files

if TYPE_CHECKING:
    from clamr_rag.library import VideoLibrary

logger = logging.getLogger(__name__)
dispatcher = get_dispatcher(__name__)

DEFAULT_TOP_K = 5
DEFAULT_MAX_KEYFRAMES = 2


class ClamrRetriever(BaseRetriever):
    """Finds the clips of long videos that match a question, by late interaction over modalities.

    Scores are mean cosines in [-1, 1]. Where a query bundle holds several strings to embed (HyDE's
    hypothetical passage), a clip counts with its best score over them.
    """

    def __init__(
        self,
        library: LibraryBackend | VideoLibrary | str | os.PathLike[str],
        *,
        similarity_top_k: int = DEFAULT_TOP_K,
        filters: MetadataFilters | None = None,
        max_keyframes: int = DEFAULT_MAX_KEYFRAMES,
        node_format: NodeFormat = "clip",
        callback_manager: CallbackManager | None = None,
        objects: list[IndexNode] | None = None,
        object_map: dict[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        """Opens nothing yet: the first question does.

        Args:
            library: Folder of a clamr-rag library, an open one, or the backend of another
                retriever.
            similarity_top_k: Most clips returned; 0 returns none.
            filters: Only clips whose metadata passes are ranked; may be nested.
            max_keyframes: Most pictures per clip; 0 for text alone.
            node_format: ``"clip"`` for `VideoClipNode`; ``"multimodal"`` for plain ``Node`` with
                ``image_resource`` and ``video_resource``, which evaluators and RecursiveRetriever
                do not accept.
            callback_manager: As of every retriever.
            objects: Index nodes whose ``index_id`` is a clip id or a video id.
            object_map: What to ask instead of a clip or a video, by its id: a hit that has one is
                returned as an index node, which LlamaIndex then expands.
            verbose: Print what is found.

        Raises:
            UsageError: A number is negative, or a format is unknown.
        """
        super().__init__(
            callback_manager=callback_manager,
            object_map=object_map,
            objects=objects,
            verbose=verbose,
        )
        if similarity_top_k < 0 or max_keyframes < 0:
            raise UsageError(
                f"got similarity_top_k {similarity_top_k}, max_keyframes {max_keyframes}",
                allowed="0 or more",
            )
        if node_format not in ("clip", "multimodal"):
            raise UsageError(f"got node_format {node_format!r}", allowed="clip, multimodal")
        self.backend = LibraryBackend.over(library)
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self.max_keyframes = max_keyframes
        self.node_format: NodeFormat = node_format

    @classmethod
    def from_defaults(
        cls,
        library: LibraryBackend | VideoLibrary | str | os.PathLike[str],
        *,
        videos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        encoder: str | None = None,
        preload: bool = False,
        opening: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Makes a retriever, and indexes videos first if some are given.

        Args:
            library: As for the constructor; a folder that does not exist is made.
            videos: A video, a folder that is searched for videos with all folders in it, or a list
                of both. What is indexed already costs nothing.
            encoder: ``"mini"`` (default), ``"clamr"``, ``"clamr-omni"``, a folder or a hub id.
            preload: Load the model now, not with the first question.
            opening: More of `Opening`: ``adapter``, ``device``, ``dtype``, ``options``.
            settings: Of the constructor.

        Raises:
            MediaError: A file cannot be read as a video.
            UsageError: A folder holds no video; or see the constructor.
        """
        wishes = dict(opening or {}) | ({"encoder": encoder} if encoder else {})
        if isinstance(library, (str, os.PathLike)):
            wishes.setdefault("create", True)
        retriever = cls(LibraryBackend.over(library, **wishes), **settings)
        for path in video_files(videos):
            with retriever.backend.using() as opened:
                report = opened.add(path)
            logger.info("%s: %s", path, report.status)
            for warning in report.warnings:
                logger.warning("%s: %s", path, warning)
        if preload:
            retriever.warm_up()
        return retriever

    # --- on disk

    def persist(self, persist_dir: str | os.PathLike[str], *, keyframes: bool = True) -> None:
        """Writes the library and these settings to a folder that may be moved anywhere.

        Args:
            persist_dir: May be the library's own folder, or hold an earlier copy.
            keyframes: Make all keyframes first, so that the folder shows them without the videos.

        Raises:
            UsageError: Another library is in the folder.
        """
        if keyframes:
            self.backend.all_nodes(None, self.max_keyframes)
        settings = Settings.of(
            self.backend.opening,
            similarity_top_k=self.similarity_top_k,
            max_keyframes=self.max_keyframes,
            node_format=self.node_format,
            filters=self.filters,
        )
        with self.backend.using() as library:
            persist(library.store, Path(persist_dir), settings)

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str | os.PathLike[str],
        *,
        opening: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Makes a retriever of a folder that `persist` wrote, or of any library's folder.

        Args:
            persist_dir: The folder, wherever it is now.
            opening: See `from_defaults`; replaces what was persisted.
            settings: Of the constructor; replace what was persisted.

        Raises:
            UsageError: There is no library in the folder.
        """
        folder = Path(persist_dir).absolute()
        stored = read_settings(folder)
        backend = LibraryBackend.over(folder, **(stored.opening() | dict(opening or {})))
        with backend.using():
            pass  # a folder without a library is refused here, not with the first question
        return cls(backend, **(stored.retriever() | settings))

    # --- retrieval

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Finds clips; see `BaseRetriever.retrieve`.

        Raises:
            NotImplementedError: The query is a picture.
        """
        found = self._search(query_bundle, self.similarity_top_k)
        if found:
            dispatcher.event(clip_scores_event(query_bundle.query_str, found))
        nodes = self.backend.nodes_of(found, self.max_keyframes)
        hits = self._with_objects(nodes, [float(each.score) for each in found])
        if self._verbose:
            for hit in hits:
                print_text(f"{hit.score:.3f} {hit.node.get_content()[:100]}\n", color="llama_blue")
        return hits

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """As `_retrieve`, on the backend's thread: the event loop never waits for the model."""
        return await self.backend.run(partial(self._retrieve, query_bundle))

    def explain(self, query: str | QueryBundle, *, top_k: int | None = None) -> list[ScoredClip]:
        """Says why clips are found: scores per modality, and what each query token points at."""
        bundle = QueryBundle(query) if isinstance(query, str) else query
        return self._search(bundle, self.similarity_top_k if top_k is None else top_k)

    def _search(self, query_bundle: QueryBundle, top_k: int) -> list[ScoredClip]:
        if query_bundle.image_path:
            raise NotImplementedError("clamr-rag searches by words: got a query with image_path")
        questions = [text.strip() for text in query_bundle.embedding_strs]
        wanted = list(dict.fromkeys(text for text in questions if text))
        return self.backend.search(wanted, top_k, self.filters)

    def _with_objects(
        self, nodes: Sequence[VideoClipNode], scores: Sequence[float]
    ) -> list[NodeWithScore]:
        """Hits in order; one whose clip or video has an object stands for it, once."""
        hits, expanded = [], set()
        for node, score in zip(nodes, scores, strict=True):
            keys = (node.node_id, str(node.metadata["video_id"]))
            key = next((each for each in keys if each in self.object_map), None)
            if key is None:
                hits.append(NodeWithScore(node=self._formatted(node), score=score))
            elif key not in expanded:
                expanded.add(key)
                index_node = IndexNode(
                    id_=node.node_id, text=node.text, metadata=node.metadata, index_id=key
                )
                hits.append(NodeWithScore(node=index_node, score=score))
        return hits

    def _formatted(self, node: VideoClipNode) -> BaseNode:
        return node if self.node_format == "clip" else as_multimodal(node)

    # --- around it

    def nodes(self, videos: Collection[str] | None = None) -> list[VideoClipNode]:
        """A node per clip, as `retrieve` returns them: for a docstore, BM25, an evaluation.

        Args:
            videos: Ids, paths or file names; None for all.
        """
        return self.backend.all_nodes(videos, self.max_keyframes)

    def with_settings(self, **settings: Any) -> Self:
        """A copy with other settings (of the constructor) on the same library and model.

        Raises:
            UsageError: There is no such setting.
        """
        unknown = settings.keys() - _SETTINGS
        if unknown:
            raise UsageError(f"got {sorted(unknown)}", allowed=", ".join(sorted(_SETTINGS)))
        known = {name: getattr(self, name) for name in _SETTINGS - {"verbose"}}
        return type(self)(self.backend, **(known | {"verbose": self._verbose} | settings))

    def as_tool(
        self,
        name: str = DEFAULT_NAME,
        description: str = DEFAULT_DESCRIPTION,
        *,
        images: bool = False,
    ) -> FunctionTool:
        """A tool for agents that searches the videos and returns text with times.

        Args:
            name: As the model calls it.
            description: What the model is told it is for; under 1024 characters.
            images: Return keyframes too. OpenAI-like models drop pictures in tool messages.
        """
        return search_tool(self, name, description, images=images)

    def warm_up(self) -> None:
        """Loads the model now; call it when a server starts."""
        self.backend.warm_up()

    def close(self) -> None:
        """Closes the library; the next question opens it again."""
        self.backend.close()


_SETTINGS = frozenset(
    {
        "callback_manager",
        "filters",
        "max_keyframes",
        "node_format",
        "object_map",
        "similarity_top_k",
        "verbose",
    }
)
