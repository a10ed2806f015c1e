"""nDCG, recall and MRR of rankings, computed by ir_measures, with ties said.

Left to themselves the tools break ties of score each in its own way: trec_eval by document name
from the back, torchmetrics by averaging for nDCG and by place for recall. Where many scores are
equal that alone moves a figure by tens of points (MultiVENT 2.0++, whose pool has each video
several times: one run reads 57.6 or 85.6). Here every figure comes as a pair: ``worst`` puts what
is wanted behind all that has its score, ``best`` before it. Without ties both are the same; the
headline is ``worst``, which no order of equal scores can flatter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import ir_measures

Judgements = Mapping[str, Mapping[str, int]]
"""Per query the relevance of each judged candidate; what is missing has relevance 0."""
Scores = Mapping[str, Mapping[str, float]]
"""Per query the score of each retrieved candidate; the highest is ranked first."""

MEASURES = ("nDCG@10", "R@1", "R@5", "R@10", "RR")
"""As ir_measures writes them; RR averaged over queries is MRR."""


@dataclass(frozen=True, slots=True)
class RankingReport:
    """Figures of one run."""

    worst: Mapping[str, float]
    """Mean of each measure over all judged queries, wanted candidates last among equal scores."""
    best: Mapping[str, float]
    """The same with wanted candidates first among equal scores."""
    per_query: Mapping[str, Mapping[str, float]]
    """Per query the ``worst`` value of each measure, for intervals and tests."""
    num_queries: int
    num_tied: int
    """Queries in which the order of equal scores can change a figure."""
    num_unanswered: int
    """Judged queries that the run does not have; they count as 0."""


def score_rankings(
    judged: Judgements, scores: Scores, measures: Sequence[str] = MEASURES
) -> RankingReport:
    """Scores a run against judgements.

    Args:
        judged: At least one relevant candidate for each query.
        scores: Any finite or infinite numbers but NaN.
        measures: In the notation of ir_measures, e.g. ``"AP@100"``.

    Raises:
        ValueError: A query has nothing relevant or is not judged, or a score is NaN.
    """
    _check(judged, scores)
    num_tied = sum(_is_tied(judged[query], found) for query, found in scores.items())
    worst = _values(judged, scores, measures, wanted_first=False)
    best = _values(judged, scores, measures, wanted_first=True) if num_tied else worst
    return RankingReport(
        worst=_means(worst, measures),
        best=_means(best, measures),
        per_query=worst,
        num_queries=len(judged),
        num_tied=num_tied,
        num_unanswered=sum(not scores.get(query) for query in judged),
    )


def average_ndcg(judged: Judgements, scores: Scores, cutoff: int = 10) -> float:
    """nDCG@cutoff, averaged over all orders of equal scores; what torchmetrics computes.

    Each candidate gains the mean gain of those with its score (McSherry and Najork, 2008), so it
    lies between the worst and the best of `score_rankings`.

    Raises:
        ValueError: As `score_rankings`.
    """
    _check(judged, scores)
    total = 0.0
    for query, relevance in judged.items():
        gains = _averaged_gains(relevance, scores.get(query, {}))
        ideal = sorted(relevance.values(), reverse=True)
        total += _dcg(gains[:cutoff]) / _dcg(ideal[:cutoff])
    return total / len(judged)


def _check(judged: Judgements, scores: Scores) -> None:
    if not judged:
        raise ValueError("got no judged queries")
    for query, relevance in judged.items():
        if not any(value > 0 for value in relevance.values()):
            raise ValueError(f"query {query!r} has nothing relevant; leave it out and say so")
    if unjudged := [query for query in scores if query not in judged]:
        raise ValueError(f"got {len(unjudged)} queries without judgements, first {unjudged[0]!r}")
    for query, found in scores.items():
        if any(math.isnan(score) for score in found.values()):
            raise ValueError(f"query {query!r} has a score that is NaN")


def _values(
    judged: Judgements, scores: Scores, measures: Sequence[str], *, wanted_first: bool
) -> dict[str, dict[str, float]]:
    names = {ir_measures.parse_measure(name): name for name in measures}
    qrels = [
        ir_measures.Qrel(query, candidate, relevance)
        for query, candidates in judged.items()
        for candidate, relevance in candidates.items()
    ]
    run = [
        ir_measures.ScoredDoc(query, candidate, score)
        for query, found in scores.items()
        for candidate, score in _untied(judged[query], found, wanted_first=wanted_first)
    ]
    # Starts at 0: ir_measures gives no value for queries that the run lacks.
    values: dict[str, dict[str, float]] = {query: dict.fromkeys(measures, 0.0) for query in judged}
    for metric in ir_measures.iter_calc(list(names), qrels, run):
        values[metric.query_id][names[metric.measure]] = metric.value
    return values


def _untied(
    relevance: Mapping[str, int], found: Mapping[str, float], *, wanted_first: bool
) -> Iterator[tuple[str, float]]:
    """The candidates with scores that are all different, so that no tool has a tie to break."""
    sign = -1 if wanted_first else 1
    # The name comes last: it settles what is equal in both, so that no order of input matters.
    ranked = sorted(found, key=lambda name: (-found[name], sign * relevance.get(name, 0), name))
    return ((name, float(len(ranked) - place)) for place, name in enumerate(ranked))


def _is_tied(relevance: Mapping[str, int], found: Mapping[str, float]) -> bool:
    by_score: dict[float, set[int]] = {}
    for candidate, score in found.items():
        by_score.setdefault(score, set()).add(relevance.get(candidate, 0))
    return any(len(values) > 1 for values in by_score.values())


def _means(values: Mapping[str, Mapping[str, float]], measures: Sequence[str]) -> dict[str, float]:
    return {
        name: math.fsum(query[name] for query in values.values()) / len(values) for name in measures
    }


def _averaged_gains(relevance: Mapping[str, int], found: Mapping[str, float]) -> list[float]:
    by_score: dict[float, list[int]] = {}
    for candidate, score in found.items():
        by_score.setdefault(score, []).append(relevance.get(candidate, 0))
    gains: list[float] = []
    for score in sorted(by_score, reverse=True):
        tied = by_score[score]
        gains += [sum(tied) / len(tied)] * len(tied)
    return gains


def _dcg(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(place + 2) for place, gain in enumerate(gains))
