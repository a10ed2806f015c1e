"""LoRA adapters as PEFT saves them, of any transformers version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clamr_rag.encoder.layouts import (
    ADAPTER_CONFIG,
    adapter_file,
    canonical_name,
    open_weights,
    read_json,
    some,
)
from clamr_rag.errors import ModelMissingError, UsageError

_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(\.\w+)?\.weight")
_UNSUPPORTED = (
    "use_dora",
    "alpha_pattern",
    "fan_in_fan_out",
    "layer_replication",
    "lora_bias",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
)
# These take a part out of the base's own weights, which the saved factors are to bring back.
_CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


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


def read_adapter(folder: Path) -> Adapter:
    """Reads an adapter.

    Raises:
        ModelMissingError: A file or half of a pair is missing.
        UsageError: A kind of adapter other than plain LoRA.
    """
    config = read_adapter_config(folder)
    factors: dict[str, dict[str, torch.Tensor]] = {}
    replaced: dict[str, torch.Tensor] = {}
    with open_weights(adapter_file(folder)) as file:
        for stored in file.keys():  # noqa: SIM118 - not a dict
            lora = _LORA.fullmatch(stored)
            name = canonical_name(f"{lora['module']}.weight" if lora else stored)
            if name is None:
                continue
            if lora:
                factors.setdefault(name, {})[lora["side"]] = file.get_tensor(stored)
            else:
                replaced[name] = file.get_tensor(stored)
    halves = sorted(name for name, sides in factors.items() if len(sides) < 2)
    if halves:
        raise ModelMissingError(f"{folder} has only lora_A or lora_B for: {some(halves)}")
    pairs = {name: _pair(name, sides, config) for name, sides in factors.items()}
    return Adapter(pairs, replaced)


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The adapter's configuration as PEFT wrote it.

    Raises:
        ModelMissingError: There is none.
        UsageError: It lacks the rank or the scale, or is of another kind of adapter.
    """
    path = folder / ADAPTER_CONFIG
    config = read_json(path)
    start = str(config.get("init_lora_weights")).lower()
    refused = {
        "peft_type": config.get("peft_type") != "LORA",
        "bias": config.get("bias", "none") != "none",
        "init_lora_weights": start.startswith(_CHANGES_THE_BASE),
        **{key: bool(config.get(key)) for key in _UNSUPPORTED},
    }
    if any(refused.values()):
        got = ", ".join(f"{key}={config.get(key)!r}" for key, bad in refused.items() if bad)
        raise UsageError(f"{path} has {got}", allowed="plain LoRA without biases")
    for key in ("r", "lora_alpha"):
        value = config.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise UsageError(
                f"{path} has {key}={value!r}",
                allowed="a number above 0",
                hint="fetch the adapter again",
            )
    return config


def _pair(name: str, sides: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> LoraPair:
    down, up = sides["A"], sides["B"]
    if down.ndim != 2 or up.ndim != 2 or len(down) != up.shape[1]:
        raise UsageError(
            f"the adapter of {name} has lora_A {tuple(down.shape)} and lora_B {tuple(up.shape)}",
            allowed="(rank, in) and (out, rank)",
        )
    # The rank of the weights: rank_pattern may give single layers another than ``r``.
    rank = len(down)
    divisor = rank**0.5 if config.get("use_rslora") else rank
    return LoraPair(down, up, float(config["lora_alpha"]) / divisor)
