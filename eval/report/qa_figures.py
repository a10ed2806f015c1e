"""Figures of a run over questions: what is right, what was found, what it cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from eval.metrics.accuracy import Accuracy, accuracy
from eval.metrics.moments import HIT_RANKS, coverage, first_hit_rank, hit_at
from eval.run_records import QuestionRecord, Run
from eval.stats import Interval, McNemar, bootstrap, bootstrap_difference, mcnemar

OPEN = "open"
"""Stands for the name of a rule where answers are words."""


@dataclass(frozen=True, slots=True)
class Score:
    """Right answers by one rule, over some questions."""

    counts: Accuracy
    full: Interval
    """Every question counts."""
    official: Interval | None
    """Over the questions that the rule's own scorer counts; None where it counts none."""


@dataclass(frozen=True, slots=True)
class EvidenceScore:
    """How well the known evidence was found."""

    hits: Mapping[int, Interval]
    """Per rank; ranks beyond what was asked for are left out."""
    reciprocal_rank: Interval
    coverage: Interval
    """Of the seconds of evidence, by all clips found together."""


@dataclass(frozen=True, slots=True)
class Declined:
    """What was declined, over questions of one form."""

    absent: int
    num_absent: int
    """Questions that nothing answers: declining is right."""
    answerable: int
    num_answerable: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took; None where nothing was measured."""

    video_hours: float
    """Of the videos whose indexing was timed whole."""
    index_seconds_per_hour: float | None
    index_bytes_per_hour: float | None
    mean_frames: float | None
    """Pictures shown per question."""
    mean_prompt_characters: float | None
    search_seconds: float | None
    """Median over questions, as the other seconds."""
    answer_seconds: float | None
    seconds: float | None
    """Search and answer together."""
    slow_seconds: float | None
    """The same at the 95th percentile."""
    mean_prompt_tokens: float | None
    """None unless every reply's tokens are known."""
    mean_reply_tokens: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run against another, over the questions that both have."""

    difference: Interval
    """Of the shares that are right; positive where this run is better."""
    test: McNemar
    num_shared: int
    num_alone: int
    """Questions that one of them lacks."""


def choice_records(records: Iterable[QuestionRecord]) -> list[QuestionRecord]:
    """Those that were put with options and have a right one."""
    return [r for r in records if r.is_counted and r.form == "choices" and r.gold is not None]


def open_records(records: Iterable[QuestionRecord]) -> list[QuestionRecord]:
    """Those that were put without options and have an answer."""
    return [r for r in records if r.is_counted and r.form == "open" and r.gold is not None]


def scored_records(records: Iterable[QuestionRecord], rule: str) -> list[QuestionRecord]:
    """Those that a rule, or `OPEN`, says something about."""
    return open_records(records) if rule == OPEN else choice_records(records)


def score(records: Iterable[QuestionRecord], rule: str) -> Score | None:
    """Right answers by a rule, or by words for `OPEN`; None where there is no such question."""
    records = scored_records(records, rule)
    if not records:
        return None
    if rule == OPEN:
        unread = sum(record.status != "answered" for record in records)
        right = [float(bool(record.is_right)) for record in records]
        counts = Accuracy(int(sum(right)), len(records), unread, 0, 0.0)
        interval = bootstrap(right, [cluster(record) for record in records])
        return Score(counts, interval, interval)
    graded = [record.graded(rule) for record in records]
    clusters = [cluster(record) for record in records]
    counted = [
        (question.is_right + question.chance, name)
        for question, name in zip(graded, clusters, strict=True)
        if not question.is_dropped
    ]
    return Score(
        accuracy(graded),
        bootstrap([float(question.is_right) for question in graded], clusters),
        bootstrap(*zip(*counted, strict=True)) if counted else None,
    )


def score_by(records: Iterable[QuestionRecord], rule: str, grouping: str) -> dict[str, Score]:
    """`score` per label of a grouping, in order of label; questions without a label are in none."""
    by_label: dict[str, list[QuestionRecord]] = {}
    for record in scored_records(records, rule):
        for label in dict.fromkeys(record.groups.get(grouping, ())):
            by_label.setdefault(label, []).append(record)
    scores = {label: score(by_label[label], rule) for label in sorted(by_label)}
    return {label: found for label, found in scores.items() if found}


def groupings(records: Iterable[QuestionRecord]) -> list[str]:
    """Of all questions, in order of name."""
    return sorted({name for record in records for name in record.groups})


def guessing(records: Sequence[QuestionRecord]) -> float | None:
    """Share of the questions with options that guessing is right in; None without any."""
    chances = [1 / len(record.options) for record in choice_records(records)]
    return statistics.fmean(chances) if chances else None


def evidence_records(records: Iterable[QuestionRecord]) -> list[QuestionRecord]:
    """The questions that were searched for and whose evidence is known, each once.

    The form does not change what is looked for. Evidence without length cannot be overlapped.
    """
    by_id: dict[str, QuestionRecord] = {}
    for record in records:
        if record.status != "skipped" and has_evidence(record):
            by_id.setdefault(record.question_id, record)
    return list(by_id.values())


def has_evidence(record: QuestionRecord) -> bool:
    """Whether it is known where the answer is."""
    return any(span.stop_seconds > span.start_seconds for span in record.evidence)


def evidence_score(records: Iterable[QuestionRecord], top_k: int) -> EvidenceScore | None:
    """How well the evidence was found; None where none is known.

    Args:
        records: Of one run.
        top_k: How many clips it looked for: nothing is known about later ranks.
    """
    records = evidence_records(records)
    if not records:
        return None
    clusters = [cluster(record) for record in records]

    def mean(value: Callable[[QuestionRecord], float]) -> Interval:
        return bootstrap([value(record) for record in records], clusters)

    return EvidenceScore(
        {rank: mean(partial(_hit, rank)) for rank in HIT_RANKS if rank <= top_k},
        mean(_reciprocal_rank),
        mean(lambda record: coverage(record.found_moments, record.gold_moments)),
    )


def declined(records: Iterable[QuestionRecord]) -> Declined:
    """What was declined of what can and of what cannot be answered."""
    put = [record for record in records if record.is_counted]
    absent = [record.status == "declined" for record in put if record.is_absent]
    answerable = [record.status == "declined" for record in put if not record.is_absent]
    return Declined(sum(absent), len(absent), sum(answerable), len(answerable))


def cost(run: Run) -> Cost:
    """What a run took."""
    timed = [
        (video.duration_seconds / 3600, video.timing.index_seconds, video.timing.index_bytes or 0)
        for video in run.videos
        if video.duration_seconds and video.timing.index_seconds is not None
    ]
    hours = sum(length for length, _, _ in timed)
    put = [record for record in run.records if record.status != "skipped"]
    searches = _known(record.timing.search_seconds for record in put)
    answers = _known(record.timing.answer_seconds for record in put)
    whole = [
        (record.timing.search_seconds or 0.0) + (record.timing.answer_seconds or 0.0)
        for record in put
        if record.timing.search_seconds is not None or record.timing.answer_seconds is not None
    ]
    return Cost(
        hours,
        sum(seconds for _, seconds, _ in timed) / hours if hours else None,
        sum(size for _, _, size in timed) / hours if hours else None,
        statistics.fmean(len(record.frame_seconds) for record in put) if put else None,
        statistics.fmean(record.prompt_characters for record in put) if put else None,
        statistics.median(searches) if searches else None,
        statistics.median(answers) if answers else None,
        statistics.median(whole) if whole else None,
        percentile(whole, 0.95) if whole else None,
        _mean_if_all_known([record.timing.prompt_tokens for record in put if record.reply]),
        _mean_if_all_known([record.timing.reply_tokens for record in put if record.reply]),
    )


def compare(
    first: Iterable[QuestionRecord], second: Iterable[QuestionRecord], rule: str
) -> Comparison | None:
    """The first run against the second, by one rule; None where they share no question."""
    return _compared(
        {record.question_id: record for record in scored_records(first, rule)},
        {record.question_id: record for record in scored_records(second, rule)},
        lambda record: is_right(record, rule),
    )


def compare_evidence(
    first: Iterable[QuestionRecord], second: Iterable[QuestionRecord]
) -> Comparison | None:
    """The first run against the second by whether the first clip is evidence."""
    return _compared(
        {record.question_id: record for record in evidence_records(first)},
        {record.question_id: record for record in evidence_records(second)},
        lambda record: hit_at(record.found_moments, record.gold_moments, 1),
    )


def is_right(record: QuestionRecord, rule: str) -> bool:
    """Whether a rule, or `OPEN`, has the reply as right."""
    return bool(record.is_right) if rule == OPEN else record.graded(rule).is_right


def cluster(record: QuestionRecord) -> str:
    """The video that a question stands and falls with; where all are asked, that of its answer."""
    if record.video_id or not record.evidence:
        return record.video_id
    return record.evidence[0].video_id


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _compared(
    first: Mapping[str, QuestionRecord],
    second: Mapping[str, QuestionRecord],
    right: Callable[[QuestionRecord], bool],
) -> Comparison | None:
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    one = {name: right(first[name]) for name in shared}
    other = {name: right(second[name]) for name in shared}
    clusters = {name: cluster(first[name]) for name in shared}
    return Comparison(
        bootstrap_difference(one, other, clusters),
        mcnemar(one, other),
        len(shared),
        len(first.keys() ^ second.keys()),
    )


def _hit(rank: int, record: QuestionRecord) -> float:
    return float(hit_at(record.found_moments, record.gold_moments, rank))


def _reciprocal_rank(record: QuestionRecord) -> float:
    rank = first_hit_rank(record.found_moments, record.gold_moments)
    return 1 / rank if rank else 0.0


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean_if_all_known(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None
