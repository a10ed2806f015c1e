"""The four losses of the released code, computed from our scores: the inputs of training are right.

The formulas are those of shared/research/clamr.md §1, §4.6 and §6 (B12), on the padded batch and
with the template as a fifth modality, as the released code trains. This is no training code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise as pairs
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file
from test_parity import CASES, NUM_CLIPS, PARITY, RELEASED_ROWS, Case, case, encoder

from clamr_rag.encoder.qwen import QwenEncoder
from clamr_rag.scoring import Scorer, modality_scores, released
from clamr_rag.types import MultiVector

# The fixtures of test_parity, by name.
__all__ = ["case", "encoder"]

Matrix = npt.NDArray[np.float64]
GOLDEN = Path(__file__).parent / "golden" / "scores_case_a.safetensors"
MODALITIES = ["video", "ocr", "asr", "description"]
TEMPERATURE = 0.02
SCORERS: list[Scorer] = ["token_max", "modality_max"]
# case.json of case_a, for checkouts without shared/: the golden vectors are that case's.
GOLD_OF_A = ["video", "asr", "ocr", "description"]
LOSSES_OF_A = {
    "contrastive/token_max": 2.7131617069244385,
    "contrastive_hard_positive/token_max": 5.857516288757324,
    "contrastive_hard_negative/token_max": 3.2560718059539795,
    "pairwise/token_max": 0.7121603488922119,
    "contrastive/modality_max": 2.700561046600342,
    "contrastive_hard_positive/modality_max": 5.217779636383057,
    "contrastive_hard_negative/modality_max": 3.5294268131256104,
    "pairwise/modality_max": 0.712278425693512,
}


def cross_entropy(own: Matrix, logits: Matrix) -> float:
    """Mean of -log softmax of each row's own logit ``(B,)`` among its logits ``(B, n)``."""
    highest = logits.max(axis=1)
    log_sums = np.log(np.exp(logits - highest[:, None]).sum(axis=1)) + highest
    return float((log_sums - own).mean())


def contrastive(scores: Matrix, by_modality: Matrix, gold: Sequence[int]) -> float:
    """InfoNCE over the batch, query to clip."""
    return cross_entropy(scores.diagonal() / TEMPERATURE, scores / TEMPERATURE)


def contrastive_hard_positive(scores: Matrix, by_modality: Matrix, gold: Sequence[int]) -> float:
    """As `contrastive`, the own clip scored by the modality that the query is about."""
    fixed = scores.copy()
    for row, modality in enumerate(gold):
        fixed[row, row] = by_modality[row, row, modality]
    return contrastive(fixed, by_modality, gold)


def contrastive_hard_negative(scores: Matrix, by_modality: Matrix, gold: Sequence[int]) -> float:
    """As `contrastive`, with every other (clip, modality) as one more negative.

    As shipped: the positive stays the score over all modalities (B12).
    """
    rows = []
    for row, modality in enumerate(gold):
        others = np.ones(by_modality.shape[1:], bool)
        others[row, modality] = False
        rows.append(np.concatenate([scores[row], by_modality[row][others]]))
    return cross_entropy(scores.diagonal() / TEMPERATURE, np.stack(rows) / TEMPERATURE)


def pairwise(scores: Matrix, by_modality: Matrix, gold: Sequence[int]) -> float:
    """Softplus of how far the best other clip is above the own one; no temperature."""
    others = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores).max(axis=1)
    return float(np.logaddexp(0.0, others - scores.diagonal()).mean())


LOSSES: list[Callable[[Matrix, Matrix, Sequence[int]], float]] = [
    contrastive,
    contrastive_hard_positive,
    contrastive_hard_negative,
    pairwise,
]


def losses(
    queries: Sequence[MultiVector], clips: Sequence[MultiVector], gold: Sequence[str]
) -> dict[str, float]:
    """All losses under both scorers, by the names of ``case.json``."""
    numbers = [MODALITIES.index(name) for name in gold]
    found = np.stack([modality_scores(query, clips) for query in queries])
    by_modality = found[:, :, 1:5].astype(np.float64)
    told = {}
    for scorer in SCORERS:
        rows = [released(query, clips, scorer, padded_rows=RELEASED_ROWS) for query in queries]
        for loss in LOSSES:
            scores = np.stack(rows).astype(np.float64)
            told[f"{loss.__name__}/{scorer}"] = loss(scores, by_modality, numbers)
    return told


def as_vectors(rows: Any, modalities: Any) -> MultiVector:
    return MultiVector(rows, modalities, np.full(len(rows), np.nan, np.float32))


def test_losses_of_the_released_vectors() -> None:
    golden = load_file(GOLDEN)
    clips = [
        as_vectors(golden[f"clip{n}_embeddings"], golden[f"clip{n}_modality_ids"])
        for n in range(NUM_CLIPS)
    ]
    rows = [golden[f"query{n}_embeddings"] for n in range(NUM_CLIPS)]
    queries = [as_vectors(query, np.zeros(len(query), np.uint8)) for query in rows]
    assert losses(queries, clips, GOLD_OF_A) == pytest.approx(LOSSES_OF_A, abs=1e-4)


@pytest.mark.skipif(not CASES, reason=f"no parity cases in {PARITY}")
def test_losses_of_our_vectors(case: Case, encoder: QwenEncoder) -> None:
    description = json.loads((case.folder / "case.json").read_text())
    assert description["modality_types"] == MODALITIES
    assert description["temperature"] == TEMPERATURE
    queries = [encoder.encode_query(text) for text in case.queries]
    clips = encoder.encode_clips(case.clips, keep_other=True)
    gold = [clip["query_type"] for clip in description["clips"]]
    assert losses(queries, clips, gold) == pytest.approx(description["losses"], abs=1e-4)


def test_the_losses_are_not_the_same_numbers_by_chance() -> None:
    """Each of the eight is told apart by more than the tolerance: a mix-up would show."""
    values = sorted(LOSSES_OF_A.values())
    assert min(b - a for a, b in pairs(values)) > 1e-4
