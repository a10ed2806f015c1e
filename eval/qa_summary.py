"""A run's figures in words, and several runs beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eval.metrics.accuracy import Accuracy
from eval.qa_scoring import FormScore, QaScore
from eval.stats import Interval

_FORM_NAMES = {"choices": "multiple choice", "open": "open questions"}


def summary_lines(score: QaScore) -> Iterator[str]:
    """Everything about one run, a line each."""
    yield f"{score.name}: {_counts(score)}"
    for form in score.forms:
        yield from _form_lines(form)
    if score.evidence:
        evidence = score.evidence
        hits = ", ".join(f"hit@{rank} {_share(hit)}" for rank, hit in evidence.hits.items())
        yield f"  evidence ({evidence.coverage.num_values} questions): {hits}"
        yield (
            f"    coverage {_share(evidence.coverage)}, "
            f"MRR {evidence.reciprocal_rank.mean:.3f}, "
            f"mean IoU of the first clip {evidence.mean_iou:.3f}"
        )
    yield f"  cost: {_costs(score)}"


def table_lines(scores: Sequence[QaScore]) -> Iterator[str]:
    """Runs as the rows of a Markdown table, with 95 % intervals clustered by video."""
    yield "| retriever | multiple choice | open | absent declined | evidence hit@1 | ms to find |"
    yield "|---|---|---|---|---|---|"
    for score in scores:
        forms = {form.form: form for form in score.forms}
        choices, opened = forms.get("choices"), forms.get("open")
        seconds = score.costs.search_seconds
        cells = [
            score.name,
            _share(choices.overall) if choices else "-",
            _share(opened.overall) if opened else "-",
            _share(opened.absent) if opened and opened.absent else "-",
            _share(score.evidence.hits[1]) if score.evidence else "-",
            f"{1000 * seconds:.1f}" if seconds is not None else "-",
        ]
        yield f"| {' | '.join(cells)} |"


def _counts(score: QaScore) -> str:
    parts = [f"{score.num_records} of {score.num_expected} questions"]
    for count, word in (
        (score.num_skipped, "skipped as their video is missing or cannot be read"),
        (score.num_failed, "failed"),
        (score.num_hidden, "without a known answer"),
    ):
        if count:
            parts.append(f"{count} {word}")
    return ", ".join(parts)


def _form_lines(form: FormScore) -> Iterator[str]:
    overall = form.overall
    yield (
        f"  {_FORM_NAMES[form.form]} ({overall.num_values} questions of {overall.num_clusters} "
        f"videos): {_share(overall)} right, {form.num_declined} declined"
    )
    if form.absent:
        yield f"    of {form.absent.num_values} that nothing answers {_share(form.absent)} declined"
    for rule in form.rules:
        yield f"    {rule.rule}: {_denominators(rule.accuracy)}"
    if points := form.video_groups:
        yield (
            f"    points per video: {points.overall:.1f} of all, "
            f"{_points(points.relevance)} of relevance, {_points(points.logic)} of logic groups"
        )
    for group in form.groups:
        labels = ", ".join(
            f"{label} {100 * each.full:.1f} ({each.num_questions})"
            for label, each in group.by_label.items()
        )
        yield f"    by {group.grouping}, macro {100 * group.macro:.1f}: {labels}"


def _points(points: float | None) -> str:
    return "-" if points is None else f"{points:.1f}"


def _denominators(accuracy: Accuracy) -> str:
    official = "-" if accuracy.official is None else f"{100 * accuracy.official:.1f}"
    return (
        f"{100 * accuracy.full:.1f} of all, {official} by its own denominator "
        f"({accuracy.num_questions - accuracy.num_dropped}), {accuracy.num_unparsed} unread"
    )


def _share(interval: Interval) -> str:
    """A share in percent with its interval, which one video alone cannot give."""
    if interval.num_clusters == 1:
        return f"{100 * interval.mean:.1f}"
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.mean:.1f} [{low:.1f}, {high:.1f}]"


def _costs(score: QaScore) -> str:
    costs = score.costs
    library = _pair(costs.index_seconds_per_hour, costs.index_bytes_per_hour)
    parts = [f"{costs.video_hours:.2f} h of video", f"library {library} per hour"]
    if costs.arm_seconds_per_hour is not None:
        arm = _pair(costs.arm_seconds_per_hour, costs.arm_bytes_per_hour)
        parts.append(f"retriever {arm} per hour")
    for seconds, word in ((costs.search_seconds, "to find"), (costs.answer_seconds, "to answer")):
        if seconds is not None:
            parts.append(f"{1000 * seconds:.1f} ms {word}")
    if costs.prompt_tokens is not None:
        parts.append(
            f"{costs.prompt_tokens:.0f} tokens read, {costs.reply_tokens or 0:.0f} written"
        )
    return ", ".join(parts)


def _pair(seconds: float | None, num_bytes: float | None) -> str:
    time = "unmeasured time" if seconds is None else f"{seconds:.1f} s"
    size = "unknown size" if num_bytes is None else f"{num_bytes / 1e6:.2f} MB"
    return f"{time} and {size}"
