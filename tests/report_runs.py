"""Small runs with known figures, written through the real record classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from clamr_rag.config import Options
from eval.extractors import extract
from eval.retrieval_records import (
    FoundCandidate,
    IndexTiming,
    RankingRecord,
    RankingTiming,
    RetrievalHeader,
    RetrievalRun,
    begin_retrieval_run,
    load_retrieval_run,
    rankings_file,
)
from eval.run_records import (
    RECORDS_NAME,
    VIDEOS_NAME,
    FoundClip,
    GoldSpan,
    QuestionRecord,
    QuestionTiming,
    RecordFile,
    Run,
    RunHeader,
    VideoRecord,
    VideoTiming,
    begin_run,
    load_run,
)
from eval.stats import Interval

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RULES = ("strict", "videomme-official")
OPTIONS = ("a red boat", "a blue boat", "a <b>house</b> & garden", "none of them")


def found(start: float, *, video: str = "v1", modality: str | None = "asr") -> FoundClip:
    """A clip of ten seconds."""
    return FoundClip(
        clip_id=f"{video}-{int(start // 10):05d}",
        video_id=video,
        start_seconds=start,
        stop_seconds=start + 10,
        score=round(1 - start / 1000, 6),
        modality=modality,
    )


def gold(start: float, stop: float, *, video: str = "v1") -> GoldSpan:
    """A span of evidence."""
    return GoldSpan(video_id=video, start_seconds=start, stop_seconds=stop)


def question(question_id: str, reply: str | None = "Answer: A", **values: Any) -> QuestionRecord:
    """A question with four options whose right letter is A, answered with this reply."""
    form = values.get("form", "choices")
    options = OPTIONS if form == "choices" else ()
    right = values.get("gold", "A")
    picked: Mapping[str, str | None] = {
        rule: None if reply is None else extract(rule, reply, "ABCD", OPTIONS)
        for rule in (RULES if form == "choices" else ())
    }
    fields: dict[str, Any] = {
        "number": 0,
        "benchmark": "made",
        "split": "test",
        "revision": "cafe0123",
        "retriever": "mini",
        "answerer": "extractive",
        "subtitles": "retrieved",
        "subtitle_source": "v1.srt (ours)",
        "speech_source": "v1.srt",
        "screen_source": "rapidocr 3.10",
        "question_id": question_id,
        "video_id": "v1",
        "form": form,
        "question": f"What is seen in {question_id}?",
        "options": options,
        "gold": right,
        "is_absent": False,
        "groups": {"kind": ("fact",)},
        "gold_modality": "asr",
        "evidence": (gold(12, 16),),
        "status": "skipped" if reply is None else "answered",
        "reason": "the video is not on disk" if reply is None else None,
        "found": (found(10), found(30)),
        "frame_seconds": (),
        "prompt_characters": 200,
        "prompt_sha256": None,
        "reply": reply,
        "answer_text": reply,
        "confidence": 0.5,
        "picked": picked,
        "is_right": None if reply is None else picked.get("strict") == right,
        "timing": QuestionTiming(search_seconds=0.5, answer_seconds=1.5),
    }
    return QuestionRecord(**(fields | values))


def header(**values: Any) -> RunHeader:
    """Of a run of `question`s."""
    fields: dict[str, Any] = {
        "benchmark": "made",
        "benchmark_options": {},
        "split": "test",
        "source": "made.jsonl sha256:00",
        "revision": "cafe0123",
        "rules": RULES,
        "missing_videos": (),
        "missing_subtitles": (),
        "num_questions": 1,
        "num_videos": 2,
        "retriever": "mini",
        "retriever_details": "mini 1f2e3d4c, modality_max",
        "answerer": "extractive",
        "subtitles": "retrieved",
        "top_k": 5,
        "frames": 16,
        "forms": ("choices",),
        "limit": None,
        "shard": None,
        "abstain_below": 0.3,
        "options": Options(),
        "commit": COMMIT,
        "machine": "2 cores, 23 GB",
    }
    return RunHeader(**(fields | values))


def video(video_id: str, number: int = 0, **values: Any) -> VideoRecord:
    """A video of half an hour that took 90 s to index."""
    fields: dict[str, Any] = {
        "number": number,
        "video_id": video_id,
        "file_name": f"{video_id}.mp4",
        "status": "indexed",
        "reason": None,
        "duration_seconds": 1800.0,
        "num_clips": 180,
        "num_questions": 2,
        "subtitle_source": None,
        "speech_source": None,
        "screen_source": None,
        "timing": VideoTiming(index_seconds=90.0, index_bytes=1_500_000),
    }
    return VideoRecord(**(fields | values))


def write_run(
    folder: Path,
    records: Iterable[QuestionRecord],
    *,
    videos: Iterable[VideoRecord] | None = None,
    **values: Any,
) -> Run:
    """Writes a run and reads it again."""
    numbered = [r.model_copy(update={"number": n}) for n, r in enumerate(records)]
    begin_run(folder, header(**({"num_questions": len(numbered)} | values)))
    with RecordFile(folder / RECORDS_NAME, QuestionRecord) as file:
        for record in numbered:
            file.append(record)
    with RecordFile(folder / VIDEOS_NAME, VideoRecord) as file:
        for each in (video("v1"), video("v2", 1)) if videos is None else videos:
            file.append(each)
    return load_run(folder)


def ranking(query_id: str, *scores: tuple[str, float], **values: Any) -> RankingRecord:
    """A query whose one relevant candidate is "right"."""
    fields: dict[str, Any] = {
        "number": 0,
        "query_id": query_id,
        "text": f"the words of {query_id}",
        "cluster": "v1",
        "gold_modality": "asr",
        "groups": {"kind": ("fact",)},
        "relevant": {"right": 1},
        "found": tuple(
            FoundCandidate(candidate_id=name, score=score, modality="asr") for name, score in scores
        ),
        "timing": RankingTiming(latency_seconds=0.002),
    }
    return RankingRecord(**(fields | values))


def write_retrieval_run(
    folder: Path, records: Iterable[RankingRecord], **values: Any
) -> RetrievalRun:
    """Writes a retrieval run over half an hour of video and reads it again."""
    numbered = [r.model_copy(update={"number": n}) for n, r in enumerate(records)]
    fields: dict[str, Any] = {
        "benchmark": "made",
        "options": {},
        "split": "test",
        "source": "made.jsonl sha256:00",
        "arm": "mini",
        "arm_details": "mini 1f2e3d4c, modality_max",
        "pool": "0011",
        "num_candidates": 3,
        "num_queries": len(numbered),
        "missing_videos": (),
        "num_unanswerable": 0,
        "depth": 100,
        "limit": None,
        "shard": None,
        "commit": COMMIT,
        "machine": "2 cores, 23 GB",
    }
    index = IndexTiming(seconds=5.0, num_bytes=750_000, num_clips=90, video_hours=0.5)
    begin_retrieval_run(folder, RetrievalHeader(**(fields | values)), index)
    with rankings_file(folder) as file:
        for record in numbered:
            file.append(record)
    return load_retrieval_run(folder)


def interval(mean: float, low: float = 0.0, high: float = 1.0, clusters: int = 9) -> Interval:
    """A share of ten questions about nine videos."""
    return Interval(mean, low, high, 0.95, 10, clusters, 0)


class Page(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, attribute: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(attribute))]
