"""Retrieval metrics over many questions: LlamaIndex's own loop stops at one without results."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from statistics import fmean

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.evaluation.retrieval.metrics import resolve_metrics

Case = tuple[str, Sequence[str]]
"""A question and the ids of the clips that answer it."""


async def aevaluate_retrieval(
    retriever: BaseRetriever, cases: Iterable[Case], metrics: Sequence[str]
) -> dict[str, float]:
    """Mean of each metric; a question that finds nothing counts as 0.

    Args:
        retriever: Whose rankings are judged.
        cases: At least one.
        metrics: LlamaIndex's names: ``hit_rate``, ``mrr``, ``precision``, ``recall``, ``ap``,
            ``ndcg``.
    """
    judges = {name: kind() for name, kind in zip(metrics, resolve_metrics([*metrics]), strict=True)}
    values: dict[str, list[float]] = {name: [] for name in metrics}
    for question, expected in cases:
        found = [hit.node.node_id for hit in await retriever.aretrieve(question)]
        for name, judge in judges.items():
            judged = judge.compute(question, list(expected), found).score if found else 0.0
            values[name].append(float(judged))
    return {name: fmean(each) for name, each in values.items()}


def evaluate_retrieval(
    retriever: BaseRetriever, cases: Iterable[Case], metrics: Sequence[str]
) -> dict[str, float]:
    """As `aevaluate_retrieval`, where no event loop is running."""
    return asyncio.run(aevaluate_retrieval(retriever, cases, metrics))
