"""Tables of runs over the questions of one benchmark."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from eval.extractors import find_rule
from eval.metrics.accuracy import macro
from eval.metrics.moments import HIT_RANKS
from eval.report.numbers import (
    NONE,
    p_value,
    percent,
    percent_with_interval,
    points_with_interval,
    quantity,
)
from eval.report.qa_figures import (
    OPEN,
    Comparison,
    Cost,
    Score,
    choice_records,
    cluster,
    compare,
    compare_evidence,
    cost,
    declined,
    evidence_records,
    evidence_score,
    groupings,
    open_records,
    score,
    score_by,
)
from eval.report.runs import NamedRun
from eval.report.tables import Table

_INTERVALS = "In brackets: 95 % intervals, whole videos resampled 2000 times."
_FEW_VIDEOS = 10


def qa_tables(runs: Sequence[NamedRun], rule: str) -> tuple[Table, ...]:
    """All tables of one benchmark; those without rows are left out.

    Args:
        runs: Over the same benchmark; the first is what the others are compared with.
        rule: The one that groups and comparisons are given by.
    """
    tables = [
        _run_table(runs),
        _accuracy_table(runs),
        _evidence_table(runs),
        _declined_table(runs),
        *(_group_table(runs, rule, grouping) for grouping in _groupings(runs)),
        _comparison_table(runs, rule),
        _cost_table(runs),
    ]
    return tuple(table for table in tables if table.rows)


def leading_rule(runs: Sequence[NamedRun], rule: str) -> str:
    """The rule that was asked for, or words where no run has questions with options."""
    return rule if any(choice_records(run.records) for run in runs) else OPEN


def rule_text(rule: str) -> str:
    """A rule as a reader knows it."""
    return "open answers" if rule == OPEN else rule


def shown_commit(commit: str) -> str:
    """As many digits as tell commits apart, and whether the code differs from it."""
    name, plus, changes = commit.partition("+")
    return f"{name[:12]}{plus}{changes}"


def intervals_note(videos: Iterable[Collection[str]]) -> str:
    """What the brackets are, and when not to trust them.

    Args:
        videos: Of each run, those that its questions are about.
    """
    fewest = min(map(len, videos))
    if fewest >= _FEW_VIDEOS:
        return _INTERVALS
    if fewest <= 1:
        return "No intervals: questions about one video say nothing about others."
    return f"{_INTERVALS} Over {fewest} videos only they are too narrow to be believed."


def _note(runs: Sequence[NamedRun]) -> str:
    answerable = [[r for r in run.records if r.is_counted and not r.is_absent] for run in runs]
    return intervals_note([{cluster(record) for record in records} for records in answerable])


def _run_table(runs: Sequence[NamedRun]) -> Table:
    rows = []
    for run in runs:
        header, records = run.header, run.records
        skipped, failed = (
            sum(record.status == status for record in records) for status in ("skipped", "failed")
        )
        rows.append(
            (
                run.name,
                header.subtitles,
                shown_commit(header.commit),
                header.machine,
                f"{len(records):,} of {header.num_questions:,}",
                str(skipped),
                str(failed),
                f"{len(header.missing_videos)} of {header.num_videos}",
                str(len(header.missing_subtitles)),
                str(header.top_k),
                str(header.frames),
            )
        )
    columns = (
        "run", "subtitles", "commit", "machine", "questions", "skipped", "failed",
        "videos missing", "subtitles missing", "top k", "frame budget",
    )  # fmt: skip
    notes = (
        f"Read from: {runs[0].header.source}.",
        "Skipped questions (no video, or not indexed) are in no figure; failed ones are wrong.",
    )
    return Table("runs", "Runs", columns, tuple(rows), notes, num_text_columns=4)


def _accuracy_table(runs: Sequence[NamedRun]) -> Table:
    columns = (
        "run", "rule", "all questions (%)", "as the rule counts (%)", "right", "questions",
        "unread", "left out",
    )  # fmt: skip
    rows = []
    for run in runs:
        for rule in (*run.header.rules, OPEN):
            if found := score(run.records, rule):
                rows.append((run.name, rule_text(rule), *_score_cells(found)))
    guesses = [rule for rule in runs[0].header.rules if find_rule(rule).guesses]
    notes = [
        _note(runs),
        "All questions: unread is wrong. As the rule counts: over the denominator of the rule's "
        "own scorer, which may leave unread replies out.",
    ]
    if guesses:
        notes.append(
            f"The scorers of {', '.join(guesses)} draw a letter where they read none; it is "
            "counted with its chance."
        )
    if any(open_records(run.records) for run in runs):
        notes.append("Open answers are right if they hold the words of the right answer, in order.")
    return Table("accuracy", "Accuracy", columns, tuple(rows), tuple(notes), num_text_columns=2)


def _score_cells(found: Score) -> tuple[str, ...]:
    counts = found.counts
    return (
        percent_with_interval(found.full),
        percent_with_interval(found.official),
        str(counts.num_right),
        str(counts.num_questions),
        str(counts.num_unparsed),
        str(counts.num_dropped),
    )


def _evidence_table(runs: Sequence[NamedRun]) -> Table:
    columns = (
        "run", *(f"hit@{rank} (%)" for rank in HIT_RANKS), "MRR (%)", "coverage (%)", "questions",
    )  # fmt: skip
    rows = []
    for run in runs:
        found = evidence_score(run.records, run.header.top_k)
        if found is None:
            continue
        hits = (percent_with_interval(found.hits.get(rank)) for rank in HIT_RANKS)
        rows.append(
            (
                run.name,
                *hits,
                percent_with_interval(found.reciprocal_rank),
                percent_with_interval(found.coverage),
                str(len(evidence_records(run.records))),
            )
        )
    notes = (
        _note(runs),
        "A hit overlaps the evidence; coverage is the share of its seconds that all clips found "
        "hold together. Ranks that a run did not look for have no figure.",
    )
    return Table("evidence", "Evidence found", columns, tuple(rows), notes)


def _declined_table(runs: Sequence[NamedRun]) -> Table:
    columns = ("run", "form", "declined of absent", "(%)", "declined of answerable", "(%)")
    rows = []
    for run in runs:
        for form in run.header.forms:
            found = declined(record for record in run.records if record.form == form)
            if found.absent or found.num_absent or found.answerable:
                rows.append(
                    (
                        run.name,
                        form,
                        *_of(found.absent, found.num_absent),
                        *_of(found.answerable, found.num_answerable),
                    )
                )
    notes = ("Declining is right for what no video tells, and wrong for all else.",)
    return Table("declined", "Declined questions", columns, tuple(rows), notes, num_text_columns=2)


def _of(part: int, whole: int) -> tuple[str, str]:
    return f"{part} of {whole}", percent(part / whole if whole else None)


def _groupings(runs: Sequence[NamedRun]) -> list[str]:
    return sorted({name for run in runs for name in groupings(run.records)})


def _group_table(runs: Sequence[NamedRun], rule: str, grouping: str) -> Table:
    scores = {run.name: score_by(run.records, rule, grouping) for run in runs}
    labels = sorted({label for found in scores.values() for label in found})
    rows = [
        (label, run.name, *_score_cells(scores[run.name][label]))
        for label in labels
        for run in runs
        if label in scores[run.name]
    ]
    rows += [
        ("mean of groups", name, *_macro_cells(found)) for name, found in scores.items() if found
    ]
    columns = (
        grouping, "run", "all questions (%)", "as the rule counts (%)", "right", "questions",
        "unread", "left out",
    )  # fmt: skip
    name = "by-" + "".join(sign if sign.isalnum() else "-" for sign in grouping.lower())
    notes = (_note(runs), "A question with several labels counts in each.")
    title = f"Accuracy by {grouping}, {rule_text(rule)}"
    return Table(name, title, columns, tuple(rows), notes, num_text_columns=2)


def _macro_cells(scores: dict[str, Score]) -> tuple[str, ...]:
    counts = {label: found.counts for label, found in scores.items()}
    official = None
    if any(found.official is not None for found in counts.values()):
        official = macro(counts, "official")
    return (percent(macro(counts)), percent(official), *[NONE] * 4)


def _comparison_table(runs: Sequence[NamedRun], rule: str) -> Table:
    columns = (
        "run", "against", "figure", "difference (points)", "only this right", "only the other",
        "McNemar p", "questions", "not in both",
    )  # fmt: skip
    rows = []
    for run in runs[1:]:
        for figure, found in _comparisons(run, runs[0], rule):
            rows.append(
                (
                    run.name,
                    runs[0].name,
                    figure,
                    points_with_interval(found.difference),
                    str(found.test.only_first),
                    str(found.test.only_second),
                    p_value(found.test.p_value),
                    str(found.num_shared),
                    str(found.num_alone),
                )
            )
    notes = (
        "Question by question, over those that both runs have; the interval resamples videos. "
        "McNemar's test takes questions as independent, which those of one video are not.",
    )
    return Table("comparison", "Runs compared", columns, tuple(rows), notes, num_text_columns=3)


def _comparisons(run: NamedRun, other: NamedRun, rule: str) -> Iterator[tuple[str, Comparison]]:
    for each in dict.fromkeys((rule, OPEN)):
        if found := compare(run.records, other.records, each):
            yield f"accuracy, {rule_text(each)}", found
    if found := compare_evidence(run.records, other.records):
        yield "evidence hit@1", found


def _cost_table(runs: Sequence[NamedRun]) -> Table:
    columns = (
        "run", "index s per video hour", "index MB per video hour", "video hours", "frames",
        "prompt characters", "search s", "answer s", "both s", "both s, 95th percentile",
        "prompt tokens", "reply tokens",
    )  # fmt: skip
    rows = tuple((run.name, *_cost_cells(cost(run.run))) for run in runs)
    notes = (
        "Seconds per question are medians unless said otherwise; frames, characters and tokens "
        "are means per question. Tokens as the model's server counts them.",
    )
    return Table("cost", "Cost", columns, rows, notes)


def _cost_cells(found: Cost) -> tuple[str, ...]:
    size = found.index_bytes_per_hour
    values = (
        found.index_seconds_per_hour,
        None if size is None else size / 1e6,
        found.video_hours,
        found.mean_frames,
        found.mean_prompt_characters,
        found.search_seconds,
        found.answer_seconds,
        found.seconds,
        found.slow_seconds,
        found.mean_prompt_tokens,
        found.mean_reply_tokens,
    )
    return tuple(map(quantity, values))
