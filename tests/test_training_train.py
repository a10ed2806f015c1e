"""Training on tiny checkpoints of the real classes: gradients, a whole run, going on, saving."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from media_files import Plan, make_video
from safetensors.torch import load_file

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.qwen import QwenEncoder
from clamr_rag.errors import ClamrError, UsageError
from clamr_rag.scoring import modality_max
from clamr_rag.training import train as script
from clamr_rag.training.adapting import make_trainable, train_mode
from clamr_rag.training.collator import Batch, Collator
from clamr_rag.training.command import options_of
from clamr_rag.training.data import open_pairs
from clamr_rag.training.evaluation import evaluate
from clamr_rag.training.gather import Processes, joined_processes
from clamr_rag.training.gradients import BatchLoss, backward, embed
from clamr_rag.training.losses import LOSSES, LossName
from clamr_rag.training.optimiser import learning_rate, make_optimiser, set_learning_rate
from clamr_rag.training.options import TrainOptions
from clamr_rag.training.reading import read_clip
from clamr_rag.training.train import main, train
from tests.qwen_checkpoints import load, mixed_clips, same, save_adapter, save_omni, save_vl
from tests.training_pairs import draw, write_jsonl, write_pairs

peft = pytest.importorskip("peft", reason="part of the extra `train`")

ALONE = Processes(0, 1)
LORA = {"method": "lora", "optimiser": "adamw", "precision": "float32", "device": "cpu",
        "lora_rank": 8, "lora_alpha": 8, "batch_pairs": 4, "learning_rate": 2e-3,
        "preparing_threads": 1}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small run slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "vl"
    save_vl(folder)
    return folder


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "omni"
    save_omni(folder)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def options(base: Path, pairs: Path, out: Path, /, **changes: Any) -> TrainOptions:
    values = {**LORA, "base": str(base), "pairs": pairs, "out": out, **changes}
    return TrainOptions(**values)  # type: ignore[arg-type]


def log_lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in log_lines(out) if "loss" in line]


# --- gradients


class Setup:
    """A model ready to be trained and a batch for it."""

    def __init__(self, base: Path, pairs: Path, **changes: Any) -> None:
        self.options = options(base, pairs, Path("unused"), **changes)
        self.encoder = load(base)
        self.backbone = self.encoder.backbone
        self.loss = BatchLoss(self.options, ALONE)
        self.parameters = {
            **make_trainable(self.backbone, self.options), **dict(self.loss.named_parameters()),
        }  # fmt: skip
        torch.manual_seed(0)
        with torch.no_grad():
            # LoRA starts at zero, where half of the gradients are: away from it.
            for name, parameter in sorted(self.parameters.items()):
                if "lora_B" in name:
                    parameter.normal_(0, 0.05)
        train_mode(self.backbone, self.options)
        source = open_pairs(pairs, split="")
        self.batch: Batch = Collator(self.encoder.processor, self.encoder.reads, EncoderOptions())(
            [source[row] for row in range(6)]
        )

    def gradients(
        self, pairs_at_a_time: int | None = None, *, autocast: bool = False
    ) -> tuple[float, torch.Tensor]:
        for parameter in self.parameters.values():
            parameter.grad = None
        loss = backward(
            self.backbone, self.loss, self.batch, pairs_at_a_time=pairs_at_a_time, seed=(1, 2),
            autocast=autocast,
        )  # fmt: skip
        grads = [p.grad for p in self.parameters.values() if p.grad is not None]
        return float(loss), torch.cat([grad.flatten() for grad in grads])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scorer", ["modality_max", "token_max"])
def test_a_cached_batch_has_the_gradients_of_the_whole(
    vl: Path, pairs: Path, loss: LossName, scorer: str
) -> None:
    setup = Setup(vl, pairs, loss=loss, scorer=scorer, lora_dropout=0, temperature=0.5)
    value, whole = setup.gradients()
    for size in (1, 4):
        cached_value, cached = setup.gradients(size)
        assert cached_value == pytest.approx(value, abs=1e-5)
        assert float((cached - whole).abs().max()) < 1e-5
    assert float(whole.abs().max()) > 1e-3


def test_clips_of_one_video_are_no_negatives(vl: Path, tmp_path: Path) -> None:
    """The released code counts them as wrong: up to four queries are about one video."""
    rows = [json.loads(line) for line in write_pairs(tmp_path, 6).read_text().splitlines()]
    twins = [{**row, "video_id": "one"} for row in rows]
    value, gradients = Setup(vl, write_jsonl(tmp_path / "twins.jsonl", twins)).gradients()
    assert value == pytest.approx(0.0, abs=1e-6)
    assert not gradients.any()
    apart, _ = Setup(vl, tmp_path / "pairs.jsonl").gradients()
    assert apart > 0.5


def test_the_cache_of_a_learned_temperature(vl: Path, pairs: Path) -> None:
    setup = Setup(vl, pairs, learned_temperature=True, lora_dropout=0, temperature=0.5)
    _, whole = setup.gradients()
    _, cached = setup.gradients(2)
    assert float((cached - whole).abs().max()) < 1e-5
    # Against a difference quotient, absent modalities notwithstanding.
    assert setup.loss.log_temperature is not None
    slope = float(setup.loss.log_temperature.grad or 0.0)
    values = []
    for shift in (-0.01, 0.02):
        with torch.no_grad():
            setup.loss.log_temperature += shift
        values.append(setup.gradients()[0])
    assert slope == pytest.approx((values[1] - values[0]) / 0.02, rel=0.02)
    assert abs(slope) > 1e-3


def test_the_second_pass_has_the_dropout_of_the_first(vl: Path, pairs: Path) -> None:
    """Vectors are the same each time, so a step along cached gradients is one of their loss."""
    setup = Setup(vl, pairs, lora_dropout=0.5, temperature=0.5)
    first, again = setup.gradients(2), setup.gradients(2)
    assert first[0] == again[0]
    assert torch.equal(first[1], again[1])
    # Directional derivative along the gradient, under the same dropout.
    length, step = float(first[1].norm()), 1e-3
    with torch.no_grad():
        for parameter in setup.parameters.values():
            if parameter.grad is not None:
                parameter += parameter.grad * (step / length)
    moved, _ = setup.gradients(2)
    assert (moved - first[0]) / step == pytest.approx(length, rel=0.1)


def test_checkpointed_layers_have_the_same_gradients(vl: Path, pairs: Path) -> None:
    runs = []
    for on in (True, False):
        setup = Setup(vl, pairs, gradient_checkpointing=on, lora_dropout=0)
        calls: list[int] = []
        layer = setup.backbone.language_model.layers[0].input_layernorm
        layer.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        runs.append((*setup.gradients(), len(calls)))
    (value, checkpointed, num_calls), (plain_value, plain, num_plain_calls) = runs
    assert value == pytest.approx(plain_value)
    assert torch.allclose(checkpointed, plain, atol=1e-4 * float(plain.abs().max()))
    assert (num_plain_calls, num_calls) == (2, 4)


def test_lora_is_on_the_language_model_and_the_projection(vl: Path, pairs: Path) -> None:
    names = set(Setup(vl, pairs).parameters)
    of_layers = {
        f"language_model.layers.{layer}.{module}_proj.lora_{side}.default.weight"
        for layer in range(2)
        for side in "AB"
        for module in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate",
                       "mlp.up", "mlp.down")
    }  # fmt: skip
    head = {f"projection.lora_{side}.default.weight" for side in "AB"}
    assert names == of_layers | head
    whole = set(Setup(vl, pairs, projection="whole").parameters)
    assert whole == of_layers | {"projection.weight", "projection.bias"}


def test_all_weights_of_a_full_training_learn(vl: Path, pairs: Path) -> None:
    setup = Setup(vl, pairs, method="full", train_towers=True)
    setup.gradients(4)
    idle = [n for n, p in setup.parameters.items() if p.grad is None or not p.grad.any()]
    # A shift of all keys alike changes no attention.
    assert [name for name in idle if not name.endswith("k_proj.bias")] == []
    assert set(setup.parameters) == {name for name, _ in setup.backbone.named_parameters()}
    frozen = Setup(vl, pairs, method="full")
    assert {name.split(".")[0] for name in frozen.parameters} == {"language_model", "projection"}


def test_bfloat16_computes_and_float32_learns(vl: Path, pairs: Path) -> None:
    setup = Setup(vl, pairs, lora_dropout=0, temperature=0.5)
    value, exact = setup.gradients()
    rounded_value, rounded = setup.gradients(autocast=True)
    assert rounded_value != value
    assert rounded_value == pytest.approx(value, abs=0.05)
    assert float(torch.cosine_similarity(rounded, exact, dim=0)) > 0.98
    half = make_trainable(load(vl, dtype="bfloat16").backbone, setup.options)
    assert {parameter.dtype for parameter in half.values()} == {torch.float32}


# --- a whole run


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[np.ndarray]]:
    """What the trained model in memory makes of some clips, just before it is saved."""
    vectors: list[list[np.ndarray]] = []
    write = script.write_checkpoint

    def spy(backbone: Backbone, base: Any, options: TrainOptions, folder: Path) -> None:
        backbone.train(mode=False)
        processor = load(options.base).processor
        clips = [processor.clip(clip) for clip in mixed_clips(3, sound=True)]
        with torch.no_grad():
            rows = embed(backbone, [*clips, processor.query("the river")])
        lengths = [*map(len, clips), len(processor.query("the river"))]
        vectors.append([r[:n].numpy() for r, n in zip(rows, lengths, strict=True)])
        write(backbone, base, options, folder)

    monkeypatch.setattr(script, "write_checkpoint", spy)
    return vectors


def vectors_of(encoder: QwenEncoder) -> list[np.ndarray]:
    clips = encoder.encode_clips(mixed_clips(3, sound=True), keep_other=True)
    return [*(clip.vectors for clip in clips), encoder.encode_query("the river").vectors]


@pytest.mark.parametrize("family", ["vl", "omni"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"projection": "whole"}, {"method": "full"}],
    ids=["lora", "whole projection", "full"],
)
def test_two_steps_saved_load_to_equal_vectors(
    family: str, changes: dict[str, Any], pairs: Path, tmp_path: Path,
    seen: list[list[np.ndarray]], request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    base = request.getfixturevalue(family)
    # All weights at once: a smaller step.
    rate = 2e-4 if changes.get("method") == "full" else 5e-3
    folder = train(options(base, pairs, tmp_path / "run", steps=2, learning_rate=rate, **changes))
    loaded = load(folder)
    for found, expected in zip(vectors_of(loaded), seen[0], strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert not same(loaded, load(base), atol=1e-3)
    assert [line["step"] for line in log_lines(tmp_path / "run")] == [1, 2]


def test_the_adapter_is_as_released_with_its_projection(
    vl: Path, pairs: Path, tmp_path: Path
) -> None:
    folder = train(options(vl, pairs, tmp_path / "run", steps=1))
    names = load_file(folder / "adapter_model.safetensors").keys()
    released = re.compile(
        r"base_model\.model\.model\.layers\.\d\.(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj"
        r"\.lora_[AB]\.weight"
    )
    head = {f"base_model.model.custom_text_proj.{part}" for part in ("weight", "bias")}
    assert head <= names
    assert all(released.fullmatch(name) for name in names - head)
    assert len(names - head) == 2 * 7 * 2
    config = peft.PeftConfig.from_pretrained(str(folder))
    assert (config.r, config.lora_alpha, config.lora_dropout) == (8, 8, 0.1)
    assert config.base_model_name_or_path == str(vl.resolve())
    assert config.modules_to_save == ["custom_text_proj"]


def test_a_memorised_batch(vl: Path, tmp_path: Path) -> None:
    few = write_pairs(tmp_path, 4)
    held_out = {"held_out": few, "evaluate_every": 5}
    train(options(vl, few, tmp_path / "run", steps=15, lora_dropout=0, **held_out))
    falling = losses(tmp_path / "run")
    assert np.mean(falling[-3:]) < 0.3 * falling[0]
    evaluations = [line for line in log_lines(tmp_path / "run") if "ndcg_at_10" in line]
    assert [line["step"] for line in evaluations] == [5, 10, 15]
    assert evaluations[-1]["recall_at_1"] == 1.0
    assert evaluations[-1]["num_clips"] == 4


def test_the_released_data_is_trained_on(vl: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="part of the extra `train`")
    released = Path(__file__).parent / "golden" / "released_dataset"
    for number in range(4):
        for place in range(3):
            draw(tmp_path / f"a_{number}_frame_{place}.jpg", number)
            draw(tmp_path / f"b_{number}_frame_{place}.jpg", number)
    train(options(vl, released, tmp_path / "run", steps=2, frames_dir=tmp_path, held_out=released))
    last = log_lines(tmp_path / "run")[-1]
    assert (last["step"], last["num_queries"], last["num_clips"]) == (2, 3, 2)


def test_sound_is_trained_on_in_bfloat16(omni: Path, tmp_path: Path) -> None:
    make_video(tmp_path / "v.mp4", Plan(tone_seconds=2.0))
    rows = [
        {"query": f"tone {n}", "modality": "audio", "video": "v.mp4", "start_seconds": n / 2,
         "stop_seconds": n / 2 + 0.5}
        for n in range(4)
    ]  # fmt: skip
    pairs = write_jsonl(tmp_path / "pairs.jsonl", rows)
    both = {"precision": "bfloat16", "held_out": pairs, "pairs_at_a_time": 2}
    train(options(omni, pairs, tmp_path / "run", steps=1, **both))
    assert log_lines(tmp_path / "run")[-1]["num_clips"] == 4


def test_a_base_without_projection_gets_one_that_is_saved(pairs: Path, tmp_path: Path) -> None:
    save_vl(tmp_path / "plain", projection=False)
    folder = train(options(tmp_path / "plain", pairs, tmp_path / "run", steps=1))
    assert load(folder).encode_query("the river").dim == 128


def test_the_released_omni_message_is_remembered(omni: Path, pairs: Path, tmp_path: Path) -> None:
    reading = EncoderOptions(released_omni_message=True)
    folder = train(options(omni, pairs, tmp_path / "run", steps=1, encoder=reading))
    assert json.loads((folder / "adapter_config.json").read_text())["clamr_released_omni_message"]
    assert same(load(folder), load(folder, options=reading))


@pytest.mark.parametrize(
    "changes", [{}, {"pairs_at_a_time": 1}, {"learned_temperature": True}], ids=str
)
def test_a_resumed_run_is_an_undisturbed_one(
    vl: Path, pairs: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    straight = options(vl, pairs, tmp_path / "straight", epochs=2, **changes)
    first = options(vl, pairs, tmp_path / "parts", epochs=2, stop_after=2, **changes)
    expected = train(straight)
    assert not train(first).exists()
    found = train(first.model_copy(update={"stop_after": None, "resume": True}))
    assert losses(tmp_path / "parts") == losses(tmp_path / "straight")
    assert len(losses(tmp_path / "parts")) == 4
    rates = [[line["learning_rate"] for line in log_lines(tmp_path / n)]
             for n in ("parts", "straight")]  # fmt: skip
    assert rates[0] == rates[1]
    for file in ("checkpoint/adapter_model.safetensors", "state.safetensors"):
        left, right = (load_file(tmp_path / n / file) for n in ("parts", "straight"))
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)
    assert expected.name == found.name


def test_steps_after_the_saved_state_come_again(vl: Path, pairs: Path, tmp_path: Path) -> None:
    """A kill between two saves: the log has steps that the state does not, the last cut short."""
    run = options(vl, pairs, tmp_path / "run", epochs=2, save_every=2, stop_after=2)
    train(run)
    with (tmp_path / "run" / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "loss": 99.0}\n{"step": 4, "lo')
    (tmp_path / "run" / "state.safetensors.new").write_bytes(b"half a sta")
    train(run.model_copy(update={"stop_after": None, "resume": True}))
    assert [line["step"] for line in log_lines(tmp_path / "run")] == [1, 2, 3, 4]
    assert 99.0 not in losses(tmp_path / "run")


def test_two_processes_are_one_with_the_whole_batch(vl: Path, pairs: Path, tmp_path: Path) -> None:
    alone = options(vl, pairs, tmp_path / "alone", steps=3, lora_dropout=0,
                    held_out=pairs, held_out_pairs=7)  # fmt: skip
    train(alone)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = [
        part for name, value in LORA.items() for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    command = [
        sys.executable, "-m", "clamr_rag.training.train", "--base", str(vl), "--pairs", str(pairs),
        "--out", str(tmp_path / "two"), *flags, "--steps", "3", "--lora-dropout", "0",
        "--held-out", str(pairs), "--held-out-pairs", "7",
    ]  # fmt: skip
    launched = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1"}  # fmt: skip
    running = [
        subprocess.Popen(
            command,
            env={**os.environ, **launched, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "alone"), rel=1e-3)
    ends = [log_lines(tmp_path / name)[-1] for name in ("two", "alone")]
    assert ends[0] == pytest.approx(ends[1])
    assert ends[0]["num_clips"] == 7
    assert same(load(tmp_path / "two" / "checkpoint"), load(tmp_path / "alone" / "checkpoint"),
                atol=1e-3)  # fmt: skip


# --- evaluation


def test_evaluation_ranks_as_search_does(vl: Path, pairs: Path) -> None:
    encoder, source = load(vl), open_pairs(pairs, split="")
    collator = Collator(encoder.processor, encoder.reads, EncoderOptions())
    found = evaluate(
        encoder.backbone, collator, source, most_pairs=100, scorer="modality_max", processes=ALONE
    )
    asked = [source[row] for row in range(len(source))]
    clips = encoder.encode_clips([read_clip(p, encoder.reads, EncoderOptions()) for p in asked])
    ranks = []
    for row, pair in enumerate(asked):
        scores = modality_max(encoder.encode_query(pair.queries[0]), clips)
        ranks.append(1 + int((np.delete(scores, row) >= scores[row]).sum()))
    gains = [1 / np.log2(rank + 1) if rank <= 10 else 0.0 for rank in ranks]
    assert found.ndcg_at_10 == pytest.approx(np.mean(gains))
    assert found.recall_at_1 == pytest.approx(np.mean(np.array(ranks) == 1))
    assert (found.num_queries, found.num_clips) == (8, 8)
    assert 0 < found.ndcg_at_10 < 1


def test_copies_of_a_video_do_not_compete(vl: Path, pairs: Path, tmp_path: Path) -> None:
    """The released evaluation counts each of 1,504 rows as a video of its own."""
    lines = pairs.read_text()
    (pairs.parent / "doubled.jsonl").write_text(lines + lines)
    encoder = load(vl)
    collator = Collator(encoder.processor, encoder.reads, EncoderOptions())
    once, twice = (
        evaluate(encoder.backbone, collator, open_pairs(pairs.parent / name, split=""),
                 most_pairs=100, scorer="token_max", processes=ALONE)
        for name in (pairs.name, "doubled.jsonl")
    )  # fmt: skip
    assert (twice.num_queries, twice.num_clips) == (16, 8)
    assert twice.ndcg_at_10 == pytest.approx(once.ndcg_at_10)
    assert twice.recall_at_1 == pytest.approx(once.recall_at_1)


# --- what is refused


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_pairs": 9}, "got 8 pairs for batches of 9; lower --batch-pairs"),
        ({"device": "cuda:7"}, "got device 'cuda:7'"),
        ({"base": "/no/such/folder"}, "/no/such/folder"),
        ({"resume": True}, "holds no run; start one without --resume"),
        ({"held_out": Path("/no/such.jsonl")}, "/no/such.jsonl is not there"),
        ({"method": "qlora", "precision": "bfloat16"},
         "method qlora needs bitsandbytes and CUDA, and .* not here; .*--method lora"),
        ({"optimiser": "paged_adamw_8bit"}, "optimiser paged_adamw_8bit needs bitsandbytes and C"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)  # fmt: skip
def test_what_cannot_be_trained_is_told_before_anything_is_written(
    vl: Path, pairs: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    if torch.cuda.is_available() and "bitsandbytes" in told:
        pytest.skip("this machine has a GPU")
    with pytest.raises(ClamrError, match=told) as caught:
        train(options(vl, pairs, tmp_path / "run", **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_processes_share_a_batch_evenly(vl: Path, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got batch_pairs 4 for 3 processes; allowed: a multiple"):
        train(options(vl, pairs, tmp_path / "run"), Processes(0, 3))


def test_an_adapter_on_an_adapter(vl: Path, pairs: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", base=str(vl))
    with pytest.raises(UsageError, match=r"has an adapter already; .*clamr-rag models merge"):
        train(options(tmp_path / "adapter", pairs, tmp_path / "run"))


def test_a_run_is_not_written_over_nor_mixed(vl: Path, pairs: Path, tmp_path: Path) -> None:
    run = options(vl, pairs, tmp_path / "run", epochs=2, stop_after=1)
    train(run)
    state = (tmp_path / "run" / "state.safetensors").read_bytes()
    with pytest.raises(UsageError, match=r"is there already; .*go on with .* --resume"):
        train(run)
    with pytest.raises(UsageError, match=r"begun with learning_rate 0\.002, now 0\.1"):
        train(run.model_copy(update={"resume": True, "learning_rate": 0.1}))
    more = pairs.parent / "more.jsonl"
    more.write_text(pairs.read_text() * 2)
    with pytest.raises(UsageError, match=r"begun with pairs .*pairs\.jsonl', now .*more\.jsonl"):
        train(run.model_copy(update={"resume": True, "pairs": more}))
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == state
    (tmp_path / "run" / "state.safetensors").write_bytes(state[:200])
    with pytest.raises(UsageError, match=r"state\.safetensors is damaged"):
        train(run.model_copy(update={"resume": True}))


def test_pairs_that_changed_under_a_run(vl: Path, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "data")
    run = options(vl, pairs, tmp_path / "run", epochs=2, stop_after=1)
    train(run)
    pairs.write_text(pairs.read_text() * 2)
    with pytest.raises(UsageError, match="got 16 pairs; allowed: 8 as before"):
        train(run.model_copy(update={"resume": True}))


def test_a_loss_without_bounds_stops_the_run(vl: Path, tmp_path: Path) -> None:
    """The released hard_positive is infinite where a clip lacks the query's modality."""
    pairs = write_pairs(tmp_path / "data")
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    for row in rows:
        row["modality"], row["asr"] = "asr", None
    pairs.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    broken = {"loss": "hard_positive", "released_losses": True}
    with pytest.raises(UsageError, match=r"the loss of step 1 is inf; .*--released-losses"):
        train(options(vl, pairs, tmp_path / "run", **broken))
    train(options(vl, pairs, tmp_path / "mended", steps=1, loss="hard_positive"))


