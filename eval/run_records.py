"""What a run leaves behind: a header, and one JSON line per question and per video.

A run is a folder::

    run.json        `RunHeader`: what was asked with which options, at which commit
    records.jsonl   `QuestionRecord`, one line per question, in the order of the benchmark
    videos.jsonl    `VideoRecord`, one line per video, missing ones included

Lines are only ever appended, each whole and synced before the next question is put. A line that a
kill has torn is cut off when the run goes on, and its question is asked again. What may differ
between two runs of the same thing (seconds, bytes, tokens) is in ``timing``, the last field of a
line: without it (`without_timing`) a run that was killed ten times has the bytes of one that was
not, and shards merged have the bytes of one run::

    python -m eval.run_records merge shard1 shard2 --out whole
    python -m eval.run_records digest whole      # SHA-256 of records and videos, timing left out
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn, Self, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from clamr_rag.config import Options
from clamr_rag.errors import ClamrError, UsageError
from clamr_rag.types import TimeSpan
from eval.metrics.accuracy import Graded, grade
from eval.metrics.moments import Moment
from eval.record_lines import (
    Frozen,
    RecordFile,
    RecordLine,
    RecordT,
    first_fault,
    read_lines,
    without_timing,
    write_whole,
)

__all__ = [
    "FORMS",
    "HEADER_NAME",
    "RECORDS_NAME",
    "SUBTITLE_MODES",
    "VIDEOS_NAME",
    "Form",
    "FoundClip",
    "GoldSpan",
    "QuestionRecord",
    "QuestionTiming",
    "RecordFile",
    "RecordLine",
    "Run",
    "RunHeader",
    "SubtitleMode",
    "VideoRecord",
    "VideoTiming",
    "begin_run",
    "digest",
    "load_run",
    "merge",
    "read_header",
    "without_timing",
]

SCHEMA_VERSION: Final = 1
HEADER_NAME, RECORDS_NAME, VIDEOS_NAME = "run.json", "records.jsonl", "videos.jsonl"

SubtitleMode = Literal["none", "retrieved", "sampled", "full"]
"""What a reader sees of the subtitles: nothing (nor does the index); those of the clips found;
those that are on show with the pictures shown; all of the video."""
Form = Literal["choices", "open"]
"""Whether a question is put with its options or without."""
FORMS: tuple[Form, ...] = get_args(Form)
SUBTITLE_MODES: tuple[SubtitleMode, ...] = get_args(SubtitleMode)


class GoldSpan(Frozen):
    """Seconds of a video that answer a question, half-open."""

    video_id: str
    start_seconds: float
    stop_seconds: float


class FoundClip(Frozen):
    """A clip that was found."""

    clip_id: str
    video_id: str
    """The benchmark's id, not the library's."""
    start_seconds: float
    stop_seconds: float
    score: float
    """Of the retriever, rounded to six digits; comparable within one question only."""
    modality: str | None
    """What the retriever matched best: "video", "ocr", "asr", "description"; None if it does not
    say."""


class QuestionTiming(Frozen):
    """What one question cost."""

    search_seconds: float | None = None
    answer_seconds: float | None = None
    prompt_tokens: int | None = None
    """As the model's server counts them; None where it does not tell."""
    reply_tokens: int | None = None


