"""The whole command with the real architectures: tiny random checkpoints, the real loading code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_runs import Run, clamr
from conftest import Talk
from fake_hub import NEW_COMMIT, OLD_COMMIT, serve_hub
from media_files import Plan, Subtitles, make_video
from qwen_checkpoints import load, same, save_adapter, save_omni, save_vl

from clamr_rag.encoder.hub import PRESETS


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


def test_a_hearing_encoder_scores_the_sound_of_a_video(tmp_path: Path) -> None:
    """A talk with a sound track, indexed and asked with an Omni model."""
    said = Subtitles("mov_text", [(0.2, 2.5, "Churn fell this summer.")])
    seconds = [n * 0.2 for n in range(15)]
    video = make_video(
        tmp_path / "talk.mp4", Plan(frame_seconds=seconds, tone_seconds=3.0, subtitles=[said])
    ).path
    silent = make_video(tmp_path / "silent.mp4", Plan(frame_seconds=seconds, subtitles=[said])).path
    save_omni(tmp_path / "checkpoint")
    options = (
        "--library", tmp_path / "library", "--encoder", tmp_path / "checkpoint", "--json",
        "--set", "ocr.ocr=none",
    )  # fmt: skip
    indexed = clamr("index", video, silent, *options, home=tmp_path)
    assert indexed.code == 0, indexed.err
    for command in ("search", "ask"):
        found = clamr(command, "Why did churn fall?", *options, home=tmp_path)
        assert found.code == 0, found.err
        clips = found.json["clips"]
        scores = {Path(clip["video_path"]).name: clip["modality_scores"] for clip in clips}
        heard, unheard = scores["talk.mp4"], scores["silent.mp4"]
        assert all(-1 <= heard[name] <= 1 for name in ("audio", "video", "asr"))
        assert isinstance(heard["audio"], float)
        assert unheard.get("audio") is None


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


def test_models_are_pulled_at_a_commit_that_stays(tmp_path: Path) -> None:
    preset = PRESETS["clamr"]
    assert preset.base.revision is not None
    save_vl(tmp_path / "base")
    save_adapter(tmp_path / "adapter", base=preset.base.repo)
    with serve_hub() as hub:
        hub.publish(preset.base.repo, tmp_path / "base", preset.base.revision)
        hub.publish(preset.adapter.repo, tmp_path / "adapter", OLD_COMMIT)
        online = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0"}
        pulled = clamr("models", "pull", "clamr", home=tmp_path, variables=online)
        assert pulled.code == 0, pulled.err
        pinned = [str(preset.base), f"{preset.adapter.repo}@{OLD_COMMIT}"]
        assert [line.split()[0] for line in pulled.out.splitlines()] == pinned
        hub.publish(preset.adapter.repo, tmp_path / "adapter", NEW_COMMIT)
        again = clamr("models", "pull", "clamr", "--json", home=tmp_path, variables=online)
        rows = again.json["folders"]
        assert [f"{row['repo']}@{row['commit']}" for row in rows] == pinned
    listed = clamr("models", "ls", home=tmp_path)
    assert all(name.replace("@", " ") in " ".join(listed.out.split()) for name in pinned)


def test_models_merge_writes_what_can_be_an_encoder(
    tmp_path: Path, run_here: Callable[..., Run]
) -> None:
    save_vl(tmp_path / "base", projection=False)
    save_adapter(tmp_path / "adapter", base="base")
    merge = ("models", "merge", tmp_path / "base", "--adapter", tmp_path / "adapter")
    lost = run_here(*merge, tmp_path / "lost")
    assert lost.code == 6
    assert "--set encoder.seeded_projection=true" in lost.errors[0]
    drawn = ("--set", "encoder.seeded_projection=true")
    merged = run_here(*merge, tmp_path / "merged", *drawn, "--json")
    assert merged.code == 0, merged.err
    assert merged.json["folders"] == [{"path": str(tmp_path / "merged")}]
    alone = run_here(*merge, tmp_path / "alone", *drawn, "--adapter-only")
    assert (alone.code, alone.out) == (0, f"{tmp_path / 'alone'}\n")
    assert same(load(tmp_path / "merged"), load(tmp_path / "alone"))
    assert run_here(*merge, tmp_path / "merged", *drawn).code == 2
    assert run_here(*merge, tmp_path / "half", "--adapter-only", "--dtype", "float16").code == 2


@pytest.mark.parametrize("device", ["mps", "meta", "cpu:3", "nowhere"])
def test_a_device_that_is_not_here_is_one_line(
    talk: Talk, tmp_path: Path, run_here: Callable[..., Run], device: str
) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is one")
    options = ("--library", tmp_path / "library", "--device", device)
    run = run_here("index", talk.video, *options)
    assert run.code == 2
    [error] = run.errors
    assert f"got device '{device}'" in error
    assert "allowed: auto, cpu" in error


def test_models_verify_a_folder(tmp_path: Path) -> None:
    save_vl(tmp_path / "checkpoint")
    save_adapter(tmp_path / "adapter", base="checkpoint")
    verify = ("models", "verify", tmp_path / "checkpoint", "--adapter", tmp_path / "adapter")
    run = clamr(*verify, home=tmp_path)
    assert run.code == 0, run.err
    assert "model.safetensors" in run.out
    assert "adapter_model.safetensors" in run.out
    (tmp_path / "checkpoint" / "tokenizer.json").unlink()
    run = clamr(*verify, home=tmp_path)
    assert run.code == 6
    assert "1 of 6 files" in run.errors[0]


@pytest.mark.parametrize("command", ["pull", "verify", "merge"])
def test_the_embedded_encoder_has_nothing_to_fetch_or_merge(
    tmp_path: Path, run_here: Callable[..., Run], command: str
) -> None:
    run = run_here("models", command, "mini", *([tmp_path / "new"] if command == "merge" else []))
    assert run.code == 2
    [error] = run.errors
    assert "got mini" in error
    assert "allowed: clamr, clamr-omni" in error
