"""CG-Bench replies as VLMEvalKit reads them: clue intervals, and letters that need only contain.

Source: open-compass/VLMEvalKit ``vlmeval/dataset/utils/cgbench.py`` at e8e78f0. Both want a fenced
JSON object with a ``result``; without one they look for letters or numbers anywhere.
"""

from __future__ import annotations

import json
import math
import re

_FENCED = re.compile(r"```json(.*?)```", re.DOTALL)
_BARE_WORD = re.compile(r"(?<=:\s)([A-Za-z_]\w*)")
_LETTER = re.compile(r"\b[A-H]\b")
_NUMBER = re.compile(r"-?\d+\.?\d*")

Interval = tuple[float, float]
"""Start and stop in seconds; a predicted one may be reversed or beyond the video."""


def names_gold(reply: str, gold: str) -> bool | None:
    """Whether a reply is right; None where it names no option (the source then drops it).

    Without JSON any standalone letter A to H that equals the gold is enough: "A or C" is right for
    C, and right for A.
    """
    fenced = _FENCED.search(reply)
    result = _result(_BARE_WORD.sub(r'"\1"', fenced[1])) if fenced else None
    if result is not None:
        return result == gold
    letters = _LETTER.findall(reply)
    return gold in letters if letters else None


def clue_intervals(reply: str, duration_seconds: float) -> tuple[Interval, ...] | None:
    """The intervals that a reply predicts; None where it has no pair of numbers.

    Intervals whose bounds are all at most 1 are shares of the video. Without JSON all numbers of
    the text are paired up: "00:15-00:25" is [0, 15] and [0, 25].

    Args:
        reply: What the model wrote.
        duration_seconds: Of the video.
    """
    fenced = _FENCED.search(reply)
    result = _result(fenced[1]) if fenced else None
    if result is not None and not isinstance(result, list):
        return None
    if pairs := _pairs(result):
        is_share = all(bound <= 1 for pair in pairs for bound in pair)
        scale = duration_seconds if is_share else 1.0
        return tuple((start * scale, stop * scale) for start, stop in pairs)
    numbers = [float(number) for number in _NUMBER.findall(reply)]
    return tuple(zip(numbers[::2], numbers[1::2], strict=False)) or None


def _result(text: str) -> object:
    try:
        read = json.loads(text)
    except ValueError:
        return None
    return read.get("result") if isinstance(read, dict) else None


def _pairs(result: list[object] | None) -> list[Interval]:
    """A list of pairs, or one pair, as pairs; none where it is anything else."""
    pairs = result if result and isinstance(result[0], list) else [result]
    read: list[Interval] = []
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and all(map(_is_second, pair))):
            return []
        read.append((float(pair[0]), float(pair[1])))
    return read


def _is_second(bound: object) -> bool:
    return isinstance(bound, (int, float)) and math.isfinite(bound)
