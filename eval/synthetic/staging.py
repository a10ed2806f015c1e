"""What is staged in a picture: things, their companion, their motion, and what is around them."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from eval.synthetic.lexicon import Color, Lexicon
from eval.synthetic.words import content_words, grammatical

STATED = (
    "count", "size", "colour", "kind", "motion", "relation", "companion_colour", "companion",
)  # fmt: skip
"""The details of a staging that a description states, in the order in which near-duplicates
differ; each of them is one word."""
CONTAINERS = ("ring", "box")
"""Families that can hold other things."""
_MAX_COUNT = 5
_TRIES = 10_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of thing it is."""

    family: str
    """Kinds of one family look alike, in all splits."""
    one: str
    many: str
    form: int
    """Which of the family's drawings it is: 0-4, or from 5 on a sketch."""
    warp: int = 0
    """0 where it is drawn as it is, or the seed of a small deformation; no world has any."""


@dataclass(frozen=True, slots=True)
class Paint:
    """A colour with its name."""

    family: str
    """Paints of one family are hard to tell apart: no question asks that."""
    word: str
    rgb: Color


@dataclass(frozen=True, slots=True)
class Staging:
    """One picture without its texts: everything that a question about it can be about."""

    count: int
    """1-5 equal things."""
    size: str
    """"small" or "large"."""
    colour: Paint
    kind: Kind
    motion: str
    """What the things do: a key of `Lexicon.motions`."""
    relation: str
    """Where the things are, seen from the companion: a key of `Lexicon.relations`."""
    companion_colour: Paint
    companion: Kind
    backdrop: str
    """Pattern behind everything: a key of `Lexicon.backdrops`."""
    trim: Paint
    """Colour of the border of the picture."""
    corner: int
    """Which corner a small mark sits in: top left, top right, bottom left, bottom right."""
    wording: int
    """Draws the phrasing."""

    def detail(self, slot: str) -> object:
        """What two stagings are compared by: the family of a word, or the value itself."""
        value = getattr(self, slot)
        return value.family if isinstance(value, Kind | Paint) else value

    def details(self, slots: Iterable[str] = STATED) -> tuple[object, ...]:
        """The details of several slots."""
        return tuple(self.detail(slot) for slot in slots)


def draw_staging(rng: random.Random, lexicon: Lexicon) -> Staging:
    """Draws every detail evenly, within what can be drawn."""
    relation = rng.choice(tuple(lexicon.relations))
    companion = _draw_kind(rng, lexicon, CONTAINERS if relation == "inside" else ())
    kind = _draw_kind(rng, lexicon)
    while not _fit(kind, relation, companion):
        kind = _draw_kind(rng, lexicon)
    colour = _draw_paint(rng, lexicon)
    companion_colour = _draw_paint(rng, lexicon, {colour.family})
    return Staging(
        count=rng.randint(1, _MAX_COUNT),
        size=rng.choice(tuple(lexicon.sizes)),
        colour=colour,
        kind=kind,
        motion=rng.choice(tuple(lexicon.motions)),
        relation=relation,
        companion_colour=companion_colour,
        companion=companion,
        backdrop=rng.choice(tuple(lexicon.backdrops)),
        trim=_draw_paint(rng, lexicon),
        corner=rng.randrange(4),
        wording=rng.randrange(1 << 16),
    )


def near_duplicates(
    rng: random.Random, lexicon: Lexicon, base: Staging, number: int
) -> list[Staging]:
    """Draws stagings that differ from ``base`` in one stated detail each, each in another one.

    What a question asks of them (backdrop, trim, corner) is different in all of them.
    """
    backdrops = _others(rng, lexicon.backdrops, base.backdrop)
    trims = _others(rng, lexicon.colours, base.trim.family)
    corners = _others(rng, range(4), base.corner)
    changed = []
    for place, slot in enumerate(rng.sample(STATED, number)):
        staging = _changed(rng, lexicon, base, slot)
        changed.append(
            replace(
                staging,
                backdrop=backdrops[place],
                trim=_paint(rng, lexicon, trims[place]),
                corner=corners[place],
                wording=rng.randrange(1 << 16),
            )
        )
    return changed


