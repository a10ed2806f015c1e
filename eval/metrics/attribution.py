"""Was the modality that holds the answer named: against a gold label such as ``query_type``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clamr_rag.types import Modality


@dataclass(frozen=True, slots=True)
class AttributionReport:
    """How often the named modality is the gold one."""

    micro: float
    """Over questions, in [0, 1]."""
    macro: float
    """Mean over gold modalities: what always naming the commonest one cannot win."""
    by_gold: Mapping[Modality, float]
    """Share named rightly, per gold modality."""
    confusion: Mapping[tuple[Modality, Modality | None], int]
    """Number of questions per (gold, named)."""
    num_unnamed: int
    """Questions for which none was named; they count as wrong."""


def attribution(pairs: Sequence[tuple[Modality, Modality | None]]) -> AttributionReport:
    """Scores named modalities.

    Args:
        pairs: Gold and named modality of each question; None where nothing was found.

    Raises:
        ValueError: There is no question.
    """
    if not pairs:
        raise ValueError("got no questions to score")
    confusion = Counter(pairs)
    asked = Counter(gold for gold, _ in pairs)
    by_gold = {gold: confusion[gold, gold] / asked[gold] for gold in sorted(asked)}
    return AttributionReport(
        micro=sum(confusion[gold, gold] for gold in asked) / len(pairs),
        macro=sum(by_gold.values()) / len(by_gold),
        by_gold=by_gold,
        confusion=dict(confusion),
        num_unnamed=sum(named is None for _, named in pairs),
    )
