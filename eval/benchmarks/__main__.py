"""What is there of a benchmark: ``python -m eval.benchmarks NAME --root DIR [key=value …]``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from clamr_rag.errors import ClamrError, UsageError
from eval.benchmarks import MODULES, load_benchmark, load_options
from eval.benchmarks.records import Benchmark, QaBenchmark, RetrievalBenchmark

_NUM_NAMED = 5
"""Missing ids that are named; all are counted."""
_NUM_LABELS = 20
"""Of a grouping that is listed; of others only their number is given."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was found, or what is wrong with the files.

    Returns:
        The exit code, as the command `clamr-rag` has them.
    """
    parser = argparse.ArgumentParser(prog="python -m eval.benchmarks", description=__doc__)
    parser.add_argument("name", help=", ".join(MODULES))
    parser.add_argument("--root", type=Path, required=True, help="folder of the download")
    parser.add_argument("options", nargs="*", metavar="key=value", help="of the loader")
    given = parser.parse_intermixed_args(arguments)
    try:
        options = dict(map(_option, given.options))
        benchmark = load_benchmark(given.name, given.root.expanduser(), **options)
        print(*_lines(benchmark), *_option_lines(given.name, options), sep="\n")
    except ClamrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"got {text!r}", allowed="key=value, e.g. subtitles=ours")
    return key, value


def _lines(benchmark: Benchmark) -> Iterator[str]:
    yield f"{benchmark.name} {benchmark.split}: {benchmark.source}"
    missing = benchmark.missing_videos
    yield f"videos     {len(benchmark.videos)}, {len(missing)} not on disk{_named(missing)}"
    if isinstance(benchmark, QaBenchmark):
        yield from _qa_lines(benchmark)
    else:
        yield from _retrieval_lines(benchmark)


def _qa_lines(benchmark: QaBenchmark) -> Iterator[str]:
    questions = benchmark.questions
    there = {name for name, video in benchmark.videos.items() if video.path is not None}
    num_there = sum(not q.video_id or q.video_id in there for q in questions)
    num_open = sum(not question.options for question in questions)
    num_hidden = sum(question.answer is None for question in questions)
    num_moments = sum(bool(question.evidence) for question in questions)
    yield f"questions  {len(questions)}, {num_there} of them with their video on disk"
    yield f"           {num_open} open, {num_hidden} without an answer, {num_moments} with evidence"
    if unusable := benchmark.unusable_evidence:
        yield f"           {len(unusable)} with stated times that hold nothing{_named(unusable)}"
    yield from _subtitle_lines(benchmark)
    for grouping, counts in _groups(benchmark).items():
        labels = (f"{label} {count}" for label, count in sorted(counts.items()))
        shown = ", ".join(labels) if len(counts) <= _NUM_LABELS else f"{len(counts)} labels"
        yield f"by {grouping}: {shown}"
    yield f"scored by  {', '.join(benchmark.rules)}"


def _subtitle_lines(benchmark: QaBenchmark) -> Iterator[str]:
    read = [video.subtitles for video in benchmark.videos.values() if video.subtitles]
    missing = benchmark.missing_subtitles
    if read or missing:
        rules = ", ".join(sorted({subtitles.rule for subtitles in read})) or "no file"
        num_cues = sum(len(subtitles.cues) for subtitles in read)
        yield f"subtitles  {len(read)} by {rules}, {num_cues} cues"
        yield f"           {len(missing)} missing{_named(missing)}"
    else:
        yield "subtitles  none"


def _retrieval_lines(benchmark: RetrievalBenchmark) -> Iterator[str]:
    num_relevant = sum(len(query.relevant) for query in benchmark.queries)
    num_within = sum(query.video_id is not None for query in benchmark.queries)
    yield f"candidates {len(benchmark.candidates)}"
    yield f"queries    {len(benchmark.queries)}, {num_within} within one video"
    yield f"relevant   {num_relevant} pairs"


def _groups(benchmark: QaBenchmark) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for question in benchmark.questions:
        for grouping, labels in question.groups.items():
            counts.setdefault(grouping, Counter()).update(labels)
    return counts


def _option_lines(name: str, options: dict[str, str]) -> Iterator[str]:
    if used := load_options(name) | options:
        yield f"options    {' '.join(f'{key}={value}' for key, value in used.items())}"


def _named(ids: Sequence[str]) -> str:
    if not ids:
        return ""
    rest = f" and {len(ids) - _NUM_NAMED} more" if len(ids) > _NUM_NAMED else ""
    return f" ({', '.join(ids[:_NUM_NAMED])}{rest})"


if __name__ == "__main__":
    sys.exit(main())
