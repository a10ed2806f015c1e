"""Video-MME-v2: 800 videos, four questions each that are scored together, eight options.

Layout (MME-Benchmarks/Video-MME-v2 on the hub and its evaluation script at 013b6c9)::

    test.parquet                    also below data/
    videos/{video_id}.mp4           three digits; or unpacked elsewhere below the folder
    subtitle/{video_id}.jsonl       one word a line: {"text", "start_time", "end_time"}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, cast

from clamr_rag.errors import UsageError
from eval.benchmarks.arrow import parquet_rows
from eval.benchmarks.options import gold_letter, inner_options
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark
from eval.benchmarks.rows import Row, source_of
from eval.benchmarks.subtitles import (
    NONE,
    V2_SENTENCES,
    V2_WORDS,
    missing_subtitles_of,
    wanted_subtitles,
)
from eval.benchmarks.tables import checked_choice, missing_of, needed_file, videos_under
from eval.metrics.video_groups import QUESTIONS_PER_GROUP, GroupQuestion, logic_points

RULES = ("strict", "videomme-v2-official")
SUBTITLES = (V2_WORDS, V2_SENTENCES, NONE)
GROUP_TYPES = ("relevance", "logic")
_HEADS = ("level", "second_head", "third_head")
_COLUMNS = "video_id group_type group_structure question_id question options answer".split()


def load(root: Path, *, subtitles: str = V2_WORDS) -> QaBenchmark:
    """Reads Video-MME-v2.

    Args:
        root: Folder of the download.
        subtitles: Rule that reads the subtitle files, one of `SUBTITLES`.

    Raises:
        UsageError: A file or an option cannot be used, or a video has not four questions.
    """
    checked_choice("subtitles", subtitles, SUBTITLES)
    path = needed_file(
        root,
        ("test.parquet", "data/test*.parquet", "test-*.parquet"),
        hint="download MME-Benchmarks/Video-MME-v2",
    )
    files = videos_under(root)
    videos: dict[str, BenchmarkVideo] = {}
    questions = []
    for row in parquet_rows(path, _COLUMNS, _HEADS):
        question = _question(row)
        questions.append(question)
        if question.video_id not in videos:
            videos[question.video_id] = _video(row, root, files, subtitles)
    _check_groups(path, questions)
    return QaBenchmark(
        name="videomme_v2",
        split="test",
        source=source_of(path),
        videos=videos,
        questions=tuple(questions),
        rules=RULES,
        missing_videos=missing_of(videos),
        missing_subtitles=missing_subtitles_of(videos, subtitles),
    )


def group_questions(benchmark: QaBenchmark, right: Mapping[str, bool]) -> tuple[GroupQuestion, ...]:
    """Questions as `eval.metrics.video_groups.score_groups` takes them.

    Args:
        benchmark: What `load` gave.
        right: By question id, whether it was answered rightly; without an entry it was not.
    """
    return tuple(
        GroupQuestion(
            question_id=question.question_id,
            video_id=question.video_id,
            group_type=cast(Literal["relevance", "logic"], _label(question, "group_type")),
            structure=_label(question, "group_structure") or "",
            is_right=right.get(question.question_id, False),
            level=_label(question, "level"),
            second_head=_label(question, "second_head"),
            third_head=_label(question, "third_head"),
        )
        for question in benchmark.questions
    )


def _question(row: Row) -> BenchmarkQuestion:
    # The letters of one text: "A. …\nB. …". Its question stands apart, so nothing is above them.
    _, options = inner_options(row, "options")
    return BenchmarkQuestion(
        question_id=_question_id(row),
        video_id=_video_id(row),
        text=row.text("question"),
        options=options,
        answer=gold_letter(row, "answer", options),
        groups={name: (label,) for name, label in _labels(row) if label},
    )


def _labels(row: Row) -> Iterable[tuple[str, str | None]]:
    kind = row.one_of("group_type", GROUP_TYPES)
    yield "group_type", kind
    yield "group_structure", _structure(row) if kind == "logic" else None
    for name in _HEADS:
        # Levels and heads are the group's and stand at its last question only; "None" is a text.
        label = row.word(name) if row.has(name) else None
        yield name, None if label in (None, "None", "nan") else label


def _structure(row: Row) -> str:
    structure = row.text("group_structure")
    try:
        logic_points([False] * QUESTIONS_PER_GROUP, structure)
    except ValueError as error:
        raise row.error(str(error)) from None
    return structure


def _question_id(row: Row) -> str:
    question_id = row.text("question_id")
    places = tuple(str(place) for place in range(1, QUESTIONS_PER_GROUP + 1))
    if question_id.rpartition("-")[2] not in places:
        raise row.error(f"field 'question_id' is {question_id!r}", allowed="one ending -1 to -4")
    return question_id


def _video_id(row: Row) -> str:
    name = row.word("video_id")
    # Files have three digits, and tables of other tools lose the zeros.
    return f"{int(name):03d}" if name.isdecimal() else row.file_name("video_id")


def _video(row: Row, root: Path, files: Mapping[str, Path], rule: str) -> BenchmarkVideo:
    name = _video_id(row)
    subtitles = wanted_subtitles(rule, root / "subtitle" / f"{name}.jsonl")
    return BenchmarkVideo(name, files.get(name), subtitles=subtitles)


def _check_groups(path: Path, questions: Iterable[BenchmarkQuestion]) -> None:
    sizes = Counter(question.video_id for question in questions)
    for video_id, size in sizes.items():
        if size != QUESTIONS_PER_GROUP:
            raise UsageError(
                f"{path}: video {video_id} has {size} questions",
                allowed=f"{QUESTIONS_PER_GROUP}, as they are scored together",
                hint="was the file downloaded completely?",
            )


def _label(question: BenchmarkQuestion, name: str) -> str | None:
    return next(iter(question.groups.get(name, ())), None)
