"""The training benchmark runs, at a tiny size; no figure is asserted."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clamr_rag.training.options import TrainOptions
from eval import bench_train
from eval.bench_train import Row, Setting, render, run
from eval.children import Taken

TINY = Setting(
    "tiny", omni=False, device="cpu", dtype="auto", repeats=1, threads=1,
    options=TrainOptions(
        base="tiny", pairs=Path(), out=Path(), method="lora", optimiser="adamw"
    ),
)  # fmt: skip
MEASURED = {"pairs_per_second", "peak_memory_bytes"}


@pytest.fixture(autouse=True)
def same_threads() -> object:
    """The benchmark sets the threads of its own processes; here it runs in the test's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def bench(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    words = ["bench", "--repeats", "1", "--threads", "1", *arguments]
    monkeypatch.setattr(sys, "argv", words)
    bench_train.main()


@pytest.mark.parametrize("kind", [["--method", "lora"], ["--method", "full", "--omni"]])
def test_a_tiny_run(
    kind: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def here(work: Callable[..., object], *given: object) -> object:
        return work(*given)

    # In place of a child process: some seconds each are saved.
    monkeypatch.setattr(bench_train, "in_child", here)
    bench(monkeypatch, "--batches", "3", "2", "--json", str(tmp_path / "rows.json"), *kind)
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["batch_pairs"], row["pairs_at_a_time"]) for row in rows] == [
        (2, None), (3, None), (2, 1), (3, 1),
    ]  # fmt: skip
    assert all(row[name] > 0 for row in rows for name in MEASURED)
    shown = capsys.readouterr().out
    assert "batch 3: the cache takes" in shown
    assert "largest batch all at once: 3 or more" in shown


def test_what_does_not_fit_is_said_and_nothing_larger_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def small_device(_: object, __: object, batch: int, cached: int | None) -> Taken | None:
        tried.append((batch, cached))
        fits = batch <= (8 if cached else 2)
        return Taken(0.5, 0.5, 1 << 30, batch << 30) if fits else None

    monkeypatch.setattr(bench_train, "in_child", small_device)
    rows = list(run(TINY, [2, 4, 8], 1))
    assert [row.batch_pairs for row in run(TINY, [2, 3], 2) if row.pairs_at_a_time] == [3]
    del tried[5:]
    assert tried == [(2, None), (4, None), (2, 1), (4, 1), (8, 1)]
    assert rows[1] == Row(4, None, None, None)
    shown = render(TINY, rows)
    assert "out of memory" in shown
    assert "largest batch all at once: 2\n" in shown
    assert "largest batch with the cache: 8 or more" in shown
    assert "batch 2: the cache takes 1.00 x the time, 1.00 x the memory" in shown


def test_memory_that_runs_out_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(bench_train, "backward", full)
    assert bench_train.measure(TINY, 2, None) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--batches", "1"], "a pair needs a negative"),
        (["--device", "nowhere"], "nowhere"),
        (["--config", "7b"], "invalid choice"),
        (["--dtype", "float16"], "invalid choice"),
        (["--pairs-at-a-time", "0"], "1 or more"),
        (["--repeats", "0"], "1 or more"),
    ],
)
def test_bad_words_are_one_line(
    wrong: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench(monkeypatch, *wrong)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err
