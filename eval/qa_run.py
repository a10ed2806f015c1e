"""One run: every question of a benchmark put once, in order, and written down when it is answered.

Whatever kills the run, the same call goes on after the last line that was written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clamr_rag.answering import ChatModel
from clamr_rag.errors import AnswererError, UsageError
from clamr_rag.ingest import OnProgress
from clamr_rag.types import Modality, ScoredClip
from eval.arms import Arm, ArmParts, ArmQuery, EncodingCache, Found, IndexCost, make_arm
from eval.arms.library_pool import LibraryPool
from eval.extractors import find_rule
from eval.metrics.moments import Moment
from eval.qa_plan import ALL_VIDEOS, QaPlan, Task
from eval.qa_reading import QaReader, Reading
from eval.qa_scoring import is_right_open
from eval.qa_videos import IndexedVideo, QaVideos
from eval.run_records import (
    RECORDS_NAME,
    VIDEOS_NAME,
    FoundClip,
    GoldSpan,
    QuestionRecord,
    QuestionTiming,
    RecordFile,
    Run,
    RunHeader,
    SubtitleMode,
    VideoRecord,
    VideoTiming,
    begin_run,
    load_run,
)

LIBRARY_RETRIEVERS = ("mini", "clamr", "joint")
"""Search the library as a user does: its stored vectors, with what each word points at."""
_MOST_ARMS = 8
_NAMES = {
    Modality.VIDEO: "video",
    Modality.OCR: "ocr",
    Modality.ASR: "asr",
    Modality.DESCRIPTION: "description",
    Modality.AUDIO: "audio",
}

OnQuestion = Callable[[int, int], None]
"""Is told how many questions have a record, and how many there will be."""


@dataclass(frozen=True, slots=True)
class _BuiltArm:
    arm: Arm
    cost: IndexCost
    cache: EncodingCache


class QaRun:
    """One retriever and one subtitle mode over a plan's questions."""

    def __init__(
        self,
        plan: QaPlan,
        retriever: str,
        subtitles: SubtitleMode,
        videos: QaVideos,
        parts: ArmParts,
        out: Path,
        *,
        arm_folder: Path | None = None,
        model: ChatModel | None = None,
    ) -> None:
        """Loads the answerer, and checks that the folder holds this run or none.

        Args:
            plan: What is asked.
            retriever: "mini", "clamr", "joint", or an arm of `eval.arms`.
            subtitles: What is read of them.
            videos: Where they are indexed.
            parts: What arms share.
            out: Folder of the run.
            arm_folder: Where the arms' encodings are kept; None for memory only.
            model: Takes the place of the options' answerer.
        """
        self._plan, self._videos, self._parts, self._out = plan, videos, parts, out
        self._retriever, self._subtitles = retriever, subtitles
        library = videos.library
        self._reader = QaReader(
            library.store,
            videos.encoder,
            library.options,
            subtitles,
            device=plan.library.device,
            dtype=plan.library.dtype,
            model=model,
            is_blind=retriever == "none",
        )
        self._arm_folder = arm_folder
        self._arms: dict[str, _BuiltArm] = {}
        self._last_found: tuple[str, list[ScoredClip], float] | None = None
        self._tasks = plan.tasks()
        self._num_questions = Counter(task.question.video_id for task in self._tasks)
        begin_run(out, self._header())

    def run(
        self, on_progress: OnProgress | None = None, on_question: OnQuestion | None = None
    ) -> Run:
        """Asks what has no record yet.

        Raises:
            AnswererError: The model broke, and the plan does not keep going.
        """
        number, num_shards = self._plan.shard or (1, 1)
        # In order of their first questions; a shard has every n-th, with all of its questions.
        own = set(list(self._num_questions)[number - 1 :: num_shards])
        tasks = [task for task in self._tasks if task.question.video_id in own]
        for video_id, video in self._plan.benchmark.videos.items():
            if video_id in own or ALL_VIDEOS in own:
                self._videos.index(video, on_progress)
        self._write_videos(own)
        with RecordFile(self._out / RECORDS_NAME, QuestionRecord) as file:
            _check_order(file, [task.number for task in tasks], self._out)
            for done, task in enumerate(tasks):
                if done >= len(file.done):
                    file.append(self._record(task))
                if on_question:
                    on_question(done + 1, len(tasks))
        return load_run(self._out)

    # --- the videos

    @property
    def _video_ids(self) -> list[str]:
        """Of the whole run, in the order of their first questions."""
        return [video_id for video_id in self._num_questions if video_id != ALL_VIDEOS]

    def _write_videos(self, own: set[str]) -> None:
        numbered = [(number, v) for number, v in enumerate(self._video_ids) if v in own]
        with RecordFile(self._out / VIDEOS_NAME, VideoRecord) as file:
            _check_order(file, [number for number, _ in numbered], self._out)
            for number, video_id in numbered[len(file.done) :]:
                file.append(self._video_record(number, video_id))

    def _video_record(self, number: int, video_id: str) -> VideoRecord:
        indexed = self._videos.index(self._plan.benchmark.videos[video_id])
        stored, video = indexed.stored, indexed.video
        arm = self._arm(video_id).cost if stored and not self._searches_library else None
        return VideoRecord(
            number=number,
            video_id=video_id,
            file_name=video.path.name if video.path else None,
            status="indexed" if stored else "failed" if video.path else "missing",
            reason=indexed.reason,
            duration_seconds=stored.video.duration_seconds if stored else video.duration_seconds,
            num_clips=stored.num_clips if stored else 0,
            num_questions=self._num_questions[video_id],
            subtitle_source=self._subtitle_source(indexed),
            speech_source=stored.speech_source if stored else None,
            screen_source=stored.screen_text_source if stored else None,
            timing=VideoTiming(
                index_seconds=indexed.index_seconds,
                index_bytes=indexed.index_bytes,
                arm_seconds=arm.seconds if arm else None,
                arm_bytes=arm.num_bytes if arm else None,
            ),
        )

    def _subtitle_source(self, indexed: IndexedVideo) -> str | None:
        return None if self._subtitles == "none" else indexed.subtitle_source

    # --- one question

    def _record(self, task: Task) -> QuestionRecord:
        blank = self._blank(task)
        ids = self._stored_ids(task)
        if reason := self._why_not_put(task, ids):
            return blank.model_copy(update={"status": "skipped", "reason": reason})
        clips, search_seconds = self._found(task, ids)
        found = tuple(self._found_clip(clip) for clip in clips)
        timing = QuestionTiming(search_seconds=search_seconds)
        try:
            reading = self._read(task, clips, ids)
        except AnswererError as error:
            if not self._plan.keep_going:
                raise
            failed = {"status": "failed", "reason": str(error), "found": found, "timing": timing}
            return blank.model_copy(update=failed | {"is_right": _is_right(task, "failed", None)})
        return blank.model_copy(
            update={"found": found} | self._outcome(task, reading, search_seconds)
        )

    def _read(self, task: Task, clips: Sequence[ScoredClip], ids: Sequence[str]) -> Reading:
        question, reader = task.question.text, self._reader
        if self._retriever == "none" and self._subtitles == "full":
            return reader.read_all_speech(question, task.choices, ids)
        return reader.read(question, task.choices, clips)

    def _outcome(self, task: Task, reading: Reading, search_seconds: float) -> dict[str, object]:
        """The fields of a record that an answer fills."""
        draft, question = reading.draft, task.question
        status, reason = self._status(task, reading)
        picked = {
            rule: find_rule(rule).read(reading.reply, question.letters, question.options)
            if reading.reply is not None
            else None
            for rule in (self._plan.benchmark.rules if task.form == "choices" else ())
        }
        said = picked.get("strict") if task.form == "choices" else draft.text
        return {
            "status": status,
            "reason": reason,
            "frame_seconds": tuple(round(second, 3) for second in reading.frame_seconds),
            "prompt_characters": reading.prompt_characters,
            "prompt_sha256": reading.prompt_sha256,
            "reply": reading.reply,
            "answer_text": draft.text or None,
            "confidence": round(draft.confidence, 6),
            "picked": picked,
            "is_right": _is_right(task, status, said),
            "timing": QuestionTiming(
                search_seconds=search_seconds,
                answer_seconds=reading.answer_seconds,
                prompt_tokens=reading.prompt_tokens,
                reply_tokens=reading.reply_tokens,
            ),
        }

    def _status(
        self, task: Task, reading: Reading
    ) -> tuple[Literal["answered", "declined"], str | None]:
        draft, threshold = reading.draft, self._plan.options.answer.abstain_below
        if draft.declined:
            return "declined", draft.declined
        if not draft.text and draft.choice is None:
            return "declined", "nothing was found to answer from"
        # One of several options has to be right: there is nothing to be gained by declining.
        if task.form == "open" and draft.confidence < threshold:
            return "declined", f"confidence {draft.confidence:.2f} is below {threshold:g}"
        return "answered", None

    def _blank(self, task: Task) -> QuestionRecord:
        """The record of a question that was not put."""
        question, benchmark = task.question, self._plan.benchmark
        video = benchmark.videos.get(question.video_id)
        indexed = self._videos.index(video) if video else None
        stored = indexed.stored if indexed else None
        return QuestionRecord(
            number=task.number,
            benchmark=benchmark.name,
            split=benchmark.split,
            revision=self._plan.revision,
            retriever=self._retriever,
            answerer=self._reader.name,
            subtitles=self._subtitles,
            subtitle_source=self._subtitle_source(indexed) if indexed else None,
            speech_source=stored.speech_source if stored else None,
            screen_source=stored.screen_text_source if stored else None,
            question_id=question.question_id,
            video_id=question.video_id,
            form=task.form,
            question=question.text,
            options=task.choices,
            gold=task.gold,
            is_absent=task.is_absent,
            groups=dict(question.groups),
            gold_modality=_NAMES.get(question.modality) if question.modality else None,
            evidence=tuple(_gold_span(moment) for moment in question.evidence),
            status="skipped",
            reason=None,
            found=(),
            frame_seconds=(),
            prompt_characters=0,
            prompt_sha256=None,
            reply=None,
            answer_text=None,
            confidence=None,
            picked={},
            is_right=None,
            timing=QuestionTiming(),
        )

    def _stored_ids(self, task: Task) -> tuple[str, ...]:
        """The library's ids of the videos that a question is asked of."""
        video_id = task.question.video_id
        asked = self._plan.benchmark.videos if video_id == ALL_VIDEOS else (video_id,)
        return tuple(filter(None, map(self._videos.stored_id, asked)))

    def _why_not_put(self, task: Task, ids: Sequence[str]) -> str | None:
        """Why a question cannot be put; None where it can."""
        video_id = task.question.video_id
        if "cut" in task.question.groups.get("video", ()):
            return (
                "its protocol shows the video up to the evidence only, which no retriever here does"
            )
        if ids:
            return None
        if video_id == ALL_VIDEOS:
            return "no video is there"
        return self._videos.index(self._plan.benchmark.videos[video_id]).reason or "no video"

    # --- what is found

    @property
    def _searches_library(self) -> bool:
        return self._retriever in LIBRARY_RETRIEVERS

    def _found(self, task: Task, ids: Sequence[str]) -> tuple[list[ScoredClip], float]:
        """The best clips, and the seconds that finding them took; the same for every form."""
        if self._last_found is None or self._last_found[0] != task.question.question_id:
            self._last_found = task.question.question_id, *self._search(task, ids)
        _, clips, seconds = self._last_found
        return clips, seconds

    def _search(self, task: Task, ids: Sequence[str]) -> tuple[list[ScoredClip], float]:
        library, top_k = self._videos.library, self._plan.top_k
        if self._searches_library:
            started = time.monotonic()
            clips = library.search(task.question.text, top_k=top_k, videos=ids)
            return clips, time.monotonic() - started
        built = self._arm(task.question.video_id)
        query = ArmQuery(
            task.question.text,
            relevant=self._relevant(task, ids),
            modality=task.question.modality,
        )
        with built.cache.timed() as timer:
            found = built.arm.rank(query, top_k)
        return [self._scored(each, rank) for rank, each in enumerate(found, 1)], timer.seconds

    def _arm(self, video_id: str) -> _BuiltArm:
        """The arm over the clips of one video, so that no other video changes what it finds.

        Only the last few videos' are kept: all of a large benchmark's would fill the memory.
        """
        if video_id not in self._arms:
            if len(self._arms) >= _MOST_ARMS:
                del self._arms[next(iter(self._arms))]
            asked = self._plan.benchmark.videos if video_id == ALL_VIDEOS else (video_id,)
            ids = [stored for name in asked if (stored := self._videos.stored_id(name))]
            self._parts.cache = EncodingCache(self._arm_folder)
            arm = make_arm(self._retriever, self._parts)
            cost = arm.index(LibraryPool(self._videos.library, ids))
            self._arms[video_id] = _BuiltArm(arm, cost, self._parts.cache)
        return self._arms[video_id]

    def _relevant(self, task: Task, ids: Sequence[str]) -> dict[str, int]:
        """Milliseconds of evidence in each clip that has some: what an oracle knows."""
        if self._retriever != "oracle":
            return {}
        library = self._videos.library
        own = [
            Moment(stored, moment.span)
            for moment in task.question.evidence
            if (stored := self._videos.stored_id(moment.video_id)) in ids and stored
        ]
        grades = {
            clip.clip_id: round(1000 * moment.span.overlap_seconds(clip.span))
            for moment in own
            for clip in library.clips(moment.video_id)
        }
        return {clip_id: grade for clip_id, grade in grades.items() if grade}

    def _scored(self, found: Found, rank: int) -> ScoredClip:
        library = self._videos.library
        clip = library.store.clip(found.clip_id)
        modality = found.modality or Modality.OTHER
        video = library.store.video(clip.video_id).video
        return ScoredClip(rank, clip, video, found.score, modality, {modality: found.score})

    def _found_clip(self, found: ScoredClip) -> FoundClip:
        return FoundClip(
            clip_id=found.clip.clip_id,
            video_id=self._videos.video_id(found.clip.video_id),
            start_seconds=found.clip.span.start_seconds,
            stop_seconds=found.clip.span.stop_seconds,
            score=round(float(found.score), 6),
            modality=_NAMES.get(found.best_modality),
        )

    # --- the header

    def _header(self) -> RunHeader:
        plan, encoder = self._plan, self._videos.library.encoder
        benchmark = plan.benchmark
        return RunHeader(
            benchmark=benchmark.name,
            benchmark_options=dict(plan.benchmark_options),
            split=benchmark.split,
            source=benchmark.source,
            revision=plan.revision,
            rules=benchmark.rules,
            missing_videos=benchmark.missing_videos,
            missing_subtitles=benchmark.missing_subtitles,
            num_questions=len(self._tasks),
            num_videos=len(self._video_ids),
            retriever=self._retriever,
            retriever_details=f"{encoder.name} {encoder.fingerprint}",
            answerer=self._reader.name,
            subtitles=self._subtitles,
            top_k=plan.top_k,
            frames=plan.options.answer.frames,
            forms=plan.forms,
            limit=plan.limit,
            shard=plan.shard,
            abstain_below=plan.options.answer.abstain_below,
            options=self._videos.library.options,
            software=dict(plan.software),
            commit=plan.commit,
            machine=plan.machine,
        )


def _is_right(task: Task, status: str, said: str | None) -> bool | None:
    """By the letter read, the words of an open answer, or declining what is absent."""
    if task.is_absent:
        return status == "declined"
    if task.gold is None:
        return None
    if task.form == "choices":
        return said == task.gold
    return status == "answered" and said is not None and is_right_open(task.gold, said)


def _gold_span(moment: Moment) -> GoldSpan:
    return GoldSpan(
        video_id=moment.video_id,
        start_seconds=moment.span.start_seconds,
        stop_seconds=moment.span.stop_seconds,
    )


def _check_order(
    file: RecordFile[QuestionRecord] | RecordFile[VideoRecord], wanted: Sequence[int], out: Path
) -> None:
    """What is done must be the first lines of this very run."""
    if [record.number for record in file.done] != list(wanted[: len(file.done)]):
        raise UsageError(f"{str(out)!r} has records that are not of this run; take another --out")
