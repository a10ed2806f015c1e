"""Checkpoints of every layout load to the same model, and broken ones say what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.layouts import canonical_name
from clamr_rag.errors import ModelMissingError, UsageError
from clamr_rag.types import Modality
from tests.qwen_checkpoints import (
    load,
    rewrite,
    same,
    save_adapter,
    save_omni,
    save_vl,
    with_new_names,
)

Weights = dict[str, torch.Tensor]
HEAD_WEIGHT, HEAD_BIAS = "custom_text_proj.weight", "custom_text_proj.bias"


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


@pytest.mark.parametrize("whole", [True, False], ids=["omni", "thinker"])
def test_a_colqwen_omni_loads(saved_omni: Path, omni: Path, tmp_path: Path, *, whole: bool) -> None:
    """A thinker without LM head as base, an adapter on its language model and projection."""

    def without_head(weights: Weights) -> Weights:
        return {name: weight for name, weight in weights.items() if name != "lm_head.weight"}

    rewrite(omni, without_head)
    config = json.loads((omni / "config.json").read_text()) | {"architectures": ["ColQwen2_5Omni"]}
    if whole:
        config = {"model_type": "qwen2_5_omni", "thinker_config": config}
    (omni / "config.json").write_text(json.dumps(config))
    assert same(load(omni), load(saved_omni))
    adapter = tmp_path / "adapter"
    save_adapter(adapter, base="omni")
    colqwen = load(adapter)
    assert Modality.AUDIO in colqwen.reads
    rewrite(omni, lambda weights: merged_by_hand(weights, adapter, 2.0))
    assert same(colqwen, load(omni), atol=1e-5)
    assert not same(colqwen, load(saved_omni), atol=1e-3)


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type='IA3'"),
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"alpha_pattern": {"q_proj": 3}}, "alpha_pattern"),
        # Only the tokens after the invocation are adapted.
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens"),
        ({"use_qalora": True}, "use_qalora=True"),
        # The base that these belong to is not the one that was published.
        ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights='pissa_niter_16'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora'"),
        ({"lora_alpha": None}, "lora_alpha=None; allowed: a number above 0"),
        ({"r": None}, "r=None"),
        ({"r": "4"}, "r='4'"),
        ({"lora_alpha": -1}, "lora_alpha=-1"),
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


def test_factors_that_do_not_fit_each_other_are_refused(saved_vl: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    name = "base_model.model.custom_text_proj.lora_B.weight"
    for strange in (torch.ones(128, 3), torch.ones(128), torch.ones(())):
        save_file(load_file(path) | {name: strange}, path)
        with pytest.raises(UsageError, match=r"projection\.weight has lora_A \(4, 48\) and lora_B"):
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
    assert "--set encoder.seeded_projection=true" in caught.value.hint
    assert "EncoderOptions(seeded_projection=True)" in caught.value.hint
    options = EncoderOptions(seeded_projection=True)
    first, second = (load(tmp_path / "adapter", options=options) for _ in range(2))
    assert same(first, second, atol=0)
    bare = load(tmp_path / "checkpoint", options=options).backbone.state_dict()
    assert bare["projection.weight"].std() == pytest.approx(0.02, rel=0.05)
    assert not bare["projection.bias"].any()


def test_a_saved_projection_is_never_redrawn(saved_vl: Path) -> None:
    asked = load(saved_vl, options=EncoderOptions(seeded_projection=True))
    assert same(asked, load(saved_vl), atol=0)
    assert asked.fingerprint == load(saved_vl).fingerprint


def test_half_a_projection_is_not_completed(vl: Path) -> None:
    rewrite(vl, without(HEAD_BIAS))
    with pytest.raises(ModelMissingError, match=r"lacks 1 weights: projection\.bias"):
        load(vl, options=EncoderOptions(seeded_projection=True))


def test_a_broken_adapter_configuration_is_named(vl: Path, tmp_path: Path) -> None:
    for text in ("{", "[]"):
        adapter = tmp_path / "adapter"
        adapter.mkdir(exist_ok=True)
        (adapter / "adapter_config.json").write_text(text)
        with pytest.raises(UsageError, match=r"adapter_config\.json"):
            load(vl, adapter=str(adapter))


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


def damaged(vl: Path, file: str, content: str) -> str:
    """The one line that is said of a checkpoint with this file in it."""
    (vl / file).write_text(content)
    with pytest.raises(UsageError) as caught:
        load(vl)
    assert "\n" not in str(caught.value)
    assert str(vl / file) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "qwen2_5_omni"},
        {"model_type": "qwen2_5_omni", "thinker_config": [1]},
        {"model_type": "qwen2_5_omni", "thinker_config": None},
        {"model_type": "colqwen2"},
        {"model_type": "colqwen2_5", "vlm_config": "qwen"},
    ],
)
def test_a_config_without_the_part_that_encodes_is_named(vl: Path, config: dict[str, Any]) -> None:
    told = damaged(vl, "config.json", json.dumps(config))
    assert told.partition(" and has no ")[2].startswith(("thinker_config;", "vlm_config;"))


@pytest.mark.parametrize("config", [{"text_config": 3}, {"text_config": {"hidden_size": "x"}}])
def test_a_config_of_other_kinds_of_values_is_named(vl: Path, config: dict[str, Any]) -> None:
    told = damaged(vl, "config.json", json.dumps({"model_type": "qwen2_5_vl"} | config))
    assert "cannot be used" in told


@pytest.mark.parametrize("index", [{}, {"weight_map": 3}, {"weight_map": {"a": 3}}])
def test_an_index_without_weight_map_is_named(vl: Path, index: dict[str, Any]) -> None:
    told = damaged(vl, "model.safetensors.index.json", json.dumps(index))
    assert "weight_map" in told


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": 3}'])
def test_a_damaged_tokenizer_is_named(vl: Path, content: str) -> None:
    assert "is damaged" in damaged(vl, "tokenizer.json", content)


def test_an_index_does_not_lead_out_of_its_folder(vl: Path) -> None:
    (vl / "model.safetensors").rename(vl.parent / "outside.safetensors")
    index = {"weight_map": {"a": "../outside.safetensors"}}
    (vl / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelMissingError, match=r"lacks outside\.safetensors"):
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
