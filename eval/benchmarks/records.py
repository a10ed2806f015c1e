"""What every benchmark is made of, whatever its files look like: videos, questions, candidates.

A loader turns published files into these values and nothing later looks at the files again. What
should be there and is not (a video that was never downloaded, a subtitle file) stays in the
benchmark as missing, so that a run can say over how many questions its figure is.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from clamr_rag.types import Cue, Modality, TimeSpan
from eval.extractors import RULES
from eval.metrics.moments import Moment

_NO_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TimedText:
    """A text with the times that a rule gives it, which need not lie within the video.

    Published rules compare and halve these very numbers, so nothing is repaired here.
    """

    start_seconds: float
    stop_seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Subtitles:
    """What one rule makes of a subtitle file."""

    cues: tuple[Cue, ...]
    """In the order of the rule, seconds of the video; empty where the rule keeps nothing."""
    path: Path
    """The file that was read."""
    rule: str
    """Which rule, with its commit where it is a published one; it stands in every record."""
    texts: tuple[TimedText, ...] = ()
    """What the rule picks from to go with sampled frames (`eval.benchmarks.subtitles`); () where
    it has no such part."""


@dataclass(frozen=True, slots=True)
class BenchmarkVideo:
    """One video of a benchmark, there or not."""

    video_id: str
    """The benchmark's own id: the cluster of its questions."""
    path: Path | None
    """Where it is; None if it is not on disk."""
    duration_seconds: float | None = None
    """As the benchmark states it; None where it does not."""
    subtitles: Subtitles | None = None
    """None where there is no file for it or none was asked for."""


@dataclass(frozen=True, slots=True)
class BenchmarkQuestion:
    """One question with its right answer."""

    question_id: str
    """Unique within the benchmark."""
    video_id: str
    """The video it is about; "" where it is asked of all videos at once."""
    text: str
    """Without its options."""
    options: tuple[str, ...]
    """Without their letters; () for an open question."""
    answer: str | None
    """Letter of the right option, or the text for an open question; None where it is hidden (a
    test split) or nothing in the video answers it."""
    evidence: tuple[Moment, ...] = ()
    """Where the answer is; () where the benchmark does not say."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_GROUPS)
    """Labels per grouping, e.g. ``{"duration": ("short",)}``; several labels count in each."""
    modality: Modality | None = None
    """What holds the answer, where the benchmark says so."""
    num_unusable_evidence: int = 0
    """Stated stretches of time that hold nothing and are not in ``evidence``, see
    `eval.benchmarks.evidence`."""

    def __post_init__(self) -> None:
        if len(self.options) > len(string.ascii_uppercase):
            raise ValueError(f"question {self.question_id}: got {len(self.options)} options")
        if self.options and self.answer is not None and self.answer not in tuple(self.letters):
            raise ValueError(
                f"question {self.question_id}: got answer {self.answer!r}; "
                f"allowed: one of {self.letters}"
            )

    @property
    def letters(self) -> str:
        """Of the options, e.g. "ABCD"; "" for an open question."""
        return string.ascii_uppercase[: len(self.options)]


@dataclass(frozen=True, slots=True)
class QaBenchmark:
    """Questions about videos, each with one right answer."""

    name: str
    split: str
    source: str
    """The files that were read, with the SHA-256 of the annotation file."""
    videos: Mapping[str, BenchmarkVideo]
    """By id, every video that a question is about."""
    questions: tuple[BenchmarkQuestion, ...]
    """In the order of the file."""
    rules: tuple[str, ...]
    """Names of the `eval.extractors.RULES` that score it, "strict" first."""
    missing_videos: tuple[str, ...] = ()
    """Ids of the videos that are not on disk."""
    missing_subtitles: tuple[str, ...] = ()
    """Ids of the videos without the subtitle file that was asked for."""

    def __post_init__(self) -> None:
        if not self.rules or self.rules[0] != "strict" or not set(self.rules) <= RULES.keys():
            raise ValueError(f"{self.name}: got rules {self.rules}; the first must be 'strict'")
        _check_unique("question", (question.question_id for question in self.questions))
        asked = {question.video_id for question in self.questions} - {""}
        _check_known("a question", asked, self.videos)
        _check_known("missing_videos", self.missing_videos, self.videos)
        _check_known("missing_subtitles", self.missing_subtitles, self.videos)

    @property
    def unusable_evidence(self) -> tuple[str, ...]:
        """Ids of the questions that lack some of their stated evidence."""
        return tuple(q.question_id for q in self.questions if q.num_unusable_evidence)


@dataclass(frozen=True, slots=True)
class RetrievalCandidate:
    """What a query may be answered with: a video or a part of one."""

    candidate_id: str
    video_id: str
    span: TimeSpan | None = None
    """None for the whole video."""


@dataclass(frozen=True, slots=True)
class RetrievalQuery:
    """A query with what is relevant to it."""

    query_id: str
    text: str
    relevant: Mapping[str, int]
    """Grade per id of a relevant candidate; candidates that are not in it have grade 0."""
    modality: Modality | None = None
    """What tells the relevance, where the benchmark says so."""
    video_id: str | None = None
    """Search within this video only; None for all candidates."""


@dataclass(frozen=True, slots=True)
class RetrievalBenchmark:
    """Queries and the candidates they are to find."""

    name: str
    split: str
    source: str
    """The files that were read, with the SHA-256 of the annotation file."""
    candidates: tuple[RetrievalCandidate, ...]
    queries: tuple[RetrievalQuery, ...]
    videos: Mapping[str, BenchmarkVideo]
    missing_videos: tuple[str, ...] = ()
    """Ids of the videos that are not on disk."""

    def __post_init__(self) -> None:
        ids = [candidate.candidate_id for candidate in self.candidates]
        _check_unique("candidate", ids)
        _check_unique("query", (query.query_id for query in self.queries))
        _check_known("a candidate", {c.video_id for c in self.candidates}, self.videos)
        relevant = {name for query in self.queries for name in query.relevant}
        _check_known("a query's relevance", relevant, set(ids))
        within = {query.video_id for query in self.queries if query.video_id is not None}
        _check_known("a query", within, self.videos)
        _check_known("missing_videos", self.missing_videos, self.videos)


Benchmark = QaBenchmark | RetrievalBenchmark


def _check_unique(what: str, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise ValueError(f"got {what} id {name!r} twice; ids must be unique")
        seen.add(name)


def _check_known(what: str, ids: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(ids) - set(known))
    if unknown:
        raise ValueError(f"{what} names {unknown[0]!r}, which is not there")
