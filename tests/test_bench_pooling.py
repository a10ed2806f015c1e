"""The pooling benchmark at a tiny size, and its measures worked by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from library_values import clip_vectors, query_vectors

from clamr_rag.encoder.pooling import PoolingMethod
from eval import bench_pooling
from eval.bench_pooling import EncodedLecture, measure, ndcg, relevance, same_first, stored_as
from eval.calibrate_abstention import lecture_clips
from eval.planted_facts import make_lecture

METHODS = get_args(PoolingMethod)


def test_a_tiny_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["bench", "--slides", "6", "--seeds", "1", "--budgets", "8", "0"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--json", str(tmp_path / "rows.json")])
    bench_pooling.main()
    rows = json.loads((tmp_path / "rows.json").read_text())
    by_way = {(row["vectors_per_clip"], row["method"], row["codec"]): row for row in rows}
    assert len(rows) == len(by_way) == len(METHODS) * 3 + 3
    whole, stored = by_way[0, "none", "float32"], by_way[0, "none", "int8"]
    assert whole["token_max_max_error"] == whole["modality_max_max_error"] == 0
    assert whole["same_first"] == 1
    assert 0 < stored["token_max_mean_error"] < stored["token_max_max_error"] < 0.005
    for method in METHODS:
        pooled = by_way[8, method, "int8"]
        assert pooled["token_max_mean_error"] > stored["token_max_mean_error"]
        # 8 rows of 128 codes, a scale, a modality and a second each, and 16 bytes around them.
        assert pooled["bytes_per_clip"] == 8 * (128 + 4 + 1 + 4) + 16
        assert 0 < pooled["ndcg"] <= 1
    shown = capsys.readouterr().out
    assert "12 clips" in shown
    assert "nDCG@10" in shown


def test_the_relevant_clips_are_where_the_facts_were_planted() -> None:
    lecture = make_lecture(12, 3, facts_per_modality=4)
    clips = list(lecture_clips(lecture))
    relevant = relevance(lecture, clips)
    assert relevant.shape == (12, 24)
    for plant, row in zip(lecture.planted, relevant, strict=True):
        places = {int(number) // 2 for number in np.flatnonzero(row)}
        assert plant.slide in places
        if plant.modality.name == "ASR":
            assert row.sum() == 1, "a sentence is said in one clip"


def test_ndcg_by_hand() -> None:
    scores = np.array([0.9, 0.1, 0.8, 0.7], np.float32)
    relevant = np.array([False, True, True, False])
    gain = 1 / np.log2(3) + 1 / np.log2(5)
    assert ndcg(scores, relevant) == pytest.approx(gain / (1 + 1 / np.log2(3)))
    assert ndcg(scores, scores > 0.75) == 1


def test_another_first_clip_is_counted() -> None:
    exact = [np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)]
    other = [np.array([[0.3, 0.4], [0.2, 0.8]], np.float32)]
    assert same_first(exact, exact) == 1
    assert same_first(other, exact) == 0.5


def test_errors_are_against_all_rows_in_float32() -> None:
    """A clip of two opposite rows pooled to one: the row that the question asks for is lost."""
    rows = clip_vectors([3], 1, 16)
    both = type(rows)(
        np.concatenate([rows.vectors, -rows.vectors]),
        np.array([3, 3], np.uint8),
        np.array([0, 1], np.float32),
    )
    query = type(rows)(-rows.vectors, np.zeros(1, np.uint8), rows.seconds)
    lecture = EncodedLecture([both], [query], np.array([[True]]))
    row = next(measure([lecture], [1]))
    assert row.vectors_per_clip == 1
    assert row.token_max_max_error == pytest.approx(2, abs=1e-5)


def test_float32_counts_the_bytes_it_would_take() -> None:
    clip = clip_vectors([1] * 10, 1, 16)
    back, size = stored_as(clip, "float32")
    assert np.array_equal(back.vectors, clip.vectors)
    assert size == 10 * (4 * 16 + 5) + 16
    assert stored_as(clip, "fp16")[1] == 10 * (2 * 16 + 5) + 16
    assert query_vectors(1, 0).dim == 16
