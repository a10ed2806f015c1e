"""E3 and E4: the two descendants of MMMU's parser that video benchmarks use."""

from __future__ import annotations

from collections.abc import Sequence

_EDGES = (",", ".", "!", "?", ";", ":", "'")
_WORDS_FOR_TEXT = 5
"""Only replies of more words than this are searched for the text of an option."""


def earliest_label(reply: str, letters: str, choices: Sequence[str] = ()) -> str | None:
    """The option whose label ``(C)``, ``C`` and a space, or ``C.`` has the earliest last place.

    Source: EvolvingLMMs-Lab/lmms-eval ``lmms_eval/tasks/egoschema/utils.py`` at 75571cf. A label
    is any of the three, so the ``A`` of "A man" is one. Without a label, replies of more than five
    words are searched for the options' texts; without those the source draws a random letter.

    Args:
        reply: What the model wrote.
        letters: Of the options.
        choices: Their texts, in order; the source has them with their label ("A. text").
    """
    text = _trimmed(reply)
    labels = [
        (text.rfind(label), letter)
        for form in ("({})", "{} ", "{}.")
        for letter in letters
        if (label := form.format(letter)) in text
    ]
    places = labels or _text_places(text, letters, choices)
    return min(places, key=lambda place: place[0])[1] if places else None


def latest_label(reply: str, letters: str, choices: Sequence[str] = ()) -> str | None:
    """The option whose label stands last, by the first of four label forms that occurs.

    Source: open-compass/VLMEvalKit ``vlmeval/dataset/videommmu.py`` at e8e78f0. The reply is what
    follows the last "Answer:". ``C.`` and ``C:`` are tried together, then ``(C)``, then ``C`` and a
    space, then the options' texts in replies of more than five words. No label is "No Answere
    Found" there, which is wrong; an empty reply or "API Error" leaves the denominator.

    Args:
        reply: What the model wrote.
        letters: Of the options.
        choices: Their texts, in order.
    """
    answer = reply.rpartition("Answer:")[2].strip()
    if answer in ("", "API Error"):
        return None
    text = _trimmed(answer)
    dotted = [letter for letter in letters if f"{letter}." in text]
    with_colon = [letter for letter in letters if f"{letter}:" in text]
    if dotted or with_colon:
        # Where both forms occur, places are those of the dot: a colon's letter may have none (-1).
        form = "{}." if dotted else "{}:"
        return _last(text, form, dotted + with_colon)
    if bracketed := [letter for letter in letters if f"({letter})" in text]:
        return _last(text, "({})", bracketed)
    if spaced := [letter for letter in letters if f"{letter} " in text]:
        return _last(text, " {} ", spaced)
    places = _text_places(text, letters, choices)
    return max(places, key=lambda place: place[0])[1] if places else None


def _trimmed(reply: str) -> str:
    for mark in _EDGES:
        reply = reply.strip(mark)
    return f" {reply} "


def _last(text: str, form: str, candidates: Sequence[str]) -> str:
    return max(candidates, key=lambda letter: text.rfind(form.format(letter)))


def _text_places(text: str, letters: str, choices: Sequence[str]) -> list[tuple[int, str]]:
    """Last place and letter of every option whose text occurs in a reply of enough words."""
    if len(text.split()) <= _WORDS_FOR_TEXT:
        return []
    lowered = text.lower()
    pairs = zip(letters, choices, strict=False)
    return [
        (lowered.rfind(choice.lower()), letter)
        for letter, choice in pairs
        if choice.lower() in lowered
    ]
