"""Asks questions of a world: about one modality, about two, and about what is not there."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clamr_rag.types import Modality
from eval.synthetic.asks import (
    ASKS,
    FREE_ASKS,
    answer_of,
    as_question,
    family_of,
    holes,
    stated_slots,
)
from eval.synthetic.facts import TEXT_NAMES, Fact
from eval.synthetic.lexicon import Lexicon, read_lexicon
from eval.synthetic.planting import TEXTS
from eval.synthetic.questions import LETTERS, NAMES, Kind, Question
from eval.synthetic.staging import Staging, one_change, phrase
from eval.synthetic.words import content_words, grammatical
from eval.synthetic.world import DATA_VERSION, World, WorldClip

_TWO_SHARE = 0.6
"""Clips with a question that needs two modalities."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question on its way: what is asked, and its answers before they are shuffled."""

    kind: Kind
    modalities: tuple[Modality, ...]
    question: str
    query: str
    answer: str
    others: tuple[str, ...]
    """Wrong answers, the hardest first; at least three distinct ones."""
    planted: tuple[tuple[Modality, set[str]], ...] = ()
    """Stems that only one modality of the clip may hold: what finds it, and what answers."""


def make_questions(world: World) -> tuple[Question, ...]:
    """Asks of every clip what can be asked of it fairly, then of things that are nowhere."""
    return tuple(_Maker(world).questions())


