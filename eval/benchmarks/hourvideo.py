"""HourVideo: five-way questions about 20 to 120 minutes of a first-person video.

Layout (HourVideo/HourVideo on the hub; fields checked against keshik6/HourVideo
``hourvideo/hv_utils.py``, file names against third-party readers of the release)::

    v1.0_release/json/dev_v1.0_annotations.json   50 videos, 1,182 questions, with answers
    v1.0_release/json/samples_v1.0.json           2 videos, with answers
    v1.0_release/json/test_v1.0.json              500 videos, answers hidden
    v1.0_release/.../*.png                        options of the image tasks
    {video_uid}.mp4                               from Ego4D, anywhere below the folder

The release carries a canary string, which must stay in any copy of it. This loader makes no copy,
and leaves entries that are a text and not a video out of what it returns, so that no prompt, record
or report repeats it.

Three things are unlike other benchmarks, the first two said in a question's groups:

* ``options``: "image" where the five options are pictures (spatial layout, the two image tasks).
  Their texts are then paths below ``v1.0_release``; a reader of texts cannot answer them.
* ``video``: "cut" where the published protocol shows the video only up to the evidence
  (reasoning/predictive asks what happens next), see `shown_seconds`; "whole" otherwise.
* the published protocol asks all questions of a video's task in one call; here each is alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from eval.benchmarks.evidence import Stretch, clock_stretch, moments_of
from eval.benchmarks.options import gold_letter
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark
from eval.benchmarks.rows import Row, json_row, source_of
from eval.benchmarks.tables import checked_choice, missing_of, needed_file, videos_under

RULES = ("strict",)
TASKS = tuple(
    """
    summarization/key_events_objects summarization/temporal_sequencing
    summarization/compare_and_contrast perception/information_retrieval/factual_recall
    perception/information_retrieval/sequence_recall
    perception/information_retrieval/temporal_distance perception/tracking
    reasoning/spatial/relationship reasoning/spatial/proximity reasoning/spatial/layout
    reasoning/temporal/duration reasoning/temporal/frequency reasoning/temporal/prerequisites
    reasoning/predictive reasoning/causal reasoning/counterfactual navigation/room_to_room
    navigation/room_to_room_image navigation/object_retrieval navigation/object_retrieval_image
    """.split()
)
_FILES = {
    "dev": "dev_v1.0_annotations.json",
    "sample": "samples_v1.0.json",
    "test": "test_v1.0.json",
}
_RELEASE = "v1.0_release"
_PICTURES = (".png", ".jpg", ".jpeg")
_CUT_TASK = "reasoning/predictive"
_CLOCK = r"(\d{1,2}):([0-5]\d):([0-5]\d)"
_STRETCH = re.compile(rf"{_CLOCK}(?:\s*-\s*{_CLOCK})?")


def load(root: Path, *, split: str = "dev", images: str = "keep") -> QaBenchmark:
    """Reads HourVideo.

    Args:
        root: Folder of the download.
        split: "dev", "sample", or "test" with hidden answers.
        images: "keep" or "leave-out" the questions whose options are pictures.

    Raises:
        UsageError: An option, a file or a row cannot be used.
    """
    name = _FILES[checked_choice("split", split, _FILES)]
    keeps = checked_choice("images", images, ("keep", "leave-out")) == "keep"
    names = (f"{_RELEASE}/json/{name}", name)
    path = needed_file(root, names, hint="download it from HourVideo/HourVideo")
    release = json_row(path)
    entries = {uid: release.row(uid) for uid in release.fields if not _is_remark(release, uid)}
    if not entries:
        raise release.error("has no video", allowed="an object per video_uid")
    files = videos_under(root)
    videos = {
        uid: BenchmarkVideo(
            uid, files.get(uid), entry.row("video_metadata").seconds("duration_in_seconds")
        )
        for uid, entry in entries.items()
    }
    found = (
        _question(uid, row, videos[uid].duration_seconds, is_hidden=split == "test")
        for uid, entry in entries.items()
        for row in entry.rows("benchmark_dataset")
    )
    return QaBenchmark(
        name="hourvideo",
        split=split if keeps else f"{split}-without-images",
        source=source_of(path),
        videos=videos,
        questions=tuple(q for q in found if keeps or q.groups["options"] == ("text",)),
        rules=RULES,
        missing_videos=missing_of(videos),
    )


def shown_seconds(question: BenchmarkQuestion) -> float | None:
    """Where the published protocol cuts the video of this question; None: it shows it whole."""
    if question.groups["video"] != ("cut",):
        return None
    return min(moment.span.start_seconds for moment in question.evidence)


def image_options(question: BenchmarkQuestion, root: Path) -> tuple[Path, ...]:
    """The pictures that are a question's options, there or not; () where they are texts."""
    if question.groups["options"] != ("image",):
        return ()
    return tuple(root / _RELEASE / option for option in question.options)


def _is_remark(release: Row, uid: str) -> bool:
    return isinstance(release.fields[uid], str) or "canary" in uid.lower()


def _question(
    uid: str, row: Row, duration_seconds: float | None, *, is_hidden: bool
) -> BenchmarkQuestion:
    task = row.one_of("task", TASKS)
    options = tuple(row.text(f"answer_{number}") for number in range(1, 6))
    stated = _stated(row)
    evidence = moments_of(uid, stated, duration_seconds)
    if task == _CUT_TASK and not evidence:
        allowed = f"{task} with the time of its cut, within the video"
        raise row.error("has no usable relevant_timestamps", allowed=allowed)
    return BenchmarkQuestion(
        # A qid is unique within its video only, for the official scorer.
        question_id=f"{uid}/{row.word('qid')}",
        video_id=uid,
        text=row.text("question"),
        options=options,
        answer=None if is_hidden else gold_letter(row, "correct_answer_label", options),
        evidence=evidence,
        num_unusable_evidence=len(stated) - len(evidence),
        groups={
            "task": (task,),
            "suite": (task.partition("/")[0],),
            "options": (_kind_of(row, options),),
            "video": ("cut" if task == _CUT_TASK else "whole",),
        },
    )


def _kind_of(row: Row, options: Sequence[str]) -> str:
    pictures = [option for option in options if option.lower().endswith(_PICTURES)]
    if not pictures:
        return "text"
    if len(pictures) < len(options):
        raise row.error("has texts and pictures as options", allowed="one of them")
    for number in range(1, len(options) + 1):
        row.file_name(f"answer_{number}")
    return "image"


def _stated(row: Row) -> list[Stretch]:
    """``HH:MM:SS-HH:MM:SS`` or a single time, one or several, in a text or a list."""
    name = "relevant_timestamps"
    if not row.has(name):
        return []
    is_list = isinstance(row.fields[name], list)
    texts = row.texts(name, at_least=0) if is_list else (row.text(name, may_be_blank=True),)
    parts = [part.strip() for text in texts for part in text.split(",")]
    return [_stretch(row, part) for part in parts if part]


def _stretch(row: Row, text: str) -> Stretch:
    found = _STRETCH.fullmatch(text)
    if not found:
        raise row.error(
            f"field 'relevant_timestamps' has {text!r}",
            allowed="HH:MM:SS or HH:MM:SS-HH:MM:SS",
        )
    start, stop = found.groups()[:3], found.groups()[3:]
    return clock_stretch(start, start if stop[0] is None else stop)
