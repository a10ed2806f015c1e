"""What can be asked of a picture: what such a question states, and what answers it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from eval.synthetic.lexicon import Lexicon
from eval.synthetic.staging import STATED, Staging, phrase
from eval.synthetic.words import grammatical

FREE_ASKS = ("backdrop", "trim", "corner")
"""What a question can ask of a picture that all its stated details find."""
ASKS = ("colour", "count", "companion", *FREE_ASKS)


def stated_slots(ask: str) -> tuple[str, ...]:
    """Which details a question states when it asks for one of them."""
    unsaid: Collection[str] = {
        "colour": ("colour", "count"),
        "count": ("count",),
        "companion": ("companion_colour", "relation"),
    }.get(ask, ())
    return tuple(slot for slot in STATED if slot not in unsaid)


def holes(lexicon: Lexicon, staging: Staging, ask: str) -> dict[str, str]:
    """What the patterns of a question name."""
    without: Collection[str] = {
        "colour": {"colour", "count"},
        "count": {"count"},
        "companion": {"companion"},
    }.get(ask, set())
    text = phrase(lexicon, staging, without)
    return {"things": text, "staging": text, "thing": staging.companion.one}


def answer_of(lexicon: Lexicon, staging: Staging, ask: str) -> str:
    """The right answer, in the split's words."""
    answers: dict[str, Callable[[], str]] = {
        "colour": lambda: staging.colour.word,
        "count": lambda: lexicon.numbers[staging.count - 1],
        "companion": lambda: staging.companion_colour.word,
        "backdrop": lambda: lexicon.backdrops[staging.backdrop],
        "trim": lambda: staging.trim.word,
        "corner": lambda: lexicon.corners[staging.corner],
    }
    return answers[ask]()


def family_of(lexicon: Lexicon, answer: str) -> str:
    """What an answer is an answer of: words for one colour are the same."""
    for family, words in lexicon.colours.items():
        if answer in [word for word, _ in words]:
            return family
    return answer


def as_question(words: str) -> str:
    """Words with a capital and one question mark."""
    return grammatical(words.rstrip("?")) + "?"
