"""What a run asks: questions in their forms, of which videos, with which options."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clamr_rag.config import LibraryOptions, Options
from eval.benchmarks.records import BenchmarkQuestion, QaBenchmark
from eval.run_records import Form

ALL_VIDEOS = ""
"""The video id of a question that is asked of all videos at once."""


@dataclass(frozen=True, slots=True)
class Task:
    """One question in one form."""

    number: int
    question: BenchmarkQuestion
    form: Form

    @property
    def choices(self) -> tuple[str, ...]:
        """The options that it is put with."""
        return self.question.options if self.form == "choices" else ()

    @property
    def is_absent(self) -> bool:
        """Whether nothing in the video answers it."""
        absent = "absent" in self.question.groups.get("kind", ())
        return self.question.answer is None and absent

    @property
    def gold(self) -> str | None:
        """Letter, or the text of an open question."""
        question = self.question
        if self.form == "open" and question.options and question.answer is not None:
            return question.options[question.letters.index(question.answer)]
        return question.answer


def tasks_of(
    questions: Iterable[BenchmarkQuestion], forms: Sequence[Form], limit: int | None = None
) -> tuple[Task, ...]:
    """The first questions in each of the forms that they have.

    A question without options is open whatever is asked for; one that nothing answers has no right
    option, so it is asked only where open forms are.
    """
    opens: tuple[Form, ...] = ("open",)
    pairs = [
        (question, form)
        for question in list(questions)[:limit]
        for form in (forms if question.options else opens)
        if form == "open" or not Task(0, question, form).is_absent
    ]
    return tuple(Task(number, *pair) for number, pair in enumerate(pairs))


@dataclass(frozen=True, slots=True)
class QaPlan:
    """Everything that a run depends on but its retriever and subtitle mode."""

    benchmark: QaBenchmark
    benchmark_options: Mapping[str, str]
    options: Options
    library: LibraryOptions
    top_k: int
    forms: tuple[Form, ...]
    limit: int | None
    shard: tuple[int, int] | None
    keep_going: bool
    """Write a question down as failed where the model breaks, instead of stopping."""
    software: Mapping[str, str]
    commit: str
    machine: str

    @property
    def revision(self) -> str:
        """Digest of the benchmark's source."""
        return hashlib.sha256(self.benchmark.source.encode()).hexdigest()[:16]

    def tasks(self) -> tuple[Task, ...]:
        """Of all shards."""
        return tasks_of(self.benchmark.questions, self.forms, self.limit)
