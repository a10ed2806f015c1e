"""Raw subtitle cues to speech text: sorted, with sane times, nothing said twice."""

from __future__ import annotations

from collections.abc import Iterable

from clamr_rag.types import Cue

_TOUCH_SECONDS = 0.15
"""Cues at most this far apart can be one caption that is shown on."""

_SHORTEST_SECONDS = 0.5
"""Given to a cue that ends before it starts."""

_LONGEST_SECONDS = 86_400.0
_LATEST_SECONDS = 8_640_000.0


def tidy_cues(raw: Iterable[tuple[float, float, str]]) -> tuple[Cue, ...]:
    """Returns cues in order of start time, each line of roll-up captions only once.

    Automatic captions repeat the line above in each cue and show every line twice; what a cue
    repeats of the one before it, while that is still on the screen, is taken as its prolongation.
    """
    cues: list[Cue] = []
    shown: list[str] = []
    for start, stop, text in sorted(filter(_is_usable, map(_repaired, raw))):
        lines = text.splitlines()
        if cues and start - cues[-1].stop_seconds <= _TOUCH_SECONDS:
            repeated = _overlap(shown, lines)
            if repeated:
                last = cues[-1]
                end = max(last.stop_seconds, start if repeated < len(lines) else stop)
                cues[-1] = Cue(last.start_seconds, end, last.text)
        else:
            repeated = 0
        shown = lines
        if repeated < len(lines):
            cues.append(Cue(start, stop, "\n".join(lines[repeated:])))
    return tuple(cues)


def _overlap(shown: list[str], lines: list[str]) -> int:
    """Returns how many first lines are the last ones of what was shown."""
    for count in range(min(len(shown), len(lines)), 0, -1):
        if shown[-count:] == lines[:count]:
            return count
    return 0


def _repaired(raw: tuple[float, float, str]) -> tuple[float, float, str]:
    """Gives a cue that ends before it starts a short stay, and cuts what lies before second 0."""
    start, stop, text = raw
    if stop < start:
        stop = start + _SHORTEST_SECONDS
    return max(0.0, start), stop, text.strip()


def _is_usable(cue: tuple[float, float, str]) -> bool:
    start, stop, text = cue
    # Comparisons with NaN are false, so those fall out too.
    return bool(text) and 0 <= stop - start <= _LONGEST_SECONDS and stop <= _LATEST_SECONDS
