"""The retriever: a question in words to the clips of long videos."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

from clamr_rag.config import Options
from clamr_rag.errors import MediaError, UsageError
from clamr_rag.types import ScoredClip
from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from langchain_clamr.documents import Keyframe, clip_document
from langchain_clamr.filters import compile_filter
from langchain_clamr.pictures import KeyframeFolder
from langchain_clamr.shared import LibrarySettings, SharedLibrary, shared_library

_log = logging.getLogger(__name__)


class ClamrRetriever(BaseRetriever):
    """Finds the clips of a video library that match a question best.

    ``k``, ``videos`` and ``filter`` may also be given per call: ``retriever.invoke(q, k=3)``.

    Nothing is loaded before the first question. All retrievers of a process that mean the same
    library share one opened library and one encoder; questions are answered one at a time, and
    ``ainvoke`` never blocks its event loop. May be used from several threads, and pickled.

    Raises:
        UsageError: An option that cannot be used, in one line.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    library: Path
    """Folder of the library, as made by ``clamr-rag index`` or `clamr_rag.VideoLibrary`."""
    k: int = Field(5, ge=1, strict=True)
    """Most clips returned."""
    videos: tuple[str, ...] | None = None
    """Ids, paths or file names of the videos to search in; None for all."""
    filter: dict[str, Any] | None = None
    """On the metadata of clips, applied before the best ``k`` are taken; see `filters`."""
    keyframes: int = Field(0, ge=0, strict=True)
    """Pictures written per clip found; their paths and times come as ``metadata["keyframes"]``."""
    keyframe_folder: Path | None = None
    """Where to; needed with ``keyframes``."""
    encoder: str = "mini"
    """``"mini"``, ``"clamr"``, ``"clamr-omni"``, a folder, or a hub id: the library's own."""
    adapter: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    options: Options = Options()
    """Of the engine: token caps of the encoder, scorer, candidates."""

    _shared: SharedLibrary | None = PrivateAttr(None)

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_line(cls, values: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        try:
            checked = handler(values)
        except ValidationError as fault:
            raise _usage_error(fault) from None
        if checked.keyframes and checked.keyframe_folder is None:
            raise UsageError(
                f"got keyframes {checked.keyframes} without keyframe_folder",
                hint="name a folder for the pictures",
            )
        return checked

    @field_validator("library", "keyframe_folder")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        # A pickled retriever means the same folder wherever it is unpacked.
        return None if folder is None else folder.expanduser().absolute()

    @field_validator("filter")
    @classmethod
    def _usable(cls, conditions: dict[str, Any] | None) -> dict[str, Any] | None:
        if conditions is not None:
            compile_filter(conditions)
        return conditions

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        videos: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> list[Document]:
        limit = self.k if k is None else _checked_k(k)
        videos = self.videos if videos is None else videos
        if isinstance(videos, str):
            raise UsageError(f"got videos {videos!r}", allowed="a list of ids, paths or file names")
        conditions = self.filter if filter is None else filter
        matches = None if conditions is None else compile_filter(conditions)
        if _is_blank(query):
            return []
        shared = self._opened()
        found = shared.search(query, top_k=limit, videos=videos, matches=matches)
        return [self._document(shared, clip) for clip in found]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        videos: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> list[Document]:
        call = partial(
            self._get_relevant_documents,
            query,
            run_manager=run_manager.get_sync(),
            k=k,
            videos=videos,
            filter=filter,
        )
        # In a copy of the caller's context, else traces lose what the run belongs to.
        run = partial(copy_context().run, call)
        return await asyncio.get_running_loop().run_in_executor(self._opened().executor, run)

    def _opened(self) -> SharedLibrary:
        """The shared library under the present options; the reference keeps it open."""
        settings = LibrarySettings(
            self.library, self.encoder, self.adapter, self.device, self.dtype, self.options
        )
        self._shared = shared = shared_library(settings)
        return shared

    def _document(self, shared: SharedLibrary, found: ScoredClip) -> Document:
        keyframes = self._keyframes(shared, found) if self.keyframes else None
        return clip_document(found, shared.origin(found.video.video_id), keyframes)

    def _keyframes(self, shared: SharedLibrary, found: ScoredClip) -> list[Keyframe]:
        assert self.keyframe_folder is not None, "checked with the options"
        folder = KeyframeFolder(self.keyframe_folder)
        known = folder.of_clip(found.clip, self.keyframes)
        if known:
            return known
        try:
            frames = shared.frames(found.clip, self.keyframes)
        except MediaError as fault:
            # The texts and times of the clip stay true when the file has gone.
            _log.warning("clip %s goes without keyframes: %s", found.clip.clip_id, fault)
            return []
        return folder.put(found.clip, self.keyframes, frames)

    def _get_ls_params(self, **_kwargs: Any) -> LangSmithRetrieverParams:
        return LangSmithRetrieverParams(
            ls_retriever_name="clamr",
            ls_embedding_provider="clamr",
            ls_embedding_model=self.encoder,
        )


def _checked_k(k: object) -> int:
    if isinstance(k, int) and not isinstance(k, bool) and k >= 1:
        return k
    raise UsageError(f"got k {k!r}", allowed="a whole number from 1")


def _is_blank(query: str) -> bool:
    """Whether there is nothing to see in it; zero-width characters are nothing."""
    return not any(character.isprintable() and not character.isspace() for character in query)


def _usage_error(fault: ValidationError) -> UsageError:
    """The first thing that is wrong, in one line."""
    first = fault.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "options"
    if first["type"] == "extra_forbidden":
        known = ", ".join(name for name in ClamrRetriever.model_fields)
        return UsageError(f"got option {where!r}", allowed=known)
    if first["type"] == "missing":
        return UsageError(f"got no {where}", hint="it has to be given")
    return UsageError(f"got {where} {first['input']!r}", allowed=first["msg"])
