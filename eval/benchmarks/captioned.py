"""Text-to-video retrieval of captions: the same values out of every such data set.

Every video of the split is a candidate as a whole, every caption (or paragraph of captions) a query
with the one video that it was written about. Other videos may fit a caption as well; the published
figures count them as wrong, and so do these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clamr_rag.types import TimeSpan
from eval.benchmarks.records import (
    BenchmarkVideo,
    RetrievalBenchmark,
    RetrievalCandidate,
    RetrievalQuery,
)
from eval.benchmarks.rows import source_of
from eval.benchmarks.tables import missing_of


def captioned_videos(
    name: str,
    split: str,
    captions: Mapping[str, Sequence[str]],
    *,
    files: Mapping[str, Path],
    sources: Sequence[Path],
    durations: Mapping[str, float] | None = None,
    span: TimeSpan | None = None,
) -> RetrievalBenchmark:
    """One candidate per video and one query per caption; a query's id is ``{video_id}#{number}``.

    Args:
        name: Of the benchmark.
        split: Which part of it, and by which protocol.
        captions: Of every video, in order.
        files: Video files by id; what is not in it is missing.
        sources: The annotation files that were read.
        durations: As the annotation states them.
        span: The part of each video that is searched; None for the whole.
    """
    stated = durations or {}
    videos = {
        video_id: BenchmarkVideo(video_id, files.get(video_id), stated.get(video_id))
        for video_id in captions
    }
    queries = (
        RetrievalQuery(f"{video_id}#{number}", text, {video_id: 1})
        for video_id, texts in captions.items()
        for number, text in enumerate(texts)
    )
    return RetrievalBenchmark(
        name=name,
        split=split,
        source=source_of(*sources),
        candidates=tuple(RetrievalCandidate(video_id, video_id, span) for video_id in captions),
        queries=tuple(queries),
        videos=videos,
        missing_videos=missing_of(videos),
    )
