"""Checkpoints of every layout load to the same model, and broken ones say what is wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.checkpoints import canonical_name
from clamr_rag.encoder.hub import PRESETS, list_models, locate, pull, verify
from clamr_rag.encoder.qwen import QwenEncoder, load_qwen_encoder, merge_adapter
from clamr_rag.errors import ModelMissingError, UsageError
from tests.qwen_checkpoints import (
    mixed_clips,
    rewrite,
    save_adapter,
    save_omni,
    save_vl,
    with_new_names,
)

Weights = dict[str, torch.Tensor]
HEAD_WEIGHT, HEAD_BIAS = "custom_text_proj.weight", "custom_text_proj.bias"
CLIPS = mixed_clips(3, sound=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def saved_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "vl"
    save_vl(folder)
    return folder


@pytest.fixture(scope="module")
def saved_omni(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "omni"
    save_omni(folder)
    return folder


@pytest.fixture
def vl(saved_vl: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(saved_vl, tmp_path / "checkpoint"))


@pytest.fixture
def omni(saved_omni: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_omni, tmp_path / "omni"))


def load(name: Path | str, **arguments: Any) -> QwenEncoder:
    return load_qwen_encoder(str(name), device="cpu", **arguments)


def same(left: QwenEncoder, right: QwenEncoder, atol: float = 1e-6) -> bool:
    pairs = zip(left.encode_clips(CLIPS), right.encode_clips(CLIPS), strict=True)
    return all(np.allclose(a.vectors, b.vectors, atol=atol) for a, b in pairs)


# --- layouts


@pytest.mark.parametrize(
    ("stored", "ours"),
    [
        ("model.layers.0.mlp.up_proj.weight", "language_model.layers.0.mlp.up_proj.weight"),
        ("model.language_model.norm.weight", "language_model.norm.weight"),
        ("language_model.model.norm.weight", "language_model.norm.weight"),
        ("visual.merger.mlp.0.bias", "visual.merger.mlp.0.bias"),
        ("model.visual.merger.mlp.0.bias", "visual.merger.mlp.0.bias"),
        ("thinker.model.embed_tokens.weight", "language_model.embed_tokens.weight"),
        ("thinker.audio_tower.conv1.weight", "audio_tower.conv1.weight"),
        ("vlm.model.language_model.norm.weight", "language_model.norm.weight"),
        ("base_model.model.model.layers.1.q.weight", "language_model.layers.1.q.weight"),
        ("base_model.model.custom_text_proj.bias", "projection.bias"),
        ("embedding_proj_layer.weight", "projection.weight"),
        ("lm_head.weight", None),
        ("thinker.lm_head.weight", None),
        ("talker.model.norm.weight", None),
        ("token2wav.code2wav.bias", None),
    ],
)
def test_names_of_all_releases(stored: str, ours: str | None) -> None:
    assert canonical_name(stored) == ours


def thinker(weights: Weights) -> Weights:
    inner = {f"thinker.{name}": weight for name, weight in weights.items()}
    return inner | {"talker.model.norm.weight": torch.ones(3), "token2wav.x": torch.ones(3)}


@pytest.mark.parametrize("family", ["vl", "omni"])
def test_old_and_new_names_give_the_same_model(request: pytest.FixtureRequest, family: str) -> None:
    saved, copy = request.getfixturevalue(f"saved_{family}"), request.getfixturevalue(family)
    names = load_file(saved / "model.safetensors").keys()
    assert {"model.norm.weight", "visual.merger.mlp.0.bias"} <= names
    rewrite(copy, with_new_names)
    kept = names & load_file(copy / "model.safetensors").keys()
    assert kept <= {HEAD_WEIGHT, HEAD_BIAS, "lm_head.weight"}
    assert same(load(copy), load(saved))


def test_the_whole_omni_model_gives_its_thinker(saved_omni: Path, omni: Path) -> None:
    rewrite(omni, thinker)
    config = json.loads((omni / "config.json").read_text())
    whole = {"model_type": "qwen2_5_omni", "thinker_config": config, "talker_config": {}}
    (omni / "config.json").write_text(json.dumps(whole))
    assert same(load(omni), load(saved_omni))


def test_a_colqwen_of_transformers_loads(saved_vl: Path, vl: Path) -> None:
    def rename(weights: Weights) -> Weights:
        return {
            name.replace("custom_text_proj", "embedding_proj_layer")
            if name.startswith("custom")
            else f"vlm.{name}": weight
            for name, weight in weights.items()
        }

    rewrite(vl, rename)
    config = json.loads((vl / "config.json").read_text())
    (vl / "config.json").write_text(json.dumps({"model_type": "colqwen2", "vlm_config": config}))
    assert same(load(vl), load(saved_vl))


def test_a_flat_old_config_loads(saved_vl: Path, vl: Path) -> None:
    config = json.loads((vl / "config.json").read_text())
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    text |= {"rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]}}
    text |= {"rope_theta": rope["rope_theta"]}
    text.pop("layer_types", None)
    flat = {**text, **config, "model_type": "qwen2_5_vl"}
    (vl / "config.json").write_text(json.dumps(flat))
    assert same(load(vl), load(saved_vl))


def test_shards_give_the_same_model(saved_vl: Path, vl: Path) -> None:
    weights = load_file(vl / "model.safetensors")
    names = sorted(weights)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, vl / file)
    (vl / "model.safetensors").unlink()
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (vl / "model.safetensors.index.json").write_text(json.dumps(index))
    assert same(load(vl), load(saved_vl))
    (vl / "model-2.safetensors").unlink()
    with pytest.raises(ModelMissingError, match=r"lacks model-2\.safetensors"):
        load(vl)


# --- adapters


def merged_by_hand(weights: Weights, adapter: Path, scale: float) -> Weights:
    pairs = load_file(adapter / "adapter_model.safetensors")
    merged = dict(weights)
    for name in [name for name in pairs if ".lora_A." in name]:
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        product = pairs[name.replace(".lora_A.", ".lora_B.")] @ pairs[name]
        merged[f"{module}.weight"] = merged[f"{module}.weight"] + scale * product
    return merged


@pytest.mark.parametrize(("changes", "scale"), [({}, 2.0), ({"use_rslora": True}, 4.0)])
def test_an_adapter_is_added_to_its_base(
    saved_vl: Path, vl: Path, tmp_path: Path, changes: dict[str, Any], scale: float
) -> None:
    adapter = tmp_path / "adapter"
    save_adapter(adapter, **changes)
    rewrite(vl, lambda weights: merged_by_hand(weights, adapter, scale))
    assert same(load(saved_vl, adapter=str(adapter)), load(vl), atol=1e-5)
    assert not same(load(saved_vl), load(vl), atol=1e-3)


def test_an_adapter_folder_finds_its_base(saved_vl: Path, vl: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    save_adapter(adapter, base="checkpoint")
    assert vl == tmp_path / "checkpoint"
    expected = load(saved_vl, adapter=str(adapter))
    assert same(load(adapter), expected)
    assert load(adapter).fingerprint == expected.fingerprint != load(saved_vl).fingerprint


def test_an_adapter_may_bring_its_projection(vl: Path, tmp_path: Path) -> None:
    head = torch.randn(128, 48)
    adapter = tmp_path / "adapter"
    save_adapter(adapter)
    stored = load_file(adapter / "adapter_model.safetensors")
    prefix = "base_model.model.custom_text_proj"
    kept = {name: pair for name, pair in stored.items() if "custom_text_proj" not in name}
    saved = {
        f"{prefix}.modules_to_save.default.weight": head,
        f"{prefix}.bias": torch.zeros(128),
    }
    save_file(kept | saved, adapter / "adapter_model.safetensors")
    rewrite(vl, lambda weights: {k: v for k, v in weights.items() if "custom" not in k})
    weights = load(vl, adapter=str(adapter)).backbone.state_dict()
    torch.testing.assert_close(weights["projection.weight"], head)


def test_our_own_format_holds_adapter_and_projection(
    saved_vl: Path, vl: Path, tmp_path: Path
) -> None:
    save_adapter(tmp_path / "adapter")
    merge_adapter(str(vl), str(tmp_path / "adapter"), tmp_path / "merged")
    merged = load(tmp_path / "merged")
    assert same(merged, load(saved_vl, adapter=str(tmp_path / "adapter")))
    names = load_file(tmp_path / "merged" / "model.safetensors").keys()
    assert {HEAD_WEIGHT, HEAD_BIAS} <= names


def test_our_own_format_is_read_by_transformers(vl: Path, tmp_path: Path) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    save_adapter(tmp_path / "adapter")
    merge_adapter(str(vl), str(tmp_path / "adapter"), tmp_path / "merged")
    _, found = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tmp_path / "merged", output_loading_info=True
    )
    assert not found["missing_keys"]
    assert set(found["unexpected_keys"]) == {HEAD_WEIGHT, HEAD_BIAS}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type='IA3'"),
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"alpha_pattern": {"q_proj": 3}}, "alpha_pattern"),
    ],
)
def test_other_kinds_of_adapters_are_refused(
    saved_vl: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    save_adapter(tmp_path, **changes)
    with pytest.raises(UsageError, match=words):
        load(saved_vl, adapter=str(tmp_path))


def test_an_adapter_of_another_model_is_refused(saved_vl: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    pairs = load_file(path)
    name = "base_model.model.model.layers.7.mlp.up_proj"
    strange = {f"{name}.lora_A.weight": torch.ones(4, 48)}
    strange |= {f"{name}.lora_B.weight": torch.ones(64, 4)}
    save_file(pairs | strange, path)
    with pytest.raises(UsageError, match=r"does not have: language_model\.layers\.7"):
        load(saved_vl, adapter=str(tmp_path))
    wide = {name: torch.ones(4, 50) if ".0.mlp.up_proj.lora_A" in name else pair
            for name, pair in pairs.items()}  # fmt: skip
    save_file(wide, path)
    with pytest.raises(UsageError, match=r"adapter of language_model\.layers\.0\.mlp\.up_proj"):
        load(saved_vl, adapter=str(tmp_path))


def test_half_a_pair_is_an_error(saved_vl: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    pairs = load_file(path)
    pairs.pop("base_model.model.custom_text_proj.lora_B.weight")
    save_file(pairs, path)
    with pytest.raises(ModelMissingError, match=r"only lora_A or lora_B for: projection\.weight"):
        load(saved_vl, adapter=str(tmp_path))


def test_an_adapter_on_an_adapter_is_refused(vl: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", base=str(vl))
    with pytest.raises(UsageError, match="is an adapter itself"):
        load(tmp_path / "adapter", adapter=str(tmp_path / "adapter"))


# --- the projection that was not saved


def test_a_lost_projection_is_drawn_only_on_request(tmp_path: Path) -> None:
    save_vl(tmp_path / "checkpoint", projection=False)
    save_adapter(tmp_path / "adapter")
    with pytest.raises(ModelMissingError, match=r"projection\.bias, projection\.weight") as caught:
        load(tmp_path / "adapter")
    assert caught.value.exit_code == 6
    assert "seeded_projection" in caught.value.hint
    options = EncoderOptions(seeded_projection=True)
    first, second = (load(tmp_path / "adapter", options=options) for _ in range(2))
    assert same(first, second, atol=0)
    bare = load(tmp_path / "checkpoint", options=options).backbone.state_dict()
    assert bare["projection.weight"].std() == pytest.approx(0.02, rel=0.05)
    assert not bare["projection.bias"].any()


def test_a_saved_projection_is_never_redrawn(saved_vl: Path) -> None:
    asked = load(saved_vl, options=EncoderOptions(seeded_projection=True))
    assert same(asked, load(saved_vl))


# --- broken checkpoints


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: weight for key, weight in weights.items() if key != name}


LAYER = "model.layers.1.self_attn.k_proj.bias"
PATCHES = "visual.patch_embed.proj.weight"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (without(LAYER), ModelMissingError, r"lacks 1 weights: .*layers\.1\.self_attn\.k_proj\.b"),
        (without(PATCHES), ModelMissingError, r"lacks 1 weights: visual\.patch_embed"),
        (
            lambda weights: weights | {"model.layers.2.norm.weight": torch.ones(3)},
            UsageError,
            r"1 weights that the model does not have: language_model\.layers\.2\.norm",
        ),
        (
            lambda weights: weights | {LAYER: torch.ones(7)},
            UsageError,
            r"k_proj\.bias is stored as \(7,\)",
        ),
        (
            lambda weights: weights | with_new_names({LAYER: weights[LAYER].clone()}),
            UsageError,
            "holds both",
        ),
    ],
)
def test_what_is_wrong_with_weights_is_named(
    vl: Path, change: Callable[[Weights], Weights], error: type[Exception], words: str
) -> None:
    rewrite(vl, change)
    with pytest.raises(error, match=words):
        load(vl)


def test_many_missing_weights_are_one_short_line(vl: Path) -> None:
    rewrite(vl, lambda weights: {k: v for k, v in weights.items() if "visual" not in k})
    with pytest.raises(ModelMissingError, match=r"and [0-9]+ more") as caught:
        load(vl)
    assert len(str(caught.value)) < 600


def test_quantised_weights_are_refused(vl: Path) -> None:
    config = json.loads((vl / "config.json").read_text())
    config["quantization_config"] = {"load_in_4bit": True}
    (vl / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="quantised"):
        load(vl)


def test_another_kind_of_model_is_refused(vl: Path) -> None:
    (vl / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="type 'bert'"):
        load(vl)


def test_a_pickle_is_never_opened(vl: Path) -> None:
    (vl / "model.safetensors").rename(vl / "pytorch_model.bin")
    with pytest.raises(UsageError, match="pickled"):
        load(vl)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_file_that_is_missing_is_named(vl: Path, name: str) -> None:
    (vl / name).unlink()
    with pytest.raises(ModelMissingError, match=name.replace(".", r"\.")):
        load(vl)


def test_damaged_files_are_named(vl: Path) -> None:
    content = (vl / "model.safetensors").read_bytes()
    (vl / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(UsageError, match=r"model\.safetensors is damaged"):
        load(vl)
    (vl / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json is not JSON"):
        load(vl)
    (vl / "config.json").write_text("[]")
    with pytest.raises(UsageError, match=r"config\.json holds no JSON object"):
        load(vl)


# --- the hub's cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put(cache: Path, repo: str, folder: Path) -> Path:
    """Stores a folder as the hub's client does: blobs by digest, snapshots of links to them."""
    root = cache / f"models--{repo.replace('/', '--')}"
    commit = "1a2b3c4d" * 5
    snapshot = root / "snapshots" / commit
    for sub in (snapshot, root / "blobs", root / "refs"):
        sub.mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    for path in folder.iterdir():
        content = path.read_bytes()
        if path.suffix == ".safetensors":
            digest = hashlib.sha256(content).hexdigest()
        else:
            digest = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        (root / "blobs" / digest).write_bytes(content)
        (snapshot / path.name).symlink_to(root / "blobs" / digest)
    return snapshot


