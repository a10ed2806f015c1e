"""Weights of every release under one set of names, adapters merged in; safetensors only.

Known layouts: full checkpoints with the names of the hub (``model.layers``, ``visual``), of the
modules of transformers 5 (``model.language_model``, ``model.visual``), of the whole Omni model
(``thinker.``) and of ColQwen; LoRA adapters as PEFT saves them. Our own format is the first with
the projection in it. A weight that is missing, left over or of another shape is an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from clamr_rag.encoder.hub import ADAPTER_CONFIG, Checkpoint
from clamr_rag.errors import ModelMissingError, UsageError

PROJECTION_WEIGHT = "projection.weight"
PROJECTION_BIAS = "projection.bias"
RELEASED_DIM = 128
# `custom_text_proj` of the released training run: normal(0, 0.02) after set_seed(42), bias zero.
_PROJECTION_SEED = 42
_PROJECTION_DEVIATION = 0.02

_WRAPPERS = ("base_model.model.", "vlm.", "thinker.")
_log = logging.getLogger(__name__)

_UNUSED = ("lm_head.", "model.lm_head.", "language_model.lm_head.", "talker.", "token2wav.")
_RENAMED = {
    "model.language_model.": "language_model.",
    "model.visual.": "visual.",
    "model.audio_tower.": "audio_tower.",
    "language_model.model.": "language_model.",
    "custom_text_proj.": "projection.",
    "embedding_proj_layer.": "projection.",
    "model.": "language_model.",
}
_SAVED_NAMES = {"language_model.": "model.", "projection.": "custom_text_proj."}
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(\.\w+)?\.weight")
_WRAPPED_BY_PEFT = re.compile(r"\.(base_layer|modules_to_save(\.default)?)(?=\.)")
_SHOWN_KEYS = 8
# Of config.json: says who wrote the file, not what the model computes.
_NOT_IN_DIGEST = {"transformers_version", "torch_dtype", "dtype", "_name_or_path", "architectures"}


@dataclass(frozen=True, slots=True)
class LoraPair:
    """The two low-rank factors of one linear layer, and what their product is scaled by."""

    down: torch.Tensor
    """``(rank, in)``, PEFT's A."""
    up: torch.Tensor
    """``(out, rank)``, PEFT's B."""
    scale: float

    def merge_into(self, weight: torch.Tensor) -> torch.Tensor:
        """The layer's weight ``(out, in)`` with the adapter in it, float32."""
        up, down = (factor.to(weight.device, torch.float32) for factor in (self.up, self.down))
        return torch.addmm(weight.float(), up, down, alpha=self.scale)


@dataclass(frozen=True, slots=True)
class Adapter:
    """What an adapter changes, under our names."""

    pairs: Mapping[str, LoraPair]
    """By name of the weight that each is added to."""
    replaced: Mapping[str, torch.Tensor]
    """Weights that it brings whole, such as a trained projection."""


def canonical_name(name: str) -> str | None:
    """Our name of a parameter in any known layout; None for parts that no encoder uses."""
    stripped = True
    while stripped:
        stripped = False
        for wrapper in _WRAPPERS:
            if name.startswith(wrapper):
                name, stripped = name.removeprefix(wrapper), True
    if name.startswith(_UNUSED):
        return None
    for old, new in _RENAMED.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def read_config(folder: Path) -> dict[str, Any]:
    """The checkpoint's ``config.json``.

    Raises:
        ModelMissingError: There is none.
        UsageError: It is damaged, or of weights that are quantised or not of this family.
    """
    config = _read_json(folder / "config.json")
    if "quantization_config" in config:
        raise UsageError(
            f"{folder} holds quantised weights", allowed="float32, float16 or bfloat16 weights"
        )
    return config


def projection_dim(checkpoint: Checkpoint) -> int:
    """Width of the projection as stored, 128 where the checkpoint has none."""
    paths = _weight_files(checkpoint.folder)
    if checkpoint.adapter:
        paths.append(_adapter_file(checkpoint.adapter))
    for path in paths:
        with _open(path) as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                plain = _WRAPPED_BY_PEFT.sub("", name)
                if canonical_name(plain) == PROJECTION_WEIGHT:
                    return int(file.get_slice(name).get_shape()[0])
    return RELEASED_DIM


