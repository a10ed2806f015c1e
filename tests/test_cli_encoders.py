"""The whole command with the real architectures: tiny random checkpoints, the real loading code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runs import clamr
from conftest import Talk
from qwen_checkpoints import save_omni, save_vl


@pytest.mark.parametrize(("save", "modality"), [(save_vl, "video"), (save_omni, "video")])
def test_index_and_ask_with_a_checkpoint(
    talk: Talk, tmp_path: Path, save: Callable[[Path], object], modality: str
) -> None:
    save(tmp_path / "checkpoint")
    options = ("--library", tmp_path / "library", "--encoder", tmp_path / "checkpoint")
    indexed = clamr("index", talk.video, *options, "--json", home=tmp_path)
    assert indexed.code == 0, indexed.err
    assert indexed.json["videos"][0]["status"] == "indexed"
    found = clamr("search", "revenue", *options, "--json", home=tmp_path)
    assert found.code == 0, found.err
    scores = found.json["clips"][0]["modality_scores"]
    assert all(scores[name] is not None for name in (modality, "ocr", "asr", "description"))
    asked = clamr("ask", talk.video, "Why did churn fall?", *options, "--json", home=tmp_path)
    assert asked.code == 0, asked.err
    assert asked.json["clips"]


def test_another_encoder_is_refused_and_both_are_named(talk: Talk, tmp_path: Path) -> None:
    save_vl(tmp_path / "checkpoint")
    library = tmp_path / "library"
    shutil.copytree(talk.library, library)
    run = clamr(
        "ask", "Why did churn fall?", "--library", library,
        "--encoder", tmp_path / "checkpoint", home=tmp_path,
    )  # fmt: skip
    assert run.code == 8
    [error] = run.errors
    assert "mini" in error
    assert "checkpoint" in error


@pytest.mark.parametrize("name", ["clamr", "clamr-omni", "someone/some-model"])
def test_weights_that_are_not_here(talk: Talk, tmp_path: Path, name: str) -> None:
    options = ("--encoder", name, "--library", tmp_path / "library")
    run = clamr("index", talk.video, *options, home=tmp_path)
    assert run.code == 6
    [error] = run.errors
    assert f"clamr-rag models pull {name}" in error


def test_models_are_listed_and_fetching_offline_is_one_line(tmp_path: Path) -> None:
    listed = clamr("models", "ls", home=tmp_path)
    assert listed.code == 0
    assert "clamr-rag models pull clamr" in listed.out
    rows = clamr("models", "ls", "--json", home=tmp_path).json["models"]
    assert {row["preset"] for row in rows} == {"clamr", "clamr-omni"}
    for command in ("pull", "verify"):
        run = clamr("models", command, "clamr", home=tmp_path)
        assert run.code == 6
        assert len(run.errors) == 1


def test_models_verify_a_folder(tmp_path: Path) -> None:
    save_vl(tmp_path / "checkpoint")
    run = clamr("models", "verify", tmp_path / "checkpoint", home=tmp_path)
    assert run.code == 0, run.err
    assert "model.safetensors" in run.out
