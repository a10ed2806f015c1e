"""Runs to be shown together, each with a name that tells it from the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clamr_rag.errors import UsageError
from eval.retrieval_records import RetrievalRun, is_retrieval_run, load_retrieval_run
from eval.run_records import HEADER_NAME, QuestionRecord, Run, RunHeader, load_run

AnyRun = Run | RetrievalRun


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A run over questions under the name that it has in this report."""

    name: str
    """Retriever and answerer, and whatever else tells the runs of a report apart."""
    series: str
    """The same without budgets: runs of one series differ in frames or clips only."""
    run: Run

    @property
    def header(self) -> RunHeader:
        """What was asked with which options."""
        return self.run.header

    @property
    def records(self) -> tuple[QuestionRecord, ...]:
        """One per question."""
        return self.run.records


def load_runs(folders: Sequence[Path]) -> list[AnyRun]:
    """Reads runs of both kinds; a folder of runs, as one command makes it, stands for all of them.

    Raises:
        UsageError: A folder holds no run or is named twice, or a record cannot be read.
    """
    found = [run for folder in folders for run in _run_folders(folder)]
    for folder, times in Counter(folder.resolve() for folder in found).items():
        if times > 1:
            raise UsageError(f"got the run {str(folder)!r} {times} times")
    runs: list[AnyRun] = []
    for folder in found:
        runs.append(load_retrieval_run(folder) if is_retrieval_run(folder) else load_run(folder))
        if not runs[-1].records:
            raise UsageError(f"the run {str(folder)!r} has no records yet")
    return runs


def _run_folders(folder: Path) -> list[Path]:
    if _is_run(folder):
        return [folder]
    inside = sorted(path for path in folder.glob("*") if _is_run(path))
    if not inside:
        raise UsageError(
            f"no run in {str(folder)!r}",
            hint="name an --out of eval.run_qa or eval.run_retrieval",
        )
    return inside


def _is_run(folder: Path) -> bool:
    return (folder / HEADER_NAME).is_file() or is_retrieval_run(folder)


_DIFFERENCES: tuple[Callable[[RunHeader], str], ...] = (
    lambda header: f"{header.frames} frames",
    lambda header: f"top {header.top_k}",
    lambda header: header.retriever_details.split(" ")[0],
    lambda header: ", ".join(f"{k} {v}" for k, v in sorted(header.benchmark_options.items())),
    lambda header: "" if header.limit is None else f"first {header.limit}",
    lambda header: "" if header.shard is None else f"shard {header.shard[0]}/{header.shard[1]}",
    lambda header: f"commit {header.commit[:7]}{'+' if header.commit.endswith('+changes') else ''}",
)


def named_runs(runs: Sequence[Run]) -> tuple[NamedRun, ...]:
    """Names runs by retriever and answerer, and by a subtitle mode that is not the usual one.

    Where that is not enough what differs is added, and at last the folder.
    """
    usual = Counter(run.header.subtitles for run in runs).most_common(1)[0][0]
    series = [_series(run.header, usual) for run in runs]
    names = list(series)
    for difference in _DIFFERENCES:
        told = [difference(run.header) for run in runs]
        names = _told_apart(names, told)
    names = _told_apart(names, [str(run.folder) for run in runs])
    return tuple(map(NamedRun, names, series, runs))


def _series(header: RunHeader, usual: str) -> str:
    name = f"{header.retriever} + {header.answerer}"
    return name if header.subtitles == usual else f"{name}, {header.subtitles} subtitles"


def _told_apart(names: Sequence[str], told: Sequence[str]) -> list[str]:
    """Adds what is told of each where the same name stands for several that differ in it."""
    different: dict[str, set[str]] = {}
    for name, more in zip(names, told, strict=True):
        different.setdefault(name, set()).add(more)
    return [
        f"{name}, {more}" if more and len(different[name]) > 1 else name
        for name, more in zip(names, told, strict=True)
    ]


def by_benchmark(runs: Sequence[Run]) -> dict[str, tuple[NamedRun, ...]]:
    """Runs over the same files together, under the benchmark's name.

    Figures of different files do not belong in one table.
    """
    together: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        key = run.header.benchmark, run.header.split, run.header.revision
        together.setdefault(key, []).append(run)
    plain = Counter((benchmark, split) for benchmark, split, _ in together)
    return {
        f"{benchmark} {split}"
        + (f" {revision[:7]}" if plain[benchmark, split] > 1 else ""): named_runs(members)
        for (benchmark, split, revision), members in together.items()
    }
