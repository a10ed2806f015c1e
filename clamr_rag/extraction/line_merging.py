"""When two readings are the same line of text, and merging lines over time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from clamr_rag.extraction import Box
from clamr_rag.types import OcrLine

_LETTERS_PER_SLIP = 5
"""A word of this many letters may differ in one and still be the same word, badly read."""
_MOST = 0.6
_GAP_SECONDS = 2.5
"""Longest time in which a line may go unread between two readings of it, at one frame a second."""


def same_text(text: str, other: str) -> bool:
    """Whether two readings are of the same text, small slips of the recogniser forgiven.

    Digits are never forgiven: ``Score: 3`` and ``Score: 4`` are two lines; nor are short words.
    """
    words, others = _words(text), _words(other)
    if "".join(words) == "".join(others):
        return bool(words) or text == other
    # One slip in a word is likely the recogniser's; one in a number may be the news.
    if re.findall(r"\d", text) != re.findall(r"\d", other):
        return False
    if len(words) != len(others):
        return False
    return all(_same_word(word, other) for word, other in zip(words, others, strict=True))


def same_place(box: Box, other: Box) -> bool:
    """Whether two boxes share at least half of the lower height and half of the lesser width."""
    return all(
        min(box[far], other[far]) - max(box[near], other[near])
        >= 0.5 * min(box[far] - box[near], other[far] - other[near])
        for near, far in ((0, 2), (1, 3))
    )


def covers(box: Box, other: Box) -> bool:
    """Whether most of the other box lies in the box."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    area = (other[2] - other[0]) * (other[3] - other[1])
    return width > 0 and height > 0 and width * height >= _MOST * area


def grows_from(line: OcrLine, later: OcrLine) -> bool:
    """Whether the later reading is the same line, typed on: it starts with the earlier text.

    A number that grows is another number: ``Count: 1`` does not grow to ``Count: 12``.
    """
    short, long = "".join(_words(line.text)), "".join(_words(later.text))
    if short == long:
        short, long = line.text, later.text
    if not short or len(long) <= len(short) or not long.startswith(short):
        return False
    grows_number = short[-1].isdigit() and long[len(short)].isdigit()
    return not grows_number and same_place(line.box, later.box)


def merged(line: OcrLine, later: OcrLine) -> OcrLine:
    """One line over both times, with the better text and its place.

    That is the longer of two that grow from one another, else the one read with more confidence.
    """
    if grows_from(line, later):
        best = later
    elif grows_from(later, line):
        best = line
    else:
        best = max(line, later, key=lambda reading: reading.confidence)
    return replace(
        best,
        first_seconds=min(line.first_seconds, later.first_seconds),
        last_seconds=max(line.last_seconds, later.last_seconds),
        confidence=max(line.confidence, later.confidence),
    )


def merge_lines(
    parts: Sequence[tuple[OcrLine, ...]], gap_seconds: float = _GAP_SECONDS
) -> tuple[OcrLine, ...]:
    """Joins the lines of consecutive parts of a video over their borders.

    Args:
        parts: Lines of each part, in order of time.
        gap_seconds: A line that is read again at most this long after it was last seen is one line.
    """
    return join_gaps((line for part in parts for line in part), gap_seconds)


def join_gaps(lines: Iterable[OcrLine], gap_seconds: float = _GAP_SECONDS) -> tuple[OcrLine, ...]:
    """Merges each line with the same text at the same place that follows it closely.

    Returns the lines in order of their first second, then from top to bottom.
    """
    joined: list[OcrLine] = []
    open_numbers: list[int] = []
    # Only lines that ended lately can go on: long videos stay linear.
    for line in sorted(lines, key=_by_time):
        oldest = line.first_seconds - gap_seconds
        open_numbers = [n for n in open_numbers if joined[n].last_seconds >= oldest]
        twin = next((n for n in open_numbers if _is_same_line(joined[n], line)), None)
        if twin is None:
            open_numbers.append(len(joined))
            joined.append(line)
        else:
            joined[twin] = merged(joined[twin], line)
    return tuple(sorted(joined, key=_by_time))


def _by_time(line: OcrLine) -> tuple[float, float, float]:
    return line.first_seconds, line.box[1], line.box[0]


def _is_same_line(line: OcrLine, later: OcrLine) -> bool:
    return same_place(line.box, later.box) and same_text(line.text, later.text)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _same_word(word: str, other: str) -> bool:
    slips = min(len(word), len(other)) // _LETTERS_PER_SLIP
    return word == other or (slips > 0 and _edit_distance(word, other) <= slips)


def _edit_distance(word: str, other: str) -> int:
    """Levenshtein's distance: letters to insert, delete or replace."""
    row = list(range(len(other) + 1))
    for letter in word:
        above = [row[0] + 1, *row[1:]]
        for column, (before, here) in enumerate(pairwise(row), start=1):
            replaced = before + (letter != other[column - 1])
            above[column] = min(replaced, here + 1, above[column - 1] + 1)
        row = above
    return row[-1]
