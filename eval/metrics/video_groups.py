"""Video-MME-v2: four questions of a video are scored together.

The points are those of MME-Benchmarks/Video-MME-v2 ``evaluation/test_video_mme_v2.py`` at 013b6c9,
in percent. An unread answer is wrong here. There it is -1, which takes one right answer away in a
relevance group and counts as right in a logic group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

QUESTIONS_PER_GROUP = 4


@dataclass(frozen=True, slots=True)
class GroupQuestion:
    """One question of a group."""

    question_id: str
    """The video's id, "-" and the place in the group: ``"001-1"``."""
    video_id: str
    """Names the group."""
    group_type: Literal["relevance", "logic"]
    structure: str
    """Of a logic group: ``"[1, 2, 3, 4]"``, ``"[1, [2, 3], 4]"`` or ``"[[1, 2], 3, 4]"``."""
    is_right: bool
    level: str | None = None
    second_head: str | None = None
    third_head: str | None = None


@dataclass(frozen=True, slots=True)
class GroupReport:
    """Mean points over groups, in percent; None or absent where there is no such group."""

    overall: float
    relevance: float | None
    relevance_linear: float | None
    """Relevance groups at 25 points a right answer."""
    logic: float | None
    by_level: dict[str, float]
    by_second_head: dict[str, float]
    by_third_head: dict[str, float]
    accuracy: float
    """Plain share of right answers, in percent."""


@dataclass(frozen=True, slots=True)
class _Structure:
    points: tuple[int, ...]
    """By number of right answers in a row from the first; the last stands for 100."""
    siblings_after: int | None
    """After so many right answers either of the next two continues the row."""


_STRUCTURES = {
    "[1,2,3,4]": _Structure((0, 1, 4, 9, 16), None),
    "[1,[2,3],4]": _Structure((0, 1, 4, 7, 12), 1),
    "[[1,2],3,4]": _Structure((0, 1, 2, 5, 10), 0),
}


def relevance_points(right: Sequence[bool]) -> float:
    """Points of a relevance group: the square of the share that is right.

    Args:
        right: For the four questions, in any order.
    """
    _check_size(right, "a relevance group")
    return 100 * (sum(right) / QUESTIONS_PER_GROUP) ** 2


def logic_points(right: Sequence[bool], structure: str) -> float:
    """Points of a logic group: how far the answers are right without a gap.

    Of two siblings either continues the row, but only one is made up for: 1011 of
    ``[1, [2, 3], 4]`` is worth two in a row, as the second of them is still missing.

    Args:
        right: For the four questions, in order.
        structure: Which of them build on which.

    Raises:
        ValueError: The structure is unknown, or the group is incomplete.
    """
    _check_size(right, "a logic group")
    try:
        rule = _STRUCTURES[structure.replace(" ", "")]
    except KeyError:
        allowed = ", ".join(_STRUCTURES)
        raise ValueError(f"got group structure {structure!r}; allowed: {allowed}") from None
    in_a_row = len(list(takewhile(bool, right)))
    if in_a_row == rule.siblings_after and right[in_a_row + 1]:
        in_a_row += 1
    return 100 * rule.points[in_a_row] / rule.points[-1]


def score_groups(questions: Iterable[GroupQuestion]) -> GroupReport:
    """Scores every video's group; its level and heads are those of its last question.

    Raises:
        ValueError: There is no question, a group is incomplete, or a structure is unknown.
    """
    by_video: dict[str, list[GroupQuestion]] = {}
    for question in questions:
        by_video.setdefault(question.video_id, []).append(question)
    if not by_video:
        raise ValueError("got no questions to score")
    # Question 1 comes first whatever the order of the file: logic points depend on it.
    groups = [sorted(group, key=_place) for group in by_video.values()]
    scored = [(group[-1], _points(group)) for group in groups]
    right = [question.is_right for group in groups for question in group]
    relevant = [sum(q.is_right for q in group) for group in groups if _type(group) == "relevance"]
    return GroupReport(
        overall=_mean([points for _, points in scored]) or 0.0,
        relevance=_mean([points for last, points in scored if last.group_type == "relevance"]),
        relevance_linear=_mean([100 * count / QUESTIONS_PER_GROUP for count in relevant]),
        logic=_mean([points for last, points in scored if last.group_type == "logic"]),
        by_level=_means(scored, lambda question: question.level),
        by_second_head=_means(scored, lambda question: question.second_head),
        by_third_head=_means(scored, lambda question: question.third_head),
        accuracy=100 * sum(right) / len(right),
    )


def _place(question: GroupQuestion) -> int:
    suffix = question.question_id.rpartition("-")[2]
    if not suffix.isdecimal():
        raise ValueError(f"got question id {question.question_id!r}; it must end with -1 to -4")
    return int(suffix)


def _points(group: Sequence[GroupQuestion]) -> float:
    _check_size(group, f"video {group[0].video_id}")
    right = [question.is_right for question in group]
    if _type(group) == "relevance":
        return relevance_points(right)
    return logic_points(right, group[-1].structure)


def _type(group: Sequence[GroupQuestion]) -> str:
    return group[-1].group_type


def _check_size(group: Sequence[object], name: str) -> None:
    if len(group) != QUESTIONS_PER_GROUP:
        raise ValueError(f"{name} needs {QUESTIONS_PER_GROUP} questions, got {len(group)}")


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _means(
    scored: Sequence[tuple[GroupQuestion, float]], label: Callable[[GroupQuestion], str | None]
) -> dict[str, float]:
    by_label: dict[str, list[float]] = {}
    for question, points in scored:
        if (name := label(question)) is not None:
            by_label.setdefault(name, []).append(points)
    return {name: sum(values) / len(values) for name, values in sorted(by_label.items())}
