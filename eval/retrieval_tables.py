"""Figures of retrieval runs, and tables of them in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from eval.metrics.attribution import attribution
from eval.metrics.rankings import RankingReport, score_rankings
from eval.retrieval_records import RankingRecord, RetrievalRun
from eval.stats import Interval, bootstrap, bootstrap_difference

MEASURES = ("nDCG@10", "R@1", "R@5", "RR")
"""RR averaged over queries is MRR, within the depth of the rankings."""
_HEADINGS = {"RR": "MRR"}


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """What one run says about some of its queries."""

    report: RankingReport
    intervals: dict[str, Interval]
    """Per measure, videos resampled."""
    modality_accuracy: float | None
    """Share of queries whose first candidate was found by the gold modality; None where no query
    has one, or the arm never names one."""
    num_with_modality: int


def figures(records: Sequence[RankingRecord], *, seed: int = 0) -> RetrievalFigures:
    """Scores rankings.

    Args:
        records: At least one.
        seed: Of the intervals.
    """
    report = score_rankings(
        {record.query_id: record.relevant for record in records},
        {
            record.query_id: {found.candidate_id: found.score for found in record.found}
            for record in records
        },
        MEASURES,
    )
    clusters = [record.cluster for record in records]
    intervals = {
        name: bootstrap(
            [report.per_query[record.query_id][name] for record in records], clusters, seed=seed
        )
        for name in MEASURES
    }
    pairs = [record.pair for record in records if record.pair is not None]
    names_any = any(named is not None for _, named in pairs)
    accuracy = attribution(pairs).micro if names_any else None
    return RetrievalFigures(report, intervals, accuracy, len(pairs))


def better_by(
    first: Sequence[RankingRecord], second: Sequence[RankingRecord], measure: str = "nDCG@10"
) -> Interval:
    """How much better the first rankings are on the same queries, videos resampled.

    Raises:
        ValueError: They have different queries.
    """
    return _difference(figures(first), figures(second), first, measure)


@dataclass(frozen=True, slots=True)
class _Scored:
    """A run with its figures over all queries: rankings are scored once."""

    run: RetrievalRun
    figures: RetrievalFigures

    @property
    def arm(self) -> str:
        return self.run.header.arm


def report_tables(runs: Sequence[RetrievalRun]) -> str:
    """All tables of runs over the same queries, the first of them being what is compared with."""
    scored = [_Scored(run, figures(run.records)) for run in runs if run.records]
    if not scored:
        return "no rankings yet"
    groupings = list(dict.fromkeys(name for r in runs[0].records for name in r.groups))
    parts = [_head(scored[0].run), _overall_table(scored), _cost_table(scored)]
    for grouping in groupings:
        parts += [_group_table(scored, grouping, measure) for measure in ("nDCG@10", "R@1")]
    return "\n\n".join(parts)


def _overall_table(scored: Sequence[_Scored]) -> str:
    """One line per run over all its queries, with 95 % intervals."""
    heads = [_HEADINGS.get(name, name) for name in MEASURES]
    first, rows = scored[0], []
    for each in scored:
        found = each.figures
        cells = [_percents(found.intervals[name]) for name in MEASURES]
        named = "" if found.modality_accuracy is None else _percent(found.modality_accuracy)
        behind = ""
        if each is not first and _same_queries(first, each):
            lead = _difference(first.figures, found, first.run.records, "nDCG@10")
            behind = f"{100 * lead.mean:+.1f}"
            if lead.num_clusters > 1:
                behind += f" [{100 * lead.low:+.1f}, {100 * lead.high:+.1f}]"
        rows.append([each.arm, *cells, named, behind, str(found.report.num_tied)])
    lead_head = f"{first.arm} leads by (nDCG@10)"
    return _table(["retriever", *heads, "gold modality", lead_head, "tied queries"], rows)


def _cost_table(scored: Sequence[_Scored]) -> str:
    """What each run's index and queries cost."""
    heads = [
        "retriever",
        "encoding s / video hour",
        "MB / video hour",
        "query ms (median)",
        "reading s / video hour",
    ]
    rows = []
    for each in scored:
        index = each.run.index
        hours = index.video_hours or 1.0
        latency = statistics.median(r.timing.latency_seconds for r in each.run.records)
        read = "" if index.ingest_seconds is None else f"{index.ingest_seconds / hours:.1f}"
        megabytes = index.num_bytes / hours / 1e6
        encoding = f"{index.seconds / hours:.1f}"
        rows.append([each.arm, encoding, f"{megabytes:.2f}", f"{1000 * latency:.1f}", read])
    return _table(heads, rows)


def _group_table(scored: Sequence[_Scored], grouping: str, measure: str) -> str:
    """One column per label of a grouping, e.g. the modality that a query is about."""
    records = scored[0].run.records
    labels = sorted({label for record in records for label in record.groups.get(grouping, ())})
    columns = _pooled(labels)
    rows = [
        [each.arm, *(_group_cell(each, grouping, members, measure) for _, members in columns)]
        for each in scored
    ]
    heads = [
        f"{label} ({sum(_is_in(record, grouping, members) for record in records)})"
        for label, members in columns
    ]
    name = _HEADINGS.get(measure, measure)
    return f"{name} by {grouping} (queries):\n\n" + _table(["retriever", *heads], rows)


def _group_cell(scored: _Scored, grouping: str, members: Sequence[str], measure: str) -> str:
    values = scored.figures.report.per_query
    records = [record for record in scored.run.records if _is_in(record, grouping, members)]
    if not records:
        return ""
    found = [values[record.query_id][measure] for record in records]
    return _percents(bootstrap(found, [record.cluster for record in records]))


def _is_in(record: RankingRecord, grouping: str, members: Sequence[str]) -> bool:
    return not set(members).isdisjoint(record.groups.get(grouping, ()))


def _same_queries(first: _Scored, second: _Scored) -> bool:
    """An unfinished run has fewer."""
    return first.figures.report.per_query.keys() == second.figures.report.per_query.keys()


def _difference(
    first: RetrievalFigures,
    second: RetrievalFigures,
    records: Sequence[RankingRecord],
    measure: str,
) -> Interval:
    values = [
        {query: found[measure] for query, found in each.report.per_query.items()}
        for each in (first, second)
    ]
    clusters = {record.query_id: record.cluster for record in records}
    return bootstrap_difference(values[0], values[1], clusters)


def _pooled(labels: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Labels as columns; those of two together ("asr+video") make one column."""
    single = [(label, [label]) for label in labels if "+" not in label]
    double = [label for label in labels if "+" in label]
    return [*single, ("two", double)] if double else single


def _head(run: RetrievalRun) -> str:
    header = run.header
    options = ", ".join(f"{name} {value}" for name, value in header.options.items())
    lines = [
        f"{header.benchmark} {header.split}: {header.num_queries} queries over "
        f"{header.num_candidates} candidates{f' ({options})' if options else ''}; {header.source}.",
        f"95 % intervals, videos resampled; wanted candidates last among equal scores; depth "
        f"{header.depth}. Commit {header.commit}; {header.machine}.",
    ]
    if header.missing_videos:
        lines.append(
            f"{len(header.missing_videos)} videos are missing; {header.num_unanswerable} queries "
            "that only they answer are left out."
        )
    if not run.is_finished:
        lines.append(f"Unfinished: {len(run.records)} of {header.num_queries} queries.")
    return "\n".join(lines)


def _percents(interval: Interval) -> str:
    if interval.num_clusters == 1:
        return _percent(interval.mean)  # one video says nothing about others
    return f"{_percent(interval.mean)} [{_percent(interval.low)}, {_percent(interval.high)}]"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
