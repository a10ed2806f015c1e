"""From recognised words to cues: loops removed, cut at sentence ends."""

from __future__ import annotations

from collections.abc import Sequence

from clamr_rag.types import Cue, Word

_SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！")
_PHRASE_ENDS = (",", ";", ":", "，", "、", "；")
_CLOSERS = "\"'”’»)]}"
_PAUSE_SECONDS = 1.0
"""Silence after which a new cue begins, whatever the punctuation says."""
_LONGEST_LOOP_WORDS = 12
_KEPT_REPEATS = 2
"""People say "no, no" and "very, very"; a recogniser that hangs says it many times."""


def cut_into_cues(words: Sequence[Word], *, max_seconds: float = 10.0) -> tuple[Cue, ...]:
    """Cues of whole sentences; longer ones are cut after a comma, else after any word.

    The words' texts keep the space before them where their language writes one.
    """
    cues: list[Cue] = []
    sentence: list[Word] = []
    for word in words:
        if sentence and word.start_seconds - sentence[-1].stop_seconds >= _PAUSE_SECONDS:
            cues.append(_cue(sentence))
            sentence = []
        if sentence and word.stop_seconds - sentence[0].start_seconds > max_seconds:
            cut = _phrase_end(sentence)
            cues.append(_cue(sentence[:cut]))
            sentence = sentence[cut:]
        sentence.append(word)
        if _ends_with(word, _SENTENCE_ENDS):
            cues.append(_cue(sentence))
            sentence = []
    if sentence:
        cues.append(_cue(sentence))
    # Notes, dots and broken bytes are what a recogniser makes of noise.
    return tuple(cue for cue in cues if any(letter.isalnum() for letter in cue.text))


def without_loops(words: Sequence[Word]) -> tuple[Word, ...]:
    """Drops what a hanging recogniser repeats: of a phrase said three times or more, one is kept.

    A phrase is up to twelve words. Case and punctuation do not matter.
    """
    folded = ["".join(c for c in word.text.casefold() if c.isalnum()) for word in words]
    kept: list[Word] = []
    here = 0
    while here < len(words):
        length, repeats = _loop_at(folded, here)
        # The first turn keeps its true time; the rest is the machine's.
        if repeats > _KEPT_REPEATS:
            kept += words[here : here + length]
            here += length * repeats
        else:
            kept.append(words[here])
            here += 1
    return tuple(kept)


def _loop_at(folded: Sequence[str], here: int) -> tuple[int, int]:
    """Words of the shortest phrase that is repeated from here on, and how often it is said."""
    # Short phrases first: of "a a a a" one "a" is to be kept, not "a a".
    for length in range(1, min(_LONGEST_LOOP_WORDS, (len(folded) - here) // 2) + 1):
        phrase = folded[here : here + length]
        repeats = 1
        while folded[here + repeats * length : here + (repeats + 1) * length] == phrase:
            repeats += 1
        if repeats > _KEPT_REPEATS:
            return length, repeats
    return 1, 1


def _phrase_end(sentence: Sequence[Word]) -> int:
    """Where to cut a sentence that is too long: after its last comma in the second half."""
    for number in range(len(sentence), len(sentence) // 2, -1):
        if _ends_with(sentence[number - 1], _PHRASE_ENDS):
            return number
    return len(sentence)


def _ends_with(word: Word, ends: tuple[str, ...]) -> bool:
    return word.text.rstrip().rstrip(_CLOSERS).endswith(ends)


def _cue(words: Sequence[Word]) -> Cue:
    return Cue(
        start_seconds=words[0].start_seconds,
        stop_seconds=max(word.stop_seconds for word in words),
        text=" ".join("".join(word.text for word in words).split()),
        words=tuple(
            Word(word.start_seconds, word.stop_seconds, word.text.strip()) for word in words
        ),
    )