class _Maker:
    """Asks the questions of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lexicon: Lexicon = read_lexicon(world.split)
        self._rng = random.Random(f"{DATA_VERSION} questions {world.split} {world.seed}")
        self._values: dict[str, list[str]] = defaultdict(list)
        self._tellers: dict[object, list[WorldClip]] = defaultdict(list)
        self._groups: dict[int, list[WorldClip]] = defaultdict(list)
        self._stated: dict[tuple[object, ...], list[WorldClip]] = defaultdict(list)
        for clip in world.clips:
            for fact in clip.facts:
                self._values[fact.attribute.name].append(fact.value)
                self._tellers[fact.subject].append(clip)
            if clip.group is not None:
                self._groups[clip.group].append(clip)
            for ask in ASKS:
                key = (ask, *clip.staging.details(stated_slots(ask)))
                self._stated[key].append(clip)

    def questions(self) -> Iterator[Question]:
        """All questions, clip by clip."""
        number = 0
        asked_of_clips: Iterable[tuple[_Asked, WorldClip | None]] = (
            (asked, clip) for clip in self._world.clips for asked in self._about(clip)
        )
        absent = ((asked, None) for asked in self._absent())
        for asked, clip in (*asked_of_clips, *absent):
            if clip is None or is_fair(asked, clip):
                yield self._finished(asked, clip, number)
                number += 1

    def _about(self, clip: WorldClip) -> Iterator[_Asked]:
        yield self._picture(clip)
        for fact in clip.facts:
            yield self._fact(clip, fact)
        yield from self._chart(clip)
        if self._rng.random() < _TWO_SHARE:
            yield from self._two(clip)

    def _fact(self, clip: WorldClip, fact: Fact) -> _Asked:
        kind: Kind = "rival" if len(self._tellers[fact.subject]) > 1 else "fact"
        question, query = fact.question(self._lexicon), fact.query(self._lexicon)
        others = self._other_values(clip, fact)
        planted = ((fact.modality, fact.words),)
        return _Asked(kind, (fact.modality,), question, query, fact.value, others, planted)

    def _other_values(self, clip: WorldClip | None, fact: Fact) -> tuple[str, ...]:
        """Values of the attribute: rivals first, then those of the clip, of the world, any."""
        near = [] if clip is None else [*self._tellers[fact.subject], clip]
        values = [
            other.value
            for teller in near
            for other in teller.facts
            if other.attribute.name == fact.attribute.name
        ]
        told = self._values[fact.attribute.name]
        values += self._rng.sample(told, min(20, len(told)))
        values += fact.attribute.words
        if fact.attribute.people:
            values += self._rng.sample(self._world.people, len(LETTERS))
        if fact.attribute.high:
            numbers = range(fact.attribute.low, fact.attribute.high)
            drawn = self._rng.sample(numbers, 4)
            values += [f"{number} {fact.attribute.unit}".strip() for number in drawn]
        return tuple(dict.fromkeys(value for value in values if value != fact.value))

    def _picture(self, clip: WorldClip) -> _Asked:
        """A question whose stated details find one clip of the world and no other."""
        staging, lexicon = clip.staging, self._lexicon
        kind: Kind = "picture" if clip.group is None else "near-duplicate"
        asks = [ask for ask in ASKS if clip.group is None or ask in FREE_ASKS]
        self._rng.shuffle(asks)
        asks = [ask for ask in asks if self._is_clear(ask, staging)]
        ask = next(iter(asks), "corner")
        pattern = self._rng.choice(lexicon.asks[ask])
        question = pattern.format(**holes(lexicon, staging, ask))
        answer, others = self._answers(clip, ask)
        query = self._search(staging)
        planted = ((Modality.VIDEO, content_words(f"{phrase(lexicon, staging)} {answer}")),)
        question = as_question(question)
        return _Asked(kind, (Modality.VIDEO,), question, query, answer, others, planted)

    def _is_clear(self, ask: str, staging: Staging) -> bool:
        """Whether the question finds one clip, does not tell its answer, and has a plural."""
        if ask == "colour" and staging.count == 1:
            return False
        stated = {staging.colour.family, staging.companion_colour.family}
        if ask == "trim" and staging.trim.family in stated:
            return False
        key = (ask, *staging.details(stated_slots(ask)))
        return len(self._stated[key]) == 1

    def _answers(self, clip: WorldClip, ask: str) -> tuple[str, tuple[str, ...]]:
        """The right answer and others: those of near-duplicates first, then any."""
        near = [] if clip.group is None else [c.staging for c in self._groups[clip.group]]
        answer = answer_of(self._lexicon, clip.staging, ask)
        others = [answer_of(self._lexicon, staging, ask) for staging in near]
        rest = self._all_answers(clip.staging, ask)
        self._rng.shuffle(rest)
        families = {family_of(self._lexicon, answer)}
        kept = []
        for other in (*others, *rest):
            # Two words for one colour would be two right answers.
            if family_of(self._lexicon, other) not in families:
                families.add(family_of(self._lexicon, other))
                kept.append(other)
        return answer, tuple(kept)

    def _all_answers(self, staging: Staging, ask: str) -> list[str]:
        lexicon = self._lexicon
        if ask == "count":
            return list(lexicon.numbers)
        if ask == "backdrop":
            return list(lexicon.backdrops.values())
        if ask == "corner":
            return list(lexicon.corners)
        stated = {
            "colour": {staging.companion_colour.family},
            "companion": {staging.colour.family},
            "trim": {staging.colour.family, staging.companion_colour.family},
        }[ask]
        return [
            self._rng.choice(words)[0]
            for family, words in lexicon.colours.items()
            if family not in stated
        ]

    def _search(self, staging: Staging) -> str:
        pattern = self._rng.choice(self._lexicon.video_queries)
        return pattern.format(staging=phrase(self._lexicon, staging))

    def _chart(self, clip: WorldClip) -> Iterator[_Asked]:
        """What a chart tells: printed values are read, heights are seen."""
        fact = clip.fact(Modality.OCR)
        chart = clip.board.chart if clip.board else None
        if chart is None or fact is None:
            return
        words, subject = self._lexicon.chart, fact.subject.said
        query = self._rng.choice(words.query).format(subject=subject)
        if chart.is_printed:
            place = self._rng.randrange(len(chart.labels))
            question = self._rng.choice(words.printed).format(
                subject=subject, label=chart.labels[place]
            )
            others = tuple(str(value) for value in chart.values if value != chart.values[place])
            answer = str(chart.values[place])
            planted = ((Modality.OCR, {answer} | fact.words),)
            yield _Asked("chart", (Modality.OCR,), question, query, answer, others, planted)
        elif chart.style == "bars":
            patterns, answer = self._rng.choice(
                ((words.tallest, chart.tallest), (words.shortest, chart.shortest))
            )
            question = self._rng.choice(patterns).format(subject=subject)
            others = tuple(label for label in chart.labels if label != answer)
            both = (Modality.OCR, Modality.VIDEO)
            # The label of a bar is read; only which bar it is must be seen.
            planted = ((Modality.OCR, content_words(answer) | fact.words),)
            yield _Asked("chart", both, question, query, answer, others, planted)

    def _two(self, clip: WorldClip) -> Iterator[_Asked]:
        """One modality finds the clip, another one answers."""
        present = [Modality.VIDEO, *(fact.modality for fact in clip.facts)]
        if len(present) < 2:
            return
        finder, teller = self._rng.sample(present, 2)
        where, finding = self._identified(clip, finder)
        if teller == Modality.VIDEO:
            ask = self._rng.choice(("backdrop", "trim", "corner", "colour", "count"))
            if clip.staging.count == 1 and ask == "colour":
                ask = "backdrop"
            name = f"bare_{ask}" if ask in FREE_ASKS else ask
            asked = self._rng.choice(self._lexicon.asks[name]).format(things=clip.staging.kind.many)
            answer, others = self._answers(clip, ask)
        else:
            fact = clip.fact(teller)
            assert fact is not None
            asked = self._rng.choice(self._lexicon.ask_text[TEXT_NAMES[teller]])
            asked = asked.format(bare=fact.attribute.bare)
            answer, others = fact.value, self._other_values(clip, fact)
        query = f"{asked} {where}"
        planted = ((finder, finding), (teller, content_words(answer)))
        yield _Asked("two", (finder, teller), as_question(query), query, answer, others, planted)

    def _identified(self, clip: WorldClip, finder: Modality) -> tuple[str, set[str]]:
        """Words that find a clip by one modality, and the stems of what they name."""
        pattern = self._rng.choice(self._lexicon.identify[NAMES[finder]])
        if finder == Modality.VIDEO:
            named = phrase(self._lexicon, clip.staging)
            return pattern.format(staging=named), content_words(named)
        fact = clip.fact(finder)
        assert fact is not None
        return pattern.format(subject=fact.subject.said), content_words(fact.subject.written)

    def _absent(self) -> Iterator[_Asked]:
        """Questions of the same forms about subjects without facts and pictures not shown."""
        for fact in self._world.unseen:
            question, query = fact.question(self._lexicon), fact.query(self._lexicon)
            others = (fact.value, *self._other_values(None, fact))
            yield _Asked("absent", (fact.modality,), question, query, "", others)
        shown = {clip.staging.details() for clip in self._world.clips}
        clips = self._world.clips
        for clip in self._rng.sample(clips, max(1, len(clips) // 8)):
            staging = one_change(self._rng, self._lexicon, clip.staging)
            if staging.details() in shown:
                continue
            pattern = self._rng.choice(self._lexicon.asks["backdrop"])
            question = pattern.format(**holes(self._lexicon, staging, "backdrop"))
            others = tuple(self._rng.sample(tuple(self._lexicon.backdrops.values()), 4))
            query = self._search(staging)
            yield _Asked("absent", (Modality.VIDEO,), as_question(question), query, "", others)

    def _finished(self, asked: _Asked, clip: WorldClip | None, number: int) -> Question:
        choices = [*([asked.answer] if asked.answer else []), *asked.others][: len(LETTERS)]
        self._rng.shuffle(choices)
        assert len(set(choices)) == len(LETTERS), (asked, choices)
        answer = LETTERS[choices.index(asked.answer)] if asked.answer else None
        seen = clip is not None and Modality.VIDEO in asked.modalities
        near = self._groups.get(clip.group, []) if seen and clip and clip.group is not None else []
        return Question(
            id=f"{self._world.split}-{self._world.seed}-{number:06d}",
            split=self._world.split,
            kind=asked.kind,
            modalities=tuple(NAMES[modality] for modality in asked.modalities),
            question=grammatical(asked.question),
            query=asked.query,
            choices=tuple(choices),
            answer=answer,
            answer_text=asked.answer,
            video=clip.video if clip else None,
            spans=((clip.span.start_seconds, clip.span.stop_seconds),) if clip else (),
            clip_ids=(clip.clip_id,) if clip else (),
            near_duplicate_ids=tuple(c.clip_id for c in near if c is not clip),
            rival_ids=self._rivals(asked, clip),
        )

    def _rivals(self, asked: _Asked, clip: WorldClip | None) -> tuple[str, ...]:
        if clip is None or asked.kind != "rival":
            return ()
        fact = clip.fact(asked.modalities[0])
        assert fact is not None
        return tuple(c.clip_id for c in self._tellers[fact.subject] if c is not clip)


def is_fair(asked: _Asked, clip: WorldClip) -> bool:
    """Whether what is planted stands in no other modality, and the question does not answer."""
    if content_words(asked.answer) & content_words(asked.question):
        return False
    texts = {modality: content_words(clip.text(modality)) for modality in TEXTS}
    return not any(
        planted & words
        for home, planted in asked.planted
        for modality, words in texts.items()
        if modality != home
    )
