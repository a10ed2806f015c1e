"""A small benchmark over real video, and runs of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slide_videos import SECONDS_PER_SLIDE, SPEECH

from clamr_rag.answering import ChatModel, Message
from clamr_rag.config import LibraryOptions, Options
from clamr_rag.types import Cue, Modality, TimeSpan
from eval.arms import ArmParts
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark, Subtitles
from eval.metrics.moments import Moment
from eval.qa_plan import QaPlan
from eval.qa_run import QaRun
from eval.qa_videos import open_videos, subtitle_rules
from eval.run_records import FORMS, Run


def options_of(*, speech: str = "subtitles", **answer: Any) -> Options:
    """Clips of ten seconds, a slide each; pictures only where a test is about them."""
    return Options.model_validate(
        {
            "speech": {"speech": speech},
            "segmentation": {"segmenter": "fixed", "min_seconds": 10, "max_seconds": 10},
            "answer": {"answerer": "extractive", "frames": 0} | answer,
        }
    )


class LetterModel:
    """Picks an option by what it was shown and keeps nothing between questions."""

    name, reads_pictures = "letters", True

    def stream(self, message: Message) -> Iterator[str]:
        text = "".join(part for part in message.parts if isinstance(part, str))
        question = text[text.rindex("Question: ") :]
        letter = "ABC"[hashlib.sha256(question.encode()).digest()[0] % 3]
        yield f"I have looked at {len(message.frames)} pictures [1].\n"
        yield f"Answer: {letter}"


def spoken() -> Subtitles:
    """What is said in the meeting, as some rule reads it: one cue in the middle of each slide."""
    cues = [
        Cue(n * SECONDS_PER_SLIDE + 2, n * SECONDS_PER_SLIDE + 8, text)
        for n, text in enumerate(SPEECH)
    ]
    return Subtitles(tuple(cues), Path("talks/meeting.json"), "made-up rule")


def meeting_benchmark(video: Path, *, subtitles: Subtitles | None = None) -> QaBenchmark:
    """Six questions: shown, said, open, hidden, of a missing video, and one nothing answers."""

    def question(name: str, text: str, **values: Any) -> BenchmarkQuestion:
        fields: dict[str, Any] = {
            "question_id": name,
            "video_id": "meeting",
            "text": text,
            "options": ("4200 jars", "17 jars", "60 jars"),
            "answer": "A",
            "groups": {"task": ("shown",)},
        }
        return BenchmarkQuestion(**fields | values)

    def evidence(slide: int) -> tuple[Moment, ...]:
        start = slide * SECONDS_PER_SLIDE
        return (Moment("meeting", TimeSpan(start, start + SECONDS_PER_SLIDE)),)

    said = {"groups": {"task": ("said",)}, "modality": Modality.ASR}
    places = {"options": ("in Aachen", "in Zwiesel", "in Linz"), "answer": "B", **said}
    return QaBenchmark(
        name="meeting",
        split="test",
        source="written by hand",
        videos={
            "meeting": BenchmarkVideo("meeting", video, subtitles=subtitles or spoken()),
            "gone": BenchmarkVideo("gone", None, 60.0),
        },
        questions=(
            question("jars", "What was the yield of the honey harvest?", evidence=evidence(1)),
            question("glass", "Where did the glass factory close?", evidence=evidence(2), **places),
            question("course", "For whom is the course in spring?", options=(), answer="children",
                     evidence=evidence(3), **said),
            question("hidden", "What did the sugar cost?", answer=None),
            question("gone", "What is on the table?", video_id="gone"),
            question("absent", "Which holiday is the harbour of Drapalm shut on?", video_id="",
                     answer=None, groups={"task": ("absent",), "kind": ("absent",)}),
        ),
        rules=("strict", "videomme-official"),
        missing_videos=("gone",),
    )  # fmt: skip


def plan_of(benchmark: QaBenchmark, **values: Any) -> QaPlan:
    fields: dict[str, Any] = {
        "benchmark": benchmark,
        "benchmark_options": {},
        "options": options_of(),
        "library": LibraryOptions(),
        "top_k": 2,
        "forms": FORMS,
        "limit": None,
        "shard": None,
        "keep_going": False,
        "software": {},
        "commit": "1234567",
        "machine": "here",
    }
    return QaPlan(**fields | values)


@contextmanager
def opened(
    plan: QaPlan,
    cache: Path,
    out: Path,
    *,
    retriever: str = "mini",
    subtitles: Any = "retrieved",
    model: ChatModel | None = None,
) -> Iterator[QaRun]:
    """A run that has not asked anything yet."""
    rules = subtitle_rules(plan.benchmark.videos.values())
    videos = open_videos(cache, plan.options, plan.library, subtitle_rule=rules)
    with videos.library:
        yield QaRun(
            plan, retriever, subtitles, videos, ArmParts(videos.library.encoder), out, model=model
        )


def run_of(plan: QaPlan, cache: Path, out: Path, **values: Any) -> Run:
    with opened(plan, cache, out, **values) as run:
        return run.run()


def texts_shown(messages: Sequence[Message]) -> list[str]:
    """All text of each message."""
    return ["".join(p for p in message.parts if isinstance(p, str)) for message in messages]
