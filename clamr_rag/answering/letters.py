"""Which option a reply picks, by one strict rule."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_LEAD = r"[\s*_#>\-]*"
_NOUN = (
    r"(?:the\s+|my\s+)?(?:(?:final|best|correct|right)\s+)?(?:answer|choice|option)|antwort|réponse"
    r"|respuesta|risposta|resposta|ответ|答案|回答|答え|정답"
)
_OPEN, _CLOSE = r"[\s*_(\[\"'“]*", r"[\s*_)\]\"'”.:!]*"
_NAMED = re.compile(
    rf"^{_LEAD}(?:{_NOUN})[*_]*(?:\s+is\b)?\s*:?{_OPEN}([A-Z])(?![^\W_])(?P<rest>.*)$",
    re.IGNORECASE,
)
_WRAPPED = re.compile(
    rf"^{_LEAD}(?:<answer>|\$*\\boxed\{{){_OPEN}([A-Z]){_CLOSE}(?:</answer>|\}}\$*)[*_.]*$",
    re.IGNORECASE,
)
_BARE = re.compile(rf"^{_LEAD}[(\[]*([A-Z])(?![^\W_])(?P<rest>.*)$")
_NOTHING_MORE = re.compile(rf"^{_CLOSE}$")
_TEXT_FOLLOWS = re.compile(
    r"^[*_]*(?:[.:)\]]|\s*[,;–—-](?=\s)|\s+(?=(?:because|since)\b))[*_]*\s*(?P<text>.+)$"
)
_SECOND_LETTER = re.compile(
    r"^\W*(?:or|and|&|/)\b|^[\W_]*[A-Z][\W_]*$|\b(?:or|and)\s+\(?[A-Z]\)|\b(?:or|and)\s+[A-Z]\W*$"
)
_MARKS = re.compile(r" ?\[\d+\]")


def picked_letter(reply: str, letters: str, choices: Sequence[str] = ()) -> str | None:
    """The one option a reply names, else None.

    A reply names an option by a line ``Answer: B``, after which the option's text or a reason may
    follow; or by a first or last line that is nothing but the letter, or the letter and exactly
    that option's text. Small letters count after ``Answer:`` and where they are the whole reply.
    Two such lines with different letters, a letter that is no option, two letters on the line
    (``Answer: A or B``), or one within prose (``Answer: A dog``) name none: a guess would be
    counted as an answer.

    Args:
        reply: What a model wrote, citation marks included.
        letters: Of the options, e.g. ``"ABCD"``.
        choices: Their texts, in order; without them a letter and a text name none.
    """
    plain = _MARKS.sub("", unicodedata.normalize("NFKC", reply))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    named = [letter for line in lines if (letter := _named(line))]
    if not named and lines:
        texts = dict(zip(letters, choices, strict=False))
        whole = lines[0].upper() if len(lines) == 1 and len(lines[0]) <= 5 else lines[0]
        named = [letter for line in (whole, lines[-1]) if (letter := _bare(line, texts))]
    picked = set(named)
    return named[0] if len(picked) == 1 and picked <= set(letters) else None


def _named(line: str) -> str | None:
    """The letter of a line ``Answer: B``; "?" if it is such a line with two."""
    if wrapped := _WRAPPED.match(line):
        return wrapped[1].upper()
    found = _NAMED.match(line)
    if not found:
        return None
    letter, rest = found[1].upper(), found["rest"]
    if _NOTHING_MORE.match(rest):
        return letter
    if re.match(r"\W*(?:or|and|&|/|,)\W*[A-Z]\b", rest):
        return "?"
    follows = _TEXT_FOLLOWS.match(rest)
    if not follows:
        return None
    return "?" if _SECOND_LETTER.search(follows["text"]) else letter


def _bare(line: str, texts: dict[str, str]) -> str | None:
    """The letter of a line that is nothing else, or the letter with its own option's text."""
    found = _BARE.match(line)
    if not found:
        return None
    follows = _TEXT_FOLLOWS.match(found["rest"])
    is_whole = _NOTHING_MORE.match(found["rest"])
    is_option = follows and _words(follows["text"]) == _words(texts.get(found[1], ""))
    return found[1] if is_whole or is_option else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