class QuestionRecord(RecordLine):
    """One question of a run, whatever became of it (eval-protocols 5.13)."""

    schema_version: Literal[1] = SCHEMA_VERSION
    benchmark: str
    split: str
    revision: str
    """Digest of the benchmark's `source`, which has the SHA-256 of its files."""
    retriever: str
    answerer: str
    subtitles: SubtitleMode
    subtitle_source: str | None
    """File name and rule of the subtitles that were read; None where there are none."""
    speech_source: str | None
    """What the library says the speech is from."""
    screen_source: str | None
    """What read the screen, with its version."""
    question_id: str
    video_id: str
    """The cluster; "" where all videos are asked."""
    form: Form
    question: str
    options: tuple[str, ...]
    """Without their letters; empty for an open question."""
    gold: str | None
    """Letter, or text of an open question; None where it is hidden or nothing answers."""
    is_absent: bool
    """Whether nothing in the video answers, so that declining is right."""
    groups: Mapping[str, tuple[str, ...]]
    gold_modality: str | None
    evidence: tuple[GoldSpan, ...]
    """Where the answer is; empty where the benchmark does not say."""
    status: Literal["answered", "declined", "skipped", "failed"]
    """``declined``: the answerer gave none, or one of too little confidence. ``skipped``: never
    put, as the video is missing or could not be indexed. ``failed``: the model refused or broke."""
    reason: str | None
    """Why it was not answered."""
    found: tuple[FoundClip, ...]
    """Best first, before neighbours or whole subtitles are added."""
    frame_seconds: tuple[float, ...]
    """Times of the pictures that the model was shown."""
    prompt_characters: int
    prompt_sha256: str | None
    """Of text and picture times, the random mark left out; None where no model was asked."""
    reply: str | None
    """What the rules read: a model's words, thoughts removed; of an extractive answer the letter
    alone, or its text where the question is open."""
    answer_text: str | None
    """What a user would be shown, with citation marks; None where nothing was answered."""
    confidence: float | None
    """Of the answerer, in [0, 1]."""
    picked: Mapping[str, str | None]
    """Letter that each rule reads, None for unread; empty for an open question."""
    is_right: bool | None
    """By the strict rule, or for an open question by `eval.qa_scoring.is_right_open`; None where
    there is no gold, or the question was skipped."""
    timing: QuestionTiming

    @property
    def letters(self) -> str:
        """Of the options, e.g. "ABCD"."""
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(self.options)]

    @property
    def is_counted(self) -> bool:
        """Whether it enters the figures: it was put, and what is right is known."""
        return self.status != "skipped" and (self.gold is not None or self.is_absent)

    @property
    def found_moments(self) -> tuple[Moment, ...]:
        """What was found, as `eval.metrics.moments` takes it."""
        return tuple(_moment(clip) for clip in self.found)

    @property
    def gold_moments(self) -> tuple[Moment, ...]:
        """The evidence, as `eval.metrics.moments` takes it."""
        return tuple(_moment(span) for span in self.evidence)

    def graded(self, rule_name: str) -> Graded:
        """The reply as a rule reads it, for `eval.metrics.accuracy`.

        Raises:
            ValueError: It is an open question, or its gold letter is not known.
        """
        if self.gold is None or not self.options:
            raise ValueError(f"question {self.question_id} has no gold letter")
        return grade(
            rule_name,
            self.reply,
            question_id=self.question_id,
            video_id=self.video_id,
            gold=self.gold,
            letters=self.letters,
            choices=self.options,
            groups=self.groups,
        )


class VideoTiming(Frozen):
    """What indexing one video cost."""

    index_seconds: float | None = None
    """None where the indexing was interrupted, so that nobody timed the whole of it."""
    index_bytes: int | None = None
    """Of the stored token vectors and texts of its clips."""
    arm_seconds: float | None = None
    """What the retriever needed beyond the library; None where it searches the library's own
    vectors."""
    arm_bytes: int | None = None
    """What it has to keep beyond the library's texts."""


class VideoRecord(RecordLine):
    """One video of a run; its number counts the run's videos."""

    schema_version: Literal[1] = SCHEMA_VERSION
    video_id: str
    file_name: str | None
    """None where the video is missing."""
    status: Literal["indexed", "missing", "failed"]
    reason: str | None
    duration_seconds: float | None
    """As decoded, else as the benchmark states it."""
    num_clips: int
    num_questions: int
    subtitle_source: str | None
    speech_source: str | None
    screen_source: str | None
    timing: VideoTiming


