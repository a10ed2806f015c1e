"""CG-Bench: questions about long videos with the intervals that hold the clue.

Layout (CG-Bench/CG-Bench on the hub; checked against VLMEvalKit ``vlmeval/dataset/cgbench.py``)::

    cgbench_mini.json  cgbench.json      3,000 and 12,129 questions
    cg_videos_720p/{video_uid}.mp4
    cg_subtitles/{video_uid}.srt         not for all
    cg_clue_videos/{qid}.mp4             the clues cut out; not needed here

The clue intervals are the evidence of a question: `eval.metrics.moments` scores retrieval against
them (coverage, hits) and mIoU, rec@IoU and acc@IoU as VLMEvalKit does, and
`eval.benchmarks.sampling.in_clues` takes the frames of its clue mode (no more than 32 there).
"""

from __future__ import annotations

import math
from pathlib import Path

from eval.benchmarks.evidence import Stretch, moments_of
from eval.benchmarks.options import gold_letter, plain_options
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark
from eval.benchmarks.rows import Row, json_rows, source_of
from eval.benchmarks.subtitles import CG_CUES, NONE, OURS, missing_subtitles_of, wanted_subtitles
from eval.benchmarks.tables import checked_choice, missing_of, needed_file, videos_under

RULES = ("strict", "mcq-lmms-eval@75571cf")
SUBTITLES = (NONE, CG_CUES, OURS)
_FILES = {"mini": "cgbench_mini.json", "full": "cgbench.json"}


def load(
    root: Path, *, split: str = "mini", answers: str = "letter", subtitles: str = NONE
) -> QaBenchmark:
    """Reads CG-Bench.

    Args:
        root: Folder of the download.
        split: "mini" or "full".
        answers: "letter" for multiple choice, "text" for the open-ended form of the questions.
        subtitles: One of `SUBTITLES`.

    Raises:
        UsageError: An option, a file or a row cannot be used.
    """
    name = _FILES[checked_choice("split", split, _FILES)]
    is_open = checked_choice("answers", answers, ("letter", "text")) == "text"
    checked_choice("subtitles", subtitles, SUBTITLES)
    path = needed_file(root, (name,), hint="download it from CG-Bench/CG-Bench")
    rows = json_rows(path)
    files = videos_under(root / "cg_videos_720p")
    durations = {row.file_name("video_uid"): row.seconds("duration") for row in rows}
    videos = {
        name: BenchmarkVideo(
            name,
            files.get(name),
            seconds,
            wanted_subtitles(subtitles, root / "cg_subtitles" / f"{name}.srt"),
        )
        for name, seconds in durations.items()
    }
    return QaBenchmark(
        name="cgbench",
        split=f"{split}-open" if is_open else split,
        source=source_of(path),
        videos=videos,
        questions=tuple(_question(row, is_open=is_open) for row in rows),
        rules=RULES,
        missing_videos=missing_of(videos),
        missing_subtitles=missing_subtitles_of(videos, subtitles),
    )


def duration_label(duration_seconds: float) -> str:
    """The column of the published table that a video is in: "10 ~ 20" is (10, 20] minutes."""
    tens = max(1, math.ceil(duration_seconds / 600))
    return "60+" if tens > 6 else f"{(tens - 1) * 10} ~ {tens * 10}"


def clues(question: BenchmarkQuestion) -> tuple[tuple[float, float], ...]:
    """A question's clue intervals as `eval.metrics.moments.intervals_iou` takes them."""
    spans = (moment.span for moment in question.evidence)
    return tuple((span.start_seconds, span.stop_seconds) for span in spans)


def _question(row: Row, *, is_open: bool) -> BenchmarkQuestion:
    video_id = row.text("video_uid")
    options = plain_options(row, "choices")
    letter = gold_letter(row, "right_answer", options)
    stated = _stated(row)
    # Not cut at the end of the video: the published IoU takes the intervals as they are.
    evidence = moments_of(video_id, stated)
    return BenchmarkQuestion(
        question_id=row.word("qid"),
        video_id=video_id,
        text=row.text("question"),
        options=() if is_open else options,
        answer=row.text("answer") if is_open else letter,
        evidence=evidence,
        num_unusable_evidence=len(stated) - len(evidence),
        groups={
            "duration": (duration_label(row.seconds("duration")),),
            "domain": (row.text("domain"),),
            "sub_category": (row.text("sub_category"),),
        },
    )


def _stated(row: Row) -> list[Stretch]:
    stretches = [_stretch(row, pair) for pair in row.values("clue_intervals")]
    if not stretches:
        raise row.error("field 'clue_intervals' is empty", allowed="one interval or more")
    return stretches


def _stretch(row: Row, pair: object) -> Stretch:
    match pair:
        case [int() | float() as start, int() | float() as stop]:
            if min(start, stop) >= 0 and math.isfinite(start + stop):
                return float(start), float(stop)
    raise row.error(f"field 'clue_intervals' has {pair!r}", allowed="pairs of seconds")
