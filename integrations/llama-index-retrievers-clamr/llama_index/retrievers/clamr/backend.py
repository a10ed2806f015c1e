"""One open library under any number of retrievers, readers and postprocessors."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clamr_rag.config import Options
from clamr_rag.errors import UsageError
from clamr_rag.types import Clip, ClipInput, ScoredClip
from llama_index.core.vector_stores.types import MetadataFilters

from llama_index.retrievers.clamr.filters import passes
from llama_index.retrievers.clamr.keyframes import MAX_SIDE, KeyframeFiles
from llama_index.retrievers.clamr.nodes import (
    ClipSource,
    Metadata,
    VideoClipNode,
    clip_metadata,
    clip_node,
)

if TYPE_CHECKING:
    from clamr_rag.index.records import VideoRecord
    from clamr_rag.library import VideoLibrary

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opening:
    """How a library is opened: all that a copy in another process needs."""

    folder: Path
    encoder: str = "mini"
    adapter: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    options: Options = field(default_factory=Options)
    create: bool = False

    def open(self) -> VideoLibrary:
        """Opens it; no model is loaded before the first question."""
        from clamr_rag.library import VideoLibrary

        return VideoLibrary.open(
            self.folder,
            encoder=self.encoder,
            adapter=self.adapter,
            device=self.device,
            dtype=self.dtype,
            options=self.options,
            create=self.create,
        )


class LibraryBackend:
    """Opens a library when it is first needed, and lets one call at a time at it.

    Share one between retrievers to load the model once. Copies share the library too; a pickle
    holds only how to open it, and so does a forked process.
    """

    def __init__(self, opening: Opening, library: VideoLibrary | None = None) -> None:
        """Use `over`."""
        self.opening = opening
        self._start(library)

    def _start(self, library: VideoLibrary | None) -> None:
        self._library = library
        self._process = os.getpid()
        self._turn = threading.RLock()
        self._making_pool = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._filterable: tuple[str, dict[str, Metadata]] = ("", {})
        self._keyframes: KeyframeFiles | None = None

    @classmethod
    def over(
        cls, library: LibraryBackend | VideoLibrary | str | os.PathLike[str], **opening: Any
    ) -> LibraryBackend:
        """Makes one of a library's folder, of an open library, or returns the one given.

        Args:
            library: What to search.
            opening: Fields of `Opening`, for a folder only.

        Raises:
            UsageError: Fields were given for what is open already.
        """
        if isinstance(library, (str, os.PathLike)):
            return cls(Opening(Path(library).absolute(), **opening))
        if opening:
            raise UsageError(
                f"got {', '.join(opening)} for an open library", hint="give its folder instead"
            )
        if isinstance(library, LibraryBackend):
            return library
        name = library.store.encoder[0] if library.store.encoder else "mini"
        folder = library.store.directory
        return cls(Opening(folder, encoder=name, options=library.options), library)

    # --- who may use the library when

    @contextmanager
    def using(self) -> Iterator[VideoLibrary]:
        """The library, for one caller at a time; opened if need be."""
        self._follow_fork()
        with self._turn:
            if self._library is None:
                self._library = self.opening.open()
            yield self._library

    async def run(self, call: Callable[[], T]) -> T:
        """Runs a call on the one thread of this backend, in the caller's tracing context."""
        context = contextvars.copy_context()
        pool = self._own_pool()
        return await asyncio.get_running_loop().run_in_executor(pool, context.run, call)

    def _own_pool(self) -> ThreadPoolExecutor:
        self._follow_fork()
        # Not under `_turn`: that is held for as long as a search takes, and this is the event loop.
        with self._making_pool:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="clamr")
            return self._pool

    def _follow_fork(self) -> None:
        """Starts afresh in a forked process: neither a thread nor SQLite survives a fork."""
        if self._process != os.getpid():
            self._start(None)

    def warm_up(self) -> None:
        """Loads the encoder and LlamaIndex's tokeniser, which the first question else waits for."""
        from llama_index.core.utils import get_tokenizer

        with self.using() as library:
            library.encoder.encode_query("warm up")
        get_tokenizer()("warm up")

    def close(self) -> None:
        """Closes the library; the next call opens it again."""
        with self._turn:
            if self._library is not None:
                self._library.close()
            pool, self._pool, self._library, self._keyframes = self._pool, None, None, None
        if pool is not None:
            pool.shutdown(wait=True)

    # --- what is found, and its nodes

    def search(
        self, questions: Sequence[str], top_k: int, filters: MetadataFilters | None
    ) -> list[ScoredClip]:
        """Finds the clips whose best score over the questions is highest, best first."""
        with self.using() as library:
            wanted = None if filters is None else self._passing(library, filters)
            if top_k < 1 or not questions or wanted == []:
                return []
            found = [
                library.search(question, top_k=top_k, clip_ids=wanted) for question in questions
            ]
        return found[0] if len(found) == 1 else _best(found, top_k)

    def scored(self, question: str, clip_ids: Collection[str]) -> dict[str, float]:
        """Exact score per clip; ids that are not in the library are left out."""
        with self.using() as library:
            found = library.search(question, top_k=len(clip_ids), clip_ids=clip_ids)
        return {each.clip.clip_id: each.score for each in found}

    def scored_texts(self, question: str, texts: Sequence[str]) -> list[float]:
        """Exact score of texts that are not in the library; -1.0, the worst, for a blank one."""
        from clamr_rag.scoring import score

        if not texts:
            return []
        with self.using() as library:
            query = library.encoder.encode_query(question)
            vectors = library.encoder.encode_clips(
                [ClipInput(asr=text if text.strip() else None) for text in texts]
            )
            scores = score(query, vectors, library.options.search.scorer)
        return [max(-1.0, float(each)) for each in scores]

    def nodes_of(self, found: Iterable[ScoredClip], max_keyframes: int) -> list[VideoClipNode]:
        """Fresh nodes of clips that were found."""
        with self.using() as library:
            sources: dict[str, ClipSource] = {}
            nodes = []
            for each in found:
                video_id = each.clip.video_id
                if video_id not in sources:
                    sources[video_id] = _source(library, library.store.video(video_id))
                nodes.append(self._node(library, each.clip, sources[video_id], max_keyframes))
            return nodes

    def all_nodes(self, videos: Collection[str] | None, max_keyframes: int) -> list[VideoClipNode]:
        """A node per clip of all searchable videos, or of those named, in order of time."""
        with self.using() as library:
            wanted = None if videos is None else {library.find(v).video.video_id for v in videos}
            return [
                self._node(library, clip, source, max_keyframes)
                for record in library.store.searchable(wanted)
                for source in [_source(library, record)]
                for clip in library.clips(record.video.video_id)
            ]

    def _node(
        self, library: VideoLibrary, clip: Clip, source: ClipSource, max_keyframes: int
    ) -> VideoClipNode:
        if self._keyframes is None:
            self._keyframes = KeyframeFiles(
                library.store.directory, partial(library.frames, max_side=MAX_SIDE)
            )
        return clip_node(clip, source, self._keyframes.of(clip, max_keyframes))

    def _passing(self, library: VideoLibrary, filters: MetadataFilters) -> list[str]:
        """Ids of the clips that pass; their metadata is read anew only when the library changed."""
        token = library.store.change_token()
        if self._filterable[0] != token:
            self._filterable = (token, dict(_filterable(library)))
        table = self._filterable[1]
        return [clip_id for clip_id, metadata in table.items() if passes(filters, metadata)]

    # --- copies

    def __deepcopy__(self, memo: dict[int, object]) -> LibraryBackend:
        """A copied retriever uses the same model."""
        return self

    def __getstate__(self) -> dict[str, object]:
        return {"opening": self.opening}

    def __setstate__(self, state: dict[str, Opening]) -> None:
        # A pickle is of a library that exists: never make an empty one in its place.
        self.opening = replace(state["opening"], create=False)
        self._start(None)


def _source(library: VideoLibrary, record: VideoRecord) -> ClipSource:
    return ClipSource(
        video=record.video,
        num_clips=record.num_clips,
        index_version=record.options_fingerprint,
        model_id=library.store.encoder[1] if library.store.encoder else "",
    )


def _filterable(library: VideoLibrary) -> Iterator[tuple[str, Metadata]]:
    for record in library.store.searchable():
        source = _source(library, record)
        for clip in library.clips(record.video.video_id):
            yield clip.clip_id, clip_metadata(clip, source)


def _best(found: Iterable[Sequence[ScoredClip]], top_k: int) -> list[ScoredClip]:
    """Joins rankings: a clip counts with its best score.

    The best ``top_k`` of the union are exact: whoever is among them is so in one of the rankings.
    """
    best: dict[str, ScoredClip] = {}
    for each in (hit for ranking in found for hit in ranking):
        known = best.get(each.clip.clip_id)
        if known is None or each.score > known.score:
            best[each.clip.clip_id] = each
    ranked = sorted(best.values(), key=lambda hit: (-hit.score, hit.clip.clip_id))[:top_k]
    return [replace(hit, rank=rank) for rank, hit in enumerate(ranked, start=1)]
