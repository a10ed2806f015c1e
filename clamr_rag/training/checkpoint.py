"""Writes what was trained in our own format, its projection included.

Read by `clamr_rag.encoder.load_encoder` like any other.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from clamr_rag.encoder.architecture import encoding_config
from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.checkpoints import read_config, tokenizer_file
from clamr_rag.encoder.hub import Checkpoint
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
    saved_name,
)
from clamr_rag.encoder.saving import PEFT_PREFIX, write_weights
from clamr_rag.training.adapting import TARGETS
from clamr_rag.training.options import TrainOptions


def write_checkpoint(
    backbone: Backbone, base: Checkpoint, options: TrainOptions, folder: Path
) -> None:
    """Writes an adapter that names its base, or (method full) the whole model.

    A folder of that name is replaced once the new one is complete.

    Raises:
        DiskFullError: The weights would not fit.
    """
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    if options.method == "full":
        weights = {saved_name(n): weight for n, weight in backbone.state_dict().items()}
        config = encoding_config(read_config(base.folder), base.folder)
        names = WEIGHTS_FILE, CONFIG_FILE
    else:
        weights = _adapter_weights(backbone)
        config = _adapter_config(base, options)
        names = ADAPTER_FILE, ADAPTER_CONFIG
    write_weights(weights, new / names[0])
    shutil.copyfile(tokenizer_file(base), new / TOKENIZER_FILE)
    # Last: a folder without its configuration is no checkpoint.
    config |= _message(base, options)
    text = json.dumps(config, indent=2, sort_keys=True)
    (new / names[1]).write_text(f"{text}\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _adapter_weights(backbone: Backbone) -> dict[str, torch.Tensor]:
    """The factors as PEFT names them, and the projection whole."""
    weights = {}
    for name, parameter in backbone.named_parameters():
        if ".lora_" in name and not name.startswith("projection."):
            weights[saved_name(name.replace(".default.", "."))] = parameter.detach()
    head: Any = backbone.projection
    weight, bias = head.weight.detach().float(), head.bias.detach().float()
    # The released adapter has factors here and not the weights they are added to, which are lost.
    if hasattr(head, "get_delta_weight"):
        weight = weight + head.get_delta_weight("default").detach().float()
    weights[saved_name(PROJECTION_WEIGHT)] = weight
    weights[saved_name(PROJECTION_BIAS)] = bias
    return {f"{PEFT_PREFIX}{name}": tensor for name, tensor in weights.items()}


def _adapter_config(base: Checkpoint, options: TrainOptions) -> dict[str, Any]:
    named = hub_id(base.base)
    return {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": named.repo if named else str(Path(base.base).resolve()),
        "revision": named.revision if named else None,
        "r": options.lora_rank,
        "lora_alpha": options.lora_alpha,
        "lora_dropout": options.lora_dropout,
        "bias": "none",
        "target_modules": list(TARGETS),
        "modules_to_save": [saved_name("projection.").rstrip(".")],
        "inference_mode": True,
    }


def _message(base: Checkpoint, options: TrainOptions) -> dict[str, bool]:
    """Omni models that were trained with the released code's chat message are to be asked so."""
    wanted = options.encoder.released_omni_message
    released = base.released_message if wanted is None else wanted
    return {RELEASED_MESSAGE_KEY: True} if released else {}
