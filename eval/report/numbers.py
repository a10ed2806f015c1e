"""Figures as they stand in tables."""

from __future__ import annotations

import math

from eval.stats import Interval

NONE = "–"
"""Where there is no figure."""


def percent(share: float | None) -> str:
    """Of a share in [0, 1], without its sign: the column says it."""
    return NONE if share is None else f"{100 * share:.1f}"


def percent_with_interval(share: Interval | None) -> str:
    """E.g. ``"61.3 [52.1, 70.0]"``; one video alone says nothing about others: no interval."""
    if share is None:
        return NONE
    if share.num_clusters == 1:
        return percent(share.mean)
    return f"{percent(share.mean)} [{percent(share.low)}, {percent(share.high)}]"


def points_with_interval(difference: Interval) -> str:
    """A difference of shares in percentage points, with its sign."""
    values = difference.mean, difference.low, difference.high
    mean, low, high = (_signed(100 * value) for value in values)
    return mean if difference.num_clusters == 1 else f"{mean} [{low}, {high}]"


def quantity(value: float | None) -> str:
    """Three digits that count, e.g. ``"0.0123"`` or ``"4,210"``."""
    if value is None:
        return NONE
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def p_value(value: float) -> str:
    """Chances below one in a thousand are said to be no more than that."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def clock(seconds: float) -> str:
    """``H:MM:SS.s`` of a time in a video."""
    tenths = round(10 * seconds)
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"


def span(start_seconds: float, stop_seconds: float) -> str:
    """A span of a video."""
    return f"{clock(start_seconds)}–{clock(stop_seconds)}"


def _signed(value: float) -> str:
    text = f"{abs(value):.1f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"