def read_weights(
    checkpoint: Checkpoint,
    expected: Mapping[str, torch.Size],
    *,
    device: torch.device,
    dtype: torch.dtype,
    seeded_projection: bool = False,
) -> dict[str, torch.Tensor]:
    """Reads all weights of a model, adapter merged in float32, onto a device.

    Args:
        checkpoint: The folders.
        expected: Shape of every parameter of the model under our names.
        device: Where they go.
        dtype: What they become.
        seeded_projection: Draw a projection that was not saved from the known seed.

    Raises:
        ModelMissingError: Weights are missing; names them.
        UsageError: Weights are left over or of another shape; names them.
    """
    adapter = read_adapter(checkpoint.adapter) if checkpoint.adapter else Adapter({}, {})
    _refuse_strangers([*adapter.pairs, *adapter.replaced], expected, checkpoint.adapter)
    weights: dict[str, torch.Tensor] = {}
    with ExitStack() as stack:
        sources = _sources(stack, checkpoint.folder, device)
        _refuse_strangers(sources, expected, checkpoint.folder)
        # A drawn half would not fit the half that was trained.
        draws = seeded_projection and not any(
            name.startswith("projection.") for name in (*sources, *adapter.replaced)
        )
        for name in expected:
            weight = adapter.replaced.get(name)
            if weight is None and name in sources:
                file, stored = sources[name]
                weight = file.get_tensor(stored)
            if weight is None and draws and name.startswith("projection."):
                _log.warning("%s was not saved: it is drawn from the documented seed", name)
                weight = _seeded_projection(name, expected[name])
            if weight is None:
                continue
            _check_shapes(name, weight, expected[name], adapter.pairs.get(name))
            if pair := adapter.pairs.get(name):
                weight = pair.merge_into(weight.to(device))
            weights[name] = weight.to(device, dtype)
    _refuse_gaps(expected.keys() - weights.keys(), checkpoint)
    return weights


def read_adapter(folder: Path) -> Adapter:
    """Reads a LoRA adapter as PEFT saves it, of any transformers version.

    Raises:
        ModelMissingError: A file or half of a pair is missing.
        UsageError: A kind of adapter other than plain LoRA.
    """
    config = _read_adapter_config(folder)
    factors: dict[str, dict[str, torch.Tensor]] = {}
    replaced: dict[str, torch.Tensor] = {}
    with _open(_adapter_file(folder)) as file:
        for stored in file.keys():  # noqa: SIM118 - not a dict
            lora = _LORA.fullmatch(stored)
            if lora is None:
                name = canonical_name(_WRAPPED_BY_PEFT.sub("", stored))
                if name is not None:
                    replaced[name] = file.get_tensor(stored)
            elif name := canonical_name(f"{lora['module']}.weight"):
                factors.setdefault(name, {})[lora["side"]] = file.get_tensor(stored)
    halves = sorted(name for name, sides in factors.items() if len(sides) < 2)
    if halves:
        raise ModelMissingError(f"{folder} has only lora_A or lora_B for: {_some(halves)}")
    pairs = {
        name: LoraPair(sides["A"], sides["B"], _scale(config, rank=len(sides["A"])))
        for name, sides in factors.items()
    }
    return Adapter(pairs, replaced)


