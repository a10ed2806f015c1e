"""Opened libraries, shared by all retrievers of a process that mean the same one."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clamr_rag.config import Options

from langchain_clamr.documents import Origin, Scalar, clip_facts
from langchain_clamr.filters import Matches
from langchain_clamr.pictures import MAX_SIDE

if TYPE_CHECKING:
    from clamr_rag.library import VideoLibrary
    from clamr_rag.types import Clip, Frame, ScoredClip


@dataclass(frozen=True, slots=True)
class LibrarySettings:
    """Which library is meant, and the encoder that reads questions for it."""

    folder: Path
    """Absolute."""
    encoder: str
    adapter: str | None
    device: str
    dtype: str
    options: Options


class SharedLibrary:
    """A library that is opened with the first question, and answers one question at a time.

    A model gains nothing from threads that take turns on the same processor, so callers wait for
    each other; coroutines wait for `executor` instead, which leaves their event loop free.
    """

    def __init__(self, settings: LibrarySettings) -> None:
        """Use `shared_library`."""
        self.settings = settings
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="langchain-clamr")
        self._lock = threading.RLock()
        self._facts_token = ""
        self._facts: list[dict[str, Scalar]] = []

    def __reduce__(self) -> tuple[object, tuple[LibrarySettings]]:
        """A copy, also in another process, is the library that these settings mean there."""
        return shared_library, (self.settings,)

    def search(
        self,
        question: str,
        *,
        top_k: int,
        videos: Collection[str] | None = None,
        matches: Matches | None = None,
    ) -> list[ScoredClip]:
        """Finds the best clips among those that pass the filter; see `VideoLibrary.search`."""
        with self._lock:
            clip_ids = None if matches is None else self._matching(matches)
            if clip_ids is not None and not clip_ids:
                return []
            return self._library.search(question, top_k=top_k, videos=videos, clip_ids=clip_ids)

    def frames(self, clip: Clip, count: int) -> tuple[Frame, ...]:
        """See `VideoLibrary.frames`; no larger than a chat model looks at."""
        with self._lock:
            return self._library.frames(clip, count, max_side=MAX_SIDE)

    def origin(self, video_id: str) -> Origin:
        """What the vectors of a video were made with."""
        with self._lock:
            record = self._library.store.video(video_id)
            return Origin(self._library.encoder.fingerprint, record.options_fingerprint)

    def _matching(self, matches: Matches) -> list[str]:
        library = self._library
        token = library.store.change_token()
        if token != self._facts_token:
            self._facts = [
                clip_facts(clip, record.video)
                for record in library.videos()
                for clip in library.clips(record.video.video_id)
            ]
            self._facts_token = token
        return [str(facts["clip_id"]) for facts in self._facts if matches(facts)]

    @cached_property
    def _library(self) -> VideoLibrary:
        from clamr_rag.library import VideoLibrary

        settings = self.settings
        library = VideoLibrary.open(
            settings.folder,
            encoder=settings.encoder,
            adapter=settings.adapter,
            device=settings.device,
            dtype=settings.dtype,
            options=settings.options,
            create=False,
        )
        weakref.finalize(self, library.close)
        return library


_Key = tuple[int, LibrarySettings]
_OPENED: weakref.WeakValueDictionary[_Key, SharedLibrary] = weakref.WeakValueDictionary()
_OPENING = threading.Lock()


def shared_library(settings: LibrarySettings) -> SharedLibrary:
    """The one of this process under these settings; it closes with its last user."""
    with _OPENING:
        # A forked process must not use the database connection of its parent.
        key = os.getpid(), settings
        known = _OPENED.get(key)
        if known is None:
            known = _OPENED[key] = SharedLibrary(settings)
        return known
