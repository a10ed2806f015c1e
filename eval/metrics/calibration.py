"""How far stated confidence can be trusted, and what declining to answer gains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Stated:
    """One question with the confidence of its answer."""

    confidence: float
    """In [0, 1]."""
    is_right: bool
    """Whether the answer is right; answering what the video does not tell never is."""
    is_answerable: bool = True
    """Whether the video holds the answer."""

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"got confidence {self.confidence}; allowed: 0 to 1")
        if self.is_right and not self.is_answerable:
            raise ValueError("got a right answer to a question that has none")


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose confidence lies in ``[low, high)``; the last bin holds 1 as well."""

    low: float
    high: float
    num_answers: int
    stated: float
    """Mean confidence."""
    observed: float
    """Share that is right."""


@dataclass(frozen=True, slots=True)
class Abstention:
    """What becomes of the questions when answers below a confidence are held back."""

    threshold: float
    coverage: float
    """Share of questions that are answered."""
    selective_accuracy: float | None
    """Share of the given answers that is right; None where none is given."""
    answered_rightly: float | None
    """Share of the answerable questions answered rightly; None where there are none."""
    declined_rightly: float | None
    """Share of the unanswerable questions declined; None where there are none."""


def reliability(stated: Sequence[Stated], num_bins: int = 10) -> tuple[Bin, ...]:
    """The reliability diagram: bins of equal width, empty ones left out.

    Raises:
        ValueError: There is no answer, or no bin.
    """
    if not stated or num_bins < 1:
        raise ValueError(f"got {len(stated)} answers and {num_bins} bins; allowed: 1 or more")
    by_bin: dict[int, list[Stated]] = {}
    for answer in stated:
        # A confidence of 1 would open a bin of its own.
        number = min(int(answer.confidence * num_bins), num_bins - 1)
        by_bin.setdefault(number, []).append(answer)
    return tuple(
        Bin(
            low=number / num_bins,
            high=(number + 1) / num_bins,
            num_answers=len(answers),
            stated=math.fsum(answer.confidence for answer in answers) / len(answers),
            observed=sum(answer.is_right for answer in answers) / len(answers),
        )
        for number, answers in sorted(by_bin.items())
    )


def expected_calibration_error(stated: Sequence[Stated], num_bins: int = 10) -> float:
    """ECE: gap of stated and observed, averaged over bins by their answers (Guo et al., 2017)."""
    bins = reliability(stated, num_bins)
    gaps = (bin_.num_answers * abs(bin_.stated - bin_.observed) for bin_ in bins)
    return math.fsum(gaps) / len(stated)


def abstention(stated: Sequence[Stated], threshold: float) -> Abstention:
    """What holding back answers below a confidence does.

    Raises:
        ValueError: There is no answer.
    """
    if not stated:
        raise ValueError("got no answers to score")
    given = [answer for answer in stated if answer.confidence >= threshold]
    answerable = [answer for answer in stated if answer.is_answerable]
    num_absent = len(stated) - len(answerable)
    num_right = sum(answer.is_right for answer in given)
    num_declined = num_absent - sum(not answer.is_answerable for answer in given)
    return Abstention(
        threshold,
        coverage=len(given) / len(stated),
        selective_accuracy=num_right / len(given) if given else None,
        answered_rightly=num_right / len(answerable) if answerable else None,
        declined_rightly=num_declined / num_absent if num_absent else None,
    )


def risk_coverage(stated: Sequence[Stated]) -> tuple[Abstention, ...]:
    """`abstention` at every confidence that occurs, from the highest down.

    Equal confidences are given or held back together, so their order does not matter.
    """
    levels = sorted((answer.confidence for answer in stated), reverse=True)
    return tuple(abstention(stated, level) for level, _ in groupby(levels))
