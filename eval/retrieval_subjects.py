"""What a retrieval run is about: queries, and the clips that stand for what they may find.

The synthetic world needs no files. Of every other benchmark the videos are indexed into a library
first, as the product does it, and its clips stand for the candidates: a video for all its clips, a
part of a video for those that share at least half of the shorter of the two with it.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from clamr_rag import VideoLibrary
from clamr_rag.errors import ExtractionError, MediaError, UsageError
from clamr_rag.types import Modality
from eval.arms import BlankedPool, ClipPool, MovedPool, PoolClip, ReducedPool, ShuffledPool
from eval.arms.library_pool import LibraryPool
from eval.benchmarks.records import RetrievalBenchmark, RetrievalCandidate, RetrievalQuery
from eval.benchmarks.synthetic import SyntheticRetrieval

Groups = Mapping[str, tuple[str, ...]]
_NO_GROUPS: Mapping[str, Groups] = MappingProxyType({})
_LEAST_SHARE = 0.5
"""Of the shorter of clip and candidate that both must share."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Queries over candidates, and the clips that stand for them."""

    benchmark: RetrievalBenchmark
    pool: ClipPool
    candidates: Mapping[str, tuple[str, ...]]
    """Ids of the candidates that each clip stands for, by clip id."""
    videos: Mapping[str, str]
    """The pool's id of each of the benchmark's videos that can be searched."""
    groups: Mapping[str, Groups] = field(default_factory=lambda: _NO_GROUPS)
    """Labels per query id."""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What made it, for the header of a run."""
    ingest_seconds: float | None = None
    """Of reading all files; None where there was nothing to read, or not all was read now."""
    failed_videos: tuple[str, ...] = ()
    """On disk and not readable."""

    @property
    def findable(self) -> frozenset[str]:
        """Ids of the candidates that some clip stands for."""
        return frozenset(name for names in self.candidates.values() for name in names)

    def queries(self) -> tuple[RetrievalQuery, ...]:
        """Those to which something relevant can be found."""
        findable = self.findable
        return tuple(
            query
            for query in self.benchmark.queries
            if not findable.isdisjoint(name for name, grade in query.relevant.items() if grade > 0)
        )


def synthetic_subject(synthetic: SyntheticRetrieval, options: Mapping[str, str]) -> Subject:
    """A world that is not rendered: clips and candidates are the same."""
    benchmark = synthetic.benchmark
    return Subject(
        benchmark=benchmark,
        pool=synthetic.pool,
        candidates={c.candidate_id: (c.candidate_id,) for c in benchmark.candidates},
        videos={video: video for video in benchmark.videos},
        groups=synthetic.groups,
        options=options,
    )


def library_subject(
    benchmark: RetrievalBenchmark,
    library: VideoLibrary,
    options: Mapping[str, str],
    groups: Mapping[str, Groups] = _NO_GROUPS,
) -> Subject:
    """Indexes the benchmark's videos that are on disk; those that cannot be read are said.

    Args:
        benchmark: Any.
        library: Open; videos that it has already are not read again.
        options: What made the benchmark.
        groups: Labels per query id.

    Raises:
        UsageError: None of the videos can be searched.
    """
    videos: dict[str, str] = {}
    failed, is_new, started = [], True, time.monotonic()
    for video in benchmark.videos.values():
        if video.path is None:
            continue
        try:
            report = library.add(video.path, any_options=True)
        except (MediaError, ExtractionError) as error:
            print(f"{video.video_id}: {error}", file=sys.stderr)
            failed.append(video.video_id)
            continue
        videos[video.video_id] = report.video_id
        is_new = is_new and report.status == "indexed"
    if not videos:
        raise UsageError(
            f"benchmark {benchmark.name}: none of {len(benchmark.videos)} videos can be searched",
            hint="are they in the folder that --root names?",
        )
    pool = LibraryPool(library, dict.fromkeys(videos.values()))
    return Subject(
        benchmark=benchmark,
        pool=pool,
        candidates=clips_and_candidates(benchmark.candidates, pool.clips, videos),
        videos=videos,
        groups=groups,
        options=options,
        ingest_seconds=time.monotonic() - started if is_new else None,
        failed_videos=tuple(failed),
    )


def changed(
    subject: Subject,
    *,
    without: Sequence[Modality] = (),
    blank_frames: bool = False,
    shuffle_frames: bool = False,
    moved_frames: float = 0.0,
    seed: int = 0,
) -> Subject:
    """The same queries over clips from which something was taken.

    Args:
        subject: What is changed.
        without: Modalities of which nothing is left.
        blank_frames: All pictures are one grey.
        shuffle_frames: Each clip has the pictures of another.
        moved_frames: Pictures stand a share of their width further right, half as far down.
        seed: Of who gets whose.
    """
    pool, options = subject.pool, dict(subject.options)
    if without:
        pool = ReducedPool(pool, without)
        options["removed"] = "+".join(sorted(modality.name.lower() for modality in without))
    if blank_frames:
        pool, options["frames"] = BlankedPool(pool), "blank"
    if shuffle_frames:
        pool, options["frames"] = ShuffledPool(pool, seed), f"shuffled, seed {seed}"
    if moved_frames:
        pool, options["frames"] = MovedPool(pool, moved_frames), f"moved by {moved_frames}"
    return replace(subject, pool=pool, options=options)


def clips_and_candidates(
    candidates: Iterable[RetrievalCandidate], clips: Iterable[PoolClip], videos: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """The candidates that each clip stands for."""
    of_video: dict[str, list[RetrievalCandidate]] = defaultdict(list)
    for candidate in candidates:
        if candidate.video_id in videos:
            of_video[videos[candidate.video_id]].append(candidate)
    return {
        clip.clip_id: tuple(
            candidate.candidate_id
            for candidate in of_video[clip.video_id]
            if _stands_for(clip, candidate)
        )
        for clip in clips
    }


def _stands_for(clip: PoolClip, candidate: RetrievalCandidate) -> bool:
    if candidate.span is None:
        return True
    shorter = min(clip.span.duration_seconds, candidate.span.duration_seconds)
    shared = clip.span.overlap_seconds(candidate.span)
    return shared > 0 and shared >= _LEAST_SHARE * shorter