def weights_digest(checkpoint: Checkpoint) -> str:
    """Short hex digest of the configuration and of samples of every stored tensor.

    Two trainings of one model differ in almost every number, so a few of each tensor tell them
    apart without reading gigabytes.
    """
    config = read_config(checkpoint.folder)
    parts = [{key: config[key] for key in config.keys() - _NOT_IN_DIGEST}]
    paths = _weight_files(checkpoint.folder)
    if checkpoint.adapter:
        lora = _read_adapter_config(checkpoint.adapter)
        parts.append({key: lora.get(key) for key in ("lora_alpha", "use_rslora")})
        paths.append(_adapter_file(checkpoint.adapter))
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for path in paths:
        with _open(path) as file:
            for name in sorted(file.keys()):
                row = file.get_slice(name)
                shape = row.get_shape()
                middle = shape[0] // 2 if shape else 0
                sample = row[middle : middle + 1] if shape else file.get_tensor(name)
                digest.update(f"{name}{shape}".encode())
                digest.update(sample.flatten()[:256].float().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_checkpoint(
    weights: Mapping[str, torch.Tensor], config: Mapping[str, Any], tokenizer: Path, folder: Path
) -> None:
    """Writes our own format: one merged checkpoint with its projection, names of the hub.

    Args:
        weights: All parameters under our names.
        config: As in ``config.json``.
        tokenizer: A ``tokenizer.json`` to copy.
        folder: Made if it does not exist.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    stored = {_saved_name(name): weight.contiguous().cpu() for name, weight in weights.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    text = json.dumps(dict(config), indent=2, sort_keys=True)
    (folder / "config.json").write_text(f"{text}\n", encoding="utf-8")
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())


def _saved_name(name: str) -> str:
    for ours, saved in _SAVED_NAMES.items():
        if name.startswith(ours):
            return saved + name.removeprefix(ours)
    return name


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a full checkpoint, all shards present."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(_read_json(index)["weight_map"].values())
        paths = [folder / Path(shard).name for shard in sorted(shards)]
    else:
        paths = [folder / "model.safetensors"]
    absent = [path.name for path in paths if not path.is_file()]
    if not absent:
        return paths
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise UsageError(
            f"{folder} holds pickled weights",
            allowed="safetensors",
            hint="convert them where you trust them",
        )
    raise ModelMissingError(
        f"{folder} lacks {_some(absent)}", hint="fetch the whole checkpoint again"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelMissingError(
            f"no {path.name} in {path.parent}", hint="fetch the whole checkpoint again"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON", hint="fetch the checkpoint again") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no JSON object", hint="fetch the checkpoint again")
    return values


def _adapter_file(folder: Path) -> Path:
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise ModelMissingError(
            f"no adapter_model.safetensors in {folder}", hint="fetch the whole adapter again"
        )
    return path


def _open(path: Path, device: torch.device | str = "cpu") -> Any:
    try:
        return safe_open(path, framework="pt", device=str(device))
    except SafetensorError as error:
        raise UsageError(
            f"{path} is damaged: {error}", hint="fetch the checkpoint again"
        ) from error


def _sources(stack: ExitStack, folder: Path, device: torch.device) -> dict[str, tuple[Any, str]]:
    """The open file and the stored name of each weight, under our names."""
    sources: dict[str, tuple[Any, str]] = {}
    for path in _weight_files(folder):
        file = stack.enter_context(_open(path, device))
        for stored in file.keys():  # noqa: SIM118 - not a dict
            name = canonical_name(stored)
            if name in sources:
                raise UsageError(f"{folder} holds both {sources[name][1]} and {stored}")
            if name is not None:
                sources[name] = (file, stored)
    return sources


def _read_adapter_config(folder: Path) -> dict[str, Any]:
    path = folder / ADAPTER_CONFIG
    config = _read_json(path)
    refused = {
        "peft_type": config.get("peft_type") != "LORA",
        "bias": config.get("bias", "none") != "none",
        **{
            key: bool(config.get(key))
            for key in ("use_dora", "alpha_pattern", "fan_in_fan_out", "layer_replication")
        },
    }
    if any(refused.values()):
        got = ", ".join(f"{key}={config.get(key)!r}" for key, bad in refused.items() if bad)
        raise UsageError(f"{path} has {got}", allowed="plain LoRA without biases")
    return config


def _scale(config: Mapping[str, Any], rank: int) -> float:
    divisor = rank**0.5 if config.get("use_rslora") else rank
    return float(config["lora_alpha"]) / divisor


def _seeded_projection(name: str, shape: torch.Size) -> torch.Tensor:
    if name == PROJECTION_BIAS:
        return torch.zeros(shape)
    generator = torch.Generator().manual_seed(_PROJECTION_SEED)
    return torch.empty(shape).normal_(0.0, _PROJECTION_DEVIATION, generator=generator)


def _check_shapes(
    name: str, weight: torch.Tensor, shape: torch.Size, pair: LoraPair | None
) -> None:
    if weight.shape != shape:
        raise UsageError(f"{name} is stored as {tuple(weight.shape)}", allowed=str(tuple(shape)))
    if pair and (pair.up.shape[0], pair.down.shape[1]) != tuple(shape):
        raise UsageError(
            f"the adapter of {name} makes {(pair.up.shape[0], pair.down.shape[1])}",
            allowed=str(tuple(shape)),
            hint="it was trained on another base model",
        )


def _refuse_strangers(
    names: Collection[str], expected: Mapping[str, torch.Size], folder: Path | None
) -> None:
    strangers = sorted(name for name in names if name not in expected)
    if strangers:
        raise UsageError(
            f"{folder} holds {len(strangers)} weights that the model does not have: "
            f"{_some(strangers)}",
            allowed="checkpoints and adapters of the same model family and size",
        )


def _refuse_gaps(names: Collection[str], checkpoint: Checkpoint) -> None:
    if not names:
        return
    if set(names) <= {PROJECTION_WEIGHT, PROJECTION_BIAS}:
        hint = (
            "the released adapter was saved without it: seeded_projection=True draws it from the "
            "seed of its training run, at a small loss"
        )
    else:
        hint = "fetch the whole checkpoint again"
    raise ModelMissingError(
        f"{checkpoint.name} lacks {len(names)} weights: {_some(sorted(names))}", hint=hint
    )


def _some(names: Collection[str]) -> str:
    shown = list(names)[:_SHOWN_KEYS]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
