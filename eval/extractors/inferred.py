"""E5: VLMEvalKit's fallback before it asks a judge."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TO_SPACES = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_NO_REPLY = "Failed to obtain answer via API"
_FROM_END = 5
"""A lone letter counts if fewer than this many words follow it."""
_ANSWER_IS = re.compile(r"answer\s+is\s+\**([ABCD])", re.IGNORECASE)
"""Four letters whatever the options, and no end of word: "answer is because" names B."""


def inferred_option(reply: str, letters: str, choices: Sequence[str] = ()) -> str | None:
    """The only letter that is a word near the end, else "answer is X", else an option's text.

    Source: open-compass/VLMEvalKit ``can_infer`` in ``vlmeval/utils/matching_util.py`` at e8e78f0.
    Refusals are "Z" there, an option that no question has; they are None here, wrong all the same.

    Args:
        reply: What the model wrote.
        letters: Of the options.
        choices: Their texts, in order.
    """
    if _NO_REPLY in reply:
        return _only_text(reply, letters, choices)
    words = reply.translate(_TO_SPACES).split()
    named = [letter for letter in letters if letter in words]
    if any(phrase in reply for phrase in _REFUSALS) or (not named and "Z" in words):
        return None
    if len(named) == 1 and words.index(named[0]) > len(words) - _FROM_END:
        return named[0]
    said = _ANSWER_IS.search(reply)
    if said and said[1].upper() in letters:
        return said[1].upper()
    return _only_text(reply, letters, choices)


def _only_text(reply: str, letters: str, choices: Sequence[str]) -> str | None:
    """The option whose text occurs, if only one does and the reply is not much longer than all."""
    if len(reply) > 2 * sum(map(len, choices)):
        return None
    pairs = zip(letters, choices, strict=False)
    named = [letter for letter, choice in pairs if choice.lower() in reply.lower()]
    return named[0] if len(named) == 1 else None
