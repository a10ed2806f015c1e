"""Plots of runs over the questions of one benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from eval.report.plots import Bar, Point, bar_plot, point_plot
from eval.report.qa_figures import (
    OPEN,
    Cost,
    cost,
    evidence_score,
    groupings,
    guessing,
    score,
    score_by,
)
from eval.report.qa_tables import rule_text
from eval.report.runs import NamedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def qa_plots(runs: Sequence[NamedRun], rule: str) -> dict[str, Figure]:
    """The plots that the runs have figures for, by name.

    Args:
        runs: Over the same benchmark.
        rule: The one that accuracy is given by.
    """
    chance = None if rule == OPEN else guessing(runs[0].records)
    y_label = f"accuracy, {rule_text(rule)} (%)"
    plots: dict[str, Figure] = {}
    for name, x_label, value in _COSTS:
        points = _cost_points(runs, rule, value)
        # Runs that all cost nothing show no trade.
        if any(point.x for point in points):
            plots[name] = point_plot(points, x_label=x_label, y_label=y_label, guessing=chance)
    if points := _retrieval_points(runs, rule):
        plots["accuracy-vs-hit-at-1"] = point_plot(
            points, x_label="evidence hit@1 (%)", y_label=y_label, guessing=chance
        )
    for grouping in sorted({name for run in runs for name in groupings(run.records)}):
        if bars := _bars(runs, rule, grouping):
            plots[f"accuracy-by-{grouping}"] = bar_plot(
                bars, title=f"by {grouping}", y_label=y_label, guessing=chance
            )
    return plots


_COSTS: tuple[tuple[str, str, Callable[[Cost], float | None]], ...] = (
    ("accuracy-vs-frames", "frames shown per question", lambda found: found.mean_frames),
    ("accuracy-vs-seconds", "seconds per question (median)", lambda found: found.seconds),
    (
        "accuracy-vs-tokens",
        "prompt tokens per question (mean)",
        lambda found: found.mean_prompt_tokens,
    ),
)


def _cost_points(
    runs: Sequence[NamedRun], rule: str, value: Callable[[Cost], float | None]
) -> list[Point]:
    """Runs of the same retriever and answerer are one series, so that a line joins budgets."""
    points = []
    for run in runs:
        found, x = score(run.records, rule), value(cost(run.run))
        if found is not None and x is not None:
            points.append(Point(run.series, x, found.full))
    return points


def _retrieval_points(runs: Sequence[NamedRun], rule: str) -> list[Point]:
    points = []
    for run in runs:
        answers = score(run.records, rule)
        evidence = evidence_score(run.records, run.header.top_k)
        if answers is not None and evidence is not None:
            points.append(Point(run.name, evidence.hits[1], answers.full))
    return points


def _bars(runs: Sequence[NamedRun], rule: str, grouping: str) -> list[Bar]:
    scores = {run.name: score_by(run.records, rule, grouping) for run in runs}
    bars = []
    for label in sorted({label for found in scores.values() for label in found}):
        shares = {name: found[label].full for name, found in scores.items() if label in found}
        sizes = {share.num_values for share in shares.values()}
        # A number that is not the same in all runs would be wrong for some of the bars.
        shown = f"{label} (n={min(sizes)})" if len(sizes) == 1 else label
        bars += [Bar(shown, name, share) for name, share in shares.items()]
    return bars