class RunHeader(Frozen):
    """What a run is: two runs with equal headers ask the same questions in the same way."""

    schema_version: Literal[1] = SCHEMA_VERSION
    benchmark: str
    benchmark_options: Mapping[str, str]
    """Of the loader, e.g. ``{"subtitles": "ours"}``."""
    split: str
    source: str
    """The files that were read, with their SHA-256."""
    revision: str
    """Digest of `source`, as in every record."""
    rules: tuple[str, ...]
    """That score it, "strict" first."""
    missing_videos: tuple[str, ...]
    missing_subtitles: tuple[str, ...]
    num_questions: int
    """Lines of records in all shards together."""
    num_videos: int
    retriever: str
    retriever_details: str
    """Encoder and its fingerprint, parameters of the ranking."""
    answerer: str
    subtitles: SubtitleMode
    top_k: int
    frames: int
    forms: tuple[Form, ...]
    limit: int | None
    shard: tuple[int, int] | None
    """Number from 1 and how many; None for a whole run."""
    abstain_below: float
    """Confidence under which an open question counts as declined."""
    options: Options
    """Of the library, all stages."""
    software: Mapping[str, str] = Field(default_factory=dict)
    """Versions of what reads, hears and computes, e.g. ``{"rapidocr": "3.10.0"}``."""
    commit: str
    """Of the code, "+changes" where the tree differs from it."""
    machine: str
    """Not compared: a run may go on elsewhere."""

    @model_validator(mode="after")
    def _shard_is_one(self) -> Self:
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise ValueError(f"got shard {self.shard}; allowed: 1/n to n/n")
        return self

    def differences(self, other: RunHeader) -> list[str]:
        """What differs beside the machine, e.g. ``["frames: 16, now 32"]``."""
        mine, theirs = _flat(self), _flat(other)
        names = [name for name in {**mine, **theirs} if name != "machine"]
        return [
            f"{name}: {mine.get(name)!r}, now {theirs.get(name)!r}"
            for name in names
            if mine.get(name) != theirs.get(name)
        ]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it lies in a folder, finished or not."""

    folder: Path
    header: RunHeader
    records: tuple[QuestionRecord, ...]
    videos: tuple[VideoRecord, ...]


def load_run(folder: str | Path) -> Run:
    """Reads a run, also one that is at work or was killed: a torn last line is left out.

    Raises:
        UsageError: There is no run, or a line of it is none.
    """
    folder = Path(folder)
    records, _ = read_lines(folder / RECORDS_NAME, QuestionRecord)
    videos, _ = read_lines(folder / VIDEOS_NAME, VideoRecord)
    return Run(folder, read_header(folder), tuple(records), tuple(videos))


def read_header(folder: Path) -> RunHeader:
    """Reads ``run.json``.

    Raises:
        UsageError: There is none, or it is of another version.
    """
    path = folder / HEADER_NAME
    if not path.is_file():
        raise UsageError(f"no {HEADER_NAME} in {str(folder)!r}", hint="name the folder of a run")
    try:
        return RunHeader.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(f"{path} is no header of a run: {first_fault(error)}") from None


def begin_run(folder: Path, header: RunHeader) -> None:
    """Writes the header of a new run, or checks that the run in the folder is this very one.

    Raises:
        UsageError: Another run is there.
    """
    if (folder / HEADER_NAME).exists():
        different = read_header(folder).differences(header)
        if different:
            more = f" and {len(different) - 3} more" if len(different) > 3 else ""
            raise UsageError(
                f"{str(folder)!r} holds another run ({', '.join(different[:3])}{more})",
                hint="take the same options and commit to go on, or another --out",
            )
        return
    if (folder / RECORDS_NAME).exists():
        raise UsageError(f"{str(folder)!r} holds records without {HEADER_NAME}; take another --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / HEADER_NAME, header.model_dump_json(indent=2) + "\n")


def digest(run: Run) -> str:
    """SHA-256 of all that must not differ between two runs of the same thing."""
    sums = hashlib.sha256()
    for line in (*map(without_timing, run.records), *map(without_timing, run.videos)):
        sums.update(line)
    return sums.hexdigest()


# --- shards


def merge(folders: Sequence[Path], out: Path) -> Run:
    """Puts the shards of one run together, in the order of one run.

    Raises:
        UsageError: They are shards of different runs, one is missing or twice there, or one is not
            finished; or ``out`` holds something.
    """
    runs = [load_run(folder) for folder in folders]
    if not runs:
        raise UsageError("got no runs to merge", hint="name the folders of all shards")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{str(out)!r} is not empty", hint="take another --out")
    header = _merged_header([run.header for run in runs], folders)
    records = _in_order([run.records for run in runs], header.num_questions, "question")
    videos = _in_order([run.videos for run in runs], header.num_videos, "video")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / RECORDS_NAME, _lines(records))
    write_whole(out / VIDEOS_NAME, _lines(videos))
    # Last: a folder with a header is a run.
    write_whole(out / HEADER_NAME, header.model_dump_json(indent=2) + "\n")
    return Run(out, header, records, videos)


def _merged_header(headers: Sequence[RunHeader], folders: Sequence[Path]) -> RunHeader:
    whole = [header.model_copy(update={"shard": None}) for header in headers]
    for folder, header in zip(folders[1:], whole[1:], strict=True):
        if different := whole[0].differences(header):
            raise UsageError(
                f"{folders[0]} and {folder} are of different runs ({', '.join(different[:3])})"
            )
    got = sorted(header.shard or (1, 1) for header in headers)
    num_shards = got[0][1]
    if got != [(number, num_shards) for number in range(1, num_shards + 1)]:
        shown = ", ".join(f"{number}/{of}" for number, of in got)
        raise UsageError(f"got shards {shown}", allowed="every shard of one run, once")
    machines = dict.fromkeys(header.machine for header in headers)
    return whole[0].model_copy(update={"machine": "; ".join(machines)})


def _in_order(
    parts: Iterable[Iterable[RecordT]], num_expected: int, noun: str
) -> tuple[RecordT, ...]:
    records = tuple(sorted((r for part in parts for r in part), key=lambda record: record.number))
    if [record.number for record in records] != list(range(num_expected)):
        raise UsageError(
            f"got {len(records)} {noun} records of {num_expected}",
            hint="finish every shard with the command that began it, then merge",
        )
    return records


def _lines(records: Iterable[BaseModel]) -> str:
    return "".join(record.model_dump_json() + "\n" for record in records)


# --- parts


def _flat(header: RunHeader) -> dict[str, object]:
    """Every value of a header under its dotted name."""
    flat: dict[str, object] = {}
    pending: list[tuple[str, object]] = [("", header.model_dump(mode="json"))]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict) and value:
            inner = [(f"{name}.{key}".lstrip("."), each) for key, each in value.items()]
            pending.extend(reversed(inner))
        else:
            flat[name] = value
    return flat


def _moment(span: GoldSpan | FoundClip) -> Moment:
    return Moment(span.video_id, TimeSpan(span.start_seconds, span.stop_seconds))


# --- the command


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Leaves with the exit code of a wrong use."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = _Parser(prog="python -m eval.run_records", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    merging = commands.add_parser("merge", help="put the shards of one run together")
    merging.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    merging.add_argument("--out", type=Path, required=True, help="new or empty folder")
    digesting = commands.add_parser("digest", help="SHA-256 of a run, timing left out")
    digesting.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    arguments = parser.parse_args(words)
    try:
        if arguments.command == "merge":
            run = merge(arguments.runs, arguments.out)
            print(f"{run.folder}: {len(run.records)} questions, {len(run.videos)} videos")
        else:
            for folder in arguments.runs:
                print(f"{digest(load_run(folder))}  {folder}")
    except ClamrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
