"""Pictures told in wide words, and which words of a query tell which detail."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from eval.mini.labels import Labels, picture_labels
from eval.mini.wording import renamed_staging, wider_lexicon
from eval.synthetic.lexicon import Lexicon, read_lexicon
from eval.synthetic.staging import STATED, Staging, draw_staging, phrase

_MARK = "\x1f"
_COUNT_WORDS = re.compile(r"^(\s*(?:an? )?)(?!an?\s*$)(\S.*?)(\s*)$")
"""A first article, what it stands before, and space."""


@dataclass(frozen=True, slots=True)
class Part:
    """Words of a query that tell one detail of a staging."""

    slot: int
    """Index into `STATED`."""
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Told:
    """A search for a picture."""

    query: str
    parts: tuple[Part, ...]
    """In the order of the query; a word in two pieces gives two."""


def tellings(rng: random.Random, count: int) -> Iterator[tuple[list[Told], Labels]]:
    """Endless batches of searches for stagings that are not drawn.

    Yields:
        The searches, and ``(count, 8)`` as `eval.mini.labels.picture_labels`.
    """
    lexicon = read_lexicon("train")
    while True:
        stagings = [renamed_staging(draw_staging(rng, lexicon), rng.random()) for _ in range(count)]
        told = [tell(rng, wider_lexicon(rng), staging) for staging in stagings]
        yield told, np.array([picture_labels(staging) for staging in stagings])


def tell(rng: random.Random, lexicon: Lexicon, staging: Staging) -> Told:
    """A search for a staging in the words of a lexicon."""
    staging = replace(staging, wording=rng.randrange(1 << 16))
    stated = phrase(lexicon, staging)
    query = rng.choice(lexicon.video_queries).format(staging=stated)
    first = query.index(stated)
    parts = _parts(stated, phrase(_marked_lexicon(lexicon), _marked_staging(staging)))
    return Told(
        query, tuple(Part(part.slot, first + part.start, first + part.stop) for part in parts)
    )


def _parts(stated: str, marked: str) -> Iterator[Part]:
    """Where the marked words of a text stand in the same text without marks.

    The texts may differ in "a" and "an": the words are looked for one after the other.
    """
    at = 0
    for piece in marked.split(_MARK)[1::2]:
        slot, word = int(piece[0]), piece[1:]
        start = stated.index(word, at)
        at = start + len(word)
        yield Part(slot, start, at)


def _mark(slot: str, word: str) -> str:
    return f"{_MARK}{STATED.index(slot)}{word}{_MARK}"


def _marked_lexicon(lexicon: Lexicon) -> Lexicon:
    def marked(slot: str, words: Mapping[str, str]) -> dict[str, str]:
        return {value: _mark(slot, word) for value, word in words.items()}

    return lexicon.model_copy(
        update={
            "counts": tuple(map(_marked_count, lexicon.counts)),
            "sizes": marked("size", lexicon.sizes),
            "motions": marked("motion", lexicon.motions),
            "relations": marked("relation", lexicon.relations),
        }
    )


def _marked_count(text: str) -> str:
    """Marks what stands around the hole of the noun; the first "a" may be an "an" in the text."""
    pieces = re.split(r"(\{\w+\})", text)
    pieces[::2] = [_COUNT_WORDS.sub(_marked_words, piece) for piece in pieces[::2]]
    return "".join(pieces)


def _marked_words(found: re.Match[str]) -> str:
    article, words, space = found.groups()
    return f"{article}{_mark('count', words)}{space}"


def _marked_staging(staging: Staging) -> Staging:
    return replace(
        staging,
        colour=replace(staging.colour, word=_mark("colour", staging.colour.word)),
        kind=replace(
            staging.kind,
            one=_mark("kind", staging.kind.one),
            many=_mark("kind", staging.kind.many),
        ),
        companion_colour=replace(
            staging.companion_colour,
            word=_mark("companion_colour", staging.companion_colour.word),
        ),
        companion=replace(staging.companion, one=_mark("companion", staging.companion.one)),
    )
