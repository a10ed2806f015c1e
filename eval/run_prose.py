"""How well an encoder of ours finds plain prose that it never saw, beside two plain ways.

``python -m eval.run_prose [--encoder mini|PATH] [--out FILE]``

Ranks all paragraphs of `eval.prose` for each question by the encoder's token vectors (MaxSim), by
BM25 as the library searches text (SQLite FTS5), by the trunk's own pooled sentence vectors, and by
MaxSim of the raw trunk under the projection that was never trained. Intervals resample whole topics
(95 %); figures put the wanted paragraph last among equal scores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clamr_rag.encoder import Encoder, load_encoder
from eval.metrics.rankings import RankingReport, Scores, score_rankings
from eval.prose import TEST_FILE, WORDINGS, Prose, read_prose
from eval.prose.rankers import (
    UNTRAINED_FILE,
    bm25_scores,
    late_interaction_scores,
    pooled_scores,
    untrained_projection,
    untrained_scores,
)
from eval.sentences import Sentences
from eval.stats import Interval, bootstrap, bootstrap_difference

MEASURES = ("nDCG@10", "R@1", "RR")
_TITLES = {"RR": "MRR"}
GROUPS = ("all", *WORDINGS)

UNDER_TEST = "late interaction"
BM25 = "BM25 (SQLite FTS5)"
POOLED = "pooled MiniLM"
UNTRAINED = "untrained late interaction"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one way of ranking."""

    way: str
    group: str
    """``"all"``, or the wording of the questions."""
    measure: str
    interval: Interval
    best: float
    """The same with the wanted paragraph first among equal scores."""


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much the encoder under test is better than another way, question by question."""

    way: str
    """The other one."""
    group: str
    measure: str
    interval: Interval


@dataclass(frozen=True, slots=True)
class Result:
    """All figures of a run, and what they were measured on."""

    encoder: str
    fingerprint: str
    prose_sha256: str
    num_paragraphs: int
    num_questions: Mapping[str, int]
    """By group."""
    num_tied: Mapping[str, int]
    """By way: questions in which the order of equal scores can change a figure."""
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    skipped: tuple[str, ...]
    """Ways that could not be measured, with the reason."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--encoder", default="mini", help="as load_encoder takes it")
    parser.add_argument("--prose", type=Path, default=TEST_FILE, help="the set (.jsonl)")
    parser.add_argument("--out", type=Path, default=None, help="also write the figures here (JSON)")
    arguments = parser.parse_args()
    result = measure(read_prose(arguments.prose), load_encoder(arguments.encoder))
    print(render(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


def measure(prose: Prose, encoder: Encoder) -> Result:
    """Ranks every way, and compares."""
    scores, skipped = rank_all_ways(prose, encoder)
    relevant = {q.question_id: {q.paragraph_id: 1} for q in prose.questions}
    topics = {q.question_id: q.topic for q in prose.questions}
    groups = {group: questions_of(prose, group) for group in GROUPS}
    groups = {group: ids for group, ids in groups.items() if ids}
    reports = {
        (way, group): score_rankings(
            {name: relevant[name] for name in ids}, {name: found[name] for name in ids}, MEASURES
        )
        for way, found in scores.items()
        for group, ids in groups.items()
    }
    return Result(
        encoder=encoder.name,
        fingerprint=encoder.fingerprint,
        prose_sha256=prose.sha256,
        num_paragraphs=len(prose.paragraphs),
        num_questions={group: len(ids) for group, ids in groups.items()},
        num_tied={way: reports[way, "all"].num_tied for way in scores},
        rows=tuple(_rows(reports, topics)),
        differences=tuple(_differences(reports, topics)),
        skipped=skipped,
    )


def rank_all_ways(prose: Prose, encoder: Encoder) -> tuple[dict[str, Scores], tuple[str, ...]]:
    """Scores of every way, the encoder under test first, and what was skipped with its reason."""
    trunk = Sentences()
    scores = {
        UNDER_TEST: late_interaction_scores(prose, encoder),
        BM25: bm25_scores(prose),
        POOLED: pooled_scores(prose, trunk),
    }
    projection = untrained_projection()
    if projection is None:
        return scores, (f"{UNTRAINED}: {UNTRAINED_FILE.name} is gone, or is another one now",)
    return {**scores, UNTRAINED: untrained_scores(prose, trunk, projection)}, ()


def questions_of(prose: Prose, group: str) -> list[str]:
    """Ids of the questions of one wording, or of all."""
    return [q.question_id for q in prose.questions if group in ("all", q.wording)]


Reports = Mapping[tuple[str, str], RankingReport]
"""By way and group."""


def _rows(reports: Reports, topics: Mapping[str, str]) -> Iterator[Row]:
    for (way, group), report in reports.items():
        clusters = [topics[name] for name in report.per_query]
        for name in MEASURES:
            values = [found[name] for found in report.per_query.values()]
            yield Row(way, group, name, bootstrap(values, clusters), report.best[name])


def _differences(reports: Reports, topics: Mapping[str, str]) -> Iterator[Difference]:
    for (way, group), report in reports.items():
        if way == UNDER_TEST:
            continue
        for name in MEASURES:
            ours, theirs = (
                {question: found[name] for question, found in one.per_query.items()}
                for one in (reports[UNDER_TEST, group], report)
            )
            yield Difference(way, group, name, bootstrap_difference(ours, theirs, topics))


# --- what is printed


def render(result: Result) -> str:
    """The figures as text: a table per group of questions, then the differences."""
    lines = [
        f"{result.num_paragraphs} paragraphs, {result.num_questions['all']} questions "
        f"(set {result.prose_sha256[:8]}); encoder {result.encoder} ({result.fingerprint})"
    ]
    for group, count in result.num_questions.items():
        lines += ["", f"{group} ({count} questions)", *_table(result.rows, group)]
        lines += [f"  {UNDER_TEST} minus"]
        lines += _table(result.differences, group, sign="+")
    lines += ["", *(_tied(way, count) for way, count in result.num_tied.items() if count)]
    return "\n".join([*lines, *(f"skipped {reason}" for reason in result.skipped)]).rstrip()


def _table(rows: Sequence[Row | Difference], group: str, sign: str = "") -> list[str]:
    ways = dict.fromkeys(row.way for row in rows)
    cells = {(r.way, r.measure): _cell(r.interval, sign) for r in rows if r.group == group}
    head = "".join(f"{_TITLES.get(name, name):>26}" for name in MEASURES) if not sign else None
    body = [f"  {way:26}" + "".join(f"{cells[way, name]:>26}" for name in MEASURES) for way in ways]
    return body if head is None else [f"  {'':26}{head}", *body]


def _cell(interval: Interval, sign: str) -> str:
    mean, low, high = (
        f"{value:{sign}.3f}" for value in (interval.mean, interval.low, interval.high)
    )
    return f"{mean} [{low}, {high}]"


def _tied(way: str, count: int) -> str:
    return f"{way}: equal scores matter in {count} questions, taken at their worst"


if __name__ == "__main__":
    main()
