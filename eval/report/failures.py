"""Which questions a run failed at, and at what point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from eval.metrics.moments import first_hit_rank
from eval.report.qa_figures import has_evidence
from eval.run_records import QuestionRecord


class Cause(Enum):
    """The first thing that went wrong with a question; each failure has one."""

    SKIPPED = "skipped"
    FAILED = "the model failed"
    ANSWERED_ABSENT = "answered what nothing tells"
    UNPARSED = "unparsed"
    MISSED = "retrieval missed"
    DECLINED = "retrieved but declined"
    WRONG = "retrieved but wrong answer"
    WRONG_UNKNOWN = "wrong answer, evidence not known"
    DECLINED_UNKNOWN = "declined, evidence not known"


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that was not answered rightly."""

    record: QuestionRecord
    cause: Cause
    evidence_ranks: tuple[int | None, ...]
    """Per evidence span the rank of the first clip that overlaps it, None where none does."""

    @property
    def reading(self) -> str | None:
        """What the leading rule, the strict one, reads; None where there is nothing to read."""
        return self.record.picked.get("strict")


def find_failures(records: Iterable[QuestionRecord]) -> tuple[Failure, ...]:
    """All failures by the strict rule (by words for open answers), in order of the records.

    Questions whose right answer is hidden are no failures: nobody knows.
    """
    failures = []
    for record in records:
        cause = cause_of(record)
        if cause is not None:
            failures.append(Failure(record, cause, evidence_ranks(record)))
    return tuple(failures)


def cause_of(record: QuestionRecord) -> Cause | None:
    """Where a question went wrong; None where it did not."""
    if record.status == "skipped":
        return Cause.SKIPPED
    if not record.is_counted or record.is_right:
        return None
    if record.status == "failed":
        return Cause.FAILED
    if record.is_absent:
        return Cause.ANSWERED_ABSENT
    is_declined = record.status == "declined"
    if not is_declined and record.form == "choices" and record.picked.get("strict") is None:
        return Cause.UNPARSED
    if not has_evidence(record):
        return Cause.DECLINED_UNKNOWN if is_declined else Cause.WRONG_UNKNOWN
    if first_hit_rank(record.found_moments, record.gold_moments) is None:
        return Cause.MISSED
    return Cause.DECLINED if is_declined else Cause.WRONG


def evidence_ranks(record: QuestionRecord) -> tuple[int | None, ...]:
    """For each span of evidence the rank of the first clip that overlaps it.

    A clip may count for several, unlike in `eval.metrics.moments.claims`.
    """
    return tuple(first_hit_rank(record.found_moments, (gold,)) for gold in record.gold_moments)