def one_change(rng: random.Random, lexicon: Lexicon, base: Staging) -> Staging:
    """A staging that differs from ``base`` in one stated detail."""
    return _changed(rng, lexicon, base, rng.choice(STATED))


def _changed(rng: random.Random, lexicon: Lexicon, base: Staging, slot: str) -> Staging:
    """The base with one detail drawn anew until it differs, and nothing else does."""
    for _ in range(_TRIES):
        value = getattr(draw_staging(rng, lexicon), slot)
        other: Staging = replace(base, **{slot: value})
        if other.detail(slot) != base.detail(slot) and _is_drawable(other):
            return other
    raise AssertionError(f"no other {slot} for {base}")


def _is_drawable(staging: Staging) -> bool:
    fit = _fit(staging.kind, staging.relation, staging.companion)
    return fit and staging.colour.family != staging.companion_colour.family


def _fit(kind: Kind, relation: str, companion: Kind) -> bool:
    """Whether the things differ from their companion, and can be inside it if they are."""
    if relation == "inside":
        return companion.family in CONTAINERS and kind.family not in CONTAINERS
    return kind.family != companion.family


def phrase(lexicon: Lexicon, staging: Staging, without: Collection[str] = ()) -> str:
    """The staging in words, e.g. "three large red boats rising to the left of a green tree".

    Args:
        lexicon: The split's words.
        staging: What is described.
        without: Stated details that are left out; with "companion" the relation goes, too.
    """
    things = _things(lexicon, staging, without)
    motion = lexicon.motions[staging.motion]
    if "companion" in without:
        return grammatical_inside(f"{things} {motion}")
    paint = "" if "companion_colour" in without else f"{staging.companion_colour.word} "
    pattern = lexicon.staging[staging.wording % len(lexicon.staging)]
    return grammatical_inside(
        pattern.format(
            things=things,
            motion=motion,
            relation=lexicon.relations[staging.relation],
            companion=f"a {paint}{staging.companion.one}",
        )
    )


def grammatical_inside(text: str) -> str:
    """As `grammatical`, for words in the midst of a sentence."""
    whole = grammatical(text)
    return text[:1] + whole[1:]


def stated_words(lexicon: Lexicon, staging: Staging) -> set[str]:
    """Stems of all words that a description of the staging may use."""
    return content_words(
        f"{phrase(lexicon, staging)} {staging.kind.one} {staging.kind.many} "
        f"{lexicon.numbers[staging.count - 1]} {lexicon.backdrops[staging.backdrop]} "
        f"{staging.trim.word} {lexicon.corners[staging.corner]}"
    )


def _things(lexicon: Lexicon, staging: Staging, without: Collection[str]) -> str:
    size = lexicon.sizes[staging.size]
    paint = "" if "colour" in without else f" {staging.colour.word}"
    one, many = (f"{size}{paint} {noun}" for noun in (staging.kind.one, staging.kind.many))
    if "count" in without:
        return many
    return lexicon.counts[staging.count - 1].format(one=one, many=many)


def _draw_kind(rng: random.Random, lexicon: Lexicon, families: Collection[str] = ()) -> Kind:
    family = rng.choice(tuple(families or lexicon.kinds))
    number = rng.randrange(len(lexicon.kinds[family]))
    one, many = lexicon.kinds[family][number]
    return Kind(family, one, many, lexicon.form_of(family, number))


def _draw_paint(rng: random.Random, lexicon: Lexicon, without: Collection[str] = ()) -> Paint:
    return _paint(rng, lexicon, rng.choice([f for f in lexicon.colours if f not in without]))


def _paint(rng: random.Random, lexicon: Lexicon, family: str) -> Paint:
    word, rgb = rng.choice(lexicon.colours[family])
    return Paint(family, word, rgb)


def _others(rng: random.Random, values: Iterable[_T], taken: _T) -> list[_T]:
    """All values but one, in a random order."""
    others = [value for value in values if value != taken]
    rng.shuffle(others)
    return others
