"""MLVU: nine tasks on long videos, of which seven (dev) or all nine (test) are multiple choice.

Layouts::

    official dev    MLVU/json/{1_plotQA,…,9_summary}.json, MLVU/video/{same name}/{video}
    official test   test-ground-truth/test_mcq_gt.json, {video} anywhere below the folder
    lmms-eval       test-*.parquet of sy1998/MLVU_dev or sy1998/MLVU_Test, {video_name} likewise

The official files give the answer as the text of an option, those of lmms-eval as a letter, with
the options inside the question. M-Avg is `macro` over "task" in the paper and in lmms-eval, and
micro accuracy in VLMEvalKit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from eval.benchmarks.arrow import parquet_rows
from eval.benchmarks.options import gold_letter, inner_options, letter_of
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark
from eval.benchmarks.rows import Row, json_rows, source_of
from eval.benchmarks.tables import checked_choice, missing_of, needed_file, videos_under

RULES = ("strict", "mlvu-official", "mcq-lmms-eval@75571cf")
CHOICE_FILES = "1_plotQA 2_needle 3_ego 4_count 5_order 6_anomaly_reco 7_topic_reasoning".split()
GENERATION_FILES = ("8_sub_scene", "9_summary")
DEV_TASKS = tuple(name.partition("_")[2] for name in CHOICE_FILES)
TEST_TASKS = (
    "anomaly_reco count ego needleQA order plotQA sportsQA topic_reasoning tutorialQA".split()
)
LAYOUTS = ("official", "lmms-eval")
_PARQUET = ("test-*.parquet", "*/test-*.parquet")
_Asked = tuple[BenchmarkQuestion, BenchmarkVideo]


def load(
    root: Path, *, split: str = "dev", layout: str = "official", tasks: str = "choice"
) -> QaBenchmark:
    """Reads MLVU.

    Args:
        root: Folder of the download.
        split: "dev" or "test".
        layout: Whose files they are, one of `LAYOUTS`.
        tasks: "choice", or "generation" for the open questions of the official dev files.

    Raises:
        UsageError: A file or an option cannot be used.
    """
    checked_choice("split", split, ("dev", "test"))
    checked_choice("layout", layout, LAYOUTS)
    has_generation = (split, layout) == ("dev", "official")
    checked_choice("tasks", tasks, ("choice", "generation") if has_generation else ("choice",))
    if layout == "lmms-eval":
        path = needed_file(root, _PARQUET, hint="download sy1998/MLVU_dev or sy1998/MLVU_Test")
        return _benchmark(split, (path,), _lmms_eval(path, split, videos_under(root)))
    if split == "test":
        names = ("test-ground-truth/test_mcq_gt.json", "*/test-ground-truth/test_mcq_gt.json")
        path = needed_file(root, names, hint="download MLVU/MLVU_Test")
        return _benchmark(split, (path,), _official_test(path, videos_under(root)))
    paths = _dev_paths(root, CHOICE_FILES if tasks == "choice" else GENERATION_FILES)
    return _benchmark(split, paths, (pair for path in paths for pair in _official_dev(path)))


def _benchmark(split: str, paths: tuple[Path, ...], asked: Iterator[_Asked]) -> QaBenchmark:
    questions = []
    videos: dict[str, BenchmarkVideo] = {}
    for question, video in asked:
        questions.append(question)
        videos.setdefault(video.video_id, video)
    return QaBenchmark(
        name="mlvu",
        split=split,
        source=source_of(*paths),
        videos=videos,
        questions=tuple(questions),
        rules=RULES,
        missing_videos=missing_of(videos),
    )


def _dev_paths(root: Path, names: tuple[str, ...] | list[str]) -> tuple[Path, ...]:
    return tuple(
        needed_file(
            root, (f"MLVU/json/{name}.json", f"json/{name}.json"), hint="download MLVU/MVLU"
        )
        for name in names
    )


def _official_dev(path: Path) -> Iterator[_Asked]:
    # The file's name is the task: the field question_type calls some by another name.
    folder, task = path.parent.parent / "video" / path.stem, path.stem.partition("_")[2]
    for number, row in enumerate(json_rows(path), 1):
        name = row.file_name("video")
        video_id = f"{path.stem}/{PurePosixPath(name).with_suffix('')}"
        file = folder / name
        video = BenchmarkVideo(video_id, file if file.is_file() else None, _duration(row))
        options = () if path.stem in GENERATION_FILES else row.words("candidates", at_least=2)
        answer = row.word("answer")
        yield (
            BenchmarkQuestion(
                question_id=f"{task}_{number}",
                video_id=video_id,
                text=row.text("question"),
                options=options,
                answer=letter_of(row, answer, options) if options else answer,
                groups={"task": (task,)},
            ),
            video,
        )


def _official_test(path: Path, files: Mapping[str, Path]) -> Iterator[_Asked]:
    for row in json_rows(path):
        options = row.words("candidates", at_least=2)
        video = _found(row, "video", files)
        yield (
            BenchmarkQuestion(
                question_id=row.text("question_id"),
                video_id=video.video_id,
                text=row.text("question"),
                options=options,
                answer=letter_of(row, row.word("answer"), options),
                groups={"task": (row.one_of("question_type", TEST_TASKS),)},
            ),
            video,
        )


def _lmms_eval(path: Path, split: str, files: Mapping[str, Path]) -> Iterator[_Asked]:
    tasks = DEV_TASKS if split == "dev" else TEST_TASKS
    rows = parquet_rows(path, ("video_name", "question", "answer", "task_type"), ("duration",))
    for number, row in enumerate(rows, 1):
        text, options = inner_options(row, "question")
        task = row.one_of("task_type", tasks)
        video = _found(row, "video_name", files)
        yield (
            BenchmarkQuestion(
                question_id=f"{task}_{number}",
                video_id=video.video_id,
                text=text,
                options=options,
                answer=gold_letter(row, "answer", options),
                groups={"task": (task,)},
            ),
            video,
        )


def _found(row: Row, name: str, files: Mapping[str, Path]) -> BenchmarkVideo:
    video_id = PurePosixPath(row.file_name(name)).stem
    return BenchmarkVideo(video_id, files.get(video_id), _duration(row))


def _duration(row: Row) -> float | None:
    return row.seconds("duration") if row.has("duration") else None
