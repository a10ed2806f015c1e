from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from test_parity_losses import GOLD_OF_A, LOSSES_OF_A, SCORERS

from clamr_rag.errors import UsageError
from clamr_rag.scoring import Scorer, modality_max, modality_scores, token_max
from clamr_rag.training.losses import (
    LOSSES,
    Comparison,
    LossName,
    Scores,
    hard_negative,
    pairwise,
)
from clamr_rag.training.scores import batch_scores
from clamr_rag.types import Modality, MultiVector

GOLDEN = Path(__file__).parent / "golden" / "scores_case_a.safetensors"
RELEASED_ROWS = 768
"""The combined length that the parity cases are padded to."""
NAMES_OF_RELEASE = {
    "contrastive": "contrastive",
    "hard_positive": "contrastive_hard_positive",
    "hard_negative": "contrastive_hard_negative",
    "pairwise": "pairwise",
}
GOLD = {"video": 1, "ocr": 2, "asr": 3, "description": 4}


def unit(rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(rows, dim=-1)


def padded(rows: list[torch.Tensor], length: int) -> torch.Tensor:
    """Rows of each, with zero rows up to the length."""
    tail = rows[0].shape[1:]
    return torch.stack(
        [torch.cat([each, each.new_zeros(length - len(each), *tail)]) for each in rows]
    )


def random_batch(seed: int, num: int = 4) -> tuple[torch.Tensor, ...]:
    """Queries, their mask, clips and modalities; each clip lacks one modality."""
    numbers = torch.Generator().manual_seed(seed)
    queries = unit(torch.randn(num, 5, 8, generator=numbers))
    mask = torch.ones(num, 5, dtype=torch.bool)
    mask[1:, 3:] = False
    clips = unit(torch.randn(num, 12, 8, generator=numbers))
    modalities = torch.randint(0, 5, (num, 12), generator=numbers)
    for row in range(num):
        modalities[row][modalities[row] == 1 + row % 4] = 0
        modalities[row, :2] = torch.tensor([1 + (row + 1) % 4, 1 + (row + 2) % 4])
    clips[modalities == 0] = 0
    return queries, mask, clips, modalities


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("name", LOSSES)
def test_equal_to_the_released_losses(name: LossName, scorer: Scorer) -> None:
    golden = load_file(GOLDEN)
    count = len(GOLD_OF_A)
    texts = [torch.from_numpy(golden[f"query{n}_embeddings"]) for n in range(count)]
    clips = [torch.from_numpy(golden[f"clip{n}_embeddings"]) for n in range(count)]
    kinds = [torch.from_numpy(golden[f"clip{n}_modality_ids"]).long() for n in range(count)]
    longest = max(map(len, texts))
    mask = torch.stack([torch.arange(longest) < len(text) for text in texts])
    scores = batch_scores(
        padded(texts, longest), mask, padded(clips, RELEASED_ROWS), padded(kinds, RELEASED_ROWS),
        scorer, released=True,
    )  # fmt: skip
    gold = torch.tensor([GOLD[word] for word in GOLD_OF_A])
    found = LOSSES[name](Comparison(scores, gold, released=True))
    expected = LOSSES_OF_A[f"{NAMES_OF_RELEASE[name]}/{scorer}"]
    assert float(found) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("scorer", SCORERS)
@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_the_scores_that_are_trained_are_those_that_rank(scorer: Scorer, seed: int) -> None:
    queries, mask, clips, modalities = random_batch(seed)
    found = batch_scores(queries, mask, clips, modalities, scorer)
    vectors = [
        MultiVector(c.numpy(), m.numpy().astype(np.uint8), np.full(12, np.nan, np.float32))
        for c, m in zip(clips, modalities, strict=True)
    ]
    rank = token_max if scorer == "token_max" else modality_max
    for row, (query, real) in enumerate(zip(queries, mask, strict=True)):
        rows = query[real].numpy()
        asked = MultiVector(
            rows, np.zeros(len(rows), np.uint8), np.full(len(rows), np.nan, np.float32)
        )
        np.testing.assert_allclose(found.overall[row], rank(asked, vectors), atol=1e-5)
        np.testing.assert_allclose(
            found.by_modality[row], modality_scores(asked, vectors), atol=1e-5
        )


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_where_modalities_are_missing(name: LossName) -> None:
    queries, mask, clips, modalities = random_batch(3)
    queries.requires_grad_()
    clips.requires_grad_()
    gold = torch.tensor([1, 2, 3, 4])  # each clip lacks just this one
    loss = LOSSES[name](
        Comparison(batch_scores(queries, mask, clips, modalities, "modality_max"), gold)
    )
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert queries.grad is not None
    assert clips.grad is not None
    assert torch.isfinite(queries.grad).all()
    assert torch.isfinite(clips.grad).all()
    assert queries.grad.abs().sum() > 0
    assert not queries.grad[~mask].any(), "padding of queries is not trained"


def test_a_missing_gold_modality_is_infinite_as_released() -> None:
    queries, mask, clips, modalities = random_batch(3)
    scores = batch_scores(queries, mask, clips, modalities, "modality_max", released=True)
    lost = LOSSES["hard_positive"](Comparison(scores, torch.tensor([1, 2, 3, 4]), released=True))
    assert torch.isinf(lost)


@pytest.mark.parametrize("name", LOSSES)
def test_a_second_clip_of_the_same_video_is_no_negative(name: LossName) -> None:
    by_modality = torch.full((2, 3, 6), float("-inf"))
    by_modality[..., Modality.ASR] = torch.tensor([[0.9, 0.1, 0.9], [0.1, 0.9, 0.1]])
    by_modality[..., Modality.OCR] = 0.05
    gold = torch.tensor([int(Modality.ASR)] * 2)
    with_twin = Scores(by_modality.amax(-1), by_modality)
    without = Scores(with_twin.overall[:, :2], by_modality[:, :2])
    same = torch.tensor([[True, False, True], [False, True, False]])
    expected = float(LOSSES[name](Comparison(without, gold)))
    assert float(LOSSES[name](Comparison(with_twin, gold, same_video=same))) == pytest.approx(
        expected
    )
    assert float(LOSSES[name](Comparison(with_twin, gold))) > expected + 0.1


def test_the_released_hard_negative_never_falls_below_log_two() -> None:
    """Own clip perfect in VIDEO, gold is OCR: the best modality stands against itself."""
    by_modality = torch.full((2, 2, 6), -1.0)
    by_modality[0, 0, Modality.VIDEO] = by_modality[1, 1, Modality.VIDEO] = 1.0
    by_modality[0, 0, Modality.OCR] = by_modality[1, 1, Modality.OCR] = 0.9
    scores = Scores(by_modality.amax(-1), by_modality)
    gold = torch.tensor([int(Modality.OCR)] * 2)
    assert float(hard_negative(Comparison(scores, gold, released=True))) >= math.log(2) - 1e-4
    gold = torch.tensor([int(Modality.VIDEO)] * 2)
    assert float(hard_negative(Comparison(scores, gold))) < 0.01


def test_pairwise_needs_two_videos() -> None:
    queries, mask, clips, modalities = random_batch(3, num=1)
    scores = batch_scores(queries, mask, clips, modalities, "token_max")
    with pytest.raises(UsageError, match="two videos"):
        pairwise(Comparison(scores, torch.tensor([2])))


def test_golden_losses_are_those_of_the_case_file() -> None:
    case = Path(__file__).parents[2] / "shared" / "parity" / "case_a" / "case.json"
    if not case.is_file():
        pytest.skip(f"no {case}")
    assert json.loads(case.read_text())["losses"] == pytest.approx(LOSSES_OF_A)
