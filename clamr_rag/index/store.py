"""The library file: the truth about videos, clips, texts, vectors and finished work."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from clamr_rag.errors import EncoderMismatchError, LibraryError, UsageError
from clamr_rag.index import (
    clip_rows,
    derived,
    journal,
    meta_rows,
    schema,
    vector_rows,
    verify,
    video_rows,
)
from clamr_rag.index.codec import CodecName, StoredVectors
from clamr_rag.index.database import Database
from clamr_rag.index.faults import damaged, disk_full, explain, is_disk_full
from clamr_rag.index.journal import Part
from clamr_rag.index.lock import WriterLock
from clamr_rag.index.records import Problem, TextHit, VideoRecord
from clamr_rag.types import Clip, MultiVector, Video

FILE_NAME = "clamr-rag.sqlite3"
_CREATE_WAIT_SECONDS = 10.0


class Store:
    """A library on disk. Many may read, one writes; what a call wrote lasts once it returned.

    Writing calls take the writer's lock for themselves; hold `writing` around many of them.
    """

    def __init__(self, directory: Path, database: Database, lock: WriterLock) -> None:
        """Use `open`."""
        self.directory = directory
        self._database = database
        self._lock = lock

    @classmethod
    def open(cls, directory: str | Path, *, create: bool = True, read_only: bool = False) -> Store:
        """Opens the library in a folder; opening is all the recovery there is.

        Raises:
            UsageError: There is no library, and none is to be made.
            LibraryDamagedError: The file is not a library.
            LibraryVersionError: A later version wrote it; it is left untouched.
        """
        folder = Path(directory).absolute()
        path, lock = folder / FILE_NAME, WriterLock(folder)
        if not _is_there(path):
            if read_only or not create:
                raise UsageError(
                    f"there is no library in {folder}", hint="clamr-rag index makes one"
                )
            _create(path, lock)
        return cls(folder, Database(path, read_only=read_only), lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    @property
    def path(self) -> Path:
        """The library file."""
        return self._database.path

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading only."""
        return self._database.read_only

    @property
    def library_id(self) -> str:
        """Random, given when the library was made; a copy of the file keeps it."""
        return meta_rows.library_id(self._database)

    # --- who may write, and what a reader sees

    def writing(self, *, wait_seconds: float = 0.0) -> AbstractContextManager[None]:
        """Holds the right to write; may be nested.

        Raises:
            LibraryLockedError: Another process has it after ``wait_seconds``; it is named.
        """
        return self._lock.held(wait_seconds)

    def reading(self) -> AbstractContextManager[None]:
        """All reads within see one state of the library, whatever another process writes."""
        return self._database.snapshot()

    @contextmanager
    def _change(self) -> Iterator[Database]:
        """One write that lasts as a whole or not at all."""
        if self.read_only:
            raise LibraryError(f"{self.path} was opened for reading only")
        with self._lock.held(), self._database.transaction():
            yield self._database

    def _replace(self, before: VideoRecord | None, after: VideoRecord) -> VideoRecord:
        """Writes a video's row and notes whether that changes what a search can find."""
        if _found_as(before) != _found_as(after):
            meta_rows.note_change(self._database)
        return video_rows.write(self._database, after)

    def change_token(self) -> str:
        """Another one whenever what a search can find may have changed, by any process."""
        return meta_rows.change_token(self._database)

    # --- the encoder

    @property
    def encoder(self) -> tuple[str, str] | None:
        """Name and fingerprint of the encoder of all vectors; None for a new library."""
        return meta_rows.encoder(self._database)

    @property
    def dim(self) -> int | None:
        """Width of all vectors; None before the first."""
        return meta_rows.dim(self._database)

    def claim_encoder(self, name: str, fingerprint: str) -> None:
        """Makes this the encoder of the library, or checks that it is.

        The fingerprint decides: a folder that was moved, or is named by another path, is the same
        encoder under another name.

        Raises:
            EncoderMismatchError: The library holds vectors of another one.
        """
        known = self.encoder
        if known and known[1] == fingerprint:
            return
        if known and vector_rows.any_at_all(self._database):
            raise EncoderMismatchError(
                f"the library {self.directory} holds vectors of encoder {known[0]} ({known[1]}), "
                f"got {name} ({fingerprint})",
                hint=f"use encoder {known[0]} with the weights, adapter and encoder options it had "
                "then, or another folder for the new one",
            )
        with self._change() as database:
            meta_rows.put_encoder(database, name, fingerprint)

    # --- videos

    def videos(self) -> tuple[VideoRecord, ...]:
        """All videos, in the order in which they were added."""
        return video_rows.read_all(self._database)

    def video(self, video_id: str) -> VideoRecord:
        """One video.

        Raises:
            UsageError: It is not in the library.
        """
        record = video_rows.read(self._database, video_id)
        if record is None:
            raise UsageError(f"video {video_id} is not in the library {self.directory}")
        return record

    def has_video(self, video_id: str) -> bool:
        """Whether the library knows the video, indexed or not."""
        return video_rows.read(self._database, video_id) is not None

    def find_video(self, reference: str) -> VideoRecord:
        """The video meant by its id, its path, its file name, its title or the start of its id.

        Raises:
            UsageError: None or several are meant.
        """
        return video_rows.find(self._database, reference)

    def begin_video(self, video: Video, options_fingerprint: str) -> VideoRecord:
        """Starts or goes on with a video.

        Under the same options all that is there stays, and an indexed video stays searchable.
        Under others its clips and vectors go; the artefacts of its stages stay.
        """
        with self._change() as database:
            known = record = video_rows.read(database, video.video_id)
            if record is None or record.options_fingerprint != options_fingerprint:
                clip_rows.remove(database, video.video_id)
                record = VideoRecord(video, "indexing", options_fingerprint)
            elif record.status == "failed":
                record = replace(record, status="indexing", error=None)
            return self._replace(known, replace(record, video=video))

    def update_video(self, video: Video) -> VideoRecord:
        """Replaces what is known of a video, e.g. its length once it was decoded."""
        with self._change() as database:
            return video_rows.write(database, replace(self.video(video.video_id), video=video))

    def set_sources(
        self, video_id: str, *, speech: str | None = None, screen_text: str | None = None
    ) -> VideoRecord:
        """Notes where speech and screen text come from; None leaves a line as it is."""
        with self._change() as database:
            record = self.video(video_id)
            if speech is not None:
                record = replace(record, speech_source=speech)
            if screen_text is not None:
                record = replace(record, screen_text_source=screen_text)
            return video_rows.write(database, record)

    def finish_video(self, video_id: str) -> VideoRecord:
        """Makes a video searchable.

        Raises:
            LibraryError: Some of its clips have no vectors yet.
        """
        with self._change() as database:
            record = self.video(video_id)
            num_clips, num_pending = clip_rows.count(database, video_id)
            if num_pending or num_clips != record.num_clips:
                raise LibraryError(
                    f"video {video_id} has vectors of {num_clips - num_pending} clips",
                    allowed=f"all {record.num_clips}",
                    hint="index it again: it goes on from there",
                )
            # Random: a library restored from a copy never repeats the revision of other content.
            finished = replace(record, status="indexed", error=None, revision=secrets.token_hex(8))
            return self._replace(record, finished)

    def fail_video(self, video_id: str, error: str) -> VideoRecord:
        """Notes why a video could not be indexed; what is finished of it stays."""
        with self._change():
            record = self.video(video_id)
            return self._replace(record, replace(record, status="failed", error=error))

    def relink(self, video_id: str, path: str) -> VideoRecord:
        """Notes the new place of a file that was moved."""
        record = self.video(video_id)
        return self.update_video(replace(record.video, path=path))

    def remove_video(self, video_id: str) -> None:
        """Removes a video and everything made from it; its bytes are overwritten with zeros.

        A damaged video can be removed too: by its whole id.

        Raises:
            UsageError: It is not in the library.
        """
        with self.writing():
            with self._change() as database:
                was_indexed = video_rows.status(database, video_id) == "indexed"
                clip_rows.remove(database, video_id)
                video_rows.remove(database, video_id)
                clip_rows.forget_words(database)
                if was_indexed:
                    meta_rows.note_change(database)
            self._database.checkpoint()
            derived.remove(self._database, video_id)

    # --- stages and their artefacts

    def put_artefact(
        self, video_id: str, stage: str, part: Part, options_hash: str, payload: bytes
    ) -> None:
        """Keeps one part of a stage's result, replacing an earlier one."""
        with self._change() as database:
            journal.put_artefact(database, video_id, stage, part, options_hash, payload)

    def artefacts(self, video_id: str, stage: str, options_hash: str) -> list[tuple[Part, bytes]]:
        """The parts of a stage that are whole, in order; damaged ones are to be made again."""
        return journal.artefacts(self._database, video_id, stage, options_hash)

    def mark_stage_done(self, video_id: str, stage: str, options_hash: str) -> None:
        """Says that all parts of a stage are there."""
        with self._change() as database:
            journal.mark_stage_done(database, video_id, stage, options_hash)

    def stage_done(self, video_id: str, stage: str, options_hash: str) -> bool:
        """Whether the stage was marked done and all its parts are whole."""
        return journal.stage_done(self._database, video_id, stage, options_hash)

    # --- files made from a video

    def put_derived(self, video_id: str, name: str, payload: bytes) -> Path:
        """Writes a file that can be made again, e.g. a thumbnail; replaces an earlier one."""
        with self._change() as database:
            self.video(video_id)
            return derived.put(database, video_id, name, payload)

    def derived(self, video_id: str, name: str) -> bytes | None:
        """Content of such a file; None where it has to be made again."""
        return derived.get(self._database, video_id, name)

    # --- clips and their text

    def plan_clips(self, video_id: str, clips: Sequence[Clip]) -> None:
        """Lays down all clips of a video with their texts; their vectors are pending.

        The same clips again change nothing; others replace the clips and their vectors.
        """
        strangers = [clip.clip_id for clip in clips if clip.video_id != video_id]
        if strangers:
            raise ValueError(f"clip {strangers[0]} is not of video {video_id}")
        with self._change() as database:
            record = self.video(video_id)
            if record.num_clips == len(clips) and self.clips(video_id) == tuple(clips):
                return
            clip_rows.remove(database, video_id)
            clip_rows.add(database, clips)
            self._replace(record, replace(record, status="indexing", num_clips=len(clips)))

    def clips(self, video_id: str) -> tuple[Clip, ...]:
        """All clips of a video in time order, those without vectors too; none if it is unknown."""
        with self.reading():
            record = video_rows.read(self._database, video_id)
            clips = clip_rows.of_video(self._database, video_id)
        if record and len(clips) != record.num_clips:
            raise damaged(
                self.path, f"video {video_id} has {len(clips)} clips, not {record.num_clips}"
            )
        return clips

    def pending_clips(self, video_id: str) -> tuple[Clip, ...]:
        """The clips of a video that have no vectors yet, in time order."""
        return clip_rows.pending(self._database, video_id)

    def clip(self, clip_id: str) -> Clip:
        """One clip.

        Raises:
            UsageError: It is not in the library.
        """
        clip = clip_rows.one(self._database, clip_id)
        if clip is None:
            raise UsageError(f"clip {clip_id} is not in the library {self.directory}")
        return clip

    def search_text(
        self,
        words: str,
        *,
        match: Literal["any", "all"] = "any",
        limit: int = 100,
        video_ids: Collection[str] | None = None,
    ) -> tuple[TextHit, ...]:
        """Clips of indexed videos in which words are said, shown or described, best first.

        Args:
            words: Plain words; signs have no special meaning.
            match: Whether any one of the words is enough.
            limit: Most clips returned.
            video_ids: Only these videos; None for all.
        """
        return clip_rows.search(self._database, words, match, limit, video_ids)

    # --- vectors

    def put_vectors(
        self,
        video_id: str,
        batch: Sequence[tuple[str, MultiVector]],
        *,
        codec: CodecName = "int8",
    ) -> None:
        """Stores the vectors of some planned clips: the whole batch, or nothing of it.

        A video that was indexed is not searched again before `finish_video`.

        Args:
            video_id: Whose clips they are.
            batch: Clip ids and multi-vectors ``(n, dim)``, one dim in the whole library.
            codec: Stored form.
        """
        if not batch:
            return
        with self._change() as database:
            record = self.video(video_id)
            if record.status == "indexed":
                self._replace(record, replace(record, status="indexing"))
            if self.dim is None:
                meta_rows.put_dim(database, batch[0][1].dim)
            vector_rows.check_dim(batch, self.dim or 0)
            vector_rows.put(database, video_id, batch, codec)

    def vectors(self, clip_id: str) -> MultiVector:
        """The vectors of one clip.

        Raises:
            UsageError: The library has none of it.
        """
        return vector_rows.of_clip(self._database, clip_id)

    def iter_vectors(
        self, video_ids: Collection[str] | None = None
    ) -> Iterator[tuple[str, MultiVector]]:
        """Clip ids and vectors of indexed videos, by video in order of its id, then in time."""
        for record in self.searchable(video_ids):
            with self.reading():
                # Another process may have removed or replaced it since the list was made.
                current = video_rows.read(self._database, record.video.video_id)
                if _found_as(current) != record.revision:
                    continue
                clips = self.stored_vectors(record)
            for clip_id, stored in clips:
                yield clip_id, stored.multi_vector()

    def searchable(self, video_ids: Collection[str] | None = None) -> list[VideoRecord]:
        """The indexed videos, in order of their ids; unknown ids are ignored."""
        return sorted(
            (
                record
                for record in self.videos()
                if record.status == "indexed"
                and (video_ids is None or record.video.video_id in video_ids)
            ),
            key=lambda record: record.video.video_id,
        )

    def stored_vectors(self, record: VideoRecord) -> list[tuple[str, StoredVectors]]:
        """Clip ids and vectors of one indexed video in their stored form, in time order."""
        return vector_rows.of_video(self._database, record.video.video_id, record.num_clips)

    def stored_vectors_of(
        self, clip_ids: Collection[str], video_ids: Collection[str] | None = None
    ) -> list[tuple[str, StoredVectors]]:
        """Stored vectors of those of the clips that are searchable, in order of clip id.

        With `video_ids`, only of those that are in one of these videos.
        """
        return vector_rows.of_clips(self._database, clip_ids, video_ids)

    # --- health

    def verify(self) -> tuple[Problem, ...]:
        """Reads every byte of the library; empty if all is well."""
        return verify.problems(self._database)


def _found_as(record: VideoRecord | None) -> str | None:
    """The revision under which searches find the video; None if they do not."""
    return record.revision if record and record.status == "indexed" else None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as fault:
        raise LibraryError(
            f"cannot look into {path.parent}: {fault.strerror}",
            hint="name another folder with --library",
        ) from fault


def _create(path: Path, lock: WriterLock) -> None:
    """Makes an empty library, once, whoever else tries at the same time."""
    log = path.with_name(path.name + "-wal")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock.held(_CREATE_WAIT_SECONDS):
            if path.exists():
                return
            if log.exists():
                # SQLite would apply the log of a lost file to the new one.
                raise damaged(path, f"is missing, but {log.name} is there")
            schema.create(path, meta_rows.first_facts())
    except sqlite3.Error as fault:
        raise explain(fault, path) from fault
    except OSError as fault:
        if is_disk_full(path):
            raise disk_full(path) from fault
        raise LibraryError(
            f"cannot make a library in {path.parent}: {fault.strerror}",
            hint="check the folder's permissions, or name another with --library",
        ) from fault
