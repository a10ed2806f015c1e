"""The encoding benchmark runs, and its two ways agree; no figure is asserted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clamr_rag.encoder.processing import TokenSequence
from eval import bench_encode


@pytest.mark.filterwarnings("ignore")
def test_the_benchmark_compares_like_with_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = "bench --config tiny --clips 2 --repeats 1 --batches 1 2 --released-batches 1 2"
    monkeypatch.setattr(sys, "argv", [*arguments.split(), "--json", str(tmp_path / "report.json")])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    bench_encode.main()
    torch.set_num_threads(threads)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["min_cosine"] > 0.99999
    assert [(row["way"], row["batch_clips"]) for row in report["rows"]] == [
        ("released", 1),
        ("released", 2),
        ("ours", 1),
        ("ours", 2),
        ("ours, from frames and text", 2),
    ]
    assert all(row["clips_per_second"] > 0 for row in report["rows"])
    assert "ours / released" in capsys.readouterr().out


def test_useful_work_grows_with_the_clip() -> None:
    config = bench_encode.model_config(bench_encode._raw_config("tiny"), Path("tiny"))
    encoder = bench_encode.random_encoder(config, torch.device("cpu"), torch.float32)
    clip = bench_encode.random_clips(1)[0]
    whole, text = (
        bench_encode.useful_flops(config, encoder.processor.clip(part))
        for part in (clip, type(clip)(asr=clip.asr))
    )
    assert whole > text > 0


def test_useful_work_of_the_real_size_is_as_counted_by_hand() -> None:
    config = bench_encode.model_config(bench_encode._raw_config("3b"), Path("3b"))
    tokens = 1000
    zeros = np.zeros(tokens)
    sequence = TokenSequence(
        zeros.astype(np.int64), zeros.astype(np.uint8), zeros.astype(np.float32), np.zeros((3, 1))
    )
    # q, k, v, o and the three products of the MLP, 36 times: 2.77 G weights, two operations each.
    weights = 36 * (2 * 2048 * 2048 + 2 * 2048 * 256 + 3 * 2048 * 11008)
    attention = 36 * 2 * tokens * tokens * 2048
    assert bench_encode.useful_flops(config, sequence) == 2 * tokens * weights + attention
    assert weights == pytest.approx(2.77e9, rel=0.01)
