"""When an open answer is right, and what a run amounts to: figures with their intervals."""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from eval.metrics.accuracy import Accuracy, Graded, accuracy, accuracy_by, macro
from eval.metrics.moments import coverage, first_hit_rank, hit_at, intervals_iou
from eval.metrics.video_groups import (
    QUESTIONS_PER_GROUP,
    GroupQuestion,
    GroupReport,
    score_groups,
)
from eval.run_records import FORMS, Form, QuestionRecord, Run, VideoRecord
from eval.stats import Interval, bootstrap

_CITATION = re.compile(r"\[(?:\d+|\?)\]")


def is_right_open(gold: str, reply: str) -> bool:
    """Whether a reply has the words of the right answer, next to each other and in order.

    Case, accents' forms, punctuation and citation marks do not count. ``|`` in the gold answer
    parts wordings of which any will do. It is lenient: a reply that quotes two sentences is right
    if either has the answer, so read it beside the figure for multiple choice.
    """
    said = _words(_CITATION.sub(" ", reply))
    return any(_holds(said, words) for option in gold.split("|") if (words := _words(option)))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())


def _holds(said: Sequence[str], words: Sequence[str]) -> bool:
    starts = range(len(said) - len(words) + 1)
    return any(list(said[start : start + len(words)]) == list(words) for start in starts)


@dataclass(frozen=True, slots=True)
class RuleScore:
    """Accuracy as one rule reads the replies."""

    rule: str
    accuracy: Accuracy
    interval: Interval
    """Of the full accuracy."""


@dataclass(frozen=True, slots=True)
class GroupScore:
    """Accuracy per label of one grouping, under the strict rule or that of open answers."""

    grouping: str
    by_label: dict[str, Accuracy]
    macro: float


@dataclass(frozen=True, slots=True)
class FormScore:
    """All figures of one form of the questions."""

    form: Form
    overall: Interval
    """Share right: by the strict rule, or for open questions among those that can be answered."""
    rules: tuple[RuleScore, ...]
    """Every rule of the benchmark, for multiple choice."""
    groups: tuple[GroupScore, ...]
    video_groups: GroupReport | None
    """Video-MME-v2's points for the four questions of a video; None for other benchmarks, and where
    a group is not complete."""
    num_declined: int
    """Of those that can be answered."""
    absent: Interval | None
    """Share declined of the questions that nothing answers."""


@dataclass(frozen=True, slots=True)
class EvidenceScore:
    """Did retrieval find the moments, over the questions whose evidence is known."""

    hits: dict[int, Interval]
    """Share with a hit among the first k, by k."""
    coverage: Interval
    """Share of the gold seconds in what was found."""
    reciprocal_rank: Interval
    mean_iou: float
    """Of the first clip."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a run cost; None where nobody measured."""

    video_hours: float
    index_seconds_per_hour: float | None
    index_bytes_per_hour: float | None
    arm_seconds_per_hour: float | None
    arm_bytes_per_hour: float | None
    search_seconds: float | None
    """Median of a question."""
    answer_seconds: float | None
    """Median of a question."""
    prompt_tokens: float | None
    """Mean of a question."""
    reply_tokens: float | None


@dataclass(frozen=True, slots=True)
class QaScore:
    """What a run amounts to."""

    name: str
    num_expected: int
    """Records of the whole run; more than there are where it is unfinished, or a shard."""
    num_records: int
    num_skipped: int
    num_failed: int
    num_hidden: int
    """Put, but without a known answer."""
    forms: tuple[FormScore, ...]
    evidence: EvidenceScore | None
    costs: Costs


def score_run(run: Run) -> QaScore:
    """All figures of a run; questions that were skipped are counted and in none of them."""
    counted = [record for record in run.records if record.is_counted]
    skipped = sum(record.status == "skipped" for record in run.records)
    forms = [score for form in FORMS if (score := _form(run, counted, form))]
    return QaScore(
        name=run.folder.name,
        num_expected=run.header.num_questions,
        num_records=len(run.records),
        num_skipped=skipped,
        num_failed=sum(record.status == "failed" for record in run.records),
        num_hidden=len(run.records) - skipped - len(counted),
        forms=tuple(forms),
        evidence=_evidence(run.records),
        costs=_costs(run),
    )


def _form(run: Run, counted: Sequence[QuestionRecord], form: Form) -> FormScore | None:
    records = [record for record in counted if record.form == form]
    told = [record for record in records if not record.is_absent]
    absent = [record for record in records if record.is_absent]
    if not told:
        return None
    rules = run.header.rules if form == "choices" else ()
    return FormScore(
        form,
        _interval(told, lambda record: float(bool(record.is_right))),
        tuple(_rule(rule, told) for rule in rules),
        tuple(_groups(told)),
        _video_groups(told) if form == "choices" else None,
        sum(record.status == "declined" for record in told),
        _interval(absent, lambda record: float(record.status == "declined")) if absent else None,
    )


