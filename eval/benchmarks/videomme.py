"""Video-MME: 900 videos, three questions each, subtitles for 744.

Layout (lmms-lab/Video-MME on the hub; lmms-eval 75571cf, VLMEvalKit e8e78f0)::

    videomme/test-00000-of-00001.parquet
    data/{videoID}.mp4      or wherever below the folder the archives were unpacked
    subtitle/{videoID}.srt
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eval.benchmarks.arrow import parquet_rows
from eval.benchmarks.options import gold_letter, lettered_options
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark
from eval.benchmarks.rows import Row, source_of
from eval.benchmarks.subtitles import (
    FIRST_CUE,
    FONT_TAG,
    FONT_TAG_WHOLE,
    NONE,
    OURS,
    missing_subtitles_of,
    wanted_subtitles,
)
from eval.benchmarks.tables import checked_choice, missing_of, needed_file, videos_under

RULES = (
    "strict",
    "videomme-official",
    "mcq-lmms-eval@75571cf",
    "videomme-vlmevalkit@e8e78f0",
)
SUBTITLES = (FONT_TAG, FONT_TAG_WHOLE, FIRST_CUE, OURS, NONE)
DURATIONS = ("short", "medium", "long")
DOMAINS = (
    "Knowledge",
    "Film & Television",
    "Sports Competition",
    "Artistic Performance",
    "Life Record",
    "Multilingual",
)
TASKS = (
    "Temporal Perception",
    "Spatial Perception",
    "Attribute Perception",
    "Action Recognition",
    "Object Recognition",
    "OCR Problems",
    "Counting Problem",
    "Temporal Reasoning",
    "Spatial Reasoning",
    "Action Reasoning",
    "Object Reasoning",
    "Information Synopsis",
)
_COLUMNS = (
    "video_id duration domain sub_category videoID question_id task_type question options answer"
).split()


def load(root: Path, *, subtitles: str = FONT_TAG, duration: str = "all") -> QaBenchmark:
    """Reads Video-MME.

    Args:
        root: Folder of the download.
        subtitles: Rule that reads the subtitle files, one of `SUBTITLES`.
        duration: "all", or the questions of one of `DURATIONS` (lmms-eval has a task for "long").

    Raises:
        UsageError: A file or an option cannot be used.
    """
    checked_choice("subtitles", subtitles, SUBTITLES)
    checked_choice("duration", duration, ("all", *DURATIONS))
    path = needed_file(
        root,
        ("videomme/test-*.parquet", "test-*.parquet"),
        hint="download lmms-lab/Video-MME",
    )
    files = videos_under(root)
    videos: dict[str, BenchmarkVideo] = {}
    questions = []
    for row in parquet_rows(path, _COLUMNS):
        question = _question(row)
        if duration not in ("all", *question.groups["duration"]):
            continue
        questions.append(question)
        if question.video_id not in videos:
            videos[question.video_id] = _video(row, root, files, subtitles)
    return QaBenchmark(
        name="videomme",
        split="test",
        source=source_of(path),
        videos=videos,
        questions=tuple(questions),
        rules=RULES,
        missing_videos=missing_of(videos),
        missing_subtitles=missing_subtitles_of(videos, subtitles),
    )


def _question(row: Row) -> BenchmarkQuestion:
    options = lettered_options(row, "options")
    return BenchmarkQuestion(
        question_id=row.text("question_id"),
        video_id=row.text("videoID"),
        text=row.text("question"),
        options=options,
        answer=gold_letter(row, "answer", options),
        groups={
            "duration": (row.one_of("duration", DURATIONS),),
            "domain": (row.one_of("domain", DOMAINS),),
            "sub_category": (row.text("sub_category"),),
            "task": (row.one_of("task_type", TASKS),),
        },
    )


def _video(row: Row, root: Path, files: Mapping[str, Path], rule: str) -> BenchmarkVideo:
    name = row.file_name("videoID")
    subtitles = wanted_subtitles(rule, root / "subtitle" / f"{name}.srt")
    return BenchmarkVideo(name, files.get(name), subtitles=subtitles)
