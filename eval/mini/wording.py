"""More words than the world's training split has, so that meanings are learned and not a list.

`words.json` is self-written; no stem of the splits "dev" and "test" is in it (a test holds that).
Drawings come from the training split and from sketches, a little out of shape.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from eval.synthetic.facts import TEXT_NAMES
from eval.synthetic.lexicon import Color, Lexicon, read_lexicon
from eval.synthetic.sketches import training_forms
from eval.synthetic.staging import Kind, Paint, Staging, phrase
from eval.synthetic.words import grammatical
from eval.synthetic.world import WorldClip

_SKETCHED_SHARE, _WARPED_SHARE = 0.5, 0.3
_SHADE = 8
"""Most that a channel of a colour differs from the word's own."""


class Words(BaseModel):
    """Further words by slot and value, as in a lexicon."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    colours: dict[str, tuple[tuple[str, Color], ...]]
    kinds: dict[str, tuple[tuple[str, str], ...]]
    motions: dict[str, tuple[str, ...]]
    relations: dict[str, tuple[str, ...]]
    sizes: dict[str, tuple[str, ...]]
    counts: tuple[tuple[str, ...], ...]
    staging: tuple[str, ...]
    video_queries: tuple[str, ...]


@cache
def read_words() -> Words:
    """The further words."""
    path = Path(__file__).with_name("words.json")
    return Words.model_validate_json(path.read_text(encoding="utf-8"))


def renamed(clip: WorldClip, seed: float, *, redraw: bool = True) -> WorldClip:
    """The clip with its staging renamed."""
    return replace(clip, staging=renamed_staging(clip.staging, seed, redraw=redraw))


def renamed_staging(staging: Staging, seed: float, *, redraw: bool = True) -> Staging:
    """The staging with its things named, painted and drawn anew within their families.

    Those renamed with one seed get the same names: near-duplicates stay near.

    Args:
        staging: Of the training split.
        seed: Of the names.
        redraw: Whether sketches and warps are drawn, too.
    """
    words = read_words()

    def paint(old: Paint) -> Paint:
        rng = random.Random(f"{seed} {old.family}")
        word, rgb = rng.choice(((old.word, old.rgb), *words.colours[old.family]))
        red, green, blue = (min(255, max(0, c + rng.randint(-_SHADE, _SHADE))) for c in rgb)
        return Paint(old.family, word, (red, green, blue))

    def name(old: Kind) -> Kind:
        rng = random.Random(f"{seed} {old.family}")
        one, many = rng.choice(((old.one, old.many), *words.kinds[old.family]))
        form, warp = old.form, 0
        if redraw and rng.random() < _SKETCHED_SHARE:
            form = rng.choice(training_forms(old.family))
        if redraw and rng.random() < _WARPED_SHARE:
            warp = rng.randrange(1, 1 << 30)
        return replace(old, one=one, many=many, form=form, warp=warp)

    return replace(
        staging,
        colour=paint(staging.colour),
        companion_colour=paint(staging.companion_colour),
        kind=name(staging.kind),
        companion=name(staging.companion),
    )


def wider_lexicon(rng: random.Random) -> Lexicon:
    """The training split's lexicon with a word drawn for each motion, relation, size and count."""
    lexicon, words = read_lexicon("train"), read_words()

    def drawn(old: dict[str, str], new: dict[str, tuple[str, ...]]) -> dict[str, str]:
        return {key: rng.choice((word, *new[key])) for key, word in old.items()}

    return lexicon.model_copy(
        update={
            "motions": drawn(lexicon.motions, words.motions),
            "relations": drawn(lexicon.relations, words.relations),
            "sizes": drawn(lexicon.sizes, words.sizes),
            "counts": tuple(
                rng.choice((old, *new))
                for old, new in zip(lexicon.counts, words.counts, strict=True)
            ),
            "staging": lexicon.staging + words.staging,
            "video_queries": lexicon.video_queries + words.video_queries,
        }
    )


def description(rng: random.Random, clip: WorldClip) -> str:
    """The clip's picture in wider words."""
    staging = replace(clip.staging, wording=rng.randrange(1 << 16))
    return phrase(wider_lexicon(rng), staging)


def decoy(rng: random.Random, stated: str) -> str:
    """A line that speaks of a picture which is not there."""
    return grammatical(rng.choice(read_lexicon("train").decoys).format(staging=stated))


def picture_query(
    rng: random.Random, clip: WorldClip, stated: str, question_share: float = 0.25
) -> str:
    """A search for the clip's picture as described, or a question that states it."""
    lexicon = wider_lexicon(rng)
    if rng.random() >= question_share:
        return rng.choice(lexicon.video_queries).format(staging=stated)
    asks = [ask for slot in ("backdrop", "trim", "corner") for ask in lexicon.asks[slot]]
    if clip.facts and rng.random() < 0.4:
        fact = rng.choice(clip.facts)
        asked = rng.choice(lexicon.ask_text[TEXT_NAMES[fact.modality]])
        where = rng.choice(lexicon.identify["video"]).format(staging=stated)
        return f"{asked.format(bare=fact.attribute.bare)} {where}?"
    return rng.choice(asks).format(staging=stated) + "?"
