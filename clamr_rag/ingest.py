"""From a video file to clips in a library: speech, one pass over the pictures, clips, vectors.

Each stage saves its parts as it goes, keyed by the file's content and the options it depends on, so
a run that was killed goes on where it stopped and ends with the same clips as an undisturbed one.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import TypeAdapter

from clamr_rag import media
from clamr_rag.config import Options
from clamr_rag.encoder import Encoder
from clamr_rag.encoder.clip_batches import (
    WINDOW_BATCHES,
    in_time,
    keep_pending,
    plan_windows,
)
from clamr_rag.encoder.clip_reading import read_clips
from clamr_rag.encoder.pooling import pool
from clamr_rag.errors import ExtractionError, LibraryLockedError, MediaError
from clamr_rag.extraction import TextRecognizer, Transcriber
from clamr_rag.extraction.asr import model_is_here
from clamr_rag.extraction.metadata import read_metadata, title_of
from clamr_rag.extraction.ocr import make_recognizer
from clamr_rag.extraction.speech import (
    MISSING_MODEL,
    HeardWindow,
    UnheardSpeech,
    find_speech,
    transcribe_windows,
)
from clamr_rag.index.records import VideoRecord
from clamr_rag.index.store import Store
from clamr_rag.scan import ScreenPart, join_parts, scan
from clamr_rag.segmentation import Segmenter, make_segmenter
from clamr_rag.segmentation.clips import make_clips
from clamr_rag.types import (
    Clip,
    ClipInput,
    MetadataLine,
    Modality,
    Transcript,
    Video,
)

Stage = Literal["speech", "screen", "clips"]
_CALL_SECONDS = 10.0
"""Longest call of an encoder that gets more than one batch; its clips are stored after it."""
_STAGES: tuple[Stage, ...] = ("speech", "screen", "clips")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the indexing of one video has come."""

    video_path: str
    stage: Stage
    stage_number: int
    """1 for the first."""
    num_stages: int
    done: float
    """Of ``total``, counting what an earlier run had finished."""
    total: float
    unit: Literal["s", "clips"]


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class VideoReport:
    """What was done with one video."""

    path: str
    video_id: str
    status: Literal["indexed", "unchanged", "resumed"]
    num_clips: int
    elapsed_seconds: float
    speech_source: str
    screen_source: str
    warnings: tuple[str, ...] = ()
    """Lines for the user: what is missing or was passed over."""


def index_video(
    store: Store,
    encoder: Encoder,
    path: str | Path,
    options: Options,
    *,
    force: bool = False,
    any_options: bool = False,
    on_progress: OnProgress | None = None,
) -> VideoReport:
    """Brings one video into the library; does nothing if it is there already.

    Args:
        store: Open for writing; its writer's lock is taken only if there is something to do.
        encoder: Of the library.
        path: The file.
        options: Of all stages.
        force: Forget what is known about the video first.
        any_options: Leave a video alone that was indexed with other options; changed subtitles or
            other sidecars still count.
        on_progress: Called often; what it raises stops the work at that point, and the next run
            goes on from what was saved.

    Raises:
        MediaError: The file cannot be read; what could be indexed before stays in the library.
        ExtractionError: Speech or screen text recognition broke down.
        LibraryLockedError: Another process is writing.
    """
    started = time.monotonic()
    indexing = Indexing(store, encoder, media.checked_video_path(path), options, on_progress)
    if not force and indexing.is_finished(any_options=any_options):
        return indexing.report("unchanged", time.monotonic() - started)
    indexing.prepare()
    with store.writing():
        if force and store.has_video(indexing.video_id):
            store.remove_video(indexing.video_id)
        known = record_of_file(store, path)
        resumed = known is not None and known.status != "indexed"
        store.claim_encoder(encoder.name, encoder.fingerprint)
        indexing.run()
    return indexing.report("resumed" if resumed else "indexed", time.monotonic() - started)


def video_id_of(path: str | Path) -> str:
    """The id of a file's content: the same for a copy under another name.

    Raises:
        MediaError: It is no readable file.
    """
    return media.content_key(path)[:16]