@pytest.mark.parametrize("name", ["clamr", "clamr-omni", "someone/model", "someone/model@1a2b3c4"])
def test_weights_that_are_not_here_name_the_command(cache: Path, name: str) -> None:
    with pytest.raises(ModelMissingError, match=f"clamr-rag models pull {name}") as caught:
        load(name)
    assert caught.value.exit_code == 6


def test_no_folder_and_no_hub_id(cache: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"no model folder \./nowhere"):
        load("./nowhere")


def test_a_preset_is_base_and_adapter(cache: Path, saved_vl: Path, tmp_path: Path) -> None:
    preset = PRESETS["clamr"]
    save_adapter(tmp_path / "adapter", base=preset.base)
    put(cache, preset.base, saved_vl)
    with pytest.raises(ModelMissingError, match=preset.adapter):
        load("clamr")
    put(cache, preset.adapter, tmp_path / "adapter")
    encoder = load("clamr")
    assert encoder.name == "clamr"
    assert same(encoder, load(saved_vl, adapter=str(tmp_path / "adapter")))
    assert same(load(preset.adapter), encoder)


def test_the_omni_preset_takes_the_released_message(
    cache: Path, saved_omni: Path, tmp_path: Path
) -> None:
    preset = PRESETS["clamr-omni"]
    save_adapter(tmp_path / "adapter", base=preset.base)
    put(cache, preset.base, saved_omni)
    put(cache, preset.adapter, tmp_path / "adapter")
    assert locate("clamr-omni").released_message
    texts = [
        "".join(encoder.processor.token_texts(encoder.processor.clip(CLIPS[1])))
        for encoder in (
            load("clamr-omni"),
            load("clamr-omni", options=EncoderOptions(released_omni_message=False)),
        )
    ]
    assert "<|im_start|>\n" in texts[0]
    assert "<|im_start|>user\n" in texts[1]


