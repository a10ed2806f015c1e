"""EgoSchema: five-way questions about three minutes of a first-person video.

Two layouts hold the same questions (the first checked against lmms-eval
``tasks/egoschema/utils.py``)::

    lmms-eval   Subset/*.parquet (500, answers "0" to "4"), MC/*.parquet (5,031, answers null),
                videos/{video_idx}.mp4; columns video_idx, question, option ("A. ..."), answer
    original    questions.json (q_uid, question, "option 0" to "option 4"),
                subset_answers.json (q_uid to 0-4), videos/{q_uid}.mp4

Answers of the full set are hidden (a server scores ``{q_uid: int}``), and those of the subset stay
hidden there too: a figure over "full" would otherwise be one over the subset unnoticed. A question
has its video's id in both layouts, so that runs over either can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clamr_rag.errors import UsageError
from eval.benchmarks.arrow import parquet_rows
from eval.benchmarks.options import lettered_options
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark
from eval.benchmarks.rows import Row, json_row, json_rows, source_of
from eval.benchmarks.tables import checked_choice, missing_of, needed_file, videos_under

RULES = ("strict", "egoschema-lmms-eval@75571cf")
LETTERS = "ABCDE"
_CONFIGS = {"subset": "Subset", "full": "MC"}
_LAYOUTS = ("auto", "lmms-eval", "original")


def load(root: Path, *, split: str = "subset", layout: str = "auto") -> QaBenchmark:
    """Reads EgoSchema.

    Args:
        root: Folder of the download.
        split: "subset" with answers, or "full" with hidden ones.
        layout: "lmms-eval", "original", or "auto" for the one that is there (lmms-eval's first).

    Raises:
        UsageError: An option, a file or a row cannot be used.
    """
    checked_choice("split", split, _CONFIGS)
    if checked_choice("layout", layout, _LAYOUTS) == "auto":
        layout = _layout_of(root)
    read = _lmms_eval if layout == "lmms-eval" else _original
    paths, questions = read(root, split)
    files = videos_under(root / "videos")
    videos = {q.video_id: BenchmarkVideo(q.video_id, files.get(q.video_id)) for q in questions}
    return QaBenchmark(
        name="egoschema",
        split=split,
        source=f"{layout} layout: {source_of(*paths)}",
        videos=videos,
        questions=tuple(questions),
        rules=RULES,
        missing_videos=missing_of(videos),
    )


def submission(picked: Mapping[str, str | None]) -> dict[str, int]:
    """What the server of the full set takes, from the letter picked for each question.

    A question without a letter gets -1 as in lmms-eval, which is wrong.
    """
    return {
        name: -1 if letter is None else LETTERS.index(letter) for name, letter in picked.items()
    }


def _layout_of(root: Path) -> str:
    if any(root.glob("Subset/*.parquet")) or any(root.glob("MC/*.parquet")):
        return "lmms-eval"
    if (root / "questions.json").is_file():
        return "original"
    raise UsageError(
        f"{root} has no Subset/*.parquet, no MC/*.parquet and no questions.json",
        hint="download lmms-lab/egoschema or the original release",
    )


def _lmms_eval(root: Path, split: str) -> tuple[list[Path], list[BenchmarkQuestion]]:
    pattern = f"{_CONFIGS[split]}/*.parquet"
    path = needed_file(root, (pattern,), hint="download it from lmms-lab/egoschema")
    questions = []
    for row in parquet_rows(path, ("video_idx", "question", "option", "answer")):
        options = lettered_options(row, "option")
        if len(options) != len(LETTERS):
            raise row.error(f"has {len(options)} options", allowed=str(len(LETTERS)))
        answer = None if split == "full" else _letter(row, "answer")
        questions.append(_question(row, row.text("video_idx"), options, answer))
    return [path], questions


def _original(root: Path, split: str) -> tuple[list[Path], list[BenchmarkQuestion]]:
    path = needed_file(root, ("questions.json",), hint="download the original release")
    rows: dict[str, Row] = {}
    for row in json_rows(path):
        if rows.setdefault(row.text("q_uid"), row) is not row:
            raise row.error(f"q_uid {row.text('q_uid')!r} is there twice")
    if split == "full":
        return [path], [_original_question(row, None) for row in rows.values()]
    answers = needed_file(root, ("subset_answers.json",), hint="it lies beside questions.json")
    gold = json_row(answers)
    for name in gold.fields:
        if name not in rows:
            raise gold.error(f"answers {name!r}", allowed=f"a q_uid of {path.name}")
    return [path, answers], [
        _original_question(rows[name], _letter(gold, name)) for name in gold.fields
    ]


def _original_question(row: Row, answer: str | None) -> BenchmarkQuestion:
    options = tuple(row.text(f"option {number}") for number in range(len(LETTERS)))
    return _question(row, row.text("q_uid"), options, answer)


def _question(
    row: Row, video_id: str, options: tuple[str, ...], answer: str | None
) -> BenchmarkQuestion:
    return BenchmarkQuestion(video_id, video_id, row.text("question"), options, answer)


def _letter(row: Row, name: str) -> str:
    numbers = tuple(map(str, range(len(LETTERS))))
    number = row.word(name)
    if number not in numbers:
        raise row.error(f"answer {name!r} is {number!r}", allowed=", ".join(numbers))
    return LETTERS[int(number)]
