"""Where sentences end: in what is said, and in what a model writes."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NO_ABBREVIATION = (
    r"(?<!\b(?:Mr|Ms|Dr|St|No|Nr|vs|Jr|Sr|cf|ca))(?<!\b(?:Mrs|Fig))(?<!\bProf)(?<!\bapprox)"
    r"(?<!\b[A-Za-z])"  # an initial, "e.g.", "p.m."
)
_CLOSERS = r"[\"'”’»)\]]*"
_STOP = rf"(?:{_NO_ABBREVIATION}[.…]|[!?]){_CLOSERS}"
_CJK_STOP = r"[。！？][”’」』）]*"  # no space follows these
_MARKS = r"(?: *\[\d+\])*"

SENTENCE_END = re.compile(rf"{_STOP}(?=\s|$)|{_CJK_STOP}")
"""The stop of a sentence of speech, with the quotes and brackets that close after it."""

# The small letter after "approx." or "etc." goes on with the sentence; a model does write capitals.
_ANSWER_END = re.compile(rf"(?:{_STOP}(?={_MARKS}(?:\s|$))|{_CJK_STOP}){_MARKS}(?! +[a-z])")
_LINE = re.compile(r"[^\n]+")
_LIST_SIGN = re.compile(r"\s*(?:\d{1,3}[.)]|[-*•])\s+")


def sentence_spans(answer: str) -> Iterator[tuple[int, int]]:
    """Start and stop of each sentence of an answer.

    Citation marks after a stop belong to the sentence before them; a line ends a sentence, and the
    sign of a list item is none.
    """
    for line in _LINE.finditer(answer):
        text = line[0].rstrip()
        sign = _LIST_SIGN.match(text)
        start = 0
        for end in _ANSWER_END.finditer(text, sign.end() if sign else 0):
            yield _without_lead(text, start, end.end(), line.start())
            start = end.end()
        if text[start:].strip():
            yield _without_lead(text, start, len(text), line.start())


def without_list_sign(sentence: str) -> str:
    """The sentence without the number or dash of a list item before it."""
    return _LIST_SIGN.sub("", sentence, count=1) if _LIST_SIGN.match(sentence) else sentence


def _without_lead(text: str, start: int, stop: int, offset: int) -> tuple[int, int]:
    lead = len(text[start:stop]) - len(text[start:stop].lstrip())
    return offset + start + lead, offset + stop