def test_the_list_says_what_is_here(cache: Path, saved_vl: Path) -> None:
    snapshot = put(cache, PRESETS["clamr"].base, saved_vl)
    here = {status.repo: status.folder for status in list_models()}
    assert here[PRESETS["clamr"].base] == snapshot
    assert here[PRESETS["clamr-omni"].base] is None


def test_a_flipped_byte_is_found(cache: Path, saved_vl: Path) -> None:
    snapshot = put(cache, "someone/model", saved_vl)
    assert all(check.intact for check in verify("someone/model"))
    blob = (snapshot / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    broken = [check.path.name for check in verify("someone/model") if not check.intact]
    assert broken == ["model.safetensors"]


def test_a_plain_folder_has_no_digests_to_compare(saved_vl: Path) -> None:
    assert {check.intact for check in verify(str(saved_vl))} == {None}


@pytest.mark.parametrize(
    ("name", "error"), [("clamr", ModelMissingError), ("not a name", UsageError)]
)
def test_a_pull_that_cannot_be_done_says_why(
    cache: Path, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="Qwen/Qwen2" if name == "clamr" else "owner/name"):
        pull(name)


def test_a_broken_adapter_configuration_is_named(vl: Path, tmp_path: Path) -> None:
    for text in ("{", "[]"):
        adapter = tmp_path / "adapter"
        adapter.mkdir(exist_ok=True)
        (adapter / "adapter_config.json").write_text(text)
        with pytest.raises(UsageError, match=r"adapter_config\.json"):
            load_qwen_encoder(str(vl), adapter=str(adapter), options=EncoderOptions())


def test_verify_misses_no_missing_shard(vl: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (vl / "model.safetensors.index.json").write_text(json.dumps(index))
    damaged = [check.path.name for check in verify(str(vl)) if check.intact is False]
    assert damaged == ["model-00001-of-00001.safetensors"]
