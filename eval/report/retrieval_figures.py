"""Figures of retrieval runs over the same queries."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from eval.report.qa_figures import Comparison, percentile
from eval.retrieval_records import RankingRecord, RetrievalRun
from eval.retrieval_tables import RetrievalFigures, figures
from eval.stats import bootstrap_difference, mcnemar


@dataclass(frozen=True, slots=True)
class NamedRetrieval:
    """A retrieval run under the name that it has in this report."""

    name: str
    run: RetrievalRun


@dataclass(frozen=True, slots=True)
class RetrievalCost:
    """What a run took, per hour of video and per query."""

    encode_seconds_per_hour: float | None
    bytes_per_hour: float | None
    read_seconds_per_hour: float | None
    """Of reading the files, their speech and screens."""
    milliseconds: float | None
    """Of a query, median."""
    slow_milliseconds: float | None
    """Of a query, 95th percentile."""


def named_retrievals(runs: Sequence[RetrievalRun]) -> tuple[NamedRetrieval, ...]:
    """Names runs by their arms and by the options that are not the same in all of them.

    Where that is not enough, the folder is added.
    """
    names = [", ".join((run.header.arm, *_own_options(run, runs))) for run in runs]
    twice = {name for name, times in Counter(names).items() if times > 1}
    return tuple(
        NamedRetrieval(f"{name}, {run.folder}" if name in twice else name, run)
        for name, run in zip(names, runs, strict=True)
    )


def _own_options(run: RetrievalRun, runs: Sequence[RetrievalRun]) -> list[str]:
    options = run.header.options
    return [
        f"{name} {value}"
        for name, value in sorted(options.items())
        if any(other.header.options.get(name) != value for other in runs)
    ]


def by_queries(runs: Sequence[RetrievalRun]) -> dict[str, tuple[NamedRetrieval, ...]]:
    """Runs over the same files and candidates together, under the benchmark's name."""
    together: dict[tuple[str, str, str, int], list[RetrievalRun]] = {}
    for run in runs:
        header = run.header
        key = header.benchmark, header.split, header.source, header.num_candidates
        together.setdefault(key, []).append(run)
    plain = Counter(key[:2] for key in together)
    return {
        f"{benchmark} {split} retrieval"
        + (f" {number}" if plain[benchmark, split] > 1 else ""): named_retrievals(members)
        for number, ((benchmark, split, _, _), members) in enumerate(together.items(), start=1)
    }


def by_label(run: RetrievalRun, grouping: str) -> dict[str, RetrievalFigures]:
    """Figures per label of a grouping, in order of label."""
    members: dict[str, list[RankingRecord]] = {}
    for record in run.records:
        for label in dict.fromkeys(record.groups.get(grouping, ())):
            members.setdefault(label, []).append(record)
    return {label: figures(members[label]) for label in sorted(members)}


def compare_retrievals(
    first: RetrievalRun, second: RetrievalRun, measure: str
) -> Comparison | None:
    """The first run against the second by a measure; None where they share no query.

    The test is of whether the first candidate is relevant.
    """
    one = {record.query_id: record for record in first.records}
    other = {record.query_id: record for record in second.records}
    shared = sorted(one.keys() & other.keys())
    if not shared:
        return None
    values, hits = [], []
    for records in (one, other):
        kept = [records[name] for name in shared]
        per_query = figures(kept).report.per_query
        values.append({name: per_query[name][measure] for name in shared})
        hits.append({record.query_id: is_hit(record) for record in kept})
    clusters = {name: one[name].cluster for name in shared}
    return Comparison(
        bootstrap_difference(values[0], values[1], clusters),
        mcnemar(hits[0], hits[1]),
        len(shared),
        len(one.keys() ^ other.keys()),
    )


def retrieval_cost(run: RetrievalRun) -> RetrievalCost:
    """What a run took."""
    index, hours = run.index, run.index.video_hours
    times = [1000 * record.timing.latency_seconds for record in run.records]
    read = index.ingest_seconds
    return RetrievalCost(
        index.seconds / hours if hours else None,
        index.num_bytes / hours if hours else None,
        read / hours if hours and read is not None else None,
        statistics.median(times) if times else None,
        percentile(times, 0.95) if times else None,
    )


def is_hit(record: RankingRecord) -> bool:
    """Whether the first candidate is relevant, and would be in any order of equal scores."""
    best = [each for each in record.found if each.score == record.found[0].score]
    return bool(best) and all(record.relevant.get(each.candidate_id, 0) > 0 for each in best)


def relevant_ranks(record: RankingRecord) -> dict[str, int | None]:
    """Per relevant candidate its rank from 1, None where it is not among those kept."""
    ranks = {each.candidate_id: rank for rank, each in enumerate(record.found, start=1)}
    wanted = sorted(record.relevant.items(), key=lambda each: (-each[1], each[0]))
    return {name: ranks.get(name) for name, grade in wanted if grade > 0}
