"""Video-MMMU: does watching a lecture help to answer: 300 videos, three questions about each.

Layout (lmms-lab/VideoMMMU on the hub; checked against lmms-eval ``tasks/videommmu/utils.py``)::

    Perception/*.parquet  Comprehension/*.parquet  Adaptation/*.parquet    300 questions each
    {Art,Business,Engineering,Humanities,Medicine,Science}/{id}.mp4
    question_only/{id}_image.mp4        nothing but the picture of the adaptation question

An id is ``{split}_{Subject}_{number}`` with underscores in some subjects, and is the same in all
three tracks, so that a question's id here begins with its track. A record with options is multiple
choice whatever its question_type says (lmms-eval reads "perception" ones as open, where they cannot
be right). The picture of an adaptation question is the *last frame* of its video: a pipeline that
drops it cannot answer (group ``needs``: "last-frame").

``videos="question-only"`` is the run before the video for `eval.metrics.accuracy.knowledge_gain`.
"""

from __future__ import annotations

import re
from pathlib import Path

from eval.benchmarks.arrow import parquet_rows
from eval.benchmarks.options import gold_letter, plain_options
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark
from eval.benchmarks.rows import Row, source_of
from eval.benchmarks.tables import checked_choice, missing_of, needed_file, videos_under

RULES = ("strict", "mcq-lmms-eval@75571cf", "videommmu-vlmevalkit@e8e78f0")
TRACKS = ("Perception", "Comprehension", "Adaptation")
_DOMAINS = {
    "Art and Design": "Art Art_Theory Design Music",
    "Business": "Accounting Economics Finance Manage Marketing",
    "Science": "Biology Chemistry Geography Math Physics",
    "Health and Medicine": "Basic_Medical_Science Clinical_Medicine "
    "Diagnostics_and_Laboratory_Medicine Pharmacy Public_Health",
    "Humanities and Social Science": "History Literature Sociology Psychology",
    "Tech and Engineering": "Agriculture Architecture_and_Engineering Computer_Science "
    "Electronics Energy_and_Power Materials Mechanical_Engineering",
}
DOMAIN_OF = {subject: domain for domain, names in _DOMAINS.items() for subject in names.split()}
"""Domain of each of the 30 subjects."""
_FOLDERS = ("Art", "Business", "Engineering", "Humanities", "Medicine", "Science")
_COLUMNS = ("id", "question", "options", "answer")
_ID = re.compile(r"[^_]+_(.+)_\d+")


def load(root: Path, *, split: str = "all", videos: str = "lecture") -> QaBenchmark:
    """Reads Video-MMMU.

    Args:
        root: Folder of the download.
        split: "all", or one track: "perception", "comprehension" or "adaptation".
        videos: "lecture", or "question-only" (with the adaptation track).

    Raises:
        UsageError: An option, a file or a row cannot be used.
    """
    by_name = {track.lower(): (track,) for track in TRACKS} | {"all": TRACKS}
    tracks = by_name[checked_choice("split", split, by_name)]
    is_alone = checked_choice("videos", videos, ("lecture", "question-only")) == "question-only"
    if is_alone:
        checked_choice("split for videos='question-only'", split, ("adaptation",))
    hint = "download it from lmms-lab/VideoMMMU"
    paths = {track: needed_file(root, (f"{track}/*.parquet",), hint=hint) for track in tracks}
    questions = tuple(
        _question(track, row)
        for track, path in paths.items()
        for row in parquet_rows(path, _COLUMNS)
    )
    files = _files(root, is_alone=is_alone)
    by_id = {q.video_id: BenchmarkVideo(q.video_id, files.get(q.video_id)) for q in questions}
    return QaBenchmark(
        name="videommmu",
        split=f"{split}-question-only" if is_alone else split,
        source=source_of(*paths.values()),
        videos=by_id,
        questions=questions,
        rules=RULES,
        missing_videos=missing_of(by_id),
    )


def _files(root: Path, *, is_alone: bool) -> dict[str, Path]:
    """Video files by the id of their question."""
    if is_alone:
        alone = videos_under(root / "question_only")
        return {name.removesuffix("_image"): path for name, path in alone.items()}
    return {name: path for folder in _FOLDERS for name, path in videos_under(root / folder).items()}


def _question(track: str, row: Row) -> BenchmarkQuestion:
    video_id = row.text("id")
    named = _ID.fullmatch(video_id)
    subject = named[1] if named else ""
    if subject not in DOMAIN_OF:
        raise row.error(
            f"field 'id' is {video_id!r}", allowed="split_Subject_number with one of 30 subjects"
        )
    options = _options(row)
    return BenchmarkQuestion(
        question_id=f"{track.lower()}/{video_id}",
        video_id=video_id,
        text=row.text("question"),
        options=options,
        answer=gold_letter(row, "answer", options) if options else row.text("answer"),
        groups={
            "track": (track,),
            "subject": (subject,),
            "domain": (DOMAIN_OF[subject],),
            "form": ("multiple-choice" if options else "open",),
            "needs": ("last-frame" if track == "Adaptation" else "video",),
        },
    )


def _options(row: Row) -> tuple[str, ...]:
    """Options without letters: in some records all of them have one, in others none."""
    options = plain_options(row, "options", at_least=0) if row.has("options") else ()
    labels = [f"{chr(ord('A') + place)}." for place in range(len(options))]
    if all(option.startswith(label) for option, label in zip(options, labels, strict=True)):
        return tuple(option[2:].strip() for option in options)
    return options
