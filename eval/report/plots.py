"""Plots of shares with their intervals, as PNG and SVG, the same bytes for the same figures.

Colours are those of Okabe and Ito, which people with any colour vision tell apart (grey stands for
their black, on which no interval shows); every series has a marker or a hatch of its own as well.
Letters are large enough to read at half the size.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.report.tables import visible
from eval.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
"""As many as share no divisor with the number of colours: 77 looks before one comes twice."""
_HATCHES = ("", "///", "...", "\\\\\\", "xxx")
_GREY = "#595959"
_WIDTH_INCHES, _HEIGHT_INCHES = 7.2, 4.8
_LEGEND_ROW_INCHES = 0.3
_LEGEND_SIGNS = 62
"""About as many letters fit beside each other below a plot."""
_LABEL_SIGNS = 26
"""Of a line beside the bars."""
_DODGE_POINTS = 5.0
_GUESSING = "guessing"
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 14,
    "axes.titlesize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#d9d9d9",
    "hatch.color": "#ffffff",
    "text.parse_math": False,  # a label is a name: "$" in it is a sign
    "svg.hashsalt": "clamr-rag",  # ids in the file are drawn at random without it
    "svg.fonttype": "path",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One run in a plot of points."""

    series: str
    """Points of one series have one look and are joined by a line."""
    x: float | Interval
    """Plain, or a share in [0, 1] with its interval."""
    y: Interval
    """A share in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One run's share of one label."""

    label: str
    series: str
    y: Interval
    """A share in [0, 1]."""


def point_plot(
    points: Sequence[Point], *, x_label: str, y_label: str, guessing: float | None = None
) -> Figure:
    """Shares over a cost, a number of frames, or another share.

    Args:
        points: At least one.
        x_label: With its unit.
        y_label: With its unit.
        guessing: Share that guessing is worth, drawn as a line; None where it is not known.
    """
    from matplotlib import rc_context

    by_series = _by_series(points)
    with rc_context(_STYLE):
        figure, axes = _empty_figure(_HEIGHT_INCHES, list(by_series))
        crowded = len({_middle(point.x) for point in points}) < len(points)
        for place, (series, members) in enumerate(by_series.items()):
            dodge = (place - (len(by_series) - 1) / 2) * _DODGE_POINTS if crowded else 0.0
            _draw_series(axes, series, members, place, dodge)
        _set_scale(axes, points)
        _draw_guessing(axes, guessing)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        _set_percent_limits(axes, [point.y for point in points], guessing)
        _draw_legend(figure, axes)
    return figure


def bar_plot(
    bars: Sequence[Bar], *, title: str, y_label: str, guessing: float | None = None
) -> Figure:
    """Shares per label, a bar for each series, with intervals; labels from top to bottom.

    Args:
        bars: At least one; the labels and series keep the order in which they first come.
        title: What the labels are of.
        y_label: Of the shares, with its unit.
        guessing: As for `point_plot`.
    """
    from matplotlib import rc_context

    labels = list(dict.fromkeys(bar.label for bar in bars))
    series = list(dict.fromkeys(bar.series for bar in bars))
    thickness = 0.8 / len(series)
    with rc_context(_STYLE):
        inches = 1.5 + len(labels) * max(0.5, 0.24 * len(series) + 0.12)
        figure, axes = _empty_figure(inches, series)
        for place, name in enumerate(series):
            members = [bar for bar in bars if bar.series == name]
            rows = [labels.index(bar.label) + (place + 0.5) * thickness - 0.4 for bar in members]
            _draw_bars(axes, name, members, rows, place, thickness)
        axes.set_yticks(range(len(labels)), [_wrapped(label) for label in labels])
        axes.set_ylim(len(labels) - 0.45, -0.55)  # the first label on top
        axes.set_xlim(0, 100)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        if guessing is not None:
            axes.axvline(100 * guessing, color=_GREY, linestyle=":", linewidth=2, label=_GUESSING)
        axes.set_xlabel(y_label)
        axes.set_title(_wrapped(title, _LEGEND_SIGNS), loc="left")
        _draw_legend(figure, axes)
    return figure


