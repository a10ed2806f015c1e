"""LongVideoBench: questions that refer to a moment, by what is shown or said there.

Layout (longvideobench/LongVideoBench on the hub; its loader at 2aa4f91)::

    lvb_val.json             1,337 questions; lvb_test_wo_gt.json has no answers
    validation-*.parquet     the same rows with options in columns, used where there is no JSON
    videos/{video_path}      the parts of videos.tar put together and unpacked
    subtitles/{subtitle_path}
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from eval.benchmarks.arrow import parquet_rows
from eval.benchmarks.interleaving import timed_texts
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark, Subtitles
from eval.benchmarks.rows import Row, json_rows, source_of
from eval.benchmarks.subtitles import INTERLEAVED, NONE, missing_subtitles_of, subtitles_of
from eval.benchmarks.tables import checked_choice, missing_of, needed_file, videos_under

RULES = ("strict", "longvideobench-lmms-eval@75571cf")
SUBTITLES = (INTERLEAVED, NONE)
CATEGORIES = "S2E S2O S2A E2O O2E T2E T2O T2A E3E O3O SSS SOS SAA T3E T3O TOS TAA".split()
DURATION_GROUPS = (15, 60, 600, 3600)
LEVELS = ("L1-Perception", "L2-Relation")
_NUM_OPTIONS = 5
_NO_OPTION = "N/A"
_FILES = {
    "val": ("lvb_val.json", "validation-*.parquet", "data/validation-*.parquet"),
    "test": ("lvb_test_wo_gt.json", "test-*.parquet", "data/test-*.parquet"),
}
_COLUMNS = (
    "id video_path subtitle_path question topic_category question_category level duration_group "
    "duration starting_timestamp_for_subtitles"
).split()
_OPTION_COLUMNS = tuple(f"option{number}" for number in range(_NUM_OPTIONS))


def load(root: Path, *, split: str = "val", subtitles: str = INTERLEAVED) -> QaBenchmark:
    """Reads LongVideoBench.

    Args:
        root: Folder of the download.
        split: "val", or "test" whose answers are hidden.
        subtitles: Rule that reads the subtitle files, one of `SUBTITLES`.

    Raises:
        UsageError: A file or an option cannot be used.
    """
    checked_choice("split", split, _FILES)
    checked_choice("subtitles", subtitles, SUBTITLES)
    path = needed_file(root, _FILES[split], hint="download longvideobench/LongVideoBench")
    files = videos_under(root)
    cuts = _Cuts()
    videos: dict[str, BenchmarkVideo] = {}
    questions = []
    for row in _rows(path):
        video_id = cuts.video_id(row)
        questions.append(_question(row, video_id, is_hidden=split == "test"))
        if video_id not in videos:
            videos[video_id] = _video(row, video_id, root, files, subtitles)
    return QaBenchmark(
        name="longvideobench",
        split=split,
        source=source_of(path),
        videos=videos,
        questions=tuple(questions),
        rules=RULES,
        missing_videos=missing_of(videos),
        missing_subtitles=missing_subtitles_of(videos, subtitles),
    )


class _Cuts:
    """Gives every cut of a video an id: the file's name, and a number from the second on.

    A question states itself where its video starts in the subtitles and how long it is; questions
    that agree in that share the video.
    """

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str, float, float], str] = {}
        self._counts: dict[str, int] = {}

    def video_id(self, row: Row) -> str:
        name = PurePosixPath(row.file_name("video_path")).stem
        cut = (name, _subtitle_name(row), _starting(row), row.seconds("duration"))
        if cut not in self._ids:
            count = self._counts[name] = self._counts.get(name, 0) + 1
            self._ids[cut] = name if count == 1 else f"{name}#{count}"
        return self._ids[cut]


def _rows(path: Path) -> tuple[Row, ...]:
    if path.suffix == ".json":
        return json_rows(path)
    return parquet_rows(path, (*_COLUMNS, *_OPTION_COLUMNS), ("correct_choice",))


def _question(row: Row, video_id: str, *, is_hidden: bool) -> BenchmarkQuestion:
    options = _options(row)
    return BenchmarkQuestion(
        question_id=row.text("id"),
        video_id=video_id,
        text=row.text("question"),
        options=options,
        answer=None if is_hidden else _answer(row, len(options)),
        groups={
            "duration": (str(_duration_group(row)),),
            "category": (row.one_of("question_category", CATEGORIES),),
            "level": (row.one_of("level", LEVELS),),
            "topic": (row.text("topic_category"),),
        },
    )


def _options(row: Row) -> tuple[str, ...]:
    if row.has("candidates"):
        options = row.texts("candidates", at_least=2)
    else:
        options = tuple(row.text(name) for name in _OPTION_COLUMNS if row.has(name))
        options = tuple(option for option in options if option != _NO_OPTION)
    if not 2 <= len(options) <= _NUM_OPTIONS:
        raise row.error(f"has {len(options)} options", allowed=f"2 to {_NUM_OPTIONS}")
    return options


def _answer(row: Row, num_options: int) -> str:
    choice = row.whole("correct_choice")
    if not 0 <= choice < num_options:
        raise row.error(
            f"field 'correct_choice' is {choice}",
            allowed=f"0 to {num_options - 1}",
            hint="the rows of the test split have no answers: split=test",
        )
    return string.ascii_uppercase[choice]


def _duration_group(row: Row) -> int:
    group = row.whole("duration_group")
    if group not in DURATION_GROUPS:
        allowed = ", ".join(map(str, DURATION_GROUPS))
        raise row.error(f"field 'duration_group' is {group}", allowed=allowed)
    return group


def _subtitle_name(row: Row) -> str:
    return row.file_name("subtitle_path") if row.has("subtitle_path") else ""


def _starting(row: Row) -> float:
    return row.number("starting_timestamp_for_subtitles")


def _video(
    row: Row, video_id: str, root: Path, files: Mapping[str, Path], rule: str
) -> BenchmarkVideo:
    name = PurePosixPath(row.file_name("video_path")).stem
    return BenchmarkVideo(
        video_id,
        files.get(name),
        duration_seconds=row.seconds("duration"),
        subtitles=None if rule == NONE else _subtitles(row, root),
    )


def _subtitles(row: Row, root: Path) -> Subtitles | None:
    path = root / "subtitles" / _subtitle_name(row)
    if not path.is_file():
        return None
    texts = timed_texts(path, _starting(row), row.seconds("duration"))
    return subtitles_of(texts, path, INTERLEAVED)
