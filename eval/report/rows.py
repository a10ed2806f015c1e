"""Rows of eval/README.md: figures that a commit, a command and a machine stand behind."""

from __future__ import annotations

from collections.abc import Sequence

from clamr_rag.errors import UsageError
from eval.report.commands import qa_command, retrieval_command
from eval.report.numbers import NONE, percent, percent_with_interval, quantity
from eval.report.qa_figures import OPEN, Score, cost, evidence_score, score
from eval.report.retrieval_figures import retrieval_cost
from eval.report.runs import AnyRun
from eval.report.tables import Table, markdown_rows
from eval.retrieval_records import RetrievalRun
from eval.retrieval_tables import MEASURES, figures
from eval.run_records import Run, RunHeader

_COLUMNS = (
    "benchmark", "found by", "answered by", "subtitles", "frames", "videos", "questions",
    "strict (%)", "published rule (%)", "open answers (%)", "evidence hit@1 (%)", "coverage (%)",
    "s per question", "commit", "machine", "command",
)  # fmt: skip
_RETRIEVAL_COLUMNS = (
    "benchmark", "found by", "options", "details", "candidates", "queries",
    *(f"{'MRR' if name == 'RR' else name} (%)" for name in MEASURES), "queries tied",
    "encoding s per video hour", "MB per video hour", "ms per query", "commit", "machine",
    "command",
)  # fmt: skip
_NUM_TEXT_COLUMNS = 4


def readme_rows(runs: Sequence[AnyRun]) -> str:
    """A Markdown table per kind of run, one row per run.

    Raises:
        UsageError: A run is not finished or is a shard, or its code is in no commit.
    """
    for run in runs:
        _check(run)
    questions = tuple(_row(run) for run in runs if isinstance(run, Run))
    queries = tuple(_retrieval_row(run) for run in runs if isinstance(run, RetrievalRun))
    tables = [
        Table("rows", "", _COLUMNS, questions, (), _NUM_TEXT_COLUMNS),
        Table("rows", "", _RETRIEVAL_COLUMNS, queries, (), _NUM_TEXT_COLUMNS),
    ]
    return "\n".join(markdown_rows(table) for table in tables if table.rows)


def _check(run: AnyRun) -> None:
    header, folder = run.header, str(run.folder)
    expected = header.num_questions if isinstance(header, RunHeader) else header.num_queries
    if header.shard is not None:
        raise UsageError(
            f"{folder!r} is shard {header.shard[0]} of {header.shard[1]}",
            hint="put the shards together first",
        )
    if len(run.records) != expected:
        raise UsageError(
            f"{folder!r} has {len(run.records)} of {expected} questions",
            hint="finish it with the command that began it",
        )
    if not _is_commit(header.commit):
        raise UsageError(
            f"{folder!r} was made at {header.commit!r}, which nobody can check out",
            allowed="a run of committed code",
            hint="commit, then run it again",
        )


def _is_commit(name: str) -> bool:
    return len(name) >= 7 and set(name) <= set("0123456789abcdef")


def _row(run: Run) -> tuple[str, ...]:
    header = run.header
    found = evidence_score(run.records, header.top_k)
    answered = sum(record.is_counted for record in run.records)
    present = header.num_videos - len(header.missing_videos)
    return (
        f"{header.benchmark} {header.split}",
        header.retriever,
        header.answerer,
        header.subtitles,
        str(header.frames),
        f"{present} of {header.num_videos}",
        f"{answered} of {header.num_questions}",
        _share(score(run.records, "strict")),
        _published(run),
        _share(score(run.records, OPEN)),
        percent_with_interval(found.hits[1] if found else None),
        percent_with_interval(found.coverage if found else None),
        quantity(cost(run).seconds),
        header.commit[:12],
        header.machine,
        qa_command(header),
    )


def _retrieval_row(run: RetrievalRun) -> tuple[str, ...]:
    header, found, cost = run.header, figures(run.records), retrieval_cost(run)
    size = cost.bytes_per_hour
    return (
        f"{header.benchmark} {header.split}",
        header.arm,
        ", ".join(f"{name} {value}" for name, value in sorted(header.options.items())) or NONE,
        header.arm_details,
        str(header.num_candidates),
        str(len(run.records)),
        *(percent_with_interval(found.intervals[name]) for name in MEASURES),
        str(found.report.num_tied),
        quantity(cost.encode_seconds_per_hour),
        quantity(None if size is None else size / 1e6),
        quantity(cost.milliseconds),
        header.commit[:12],
        header.machine,
        retrieval_command(header),
    )


def _share(found: Score | None) -> str:
    return percent_with_interval(found.full if found else None)


def _published(run: Run) -> str:
    """By every published rule of the benchmark, over its own denominator."""
    told = []
    for rule in run.header.rules[1:]:
        found = score(run.records, rule)
        if found and found.official:
            told.append(f"{percent(found.official.mean)} {rule}")
    return ", ".join(told) or NONE
