"""The plots of `eval/results`: on white, in colours and words, so that either page suits them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.paper.figures import Role
from eval.paper.ranking import BUDGETS, at_budget
from eval.paper.study import FUSIONS, MAIN, SINGLES, Study
from eval.report.plots import Bar, Point, bar_plot, point_plot, write_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Y_LABEL = "nDCG@10 (%), 95 % interval"
_BARS: Sequence[tuple[str, Role, str, str]] = (
    ("joint", MAIN, "joint encoding", "#0072B2"),
    ("joint-token-max", MAIN, "joint, searched by token_max", "#0072B2"),
    ("joint", "token_max", "trained with token_max", "#E69F00"),
    ("joint-token-max", "token_max", "trained with and searched by token_max", "#E69F00"),
    *((name, MAIN, f"fusion: {name}", "#009E73") for name in FUSIONS),
    ("max", "separate", "fusion: max, trained apart", "#E69F00"),
    *((name, MAIN, f"{name} alone", "#CC79A7") for name in SINGLES),
    ("bm25", MAIN, "words: BM25", "#7F7F7F"),
)
_LINES: Sequence[tuple[str, Role, str, str]] = (
    ("joint", MAIN, "", "joint encoding"),
    ("joint", MAIN, "-shared", "joint, shared budget"),
    ("joint-token-max", MAIN, "", "joint, searched by token_max"),
    ("max", MAIN, "", "encoded apart, max"),
    ("max", MAIN, "-shared", "encoded apart, max, shared budget"),
    ("joint", "token_max", "", "trained with token_max"),
)


def write_plots(study: Study, folder: Path) -> list[str]:
    """Writes each plot as SVG and PNG.

    Returns:
        Their names, without those that nothing is measured for.
    """
    made = {"retrievers": retrievers(study), "budgets": budgets(study)}
    drawn = {name: figure for name, figure in made.items() if figure}
    for name, figure in drawn.items():
        write_plot(figure, folder, name)
    return list(drawn)


def retrievers(study: Study) -> Figure | None:
    """A bar for each way to search."""
    bars, colors = [], []
    for name, role, label, color in _BARS:
        samples = study.samples(name, role=role)
        if samples:
            bars.append(Bar(label, "nDCG@10", samples.interval))
            colors.append(color)
    if not bars:
        return None
    figure = bar_plot(bars, title=_title(study), y_label=_Y_LABEL)
    for patch, color in zip(figure.axes[0].patches, colors, strict=True):
        patch.set_facecolor(color)
    return figure


def budgets(study: Study) -> Figure | None:
    """nDCG@10 over the vectors that pooling leaves."""
    points = []
    for name, role, ending, label in _LINES:
        lengths = [run.vectors for run in study.figures.runs if run.vectors]
        for budget in (*map(str, BUDGETS), "all"):
            samples = study.samples(at_budget(name, budget, ending), role=role)
            if samples and lengths:
                length = float(np.mean([own[budget] for own in lengths]))
                points.append(Point(label, length, samples.interval))
    if not points:
        return None
    x_label = "vectors per clip (the last: all)"
    return point_plot(points, x_label=x_label, y_label=_Y_LABEL)


def _title(study: Study) -> str:
    seeds = len([run for run in study.figures.runs if run.role == MAIN])
    of_seeds = "1 seed" if seeds == 1 else f"{seeds} seeds"
    return f"{study.figures.num_clips} clips, {len(study.clips):,} queries, {of_seeds}"
