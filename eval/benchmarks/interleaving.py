"""LongVideoBench: subtitles in two styles, set between the frames that they cover.

Source: longvideobench/LongVideoBench ``longvideobench/longvideobench_dataset.py`` at 2aa4f91; the
same in lmms-eval 75571cf and VLMEvalKit e8e78f0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from eval.benchmarks.records import TimedText
from eval.benchmarks.rows import Row, json_rows

_SHORTEST_SECONDS = 1.0
"""Shorter texts are looked for over this time around their middle."""
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d*)?)")


def timed_texts(
    path: Path, starting_timestamp: float, duration_seconds: float
) -> tuple[TimedText, ...]:
    """The texts of a subtitle file in seconds of the video.

    Both styles may stand in one file: ``{"timestamp": [start, end], "text"}``, where an end that is
    not written with a decimal point (null, or a whole number) becomes the video's duration; and
    ``{"start": "HH:MM:SS.mmm", "end": …, "line"}``. The starting timestamp is taken off afterwards,
    so also off an end that is the duration.

    Args:
        path: The JSON file.
        starting_timestamp: Second of the subtitles at which the video starts.
        duration_seconds: Of the video, as annotated.

    Raises:
        UsageError: The file or a row of it is something else.
    """
    texts = []
    for row in json_rows(path):
        start, stop, text = _times_and_text(row, duration_seconds)
        texts.append(TimedText(start - starting_timestamp, stop - starting_timestamp, text))
    return tuple(texts)


def interleave(texts: Sequence[TimedText], times: Sequence[float]) -> tuple[int | str, ...]:
    """Frames by their place in ``times``, with the texts that cover one of them between.

    A text comes after the frames up to its middle. It is left out if no frame lies strictly inside
    it; one shorter than a second is widened to that first.

    Args:
        texts: In the order of the file.
        times: Of the frames, ascending seconds.
    """
    parts: list[int | str] = []
    num_shown = 0
    for text in texts:
        start, stop = text.start_seconds, text.stop_seconds
        middle = (start + stop) / 2
        while num_shown < len(times) and times[num_shown] <= middle:
            parts.append(num_shown)
            num_shown += 1
        if stop - start < _SHORTEST_SECONDS:
            start, stop = middle - _SHORTEST_SECONDS / 2, middle + _SHORTEST_SECONDS / 2
        if any(start < seconds < stop for seconds in times):
            parts.append(text.text)
    return (*parts, *range(num_shown, len(times)))


def _times_and_text(row: Row, duration_seconds: float) -> tuple[float, float, str]:
    if not row.has("timestamp"):
        return (
            _clock_seconds(row, "start"),
            _clock_seconds(row, "end"),
            row.text("line", may_be_blank=True),
        )
    match row.values("timestamp"):
        case [int() | float() as start, end]:
            stop = end if isinstance(end, float) else duration_seconds
            if math.isfinite(start) and math.isfinite(stop):
                return float(start), stop, row.text("text", may_be_blank=True)
    raise row.error(
        f"field 'timestamp' is {row.fields['timestamp']!r}", allowed="[start, end] in seconds"
    )


def _clock_seconds(row: Row, name: str) -> float:
    found = _CLOCK.fullmatch(row.text(name).strip())
    if not found:
        raise row.error(f"field {name!r} is {row.text(name)!r}", allowed="HH:MM:SS.mmm")
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
