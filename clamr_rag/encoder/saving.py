"""Our own format: checkpoints and adapters with their projection always in them.

Otherwise they are as transformers and PEFT save them, safetensors only; `load_encoder` reads both
like any other.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.adapters import read_adapter_config
from clamr_rag.encoder.architecture import encoding_config
from clamr_rag.encoder.checkpoints import read_config, tokenizer_file
from clamr_rag.encoder.hub import Checkpoint, locate
from clamr_rag.encoder.hub_cache import hub_id
from clamr_rag.encoder.layouts import (
    ADAPTER_CONFIG,
    ADAPTER_FILE,
    CONFIG_FILE,
    PROJECTION_BIAS,
    PROJECTION_WEIGHT,
    RELEASED_MESSAGE_KEY,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    adapter_file,
    canonical_name,
    open_weights,
    saved_name,
)
from clamr_rag.encoder.qwen import QwenEncoder, load_qwen_encoder
from clamr_rag.errors import DiskFullError, UsageError

_HEAD = (PROJECTION_WEIGHT, PROJECTION_BIAS)
_HEAD_MODULE = "custom_text_proj"
PEFT_PREFIX = "base_model.model."


def save_merged(
    name: str,
    folder: Path,
    *,
    adapter: str | None = None,
    dtype: str = "float32",
    options: EncoderOptions | None = None,
) -> None:
    """Writes a model as one checkpoint, adapter merged in and projection included.

    Needs memory and disk for all weights: 4 bytes a parameter in float32.

    Args:
        name: As for `load_encoder`.
        folder: Made; may exist if it is empty.
        adapter: As for `load_encoder`.
        dtype: Of the weights written; they are merged in float32.
        options: ``seeded_projection`` draws a projection that the model was saved without.

    Raises:
        UsageError: The folder has something in it.
        DiskFullError: The weights would not fit.
    """
    _claim(folder)
    checkpoint, encoder = _load(name, adapter, dtype, options)
    weights = {saved_name(n): weight for n, weight in encoder.backbone.state_dict().items()}
    config = encoding_config(read_config(checkpoint.folder), checkpoint.folder)
    write_weights(weights, folder / WEIGHTS_FILE)
    shutil.copyfile(tokenizer_file(checkpoint), folder / TOKENIZER_FILE)
    _write_config(config | _message(checkpoint), folder / CONFIG_FILE)


def save_adapter(
    name: str,
    folder: Path,
    *,
    adapter: str | None = None,
    options: EncoderOptions | None = None,
) -> None:
    """Writes a model's adapter with its projection, whole, in place of the LoRA of one.

    The base is named, not copied: by hub id and commit, or by its folder.

    Args:
        name: As for `load_encoder`.
        folder: Made; may exist if it is empty.
        adapter: As for `load_encoder`.
        options: As for `save_merged`.

    Raises:
        UsageError: The model has no adapter, or the folder has something in it.
        DiskFullError: The weights would not fit.
    """
    _claim(folder)
    checkpoint, encoder = _load(name, adapter, "float32", options)
    if checkpoint.adapter is None:
        raise UsageError(f"{name} has no adapter", hint="name one with --adapter")
    weights = _without_head(checkpoint.adapter)
    head = encoder.backbone.state_dict()
    weights |= {f"{PEFT_PREFIX}{saved_name(n)}": head[n] for n in _HEAD}
    write_weights(weights, folder / ADAPTER_FILE)
    shutil.copyfile(tokenizer_file(checkpoint), folder / TOKENIZER_FILE)
    _write_config(_adapter_config(checkpoint, checkpoint.adapter), folder / ADAPTER_CONFIG)


def _load(
    name: str, adapter: str | None, dtype: str, options: EncoderOptions | None
) -> tuple[Checkpoint, QwenEncoder]:
    encoder = load_qwen_encoder(name, adapter=adapter, device="cpu", dtype=dtype, options=options)
    return locate(name, adapter), encoder


def _without_head(adapter: Path) -> dict[str, torch.Tensor]:
    """The adapter's tensors as they are stored, but for those of the projection."""
    with open_weights(adapter_file(adapter)) as file:
        return {
            stored: file.get_tensor(stored)
            for stored in file.keys()  # noqa: SIM118 - not a dict
            if not (canonical_name(stored) or "").startswith("projection.")
        }


def _adapter_config(checkpoint: Checkpoint, adapter: Path) -> dict[str, Any]:
    """PEFT's configuration, the projection saved whole instead of adapted."""
    config = read_adapter_config(adapter)
    base = hub_id(checkpoint.base)
    targets = config.get("target_modules")
    # A released adapter's targets may be one regular expression; that one stays.
    if isinstance(targets, list):
        targets = [target for target in targets if target != _HEAD_MODULE]
    return {
        **config,
        "base_model_name_or_path": base.repo if base else checkpoint.base,
        "revision": base.revision if base else None,
        "target_modules": targets,
        "modules_to_save": [_HEAD_MODULE],
        **_message(checkpoint),
    }


def _message(checkpoint: Checkpoint) -> dict[str, bool]:
    """The released Omni weights are known by their hub id, which the new folder does not have."""
    return {RELEASED_MESSAGE_KEY: True} if checkpoint.released_message else {}


def _claim(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already", allowed="a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)


def write_weights(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Writes a safetensors file, if there is room for it.

    Raises:
        DiskFullError: There is not.
    """
    num_bytes = sum(weight.nbytes for weight in weights.values())
    if shutil.disk_usage(path.parent).free < num_bytes:
        raise DiskFullError(
            f"{path} would take {num_bytes / 1e9:.1f} GB", hint="free some space or write elsewhere"
        )
    stored = {name: weight.cpu().contiguous() for name, weight in weights.items()}
    save_file(stored, path, metadata={"format": "pt"})


def _write_config(config: Mapping[str, Any], path: Path) -> None:
    # Written last: a folder without it is no checkpoint.
    path.write_text(f"{json.dumps(config, indent=2, sort_keys=True)}\n", encoding="utf-8")
