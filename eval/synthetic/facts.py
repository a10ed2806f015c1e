"""Facts that texts can tell: a subject, an attribute, a value; and their phrasings."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from clamr_rag.types import Modality
from eval.synthetic.lexicon import Attribute, Lexicon, TextModality, new_name
from eval.synthetic.words import content_words, grammatical

TEXT_NAMES: dict[Modality, TextModality] = {
    Modality.ASR: "asr",
    Modality.OCR: "ocr",
    Modality.DESCRIPTION: "description",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a fact is about; its name is drawn once in a world."""

    name: str
    noun: str

    @property
    def said(self) -> str:
        """As it is said within a sentence: "the Marlow ferry"."""
        return f"the {self.name} {self.noun}"

    @property
    def written(self) -> str:
        """As it is written: "Marlow ferry"."""
        return f"{self.name} {self.noun}"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact, told in one modality of one clip."""

    subject: Subject
    attribute: Attribute
    value: str
    modality: Modality
    wording: int
    """Draws the phrasing."""

    @property
    def words(self) -> set[str]:
        """Stems of the words that only this fact may bring into its clip."""
        return content_words(f"{self.subject.written} {self.value}")

    def told(self) -> str:
        """The fact as its modality tells it."""
        attribute = self.attribute
        patterns = {
            Modality.ASR: attribute.spoken,
            Modality.OCR: attribute.written,
            Modality.DESCRIPTION: attribute.listed,
        }[self.modality]
        pattern = patterns[self.wording % len(patterns)]
        subject = self.subject.said if self.modality == Modality.ASR else self.subject.written
        return _filled(pattern, subject, self.value)

    def question(self, lexicon: Lexicon) -> str:
        """Asks for the value, and says by which modality."""
        cores, hints = self.attribute.core, lexicon.hints[TEXT_NAMES[self.modality]]
        core = cores[self.wording // 4 % len(cores)].format(subject=self.subject.said)
        hint = hints[self.wording // 16 % len(hints)]
        return grammatical(hint.format(core=core, Core=grammatical(core)))

    def query(self, lexicon: Lexicon) -> str:
        """The same as a search."""
        queries = lexicon.text_queries[TEXT_NAMES[self.modality]]
        pattern = queries[self.wording // 4 % len(queries)]
        return pattern.format(subject=self.subject.said, bare=self.attribute.bare)


class FactBook:
    """Draws facts, each subject once.

    Names come back with other nouns: a name alone does not find a fact.
    """

    def __init__(self, rng: random.Random, lexicon: Lexicon, num_facts: int) -> None:
        self._rng, self._lexicon = rng, lexicon
        self._names = self._new_names(max(6, num_facts // 4), ())
        self.people = tuple(f"{a} {b}" for a, b in _pairs(self._new_names(24, self._names)))
        self._taken: set[Subject] = set()

    def draw(self, modality: Modality) -> Fact:
        """A fact about a subject that has none yet."""
        subject = self._subject()
        attribute = self._rng.choice(self._lexicon.attributes)
        value = self.value(attribute)
        return Fact(subject, attribute, value, modality, self._rng.randrange(1 << 16))

    def rival(self, fact: Fact, modality: Modality) -> Fact:
        """The same subject and attribute with another value, told in another modality."""
        value = fact.value
        while value == fact.value:
            value = self.value(fact.attribute)
        return replace(fact, value=value, modality=modality, wording=self._rng.randrange(1 << 16))

    def value(self, attribute: Attribute) -> str:
        """A value that the attribute may have."""
        if attribute.people:
            return self._rng.choice(self.people)
        if attribute.words:
            return self._rng.choice(attribute.words)
        number = self._rng.randrange(attribute.low, attribute.high)
        return f"{number} {attribute.unit}".strip()

    def _subject(self) -> Subject:
        while True:
            subject = Subject(
                self._rng.choice(self._names), self._rng.choice(self._lexicon.subjects)
            )
            if subject not in self._taken:
                self._taken.add(subject)
                return subject

    def _new_names(self, number: int, without: Iterable[str]) -> list[str]:
        names: dict[str, None] = {}
        taken = set(without)
        while len(names) < number:
            name = new_name(self._rng, self._lexicon.split)
            if name not in taken:
                names[name] = None
        return list(names)


def _filled(pattern: str, subject: str, value: str) -> str:
    return grammatical(
        pattern.format(
            subject=subject,
            Subject=grammatical(subject),
            value=value,
            Value=value[:1].upper() + value[1:],
        )
    )


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    return list(zip(names[::2], names[1::2], strict=True))
