"""The encoding benchmark runs, and its two ways agree; no figure is asserted."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clamr_rag.encoder.devices import place
from clamr_rag.encoder.processing import TokenSequence
from clamr_rag.errors import UsageError
from clamr_rag.types import ClipInput, Modality
from eval import bench_encode
from eval.bench_encode import Setting, Way, measure
from eval.children import in_child, peak_bytes, reset_peak
from eval.random_models import random_clips, random_config, random_encoder, useful_flops

CPU = place("cpu", "float32", "sdpa")
TINY = Setting("tiny", "cpu", "auto", "auto", num_clips=2, repeats=1, threads=1)


@pytest.fixture(autouse=True)
def same_threads() -> Any:
    """The benchmark sets the threads of its own processes; here it runs in the test's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def here(work: Callable[..., object], *arguments: object) -> object:
    """In place of a child process: a second each is saved."""
    return work(*arguments)


@pytest.mark.filterwarnings("ignore")
def test_the_benchmark_compares_like_with_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (
        "bench --config tiny --clips 2 --repeats 1 --batches 1 2 --released-batches 1 2 "
        f"--threads 1 --attention eager --json {tmp_path / 'report.json'}"
    )
    monkeypatch.setattr(sys, "argv", arguments.split())
    monkeypatch.setattr(bench_encode, "in_child", here)
    bench_encode.main()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["min_cosine"] > 0.99999
    assert report["min_cosine_float32"] > 0.99999
    assert report["running_on"] == "cpu, float32, attention eager"
    assert [(row["way"], row["batch_clips"]) for row in report["rows"]] == [
        ("released", 1),
        ("released", 2),
        ("ours", 1),
        ("ours", 2),
        ("ours, from frames and text", 2),
        ("ours, omni with sound", 2),
    ]
    for row in report["rows"]:
        assert row["clips_per_second"] > 0
        assert row["tokens_per_second"] > row["clips_per_second"]
        assert row["peak_memory_bytes"] >= row["rest_memory_bytes"] > 0
        assert row["cpu_seconds_per_clip"] > 0
        assert row["share_of_peak"] > 0
    shown = capsys.readouterr().out
    assert "ours / released" in shown
    assert "attention eager" in shown


@pytest.mark.filterwarnings("ignore")
def test_a_child_has_a_peak_of_its_own() -> None:
    """Whatever this process has had in memory is none of the measured one's."""
    ballast = np.ones(300_000_000, np.float32)
    row = in_child(measure, TINY, Way("ours", 2), 1e9)
    del ballast
    assert row.clips_per_second > 0
    assert 50e6 < row.rest_memory_bytes <= row.peak_memory_bytes < 1.2e9


def _hold(num_bytes: int) -> tuple[int, int, int]:
    rest = reset_peak()
    held = np.ones(num_bytes, np.uint8)
    most = peak_bytes()
    del held
    return rest, most, reset_peak()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_a_peak_is_seen_and_forgotten() -> None:
    rest, most, after = in_child(_hold, 400_000_000)
    assert most - rest == pytest.approx(400e6, rel=0.05)
    if os.access("/proc/self/clear_refs", os.W_OK):
        assert after < rest + 100e6


def test_what_cannot_be_had_is_refused() -> None:
    with pytest.raises(UsageError, match="flash_attention_2"):
        measure(replace(TINY, attention="flash_attention_2"), Way("ours", 1), 1e9)


def test_useful_work_grows_with_the_clip() -> None:
    config = random_config("tiny")
    encoder = random_encoder(config, CPU)
    clip = random_clips(1)[0]
    whole, text = (
        useful_flops(config, encoder.processor.clip(part))
        for part in (clip, ClipInput(asr=clip.asr))
    )
    assert whole > text > 0


def test_the_omni_model_hears() -> None:
    config = random_config("tiny", omni=True)
    encoder = random_encoder(config, CPU)
    assert Modality.AUDIO in encoder.reads
    [clip] = random_clips(1, sound=True)
    assert clip.audio is not None
    sequence = encoder.processor.clip(clip)
    assert (sequence.modalities == Modality.AUDIO).sum() == pytest.approx(
        len(clip.audio) / 640, abs=2
    )
    silent = encoder.processor.clip(replace(clip, audio=None))
    assert useful_flops(config, sequence) > useful_flops(config, silent)
    [vectors] = encoder.encode_clips([clip])
    assert np.isfinite(vectors.vectors).all()
    assert (vectors.modalities == Modality.AUDIO).any()


def test_useful_work_of_the_real_size_is_as_counted_by_hand() -> None:
    config = random_config("3b")
    tokens = 1000
    zeros = np.zeros(tokens)
    sequence = TokenSequence(
        zeros.astype(np.int64), zeros.astype(np.uint8), zeros.astype(np.float32), np.zeros((3, 1))
    )
    # q, k, v, o and the three products of the MLP, 36 times: 2.77 G weights, two operations each.
    weights = 36 * (2 * 2048 * 2048 + 2 * 2048 * 256 + 3 * 2048 * 11008)
    attention = 36 * 2 * tokens * tokens * 2048
    assert useful_flops(config, sequence) == 2 * tokens * weights + attention
    assert weights == pytest.approx(2.77e9, rel=0.01)


def test_useful_work_of_sound_is_as_counted_by_hand() -> None:
    """Ten seconds: 1000 frames, 500 positions in windows of 100, 250 tokens."""
    config = random_config("3b", omni=True)
    nothing = TokenSequence(
        np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.float32), np.zeros((3, 0))
    )
    heard = replace(nothing, mel=np.zeros((128, 1000), np.float32))
    weights = 32 * (4 * 1280 * 1280 + 2 * 1280 * 5120)
    convolutions = 3 * 1280 * (128 * 1000 + 1280 * 500)
    attention = 32 * 2 * 500 * 100 * 1280
    expected = 2 * (500 * weights + convolutions + attention + 250 * 1280 * 2048)
    assert useful_flops(config, heard) == expected