def write_plot(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Writes ``name.png`` and ``name.svg``, which say nothing of when and by what."""
    from matplotlib import rc_context

    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    with rc_context(_STYLE):
        figure.savefig(png, dpi=200, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg


def _empty_figure(inches: float, series: Sequence[str]) -> tuple[Figure, Axes]:
    # Not pyplot: that keeps every figure and picks a screen to show it on.
    from matplotlib.figure import Figure

    rows = math.ceil(len(series) / _legend_columns(series))
    height = inches + rows * _LEGEND_ROW_INCHES
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    return figure, figure.add_subplot()


def _draw_series(
    axes: Axes, series: str, members: Sequence[Point], place: int, dodge: float
) -> None:
    from matplotlib.transforms import offset_copy

    across = offset_copy(axes.transData, axes.get_figure(root=True), x=dodge, y=0, units="points")
    ordered = sorted(members, key=lambda point: _middle(point.x))
    spans = [point.x for point in ordered if isinstance(point.x, Interval)]
    axes.errorbar(
        [_shown(point.x) for point in ordered],
        [100 * point.y.mean for point in ordered],
        xerr=_errors(spans) if spans else None,
        yerr=_errors([point.y for point in ordered]),
        label=series,
        color=_COLORS[place % len(_COLORS)],
        marker=_MARKERS[place % len(_MARKERS)],
        markersize=9,
        linewidth=2,
        elinewidth=1.5,
        capsize=4,
        transform=across,
    )


def _draw_bars(
    axes: Axes,
    series: str,
    members: Sequence[Bar],
    rows: Sequence[float],
    place: int,
    thickness: float,
) -> None:
    axes.barh(
        rows,
        [100 * bar.y.mean for bar in members],
        height=0.9 * thickness,
        xerr=_errors([bar.y for bar in members]),
        label=series,
        color=_COLORS[place % len(_COLORS)],
        hatch=_HATCHES[place // len(_COLORS) % len(_HATCHES)],
        error_kw={"ecolor": "#000000", "elinewidth": 1.8, "capsize": 3},
    )


def _set_scale(axes: Axes, points: Sequence[Point]) -> None:
    places = [_shown(point.x) for point in points]
    if isinstance(points[0].x, Interval):
        axes.set_xlim(-3, 103)
    elif min(places) > 0 and max(places) > 8 * min(places):
        from matplotlib.ticker import FuncFormatter, NullFormatter

        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(min(places) / 1.4, max(places) * 1.4)
    else:
        # A cost without its zero makes two runs look far apart.
        axes.set_xlim(0 if max(places) else -1, 1.12 * max(places) or 1)


def _set_percent_limits(axes: Axes, shares: Sequence[Interval], guessing: float | None) -> None:
    low = min([share.low for share in shares] + ([] if guessing is None else [guessing]))
    high = max([share.high for share in shares] + ([] if guessing is None else [guessing]))
    axes.set_ylim(max(-3.0, 100 * low - 6), min(103.0, 100 * high + 6))


def _draw_guessing(axes: Axes, guessing: float | None) -> None:
    if guessing is not None:
        axes.axhline(100 * guessing, color=_GREY, linestyle=":", linewidth=2, label=_GUESSING)


def _draw_legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        # matplotlib lists lines before the rest; the runs come first here.
        order = sorted(range(len(names)), key=lambda place: names[place] == _GUESSING)
        handles, names = [handles[place] for place in order], [names[place] for place in order]
        columns = _legend_columns(names)
        shown = [_wrapped(name, _LEGEND_SIGNS) for name in names]
        figure.legend(handles, shown, loc="outside lower center", ncols=columns, frameon=False)


def _legend_columns(names: Sequence[str]) -> int:
    widest = max(map(len, names)) + 5
    return max(1, min(len(names), 4, _LEGEND_SIGNS // widest))


def _wrapped(text: str, most_signs: int = _LABEL_SIGNS) -> str:
    """Two lines or little more: a longer label would leave no room for the figures."""
    words, most = " ".join(visible(text).split()), 2 * most_signs
    if len(words) > most:
        # The end may tell labels apart, and has the number of questions.
        words = f"{words[: most - 15].rstrip()} … {words[-12:].lstrip()}"
    return "\n".join(textwrap.wrap(words, most_signs))


def _errors(shares: Sequence[Interval]) -> list[list[float]]:
    """Lengths below and above each mean, ``(2, n)``, in percent; NaN draws none."""

    def length(share: Interval, difference: float) -> float:
        # One video says nothing about others: a bar of no length would look sure.
        # A mean rounded otherwise than its bound must not make a length negative.
        return math.nan if share.num_clusters == 1 else max(0.0, 100 * difference)

    below = [length(share, share.mean - share.low) for share in shares]
    return [below, [length(share, share.high - share.mean) for share in shares]]


def _middle(x: float | Interval) -> float:
    return x.mean if isinstance(x, Interval) else x


def _shown(x: float | Interval) -> float:
    return 100 * x.mean if isinstance(x, Interval) else x


def _by_series(points: Sequence[Point]) -> dict[str, list[Point]]:
    names = dict.fromkeys(point.series for point in points)
    ordered = sorted(points, key=lambda point: list(names).index(point.series))
    return {name: list(group) for name, group in groupby(ordered, key=lambda p: p.series)}
