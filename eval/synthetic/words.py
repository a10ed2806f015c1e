"""Which words count: a split may share function words with another, and nothing else."""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z]+|\d+")

FUNCTION_WORDS = frozenset(
    """a an the this that these those each every some any all no none nobody both such other else
    i me my you your he she it its we us our they them their there here who whom whose which what
    when where why how and or but nor if then than as so while because of at by for from in into
    on onto to up upon with within without about above across after again against along around
    before behind below beneath beside between beyond during inside near off out over through
    throughout under underneath toward towards back away is are was were be been being am do does
    did has have had having can could may might must shall should will would not only very more
    most much many few several just also too well never s m ll re ve left right top""".split()
)
"""Closed-class words, with the sides that have no other name ("left", "right", "on top of")."""


def words_of(text: str) -> list[str]:
    """Lower-case words and whole numbers, in order."""
    return _WORD.findall(text.lower())


def stem(word: str) -> str:
    """A word without its commonest English endings: "says" and "saying" are no other words."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def content_words(text: str) -> set[str]:
    """Stems of the words that carry meaning, numbers among them."""
    return {stem(word) for word in words_of(text) if word not in FUNCTION_WORDS}


def grammatical(text: str) -> str:
    """Text with "a" before a vowel made "an", and a capital in front."""
    text = re.sub(r"\b([Aa]) (?=[aeioAEIO]|um|un(?!i))", r"\1n ", text)
    return text[:1].upper() + text[1:]