def record_of_file(store: Store, path: str | Path) -> VideoRecord | None:
    """What a library knows of a file, by its content; None if nothing.

    Raises:
        MediaError: It is no readable file.
    """
    video_id = video_id_of(path)
    return store.video(video_id) if store.has_video(video_id) else None


class Indexing:
    """The indexing of one video; `run` reads as the stages in order."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        path: Path,
        options: Options,
        on_progress: OnProgress | None,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._path = path
        self._options = options
        self._on_progress = on_progress
        self._warnings: list[str] = []
        self._batches_per_call = 1
        self.video_id = video_id_of(path)
        self._sidecars = media.find_sidecars(path)

    def is_finished(self, *, any_options: bool) -> bool:
        """Whether this very file, with these options and sidecars, is in the library already."""
        record = record_of_file(self._store, self._path)
        if record is None or record.status != "indexed":
            return False
        same = record.options_fingerprint == self._fingerprint
        if any_options:
            same = record.options_fingerprint.endswith(self._sidecars_fingerprint)
        if not same or self._can_hear_now(record):
            return False
        if record.video.path != str(self._path):
            # A search must not wait for whoever is writing: the next run notes the new place.
            with suppress(LibraryLockedError):
                self._store.relink(self.video_id, str(self._path))
        return True

    def _can_hear_now(self, record: VideoRecord) -> bool:
        """Whether speech was missing for want of a model that has come since."""
        speech = self._options.speech
        missed = (record.speech_source or "").startswith(MISSING_MODEL)
        return missed and speech.speech == "auto" and model_is_here(speech.asr_model)

    def prepare(self) -> None:
        """Refuses what can be refused before anything of the library is changed."""
        _ = self._metadata, self._recognizer, self._segmenter
        heard = self._store.has_video(self.video_id) and self._store.stage_done(
            self.video_id, "speech", self._speech_fingerprint
        )
        if isinstance(self._speech, UnheardSpeech) and not heard:
            _ = self._transcriber

    def run(self) -> None:
        """Does all stages, each from where it stopped."""
        metadata = self._metadata
        self._store.begin_video(self._video(title_of(metadata, self._path)), self._fingerprint)
        try:
            transcript = self._read_speech()
            screen = self._read_screen()
            self._store.plan_clips(self.video_id, self._cut(transcript, screen, metadata))
            self._encode_clips()
        except (MediaError, ExtractionError) as error:
            self._store.fail_video(self.video_id, str(error))
            raise
        self._store.finish_video(self.video_id)
        self._retire_predecessors()

    def _retire_predecessors(self) -> None:
        """Removes what another content of the same file left behind."""
        for record in self._store.videos():
            if record.video.path == str(self._path) and record.video.video_id != self.video_id:
                self._store.remove_video(record.video.video_id)
                self._warnings.append("it replaces an earlier video under the same file name")

    def report(
        self, status: Literal["indexed", "unchanged", "resumed"], elapsed_seconds: float
    ) -> VideoReport:
        """Sums up what is in the library now."""
        record = self._store.video(self.video_id)
        return VideoReport(
            path=str(self._path),
            video_id=self.video_id,
            status=status,
            num_clips=record.num_clips,
            elapsed_seconds=elapsed_seconds,
            speech_source=record.speech_source or "none",
            screen_source=record.screen_text_source or "none",
            warnings=tuple(self._warnings),
        )

    # --- what the file is

    @cached_property
    def _info(self) -> media.MediaInfo:
        return media.probe(self._path, self._options.media)

    @cached_property
    def _fingerprint(self) -> str:
        """Of all that the clips depend on beside the file itself; the sidecars' part comes last."""
        options = _digest(
            self._options.speech.fingerprint(),
            self._screen_fingerprint,
            self._options.segmentation.fingerprint(),
            self._options.index.fingerprint(),
            self._encoder.fingerprint,
        )
        return f"{options}-{self._sidecars_fingerprint}"

    @cached_property
    def _sidecars_fingerprint(self) -> str:
        return _digest(*(f"{s.path.name}:{_key_of(s.path)}" for s in self._sidecars))

    @cached_property
    def _speech_fingerprint(self) -> str:
        return _digest(self._options.speech.fingerprint(), self._sidecars_fingerprint)

    @cached_property
    def _screen_fingerprint(self) -> str:
        return _digest(self._options.ocr.fingerprint(), self._options.scan.fingerprint())

    def _video(self, title: str) -> Video:
        return Video(
            video_id=self.video_id,
            path=str(self._path),
            title=title,
            duration_seconds=self._info.duration_seconds,
            size_bytes=self._info.size_bytes,
        )

    @cached_property
    def _metadata(self) -> tuple[MetadataLine, ...]:
        return read_metadata(self._path, self._info, self._sidecars, self._options.media)

    @cached_property
    def _speech(self) -> Transcript | UnheardSpeech:
        return find_speech(
            self._path,
            self._info,
            self._sidecars,
            self._options.speech,
            media_options=self._options.media,
        )

    @cached_property
    def _transcriber(self) -> Transcriber:
        from clamr_rag.extraction.asr import FasterWhisperTranscriber

        return FasterWhisperTranscriber(self._options.speech)

    @cached_property
    def _recognizer(self) -> TextRecognizer | None:
        return make_recognizer(self._options.ocr)

    @cached_property
    def _segmenter(self) -> Segmenter:
        return make_segmenter(self._options.segmentation)

    # --- speech

    def _read_speech(self) -> Transcript:
        """Reads the best subtitles, or hears the sound window by window."""
        found = self._speech
        if found.warning:
            self._warnings.append(found.warning)
        self._store.set_sources(self.video_id, speech=found.source)
        if isinstance(found, Transcript):
            self._tell("speech", self._info.duration_seconds)
            return found
        cues = (cue for window in self._hear() for cue in window.cues)
        return Transcript(found.source, tuple(cues), found.language, found.warning)

    def _hear(self) -> list[HeardWindow]:
        heard = self._saved("speech", self._speech_fingerprint, HeardWindow)
        if self._store.stage_done(self.video_id, "speech", self._speech_fingerprint):
            return heard
        options = self._options.speech
        windows = transcribe_windows(
            self._path,
            self._transcriber,
            options,
            start_seconds=len(heard) * options.window_seconds,
            media_options=self._options.media,
        )
        for window in windows:
            self._save("speech", self._speech_fingerprint, len(heard), window)
            heard.append(window)
            self._tell("speech", window.span.stop_seconds)
        self._store.mark_stage_done(self.video_id, "speech", self._speech_fingerprint)
        return heard

    # --- the pass over the pictures

    def _read_screen(self) -> ScreenPart:
        """Finds shots and reads the screen, in parts that are saved one by one."""
        recognizer = self._recognizer
        source = recognizer.name if recognizer else "none (--ocr none)"
        if self._info.video is None:
            source = "none (no pictures)"
        self._store.set_sources(self.video_id, screen_text=source)
        looks_at_shots = self._options.segmentation.segmenter in ("combined", "shots")
        if self._info.video is None or not (recognizer or looks_at_shots):
            return ScreenPart()
        options = self._options.scan
        parts = self._saved("screen", self._screen_fingerprint, ScreenPart)
        if not self._store.stage_done(self.video_id, "screen", self._screen_fingerprint):
            for part in scan(
                self._path,
                self._info.duration_seconds,
                recognizer,
                options=options,
                media_options=self._options.media,
                first_part=len(parts),
                on_look=partial(self._tell, "screen"),
            ):
                self._save("screen", self._screen_fingerprint, len(parts), part)
                parts.append(part)
            self._store.mark_stage_done(self.video_id, "screen", self._screen_fingerprint)
        return join_parts(parts, options)

    # --- clips

    def _cut(
        self, transcript: Transcript, screen: ScreenPart, metadata: Sequence[MetadataLine]
    ) -> tuple[Clip, ...]:
        """Cuts the video into clips, where chapters begin too, and gives each its texts."""
        chapters = tuple(line.span.start_seconds for line in metadata if line.span)
        spans = self._segmenter.segment(
            self._info.duration_seconds,
            shot_cuts=(*screen.shot_cuts, *chapters),
            cues=transcript.cues,
        )
        return make_clips(self.video_id, spans, transcript.cues, screen.lines, metadata)

    def _encode_clips(self) -> None:
        """Encodes the clips that have no vectors yet; a call's clips last all or not at all."""
        options, hears = self._options.encoder, Modality.AUDIO in self._senses
        pending = {clip.clip_id for clip in self._store.pending_clips(self.video_id)}
        planned = self._store.clips(self.video_id)
        windows = [
            keep_pending(window, pending) for window in plan_windows(planned, options, hears=hears)
        ]
        done = len(planned) - len(pending)
        clips = [clip for window in windows for clip in in_time(window)]
        wanted, decoding = self._encoder.frames_wanted, self._options.media
        inputs = read_clips(self._path, clips, self._senses, wanted, decoding)
        for window in windows:
            read = {clip.clip_id: next(inputs) for clip in in_time(window)}
            while window:
                count = self._batches_per_call
                done += self._encode_call(
                    [clip for batch in window[:count] for clip in batch], read
                )
                window = window[count:]
                self._tell("clips", done, len(planned), "clips")

    def _encode_call(self, clips: Sequence[Clip], read: dict[str, ClipInput]) -> int:
        """Encodes and stores some clips of a window; returns how many.

        An encoder that looks prepares one batch while it works on another, so it gets several,
        but no more than it can do before a person would wonder: what is in work can be lost.
        """
        started = time.monotonic()
        vectors = self._encoder.encode_clips([read.pop(clip.clip_id) for clip in clips])
        if Modality.VIDEO in self._senses:
            batches = math.ceil(len(clips) / self._options.encoder.batch_clips)
            seconds_per_batch = (time.monotonic() - started) / batches
            fitting = int(_CALL_SECONDS / max(seconds_per_batch, 1e-6))
            self._batches_per_call = min(max(fitting, 1), WINDOW_BATCHES)
        index = self._options.index
        pooled = [pool(v, index.vectors_per_clip, index.pooling) for v in vectors]
        pairs = [(clip.clip_id, v) for clip, v in zip(clips, pooled, strict=True)]
        self._store.put_vectors(self.video_id, pairs, codec=index.codec)
        return len(clips)

    @cached_property
    def _senses(self) -> frozenset[Modality]:
        """What the encoder reads beside texts, and the file has."""
        there = {Modality.VIDEO} if self._info.video else set()
        there |= {Modality.AUDIO} if self._info.audio_tracks else set()
        return self._encoder.reads & there

    # --- the journal

    def _saved(self, stage: Stage, fingerprint: str, kind: type[T]) -> list[T]:
        """The parts of a stage that are saved and whole, up to the first that is not."""
        parts = dict(self._store.artefacts(self.video_id, stage, fingerprint))
        reader = TypeAdapter(kind)
        whole: list[T] = []
        while (payload := parts.get(len(whole))) is not None:
            whole.append(reader.validate_json(payload))
        return whole

    def _save(self, stage: Stage, fingerprint: str, number: int, part: object) -> None:
        payload = TypeAdapter(type(part)).dump_json(part)
        self._store.put_artefact(self.video_id, stage, number, fingerprint, payload)

    def _tell(
        self,
        stage: Stage,
        done: float,
        total: float | None = None,
        unit: Literal["s", "clips"] = "s",
    ) -> None:
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    video_path=str(self._path),
                    stage=stage,
                    stage_number=_STAGES.index(stage) + 1,
                    num_stages=len(_STAGES),
                    done=done,
                    total=self._info.duration_seconds if total is None else total,
                    unit=unit,
                )
            )


def _key_of(sidecar: Path) -> str:
    try:
        return media.content_key(sidecar)
    except MediaError:
        return "unreadable"  # empty or forbidden: it is passed over, and may change yet


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
