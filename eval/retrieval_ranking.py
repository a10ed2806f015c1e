"""Ranks the queries of a subject with one arm, from where an earlier run stopped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.arms import Arm, ArmQuery, EncodingCache, Found
from eval.benchmarks.records import RetrievalQuery
from eval.retrieval_records import (
    FoundCandidate,
    IndexTiming,
    RankingRecord,
    RankingTiming,
    RetrievalHeader,
    RetrievalRun,
    begin_retrieval_run,
    check_same_run,
    is_retrieval_run,
    load_retrieval_run,
    modality_name,
    rankings_file,
)
from eval.retrieval_subjects import Subject
from eval.run_qa import commit_of_tree, this_machine

DEPTH = 100
"""Candidates kept of a ranking."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which of a benchmark's queries are put."""

    limit: int | None = None
    """The first so many; None for all."""
    shard: tuple[int, int] | None = None
    """Number from 1 and how many: every how-manieth query; None for all."""

    def of(self, queries: Sequence[RetrievalQuery]) -> list[tuple[int, RetrievalQuery]]:
        """The queries with their places in the whole run."""
        numbered = list(enumerate(queries[: self.limit]))
        return numbered if self.shard is None else numbered[self.shard[0] - 1 :: self.shard[1]]


def run_retrieval(
    subject: Subject,
    arm: Arm,
    cache: EncodingCache,
    out: Path,
    *,
    part: Part | None = None,
    depth: int = DEPTH,
) -> RetrievalRun:
    """Ranks with one arm what is not ranked yet.

    Args:
        subject: Queries and clips.
        arm: That ranks them.
        cache: The one that the arm encodes with: it knows what a remembered query took.
        out: Folder of this arm's run; made if it is not there.
        part: Which queries; None for all.
        depth: Most candidates kept of a ranking.

    Raises:
        UsageError: The folder holds another run.
    """
    part, queries = part or Part(), subject.queries()
    header, wanted = _header(subject, arm, queries, part, depth), part.of(queries)
    if is_retrieval_run(out):
        check_same_run(out, header)
        run = load_retrieval_run(out)
        if len(run.records) == len(wanted):
            return run
    cost = arm.index(subject.pool)
    timing = IndexTiming(
        seconds=cost.seconds,
        num_bytes=cost.num_bytes,
        num_clips=cost.num_clips,
        video_hours=cost.video_hours,
        ingest_seconds=subject.ingest_seconds,
    )
    begin_retrieval_run(out, header, timing)
    ranker = _Ranker(subject, arm, cache, depth)
    with rankings_file(out) as file:
        done = {record.number for record in file.done}
        for number, query in wanted:
            if number not in done:
                file.append(ranker.record(number, query))
    return load_retrieval_run(out)


class _Ranker:
    """Ranks candidates by the clips that stand for them."""

    def __init__(self, subject: Subject, arm: Arm, cache: EncodingCache, depth: int) -> None:
        self._subject, self._arm, self._cache, self._depth = subject, arm, cache, depth
        self._clips: dict[str, list[str]] = defaultdict(list)
        for clip, names in subject.candidates.items():
            for name in names:
                self._clips[name].append(clip)
        self._videos = {c.candidate_id: c.video_id for c in subject.benchmark.candidates}
        # Several clips may stand for one candidate: then only a whole ranking is deep enough.
        is_plain = all(len(clips) == 1 for clips in self._clips.values())
        is_plain = is_plain and len(self._clips) == len(subject.candidates)
        self._num_clips = depth if is_plain else None

    def record(self, number: int, query: RetrievalQuery) -> RankingRecord:
        """Ranks the candidates of one query."""
        asked = self._asked(query)
        with self._cache.timed() as timer:
            found = self._arm.rank(asked, self._num_clips)
        wanted = next(name for name, grade in query.relevant.items() if grade > 0)
        return RankingRecord(
            number=number,
            query_id=query.query_id,
            text=query.text,
            cluster=self._videos[wanted],
            gold_modality=modality_name(query.modality) if query.modality else None,
            groups=self._subject.groups.get(query.query_id, {}),
            relevant=query.relevant,
            found=self._candidates(found),
            timing=RankingTiming(latency_seconds=timer.seconds),
        )

    def _asked(self, query: RetrievalQuery) -> ArmQuery:
        """The query as arms take it: about clips, in the pool's own names."""
        grades: dict[str, int] = {}
        for name, grade in query.relevant.items():
            for clip in self._clips.get(name, ()) if grade > 0 else ():
                grades[clip] = max(grade, grades.get(clip, 0))
        video = self._subject.videos[query.video_id] if query.video_id else None
        return ArmQuery(query.text, video, grades, query.modality)

    def _candidates(self, found: Sequence[Found]) -> tuple[FoundCandidate, ...]:
        """Candidates in the order of their best clips."""
        best: dict[str, FoundCandidate] = {}
        for clip in found:
            for name in self._subject.candidates[clip.clip_id]:
                if name not in best:
                    modality = modality_name(clip.modality) if clip.modality else None
                    score = round(clip.score, 6)
                    best[name] = FoundCandidate(candidate_id=name, score=score, modality=modality)
        return tuple(best.values())[: self._depth]


def _header(
    subject: Subject, arm: Arm, queries: Sequence[RetrievalQuery], part: Part, depth: int
) -> RetrievalHeader:
    benchmark = subject.benchmark
    return RetrievalHeader(
        benchmark=benchmark.name,
        options=subject.options,
        split=benchmark.split,
        source=benchmark.source,
        arm=arm.name,
        arm_details=arm.details,
        pool=subject.pool.fingerprint,
        num_candidates=len(subject.findable),
        num_queries=len(queries[: part.limit]),
        missing_videos=(*benchmark.missing_videos, *subject.failed_videos),
        num_unanswerable=len(benchmark.queries) - len(queries),
        depth=depth,
        limit=part.limit,
        shard=part.shard,
        commit=commit_of_tree(),
        machine=this_machine(),
    )
