"""LVBench: 103 videos of an hour, 1,549 questions with the time that answers them.

Layouts::

    official     video_info.meta.jsonl (zai-org/LVBench), a video a line; {key}.mp4 below the folder
    lmms-eval    train-*.parquet or test-*.parquet (lmms-eval/LVBench), one question a row

The time references make it a benchmark of retrieval, too: they are the evidence of the questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from eval.benchmarks.arrow import parquet_rows
from eval.benchmarks.evidence import Stretch, clock_stretch, moments_of
from eval.benchmarks.options import gold_letter, inner_options
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark
from eval.benchmarks.rows import Row, jsonl_rows, source_of
from eval.benchmarks.tables import checked_choice, missing_of, needed_file, videos_under

RULES = ("strict", "lvbench-official", "mcq-lmms-eval@75571cf")
LAYOUTS = ("official", "lmms-eval")
QUESTION_TYPES = {
    "entity recognition": "ER",
    "event understanding": "EU",
    "key information retrieval": "KIR",
    "temporal grounding": "TG",
    "reasoning": "Rea",
    "summarization": "Sum",
}
"""As the file has them, with the names of the leaderboard, which are the labels of "type"."""

_SPLITS = ("train", "test")
_CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})"
_REFERENCE = re.compile(rf"\s*{_CLOCK}\s*-\s*{_CLOCK}\s*")


def load(root: Path, *, layout: str = "official") -> QaBenchmark:
    """Reads LVBench.

    Args:
        root: Folder of the download.
        layout: Whose files they are, one of `LAYOUTS`.

    Raises:
        UsageError: A file or an option cannot be used.
    """
    checked_choice("layout", layout, LAYOUTS)
    files = videos_under(root)
    if layout == "official":
        names: tuple[str, ...] = ("video_info.meta.jsonl", "data/video_info.meta.jsonl")
        path = needed_file(root, names, hint="download zai-org/LVBench")
        asked = _official(path, files)
    else:
        names = tuple(f"{place}{split}-*.parquet" for place in ("", "*/") for split in _SPLITS)
        path = needed_file(root, names, hint="download lmms-eval/LVBench")
        asked = _lmms_eval(path, files)
    questions = []
    videos: dict[str, BenchmarkVideo] = {}
    for question, video in asked:
        questions.append(question)
        videos.setdefault(video.video_id, video)
    return QaBenchmark(
        name="lvbench",
        split="test",
        source=source_of(path),
        videos=videos,
        questions=tuple(questions),
        rules=RULES,
        missing_videos=missing_of(videos),
    )


def stated_times(row: Row) -> tuple[Stretch, ...]:
    """The one stretch that a question refers to.

    Raises:
        UsageError: It is no time range.
    """
    text = row.text("time_reference")
    found = _REFERENCE.fullmatch(text)
    if not found:
        raise row.error(
            f"field 'time_reference' is {text!r}", allowed="MM:SS-MM:SS or HH:MM:SS-HH:MM:SS"
        )
    return (clock_stretch(found.groups()[:3], found.groups()[3:]),)


def _official(
    path: Path, files: Mapping[str, Path]
) -> Iterator[tuple[BenchmarkQuestion, BenchmarkVideo]]:
    for video_row in jsonl_rows(path):
        video_id = video_row.file_name("key")
        facts = video_row.row("video_info")
        minutes = facts.seconds("duration_minutes") if facts.has("duration_minutes") else None
        duration = None if minutes is None else 60 * minutes
        video = BenchmarkVideo(video_id, files.get(video_id), duration)
        for row in video_row.rows("qa"):
            text, options = inner_options(row, "question")
            yield _question(row, video, text, options, video_row.text("type")), video


def _lmms_eval(
    path: Path, files: Mapping[str, Path]
) -> Iterator[tuple[BenchmarkQuestion, BenchmarkVideo]]:
    columns = ("uid", "video_path", "question", "answer", "question_type", "time_reference")
    for row in parquet_rows(path, columns, ("options", "type")):
        video_id = PurePosixPath(row.file_name("video_path")).stem
        video = BenchmarkVideo(video_id, files.get(video_id))
        if row.has("options") and row.values("options"):
            text, options = row.text("question"), row.texts("options", at_least=2)
        else:
            text, options = inner_options(row, "question")
        kind = row.text("type") if row.has("type") else None
        yield _question(row, video, text, options, kind), video


def _question(
    row: Row, video: BenchmarkVideo, text: str, options: tuple[str, ...], video_type: str | None
) -> BenchmarkQuestion:
    stated = stated_times(row)
    evidence = moments_of(video.video_id, stated, video.duration_seconds)
    return BenchmarkQuestion(
        question_id=row.word("uid"),
        video_id=video.video_id,
        text=text,
        options=options,
        answer=gold_letter(row, "answer", options),
        evidence=evidence,
        num_unusable_evidence=len(stated) - len(evidence),
        groups={
            "type": _types(row),
            **({"video_type": (video_type,)} if video_type is not None else {}),
        },
    )


def _types(row: Row) -> tuple[str, ...]:
    types = row.texts("question_type")
    unknown = [kind for kind in types if kind not in QUESTION_TYPES]
    if unknown:
        raise row.error(
            f"field 'question_type' has {unknown[0]!r}", allowed=", ".join(QUESTION_TYPES)
        )
    return tuple(dict.fromkeys(QUESTION_TYPES[kind] for kind in types))
