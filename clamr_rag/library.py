"""A library of long videos: add them, search them, ask them. READ THIS FIRST."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self

from clamr_rag.answering import ChatModel, ChosenGenerator, OnText, Prompt, make_generator
from clamr_rag.answering.citations import resolve
from clamr_rag.answering.footage import Footage, even_seconds
from clamr_rag.config import Options
from clamr_rag.encoder import Encoder, load_encoder
from clamr_rag.errors import ClamrError, UsageError
from clamr_rag.index import ClipIndex, open_index
from clamr_rag.index.records import Problem, VideoRecord
from clamr_rag.index.store import Store
from clamr_rag.ingest import OnProgress, VideoReport, index_video
from clamr_rag.media import checked_video_path
from clamr_rag.retriever import Retriever
from clamr_rag.types import Answer, Clip, Frame, ScoredClip, Video


class VideoLibrary:
    """Videos cut into clips and encoded in a folder on disk, ready for questions."""

    def __init__(
        self,
        store: Store,
        options: Options,
        load: Callable[[], Encoder],
        make_answerer: Callable[[Encoder, Footage], ChosenGenerator],
    ) -> None:
        """Use `open`."""
        self.store = store
        self.options = options
        self._load = load
        self._make_answerer = make_answerer
        # Threads that ask at once must not load a model each.
        self._first_use = threading.RLock()

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        encoder: str = "mini",
        adapter: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        options: Options | None = None,
        answerer: ChatModel | None = None,
        create: bool = True,
    ) -> VideoLibrary:
        """Opens the library in a folder; encoder and answerer are loaded when first needed.

        Args:
            path: Folder of the library.
            encoder: ``"mini"``, ``"clamr"``, ``"clamr-omni"``, a folder, or a hub id.
            adapter: LoRA adapter on top of the encoder's checkpoint.
            device: A torch device, or ``"auto"``.
            dtype: A torch dtype's name, or ``"auto"``.
            options: Of all stages; the defaults where None.
            answerer: A model of your own that writes the answers; None is the options'.
            create: Make the library if there is none.

        Raises:
            UsageError: There is no library and ``create`` is off.
            LibraryError: It is damaged, or of a later version.
        """
        options = options or Options()
        load = partial(
            load_encoder,
            encoder,
            adapter=adapter,
            device=device,
            dtype=dtype,
            options=options.encoder,
        )
        make_answerer = partial(
            make_generator, options.answer, device=device, dtype=dtype, model=answerer
        )
        return cls(Store.open(path, create=create), options, load, make_answerer)

    def add(
        self,
        path: str | Path,
        *,
        force: bool = False,
        any_options: bool = False,
        on_progress: OnProgress | None = None,
    ) -> VideoReport:
        """Indexes a video, or goes on with it; one that is there already costs nothing.

        See `clamr_rag.ingest.index_video` for the arguments and errors.
        """
        path = checked_video_path(path)
        return index_video(
            self.store,
            self.encoder,
            path,
            self.options,
            force=force,
            any_options=any_options,
            on_progress=on_progress,
        )

    def search(
        self,
        question: str,
        *,
        top_k: int | None = None,
        videos: Collection[str] | None = None,
        clip_ids: Collection[str] | None = None,
    ) -> list[ScoredClip]:
        """Finds the clips that match a question best, with what each of its words points at.

        Args:
            question: In words.
            top_k: Most clips returned; None is the option's.
            videos: Ids, paths or file names of the videos to search in; None for all.
            clip_ids: Search among these clips only; None for all.

        Raises:
            UsageError: The question is blank, or no video goes by a name.
        """
        limit = self.options.search.top_k if top_k is None else top_k
        if limit < 1:
            raise UsageError(f"got top_k {limit}", allowed="1 or more")
        ids = None if videos is None else [self.find(name).video.video_id for name in videos]
        return self._retriever.retrieve(question, top_k=limit, video_ids=ids, clip_ids=clip_ids)

    def ask(
        self,
        question: str,
        *,
        choices: Sequence[str] = (),
        top_k: int | None = None,
        videos: Collection[str] | None = None,
        on_text: OnText | None = None,
    ) -> Answer:
        """Answers a question from the clips that match it, with citations, or abstains.

        Args:
            question: In words.
            choices: Options of a multiple-choice question, lettered A, B, … in order.
            top_k: Most clips read; None is the option's.
            videos: Ids, paths or file names of the videos to answer from; None for all.
            on_text: Is told the answer piece by piece while it is written.

        Raises:
            UsageError: As `search`.
            AnswererError: As `answer`.
        """
        started = time.monotonic()
        clips = self.search(question, top_k=top_k, videos=videos)
        timings = {"search": time.monotonic() - started}
        answer = self.answer(question, clips, choices=choices, on_text=on_text)
        return replace(answer, timings_seconds=timings | dict(answer.timings_seconds))

    def answer(
        self,
        question: str,
        clips: Sequence[ScoredClip],
        *,
        choices: Sequence[str] = (),
        on_text: OnText | None = None,
    ) -> Answer:
        """Answers from clips that were found, by this library, with or without this question.

        Args:
            question: In words.
            clips: Best first.
            choices: Options of a multiple-choice question.
            on_text: Is told the answer piece by piece while it is written.

        Raises:
            UsageError: Choices that are none, or an answerer that cannot be one.
            ModelMissingError: A local model is not on this machine.
            AnswererError: The model cannot be reached, refuses, or says nothing.
            OutOfMemoryError: What a local model is to read does not fit.
        """
        if isinstance(choices, str):
            raise UsageError(f"got choices {choices!r}", allowed="a list of options")
        prompt = Prompt(question, tuple(choices), tuple(clips))
        started = time.monotonic()
        try:
            generator = self._answerer.generator
            draft = generator.generate(prompt, on_text)
        except ClamrError as error:
            error.clips = prompt.clips
            raise
        return resolve(
            prompt,
            draft,
            abstain_below=self.options.answer.abstain_below,
            encoder=self.encoder.name,
            answerer=generator.name,
            answerer_reason=self._answerer.reason,
            timings_seconds={"answer": time.monotonic() - started},
        )

    def clips(self, video_id: str) -> tuple[Clip, ...]:
        """All clips of a video, in time order."""
        return self._footage.clips(video_id)

    def frames(self, clip: Clip, count: int, *, max_side: int | None = None) -> tuple[Frame, ...]:
        """Pictures spread evenly over a clip, read from the video's file, with their true times.

        Raises:
            MediaError: The file is gone, is another one now, or cannot be decoded.
        """
        video = self.store.video(clip.video_id).video
        seconds = even_seconds(clip.span.start_seconds, clip.span.stop_seconds, count)
        return self._footage.frames(video, seconds, max_side=max_side)

    def videos(self) -> tuple[VideoRecord, ...]:
        """All videos, in the order in which they were added."""
        return self.store.videos()

    def find(self, reference: str) -> VideoRecord:
        """The video meant by an id, the start of one, a path or a file name."""
        return self.store.find_video(reference)

    def remove(self, reference: str) -> Video:
        """Removes a video with all that came from it; the file itself stays."""
        video = self.find(reference).video
        self.store.remove_video(video.video_id)
        return video

    def verify(self) -> tuple[Problem, ...]:
        """Checks every stored byte against its checksum."""
        return self.store.verify()

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded and checked to be the one that made the library."""
        with self._first_use:
            return self._encoder

    @cached_property
    def _encoder(self) -> Encoder:
        encoder = self._load()
        if self.store.encoder is not None:
            self.store.claim_encoder(encoder.name, encoder.fingerprint)
        return encoder

    @cached_property
    def _index(self) -> ClipIndex:
        return open_index(self.store, self.options.search)

    @cached_property
    def _retriever(self) -> Retriever:
        return Retriever(self.encoder, self._index, self.store)

    @cached_property
    def _footage(self) -> Footage:
        return Footage(self.store, self.options.media)

    @property
    def _answerer(self) -> ChosenGenerator:
        with self._first_use:
            return self._chosen_answerer

    @cached_property
    def _chosen_answerer(self) -> ChosenGenerator:
        return self._make_answerer(self.encoder, self._footage)

    def close(self) -> None:
        """Closes the library and the index that was opened on it."""
        if "_index" in self.__dict__:
            self._index.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