def _rule(rule: str, records: Sequence[QuestionRecord]) -> RuleScore:
    graded = [record.graded(rule) for record in records]
    interval = bootstrap([float(g.is_right) for g in graded], [g.video_id for g in graded])
    return RuleScore(rule, accuracy(graded), interval)


def _groups(records: Sequence[QuestionRecord]) -> Iterable[GroupScore]:
    """Every grouping that all of the questions have."""
    names = dict.fromkeys(name for record in records for name in record.groups)
    for name in names:
        if all(record.groups.get(name) for record in records):
            by_label = accuracy_by([_graded(record) for record in records], name)
            yield GroupScore(name, by_label, macro(by_label))


def _video_groups(records: Sequence[QuestionRecord]) -> GroupReport | None:
    labels = [{name: label for name, (label, *_) in r.groups.items()} for r in records]
    sizes = Counter(record.video_id for record in records).values()
    whole = all(size == QUESTIONS_PER_GROUP for size in sizes)
    if not whole or not all("group_type" in each for each in labels):
        return None
    return score_groups(
        GroupQuestion(
            record.question_id,
            record.video_id,
            "relevance" if each["group_type"] == "relevance" else "logic",
            each.get("group_structure", ""),
            bool(record.is_right),
            *(each.get(name) for name in ("level", "second_head", "third_head")),
        )
        for record, each in zip(records, labels, strict=True)
    )


def _graded(record: QuestionRecord) -> Graded:
    """By the strict rule; of an open answer only whether it is right."""
    if record.form == "choices":
        return record.graded("strict")
    picked = {True: "right", False: "wrong"}[bool(record.is_right)]
    return Graded(
        record.question_id,
        record.video_id,
        "right",
        None if record.status in ("declined", "failed") else picked,
        groups=record.groups,
    )


def _interval(
    records: Sequence[QuestionRecord], value: Callable[[QuestionRecord], float]
) -> Interval:
    return bootstrap([value(record) for record in records], [r.video_id for r in records])


def _evidence(records: Iterable[QuestionRecord]) -> EvidenceScore | None:
    """Each question once, whatever the number of its forms: retrieval does not know of them."""
    once = {r.question_id: r for r in records if r.evidence and r.status != "skipped"}
    asked = list(once.values())
    if not asked:
        return None
    top_k = max((len(record.found) for record in asked), default=0)
    ranks = [k for k in (1, 3, 5, 10) if k == 1 or k <= top_k]
    return EvidenceScore(
        {rank: _interval(asked, partial(_hit, rank)) for rank in ranks},
        _interval(asked, lambda record: coverage(record.found_moments, record.gold_moments)),
        _interval(asked, _reciprocal_rank),
        statistics.fmean(map(_first_iou, asked)),
    )


def _hit(rank: int, record: QuestionRecord) -> float:
    return float(hit_at(record.found_moments, record.gold_moments, rank))


def _reciprocal_rank(record: QuestionRecord) -> float:
    rank = first_hit_rank(record.found_moments, record.gold_moments)
    return 1 / rank if rank else 0.0


def _first_iou(record: QuestionRecord) -> float:
    if not record.found:
        return 0.0
    first = record.found[0]
    gold = [
        (span.start_seconds, span.stop_seconds)
        for span in record.evidence
        if span.video_id == first.video_id
    ]
    return intervals_iou([(first.start_seconds, first.stop_seconds)], gold)


def _costs(run: Run) -> Costs:
    indexed = [video for video in run.videos if video.status == "indexed"]
    hours = sum(video.duration_seconds or 0.0 for video in indexed) / 3600
    records = [record.timing for record in run.records]
    return Costs(
        hours,
        _per_hour(indexed, lambda video: video.timing.index_seconds),
        _per_hour(indexed, lambda video: video.timing.index_bytes),
        _per_hour(indexed, lambda video: video.timing.arm_seconds),
        _per_hour(indexed, lambda video: video.timing.arm_bytes),
        _known(statistics.median, (timing.search_seconds for timing in records)),
        _known(statistics.median, (timing.answer_seconds for timing in records)),
        _known(statistics.fmean, (timing.prompt_tokens for timing in records)),
        _known(statistics.fmean, (timing.reply_tokens for timing in records)),
    )


def _per_hour(
    videos: Sequence[VideoRecord], cost: Callable[[VideoRecord], float | None]
) -> float | None:
    """Cost of an hour of video, over the videos of which it is known."""
    known = [(c, v.duration_seconds) for v in videos if (c := cost(v)) is not None]
    hours = sum(seconds or 0.0 for _, seconds in known) / 3600
    return sum(c for c, _ in known) / hours if hours else None


def _known(average: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return average(known) if known else None
