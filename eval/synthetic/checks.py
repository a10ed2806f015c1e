"""Does the benchmark mean something? What words alone can find, and what stands where."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.synthetic.asking import make_questions
from eval.synthetic.planting import TEXTS
from eval.synthetic.questions import LETTERS, Question, read_questions
from eval.synthetic.rendering import read_world
from eval.synthetic.words import content_words, stem, words_of
from eval.synthetic.world import World, WorldClip

_K1, _B = 1.2, 0.75
_MARGIN_SHARES = 2.0
"""Standard errors by which a share may lie above chance."""


@dataclass(frozen=True, slots=True)
class Share:
    """How often something was right, beside how often it would be by guessing."""

    name: str
    right: float
    """Ties count as the share of the tied that are right."""
    total: int
    chance: float

    @property
    def share(self) -> float:
        """Of 1; 0 of nothing."""
        return self.right / self.total if self.total else 0.0

    @property
    def is_chance(self) -> bool:
        """Whether it is no better than guessing, by two standard errors."""
        error = math.sqrt(self.chance * (1 - self.chance) / max(1, self.total))
        return self.share <= self.chance + _MARGIN_SHARES * error

    def __str__(self) -> str:
        return f"{self.name}: {self.share:.1%} of {self.total} (guessing: {self.chance:.1%})"


def check_folder(folder: str | Path) -> tuple[list[str], list[str]]:
    """Checks a rendered world against itself.

    Returns:
        What was found, a line each, and what is wrong with it.

    Raises:
        UsageError: The folder holds no world of this version.
    """
    world, questions = read_world(folder), read_questions(folder)
    found, wrong = check(world, questions)
    if make_questions(world) != questions:
        wrong.append("questions.jsonl differs from what its seed makes")
    missing = [
        video.name for video in world.videos if not (Path(folder) / "videos" / video.name).is_file()
    ]
    wrong += [f"no such video: {name}" for name in missing]
    return found, wrong


def check(world: World, questions: Sequence[Question]) -> tuple[list[str], list[str]]:
    """As `check_folder`, of a world that need not be rendered."""
    blind = [near_duplicates_by_words(world, questions), choices_by_words(world, questions)]
    readable = [clips_by_words(world, questions, name) for name in ("asr", "ocr", "description")]
    clips = {clip.clip_id: clip for clip in world.clips}
    leaks = [
        question.id
        for question in questions
        if question.clip_ids and leaking(clips[question.clip_ids[0]], question)
    ]
    letters = Counter(question.answer for question in questions)
    found = [
        *map(str, blind),
        *map(str, readable),
        "answers: " + ", ".join(f"{letter} {letters[letter]}" for letter in (*LETTERS, None)),
        f"questions whose answer stands in another modality of their clip: {len(leaks)}",
    ]
    wrong = [f"better than guessing: {share}" for share in blind if not share.is_chance]
    wrong += [f"the answer leaks: {name}" for name in leaks]
    return found, wrong


def near_duplicates_by_words(world: World, questions: Iterable[Question]) -> Share:
    """How often BM25 over all texts finds the right one of near-duplicates by the question."""
    index = _WordIndex(world.clips)
    right, total, chance = 0.0, 0, 0.25
    for question in questions:
        if question.kind != "near-duplicate":
            continue
        candidates = (*question.clip_ids, *question.near_duplicate_ids)
        right += _tied_share(index.scores(question.question, candidates), 0)
        total, chance = total + 1, 1 / len(candidates)
    return Share("near-duplicates that BM25 over all texts tells apart", right, total, chance)


def choices_by_words(world: World, questions: Iterable[Question]) -> Share:
    """How often the words of the gold clip's texts give away what only its picture answers."""
    clips = {clip.clip_id: clip for clip in world.clips}
    right, total = 0.0, 0
    for question in questions:
        if question.answer is None or question.modalities[-1] != "video" or _is_chart(question):
            continue
        clip = clips[question.clip_ids[0]]
        told = content_words("\n".join(clip.text(modality) for modality in TEXTS))
        scores = [len(content_words(choice) & told) for choice in question.choices]
        right += _tied_share(scores, LETTERS.index(question.answer))
        total += 1
    return Share("picture questions that words of the right clip answer", right, total, 0.25)


def clips_by_words(world: World, questions: Iterable[Question], name: str) -> Share:
    """How often BM25 over all texts finds the clip of a question about one text modality."""
    index, names = _WordIndex(world.clips), [clip.clip_id for clip in world.clips]
    right, total = 0.0, 0
    for question in questions:
        if question.modalities != (name,) or question.kind != "fact":
            continue
        gold = names.index(question.clip_ids[0])
        right += _tied_share(index.scores(question.question, names), gold)
        total += 1
    return Share(f"{name} facts that BM25 finds first", right, total, 1 / len(world.clips))


def leaking(clip: WorldClip, question: Question) -> bool:
    """Whether the words of the answer stand where the question does not point."""
    home = "ocr" if _is_chart(question) else question.modalities[-1]
    texts = {"asr": TEXTS[0], "ocr": TEXTS[1], "description": TEXTS[2]}
    told = "\n".join(clip.text(modality) for name, modality in texts.items() if name != home)
    return bool(content_words(question.answer_text) & content_words(told))


def _is_chart(question: Question) -> bool:
    return question.kind == "chart"


def _tied_share(scores: Sequence[float], gold: int) -> float:
    """1 where the gold one is best alone, a share of 1 where others are as good."""
    best = max(scores)
    return 1 / scores.count(best) if scores[gold] == best else 0.0


class _WordIndex:
    """BM25 (Robertson and Zaragoza 2009) over all texts of each clip."""

    def __init__(self, clips: Sequence[WorldClip]) -> None:
        self._counts = {
            clip.clip_id: Counter(
                stem(word) for modality in TEXTS for word in words_of(clip.text(modality))
            )
            for clip in clips
        }
        self._lengths = {name: count.total() for name, count in self._counts.items()}
        self._mean = sum(self._lengths.values()) / len(self._lengths)
        self._holders = Counter(word for count in self._counts.values() for word in count)

    def scores(self, question: str, names: Iterable[str]) -> list[float]:
        """How well each of the named clips fits."""
        # In a fixed order: the sum of floats depends on it, and ties must stay ties.
        words = sorted({stem(word) for word in words_of(question)} & self._holders.keys())
        rarities = [(word, self._rarity(word)) for word in words]
        return [self._score(rarities, name) for name in names]

    def _rarity(self, word: str) -> float:
        holders = self._holders[word]
        return math.log(1 + (len(self._counts) - holders + 0.5) / (holders + 0.5))

    def _score(self, rarities: list[tuple[str, float]], name: str) -> float:
        count, length = self._counts[name], self._lengths[name]
        floor = _K1 * (1 - _B + _B * length / self._mean)
        return sum(
            rarity * count[word] * (_K1 + 1) / (count[word] + floor) for word, rarity in rarities
        )
