"""What lies in a checkpoint's folder, in every known release: files, and names of parameters.

Known layouts: full checkpoints with the names of the hub (``model.layers``, ``visual``), of the
modules of transformers 5 (``model.language_model``, ``model.visual``), of the whole Omni model
(``thinker.``) and of ColQwen; LoRA adapters as PEFT saves them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from clamr_rag.errors import ModelMissingError, UsageError

PROJECTION_WEIGHT = "projection.weight"
PROJECTION_BIAS = "projection.bias"
RELEASED_MESSAGE_KEY = "clamr_released_omni_message"
"""Of our own format's configurations: trained with the chat message of the released Omni code."""
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_FILE = "adapter_model.safetensors"

_WRAPPERS = ("base_model.model.", "vlm.", "thinker.")
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
_WRAPPED_BY_PEFT = re.compile(r"\.(base_layer|modules_to_save(\.default)?)(?=\.)")
_SHOWN_KEYS = 8


def canonical_name(name: str) -> str | None:
    """Our name of a parameter in any known layout; None for parts that no encoder uses."""
    name = _WRAPPED_BY_PEFT.sub("", name)
    while wrapper := next((w for w in _WRAPPERS if name.startswith(w)), None):
        name = name.removeprefix(wrapper)
    if name.startswith(_UNUSED):
        return None
    for old, new in _RENAMED.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def saved_name(name: str) -> str:
    """The hub's name of a parameter under ours."""
    for ours, saved in _SAVED_NAMES.items():
        if name.startswith(ours):
            return saved + name.removeprefix(ours)
    return name


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a full checkpoint.

    Raises:
        ModelMissingError: One is not there; names it.
        UsageError: The weights are pickled, or the index is damaged.
    """
    paths = expected_weight_files(folder)
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
        f"{folder} lacks {some(absent)}", hint="fetch the whole checkpoint again"
    )


def expected_weight_files(folder: Path) -> list[Path]:
    """The files that a full checkpoint says it has, there or not."""
    index = folder / INDEX_FILE
    if not index.is_file():
        return [folder / WEIGHTS_FILE]
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(p, str) for p in places.values()):
        raise UsageError(
            f"{index} has no weight_map of parameters to files", hint="fetch the checkpoint again"
        )
    # Only the name: an index must not lead out of its folder.
    return [folder / name for name in sorted({Path(place).name for place in places.values()})]


def adapter_file(folder: Path) -> Path:
    """The weights of an adapter.

    Raises:
        ModelMissingError: They are not there.
    """
    path = folder / ADAPTER_FILE
    if not path.is_file():
        raise ModelMissingError(
            f"no {ADAPTER_FILE} in {folder}", hint="fetch the whole adapter again"
        )
    return path


def open_weights(path: Path, device: torch.device | str = "cpu") -> Any:
    """Opens a safetensors file, to be closed by ``with``.

    Raises:
        UsageError: It is damaged.
    """
    try:
        return safe_open(path, framework="pt", device=str(device))
    except SafetensorError as error:
        raise UsageError(
            f"{path} is damaged: {error}", hint="fetch the checkpoint again"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        ModelMissingError: There is no such file.
        UsageError: It holds something else.
    """
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


def some(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    shown = list(names)[:_SHOWN_KEYS]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
