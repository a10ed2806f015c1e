"""Whether the words of the evidence bear out a sentence.

A sentence is borne out by texts that have every number of it and at least half of its telling words
that the question does not have already: who repeats the question has said nothing yet. That finds
invented figures and names. It does not find a "not" too much or too little, a wrong relation
between words that are there, or a true number in a wrong place.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from clamr_rag.types import TimeSpan

ENOUGH_WORDS = 0.5
"""Share of a sentence's telling words that its evidence must have."""
_STEM_LETTERS = 5
_FEWEST_COUNTED = 4
"""A model writes "two reasons" where it counts what the video lists; four and up is a figure."""

_UNSPACED = (
    "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # Chinese, Japanese, Korean
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
)
_WORDS = re.compile(rf"\d+(?:[.,:'’]\d+)*|[{_UNSPACED}]+|[^\W\d_{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_THOUSANDS = re.compile(r"([1-9]\d{0,2}(?:([.,'’])\d{3})(?:\2\d{3})*)(?:[.,](\d+))?")
_DECIMAL = re.compile(r"(\d+)[.,](\d+)")
_TIMECODE = re.compile(r"\b(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d(?:\.\d+)?)(?![\d:])")

_UNITS = {
    name: number
    for number, name in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
        " fifteen sixteen seventeen eighteen nineteen".split()
    )
}
_TENS = {
    name: 10 * number
    for number, name in enumerate(
        "twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2
    )
}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_LONGEST_NUMBER = 16
"""Words of a spelled number: "nine hundred and ninety-nine million …"."""
_ORDINALS = {
    name: str(number)
    for number, name in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth".split(), start=1
    )
}
_COMMON = frozenset(
    # English, and what a model says about evidence
    "a about after all also an and any are as at be because been before being but by can could did"
    " do does during each for from had has have he her here him his how i if in into is it its just"
    " may more most of on or other our out over own said say says she shown shows so some such"
    " than that the their them then there these they this those through to too under until up very"
    " was we were what when where which while who whom why will with would you your"
    " video videos clip clips screen speaker slide picture pictures mentioned mentions states"
    " stated according evidence answer yes no not"
    # the commonest of German, French, Spanish, Italian and Portuguese that are no English words
    " der das dem ein eine einen einer und oder ist sind wird werden wurde nicht auf mit von zu zum"
    " zur im für als auch sie er es wir dass bei nach aus"
    " le la les un une des du de et ou est sont dans sur pour par pas que qui il elle ce cette au"
    " el los las una y es en por para del al se lo su como"
    " gli di che non per sono nel della o os as um uma do da dos em no na com não é".split()
)


@dataclass(frozen=True, slots=True)
class Telling:
    """What a text tells, in a form that can be compared."""

    words: frozenset[str]
    """Numbers, and the beginnings of the words that are not in every sentence."""
    figures: frozenset[str]
    """The numbers among them that evidence must have."""
    offered: frozenset[str]
    """The words, and numbers that a sentence may take from them: 1 from "one", 3 from "third"."""


def share_of(sentence: str, evidence: Iterable[str], question: str = "") -> float:
    """Share of a sentence's telling words that the evidence has; 0 if it lacks a figure.

    Words of the question count only where the sentence has no other ("Yes", "It did").
    """
    claim, asked = telling(sentence), telling(question)
    there = frozenset[str]().union(*(telling(text).offered for text in evidence))
    if claim.figures - there:
        return 0.0
    wanted = (claim.words - asked.words) or claim.words or asked.words
    return len(wanted & there) / len(wanted) if wanted else 0.0


def overlap(sentence: str, text: str) -> float:
    """Share of a sentence's telling words, numbers among them, that one text has."""
    wanted = telling(sentence).words
    return len(wanted & telling(text).offered) / len(wanted) if wanted else 0.0


def without_true_times(sentence: str, spans: Sequence[TimeSpan]) -> str:
    """Takes the times out of a sentence that lie in one of the spans, give or take a second.

    A model is told when things are said and shown, so "at 12:31" is no figure from a text.
    """

    def checked(found: re.Match[str]) -> str:
        hours, minutes, seconds = int(found[1] or 0), int(found[2]), float(found[3])
        moment = 3600 * hours + 60 * minutes + seconds
        is_true = any(span.start_seconds - 1 <= moment <= span.stop_seconds + 1 for span in spans)
        return " " if is_true else found[0]

    return _TIMECODE.sub(checked, sentence)


@lru_cache(maxsize=4096)
def telling(text: str) -> Telling:
    """What a text tells."""
    words: set[str] = set()
    figures: set[str] = set()
    more: set[str] = set()
    for word in _with_numbers_in_digits(_WORDS.findall(_folded(text))):
        if word.figure:
            words.add(word.text)
            if word.is_digits or float(word.text) >= _FEWEST_COUNTED:
                figures.add(word.text)
        elif _IS_UNSPACED.match(word.text):
            words.update(word.text[i : i + 2] for i in range(max(1, len(word.text) - 1)))
        elif word.text == "one":
            more.add("1")
        elif word.text not in _COMMON and len(word.text) > 1:
            words.add(word.text[:_STEM_LETTERS])
            if word.text in _ORDINALS:
                more.add(_ORDINALS[word.text])
    return Telling(frozenset(words), frozenset(figures), frozenset(words | more))


def _folded(text: str) -> str:
    """Small letters without accents, digits of all scripts as 0 to 9."""
    bare = (
        str(unicodedata.digit(sign)) if unicodedata.category(sign) == "Nd" else sign
        for sign in unicodedata.normalize("NFKD", text)
        if not unicodedata.category(sign).startswith("M")
    )
    return unicodedata.normalize("NFKC", "".join(bare)).casefold()


# --- numbers


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    figure: bool = False
    is_digits: bool = False


def _with_numbers_in_digits(words: Sequence[str]) -> list[_Word]:
    """Words, with "forty", "two" as 42, "1,000" as 1000."""
    found: list[_Word] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word[0].isdigit():
            found.append(_Word(_canonical(word), figure=True, is_digits=True))
            position += 1
            # "4.2 million" is often written 4.2M.
            if position < len(words) and words[position] in _SCALES:
                found.append(_Word(words[position]))
                position += 1
            continue
        number, length = _spelled(words[position : position + _LONGEST_NUMBER])
        if length and words[position : position + length] != ["one"]:
            found.append(_Word(str(number), figure=True))
            position += length
        else:
            found.append(_Word(word))
            position += 1
    return found


def _spelled(words: Sequence[str]) -> tuple[int, int]:
    """The number that words begin with, and how many words it takes; 0 of them if none."""
    total, current, length = 0, 0, 0
    for word in words:
        value = _UNITS.get(word, _TENS.get(word))
        if value is not None:
            room = 10 if current % 100 >= 20 and value < 10 else 100
            if length and (current % room or value == 0):
                break
            current += value
        elif word == "hundred" and current < 10:
            current = 100 * max(current, 1)
        elif word in _SCALES and word != "hundred":
            total, current = total + max(current, 1) * _SCALES[word], 0
        elif not (word == "and" and length and _goes_on(words, length)):
            break
        length += 1
    return total + current, length


def _goes_on(words: Sequence[str], position: int) -> bool:
    """Whether the "and" there stands within a number: two hundred and five."""
    before, after = words[position - 1], words[position + 1 : position + 2]
    return before in _SCALES and bool(after) and (after[0] in _UNITS or after[0] in _TENS)


def _canonical(number: str) -> str:
    """One form per value: without signs of grouping, with a point, without idle zeros."""
    if ":" in number:
        return number
    if grouped := _THOUSANDS.fullmatch(number):
        whole, fraction = re.sub(r"\D", "", grouped[1]), grouped[3] or ""
    elif decimal := _DECIMAL.fullmatch(number):
        whole, fraction = decimal[1], decimal[2]
    elif number.isdigit():
        whole, fraction = number, ""
    else:
        return number  # a date, a version
    fraction = fraction.rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole
