"""Accuracy over all questions, per group and over groups, with both denominators.

``full``: every question counts, and one without a readable answer is wrong. ``official``: what the
rule's own scorer divides by, where unread answers may leave the denominator or win by chance. A
report shows both, and the number unread beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from eval.extractors import find_rule

Denominator = Literal["full", "official"]


@dataclass(frozen=True, slots=True)
class Graded:
    """One question with what its reply was read as."""

    question_id: str
    video_id: str
    """The cluster: questions about one video stand and fall together."""
    gold: str
    """Letter of the right option."""
    picked: str | None
    """Letter that the rule read; None where it read none."""
    is_dropped: bool = False
    """Whether the rule's own scorer leaves the question out."""
    chance: float = 0.0
    """What the letter that the rule's own scorer draws at random is right with."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Labels per grouping, e.g. ``{"task": ("TG", "ER")}``; a question counts in each of them."""

    @property
    def is_right(self) -> bool:
        """Whether the gold option was picked."""
        return self.picked == self.gold


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Right answers of a set of questions."""

    num_right: int
    num_questions: int
    num_unparsed: int
    """Without a letter, unanswered ones included."""
    num_dropped: int
    """Out of the official denominator."""
    num_by_chance: float
    """Right answers that the official scorer's random letters would add on average."""

    @property
    def full(self) -> float:
        """Share of all questions answered rightly, in [0, 1]."""
        return self.num_right / self.num_questions

    @property
    def official(self) -> float | None:
        """What the rule's own scorer says, in [0, 1]; None where it counts no question."""
        counted = self.num_questions - self.num_dropped
        return (self.num_right + self.num_by_chance) / counted if counted else None


def grade(
    rule_name: str,
    reply: str | None,
    *,
    question_id: str,
    video_id: str,
    gold: str,
    letters: str = "ABCD",
    choices: Sequence[str] = (),
    groups: Mapping[str, tuple[str, ...]] | None = None,
) -> Graded:
    """Reads a reply by a rule and holds it against the gold letter.

    Args:
        rule_name: Of `eval.extractors.RULES`.
        reply: What the model wrote; None if the question was never answered.
        question_id: Of the question.
        video_id: Of its video.
        gold: Letter of the right option.
        letters: Of its options.
        choices: Their texts.
        groups: Labels per grouping.

    Raises:
        ValueError: There is no such rule, or the gold letter is none of the options'.
    """
    rule = find_rule(rule_name)
    if gold not in letters or len(gold) != 1:
        raise ValueError(f"question {question_id}: got gold {gold!r}; allowed: one of {letters}")
    picked = None if reply is None else rule.read(reply, letters, choices)
    return Graded(
        question_id,
        video_id,
        gold,
        picked,
        is_dropped=rule.drops(reply, picked),
        chance=1 / len(letters) if rule.guesses and picked is None else 0.0,
        groups=MappingProxyType(dict(groups or {})),
    )


def accuracy(graded: Iterable[Graded]) -> Accuracy:
    """Micro accuracy: every question weighs the same.

    Raises:
        ValueError: There is no question, or one is there twice.
    """
    questions = tuple(graded)
    if not questions:
        raise ValueError("got no questions to score")
    if len({question.question_id for question in questions}) < len(questions):
        raise ValueError("got a question twice; question ids must be unique within a benchmark")
    return Accuracy(
        num_right=sum(question.is_right for question in questions),
        num_questions=len(questions),
        num_unparsed=sum(question.picked is None for question in questions),
        num_dropped=sum(question.is_dropped for question in questions),
        num_by_chance=sum(question.chance for question in questions),
    )


def accuracy_by(graded: Iterable[Graded], grouping: str) -> dict[str, Accuracy]:
    """Accuracy per label of a grouping, in order of label; a question counts in each of its labels.

    Raises:
        ValueError: A question has no label in this grouping.
    """
    by_label: dict[str, list[Graded]] = {}
    for question in graded:
        labels = question.groups.get(grouping, ())
        if not labels:
            raise ValueError(f"question {question.question_id} has no {grouping!r} label")
        for label in dict.fromkeys(labels):
            by_label.setdefault(label, []).append(question)
    return {label: accuracy(by_label[label]) for label in sorted(by_label)}


def macro(groups: Mapping[str, Accuracy], denominator: Denominator = "full") -> float:
    """Mean of the groups' accuracies, every group weighing the same.

    MLVU's M-Avg is this for lmms-eval and the paper, and micro accuracy for VLMEvalKit. Groups of
    which nothing counts are left out of the official figure.

    Raises:
        ValueError: There is no group to average.
    """
    values = [group.full if denominator == "full" else group.official for group in groups.values()]
    counted = [value for value in values if value is not None]
    if not counted:
        raise ValueError("got no group to average")
    return sum(counted) / len(counted)


def pooled(groups: Iterable[Accuracy]) -> Accuracy:
    """All questions of the groups together: LongVideoBench's figure over two groupings at once.

    There every question is in the groups of its duration and of its category and so counts twice,
    which changes no share: it is micro accuracy.
    """
    parts = tuple(groups)
    return Accuracy(
        num_right=sum(part.num_right for part in parts),
        num_questions=sum(part.num_questions for part in parts),
        num_unparsed=sum(part.num_unparsed for part in parts),
        num_dropped=sum(part.num_dropped for part in parts),
        num_by_chance=sum(part.num_by_chance for part in parts),
    )


def knowledge_gain(before: float, after: float) -> float:
    """Video-MMMU's Δknowledge: the share of what was wrong before that is right after the video.

    Args:
        before: Accuracy of the run that sees the question alone, in [0, 1).
        after: Accuracy with the video, in [0, 1].

    Raises:
        ValueError: Everything was right before, so nothing could be gained.
    """
    if not (0 <= before < 1 and 0 <= after <= 1):
        raise ValueError(f"got {before} before and {after} after; allowed: [0, 1) and [0, 1]")
    return (after - before) / (1 - before)
