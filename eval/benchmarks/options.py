"""Answer options as benchmarks write them: in a list with letters, or inside the question."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from eval.benchmarks.rows import Row

_MARKS = (r"\({letter}\)", r"{letter}\.", r"{letter}\)", r"{letter}:")
"""How an option can begin; LVBench and MLVU write "(A) ", the others "A. "."""


def lettered_options(row: Row, name: str) -> tuple[str, ...]:
    """Options out of a list field of ``"A. …", "B. …"``, their letters removed.

    Raises:
        UsageError: The field is no such list.
    """
    texts = []
    for letter, option in zip(string.ascii_uppercase, plain_options(row, name), strict=False):
        text = _after(rf"{letter}\.", option)
        if text is None:
            raise row.error(
                f"field {name!r} has the option {option[:40]!r}",
                allowed=f"one that begins with {letter}.",
            )
        texts.append(text)
    return tuple(texts)


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """A question without the options that stand below it, and those without their letters.

    An option begins with a line that has the next letter; other lines go on with what is above
    them. Of the ways to write a letter the one that gives the most options is the text's own.

    Returns:
        The question and its options; () where there are not at least two.
    """
    question, options = max((_split_by(mark, text) for mark in _MARKS), key=_num_options)
    return (question, options) if len(options) > 1 else (text.strip(), ())


def inner_options(row: Row, name: str) -> tuple[str, tuple[str, ...]]:
    """`split_options` of a field that must have some.

    Raises:
        UsageError: It has none.
    """
    text, options = split_options(row.text(name))
    if not options:
        allowed = "lines that begin with (A), (B), ... or A., B., ..."
        raise row.error(f"field {name!r} has no options", allowed=allowed)
    return text, options


def plain_options(row: Row, name: str, *, at_least: int = 2) -> tuple[str, ...]:
    """Options out of a list field as they stand.

    Raises:
        UsageError: The field is no such list, or has more than there are letters.
    """
    options = row.texts(name, at_least=at_least)
    if len(options) > len(string.ascii_uppercase):
        raise row.error(f"field {name!r} has {len(options)} texts", allowed="26 at most")
    return options


def gold_letter(row: Row, name: str, options: Sequence[str]) -> str:
    """The right option's letter out of a field.

    Raises:
        UsageError: It is none of the options' letters.
    """
    return row.one_of(name, tuple(string.ascii_uppercase[: len(options)]))


def letter_of(row: Row, answer: str, options: Sequence[str]) -> str:
    """The letter of the option that has the answer's text, blanks around it and case aside.

    An option that is the very text comes before one that is nearly so, and of the same texts the
    last one counts, as in VLMEvalKit's MLVU.

    Raises:
        UsageError: None has it.
    """
    same = [place for place, option in enumerate(options) if option == answer]
    alike = [place for place, option in enumerate(options) if _folded(option) == _folded(answer)]
    if not alike:
        raise row.error(
            f"answer {answer[:40]!r} is none of the options", allowed="; ".join(options)[:200]
        )
    return string.ascii_uppercase[(same or alike)[-1]]


def _folded(text: str) -> str:
    return text.strip().casefold()


def _split_by(mark: str, text: str) -> tuple[str, tuple[str, ...]]:
    question: list[str] = []
    options: list[list[str]] = []
    for line in text.split("\n"):
        next_letter = string.ascii_uppercase[len(options) % 26]
        option = _after(mark.format(letter=next_letter), line)
        if option is not None:
            options.append([option])
        else:
            (options[-1] if options else question).append(line)
    return "\n".join(question).strip(), tuple("\n".join(lines).strip() for lines in options)


def _num_options(split: tuple[str, tuple[str, ...]]) -> int:
    return len(split[1])


def _after(mark: str, line: str) -> str | None:
    found = re.match(rf"\s*{mark}\s*(.*)", line, flags=re.DOTALL)
    return found.group(1) if found else None