# --- options and command


def test_the_rate_rises_then_falls_to_zero() -> None:
    values = {"base": "b", "pairs": "p", "out": "o", "learning_rate": 1.0, "warmup": 0.2}
    rates = [learning_rate(step, 10, TrainOptions(**values)) for step in range(10)]  # type: ignore[arg-type]
    assert rates == pytest.approx([0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    cold = TrainOptions(**{**values, "warmup": 0})  # type: ignore[arg-type]
    assert learning_rate(0, 10, cold) == 1.0


def test_defaults_are_those_of_the_paper() -> None:
    given = options_of(["--base", "b", "--pairs", "p", "--out", "o"])
    assert (given.method, given.lora_rank, given.lora_alpha) == ("qlora", 128, 128)
    assert (given.learning_rate, given.warmup, given.batch_pairs) == (1e-5, 0.1, 16)
    assert (given.loss, given.scorer, given.temperature) == ("contrastive", "modality_max", 0.02)
    assert (given.encoder.query_tokens, given.encoder.ocr_tokens) == (64, 256)


def test_matrices_decay_and_vectors_do_not() -> None:
    given = TrainOptions(base="b", pairs=Path("p"), out=Path("o"), optimiser="adamw")
    matrix, bias = (torch.nn.Parameter(torch.ones(*shape)) for shape in ((2, 2), (2,)))
    optimiser = make_optimiser({"weight": matrix, "bias": bias}, given)
    set_learning_rate(optimiser, 0.5)
    matrix.grad, bias.grad = torch.zeros_like(matrix), torch.zeros_like(bias)
    optimiser.step()
    assert torch.allclose(matrix, torch.tensor(1 - 0.5 * 0.01))
    assert torch.equal(bias, torch.ones(2))


def test_lack_of_memory_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> Path:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(script, "train", full)
    assert main("--base b --pairs p --out o".split()) == 10
    assert re.fullmatch(
        "error: CUDA out of memory.*; lower --pairs-at-a-time .*", caplog.messages[0]
    )


def test_every_option_is_a_flag() -> None:
    given = options_of(
        "--base b --pairs p --out o --method full --train-towers --no-gradient-checkpointing "
        "--lora-dropout 0.05 --encoder.augmentation-tokens 5 --encoder.true-frame-times".split()
    )
    assert given.train_towers
    assert not given.gradient_checkpointing
    assert given.lora_dropout == 0.05
    assert given.encoder == EncoderOptions(augmentation_tokens=5, true_frame_times=True)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--batch-pairs 1", "batch_pairs: .*greater than or equal to 2"),
        ("--loss mse", "loss: .*'contrastive'"),
        ("--train-towers", "train_towers needs method full, got qlora"),
        ("--encoder.max-frames 0", r"encoder\.max_frames: .*greater than 0"),
        ("--precision float32", "method qlora needs precision bfloat16"),
        ("--loss pairwise --learned-temperature", "needs a loss with one, got pairwise"),
    ],
)
def test_a_wrong_option_is_one_line(
    flags: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert main([*"--base b --pairs p --out o".split(), *flags.split()]) == 2
    assert len(caplog.messages) == 1
    assert re.fullmatch(f"error: .*{told}.*; see --help", caplog.messages[0])


@pytest.mark.parametrize(
    ("variable", "value", "is_honoured"),
    [
        ("ACCELERATE_USE_FSDP", "true", False),
        ("ACCELERATE_USE_DEEPSPEED", "true", False),
        ("ACCELERATE_MIXED_PRECISION", "fp16", False),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", False),
        ("ACCELERATE_MIXED_PRECISION", "bf16", True),
    ],
)
def test_what_accelerate_asks_for_is_done_or_refused(
    variable: str, value: str, is_honoured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv(variable, value)
    if is_honoured:
        with joined_processes() as processes:
            assert processes == ALONE
        return
    with pytest.raises(UsageError, match=f"accelerate sets {variable}={value}"), joined_processes():
        pass


def test_the_help_names_every_choice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options_of(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for words in ("--method qlora|lora|full", "--loss contrastive|hard_positive|hard_negative|pair",
                  "--encoder.max-frames INT", "--resume", "[1e-05]"):  # fmt: skip
        assert words in told
