"""E2: every format in which a letter stands is a candidate; the most telling format wins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_EDGES = (",", ".", "!", "?", ";", ":", "'", '"')
_PHRASES = (
    *("answer is", "the answer is", "my answer is", "the best answer is", "best answer is"),
    *("the correct answer is", "correct answer is", "the correct option is", "correct option is"),
    *("the best option is", "best option is", "the choice is", "choice is", "my choice is"),
    *("the correct choice is", "correct choice is", "i choose", "i select", "i pick"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)
_MARKED = ((6, "(", ")"), (5, "", "."), (4, "", ":"), (3, "", ")"), (2, "", " "))
"""Priority of a letter between these two marks."""
_START, _END, _AFTER_PHRASE = 10, 9, 7


class _Candidate(NamedTuple):
    """Of two, the greater is the better."""

    priority: int
    position: int
    letter: str


def best_format(reply: str, letters: str, choices: Sequence[str] = ()) -> str | None:
    """The letter in the highest-ranked format; within one format the one that stands last.

    Source: EvolvingLMMs-Lab/lmms-eval ``lmms_eval/tasks/_task_utils/mcq_extract.py`` at 75571cf
    (Video-MME, MLVU, LVBench, CG-Bench, VideoEval-Pro, Video-MMMU). From best to worst: the reply
    starts with the letter; ends with it; the letter follows an answer phrase *anywhere* (its weak
    point: the last letter mentioned wins); ``(A)``; ``A.``; ``A:``; ``A)``; ``A`` and a space;
    any capital. Later commits of the source have another rule.

    Args:
        reply: What the model wrote.
        letters: Of the options; capitals only.
        choices: Not used by the source.
    """
    text = reply.strip()
    for mark in _EDGES:  # one kind after the other, once each: the source's order matters
        text = text.strip(mark)
    text = f" {text} "
    candidates = [candidate for letter in letters for candidate in _candidates(text, letter)]
    if not candidates:
        candidates = [_Candidate(0, text.rfind(letter), letter) for letter in letters]
        candidates = [candidate for candidate in candidates if candidate.position >= 0]
    return max(candidates).letter if candidates else None


def _candidates(text: str, letter: str) -> Iterator[_Candidate]:
    for priority, before, after in _MARKED:
        position = text.rfind(f"{before}{letter}{after}")
        if position >= 0:
            yield _Candidate(priority, position, letter)
    lowered, core = text.lower(), text.strip()
    for phrase in _PHRASES:
        start = lowered.find(phrase)
        position = text.find(letter, start + len(phrase)) if start >= 0 else -1
        if position >= 0:
            yield _Candidate(_AFTER_PHRASE, position, letter)
    if core.startswith(letter) and not core[1:2].isalpha():
        yield _Candidate(_START, 0, letter)
    if core.endswith(letter) and not core[-2:-1].isalpha():
        yield _Candidate(_END, len(text) - 1, letter)
