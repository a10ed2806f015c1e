"""Tables and plots of retrieval runs over the same queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from eval.report.numbers import (
    p_value,
    percent,
    percent_with_interval,
    points_with_interval,
    quantity,
)
from eval.report.plots import Bar, Point, bar_plot, point_plot
from eval.report.qa_tables import intervals_note, shown_commit
from eval.report.retrieval_figures import (
    NamedRetrieval,
    RetrievalCost,
    by_label,
    compare_retrievals,
    retrieval_cost,
)
from eval.report.tables import Table
from eval.retrieval_tables import MEASURES, figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = {"RR": "MRR"}
_LEADING = "nDCG@10"


def retrieval_tables(runs: Sequence[NamedRetrieval]) -> tuple[Table, ...]:
    """All tables; those without rows are left out.

    Args:
        runs: Over the same queries; the first is what the others are compared with.
    """
    tables = [
        _run_table(runs),
        _ranking_table(runs),
        *(_group_table(runs, grouping) for grouping in _groupings(runs)),
        _comparison_table(runs),
        _cost_table(runs),
    ]
    return tuple(table for table in tables if table.rows)


def retrieval_plots(runs: Sequence[NamedRetrieval]) -> dict[str, Figure]:
    """Plots by name."""
    plots: dict[str, Figure] = {}
    for name, x_label, value in _COSTS:
        if points := _cost_points(runs, value):
            plots[name] = point_plot(points, x_label=x_label, y_label=f"{_LEADING} (%)")
    for grouping in _groupings(runs):
        bars = [
            Bar(f"{label} (n={found.report.num_queries})", run.name, found.intervals[_LEADING])
            for run in runs
            for label, found in by_label(run.run, grouping).items()
        ]
        plots[f"ndcg-by-{grouping}"] = bar_plot(
            bars, title=f"by {grouping}", y_label=f"{_LEADING} (%)"
        )
    return plots


_COSTS: tuple[tuple[str, str, Callable[[RetrievalCost], float | None]], ...] = (
    ("ndcg-vs-milliseconds", "milliseconds per query (median)", lambda cost: cost.milliseconds),
    (
        "ndcg-vs-megabytes",
        "index megabytes per video hour",
        lambda cost: None if cost.bytes_per_hour is None else cost.bytes_per_hour / 1e6,
    ),
)


def _cost_points(
    runs: Sequence[NamedRetrieval], value: Callable[[RetrievalCost], float | None]
) -> list[Point]:
    points = []
    for run in runs:
        x = value(retrieval_cost(run.run))
        if x is not None and run.run.records:
            points.append(Point(run.name, x, figures(run.run.records).intervals[_LEADING]))
    return points


def _run_table(runs: Sequence[NamedRetrieval]) -> Table:
    rows = []
    for run in runs:
        header = run.run.header
        rows.append(
            (
                run.name,
                header.arm_details,
                shown_commit(header.commit),
                header.machine,
                f"{len(run.run.records):,} of {header.num_queries:,}",
                f"{header.num_candidates:,}",
                str(len(header.missing_videos)),
                str(header.num_unanswerable),
                str(header.depth),
            )
        )
    columns = (
        "retriever", "details", "commit", "machine", "queries", "candidates", "videos missing",
        "queries left out", "depth",
    )  # fmt: skip
    notes = (
        f"Read from: {runs[0].run.header.source}.",
        "Queries are left out if all that is relevant to them is missing.",
    )
    return Table("runs", "Runs", columns, tuple(rows), notes, num_text_columns=4)


def _ranking_table(runs: Sequence[NamedRetrieval]) -> Table:
    columns = (
        "retriever", *(f"{_SHOWN.get(name, name)} (%)" for name in MEASURES),
        f"{_LEADING}, ties at best (%)", "queries tied", "queries without a ranking",
        "gold modality named (%)",
    )  # fmt: skip
    rows = []
    for run in runs:
        if not run.run.records:
            continue
        found = figures(run.run.records)
        rows.append(
            (
                run.name,
                *(percent_with_interval(found.intervals[name]) for name in MEASURES),
                percent(found.report.best[_LEADING]),
                str(found.report.num_tied),
                str(found.report.num_unanswered),
                percent(found.modality_accuracy),
            )
        )
    notes = (
        _note(runs),
        "Of equal scores the relevant one comes last, but for the figure of ties at best.",
    )
    return Table("rankings", "Rankings", columns, tuple(rows), notes)


def _group_table(runs: Sequence[NamedRetrieval], grouping: str) -> Table:
    per_run = {run.name: by_label(run.run, grouping) for run in runs}
    labels = sorted({label for found in per_run.values() for label in found})
    rows = [
        (
            label,
            name,
            *(percent_with_interval(found[label].intervals[each]) for each in MEASURES),
            str(found[label].report.num_queries),
        )
        for label in labels
        for name, found in per_run.items()
        if label in found
    ]
    columns = (
        grouping, "retriever", *(f"{_SHOWN.get(name, name)} (%)" for name in MEASURES), "queries",
    )  # fmt: skip
    return Table(
        f"by-{''.join(sign if sign.isalnum() else '-' for sign in grouping.lower())}",
        f"Rankings by {grouping}",
        columns,
        tuple(rows),
        (_note(runs), "A query with several labels counts in each."),
        num_text_columns=2,
    )


def _comparison_table(runs: Sequence[NamedRetrieval]) -> Table:
    rows = []
    for run in runs[1:]:
        found = compare_retrievals(run.run, runs[0].run, _LEADING)
        if found is not None:
            rows.append(
                (
                    run.name,
                    runs[0].name,
                    points_with_interval(found.difference),
                    str(found.test.only_first),
                    str(found.test.only_second),
                    p_value(found.test.p_value),
                    str(found.num_shared),
                    str(found.num_alone),
                )
            )
    columns = (
        "retriever", "against", f"{_LEADING}, difference (points)", "only this hits first",
        "only the other", "McNemar p", "queries", "not in both",
    )  # fmt: skip
    notes = (
        "Query by query, over those that both runs have; the interval resamples videos. McNemar's "
        "test is of whether the first candidate is relevant, and takes queries as independent.",
    )
    return Table("comparison", "Runs compared", columns, tuple(rows), notes, num_text_columns=2)


def _cost_table(runs: Sequence[NamedRetrieval]) -> Table:
    rows = []
    for run in runs:
        cost = retrieval_cost(run.run)
        size = cost.bytes_per_hour
        values = (
            cost.encode_seconds_per_hour,
            cost.read_seconds_per_hour,
            None if size is None else size / 1e6,
            cost.milliseconds,
            cost.slow_milliseconds,
        )
        rows.append((run.name, *map(quantity, values)))
    columns = (
        "retriever", "encoding s per video hour", "reading s per video hour",
        "MB per video hour", "query ms, median", "query ms, 95th percentile",
    )  # fmt: skip
    notes = ("Reading: files, speech and screen texts. Queries: encoding and ranking.",)
    return Table("cost", "Cost", columns, tuple(rows), notes)


def _groupings(runs: Sequence[NamedRetrieval]) -> list[str]:
    return sorted({name for run in runs for record in run.run.records for name in record.groups})


def _note(runs: Sequence[NamedRetrieval]) -> str:
    return intervals_note([{record.cluster for record in run.run.records} for run in runs])
