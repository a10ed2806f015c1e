"""The weights of `mini` and `mini-vl` that are ours: stem, head, the trunk's low-rank changes.

They are stored in half precision in one file; the trunk itself comes with its own package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from clamr_rag.encoder.mini_network import LowRank, MiniNetwork, adapt, add_changes
from clamr_rag.encoder.minilm import load_minilm
from clamr_rag.errors import ModelMissingError

WEIGHTS = Path(__file__).with_name("mini_vl.safetensors")
"""Of `mini-vl`, trained."""
PROJECTION = Path(__file__).with_name("mini_projection.safetensors")
"""Of `mini`, fitted."""
_FORMAT = "mini-vl-1"
_CHANGE = "change."


def save_network(path: Path, network: MiniNetwork, told: Mapping[str, str]) -> None:
    """Writes all weights of an adapted network but the published ones.

    Args:
        path: The file.
        network: Whose trunk has been adapted.
        told: How the weights were made; kept in the file.
    """
    own = {
        name: weights
        for name, weights in network.state_dict().items()
        if not name.startswith("trunk.")
    }
    for name, module in network.trunk.named_modules():
        if isinstance(module, LowRank):
            changed = _CHANGE + _weight_of(name)
            own |= {f"{changed}.up": module.up, f"{changed}.down": module.down}
    halves = {name: weights.detach().half().contiguous() for name, weights in own.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(halves, path, {"format": _FORMAT, **told})


def load_network(path: Path = WEIGHTS) -> MiniNetwork:
    """The network with these weights in evaluation mode on the CPU, float32.

    Raises:
        ModelMissingError: The trunk's weights or these are missing, or are not those of `mini`.
    """
    network, changes = _published_and_own(path)
    try:
        add_changes(network.trunk, changes)
    except (AttributeError, RuntimeError) as error:
        raise _unreadable(path) from error
    return network.eval()


def load_adapted(path: Path = WEIGHTS) -> MiniNetwork:
    """The network as it was saved, to be trained further: the trunk's changes stay apart from it.

    Raises:
        ModelMissingError: As `load_network` does.
    """
    network, changes = _published_and_own(path)
    ranks = {down.shape[0] for _, down in changes.values()}
    if len(ranks) != 1:
        raise _unreadable(path)
    adapters = adapt(network.trunk, ranks.pop())
    try:
        for name, (up, down) in changes.items():
            adapters[name].load_state_dict({"up": up, "down": down}, strict=False)
    except (KeyError, RuntimeError) as error:
        raise _unreadable(path) from error
    return network.eval()


def load_text_network() -> MiniNetwork:
    """The network of `mini` in evaluation mode on the CPU: the published trunk and a projection.

    Raises:
        ModelMissingError: The trunk's weights are missing or altered.
    """
    trunk = load_minilm()
    with torch.device("meta"):
        network = MiniNetwork(trunk)
    # No frames will come.
    del network.stem
    network.kinds = torch.nn.Parameter(torch.zeros(network.kinds.shape))
    network.trunk_share = torch.nn.Parameter(torch.zeros(network.trunk_share.shape))
    network.projection = torch.nn.Parameter(load_file(PROJECTION)["projection"])
    return network.eval()


@cache
def checksum(path: Path = WEIGHTS) -> str:
    """SHA-256 of a file of weights."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def how_made(path: Path = WEIGHTS) -> dict[str, str]:
    """What `save_network` was told."""
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def _published_and_own(path: Path) -> tuple[MiniNetwork, dict[str, tuple[Tensor, Tensor]]]:
    """The network without the trunk's changes, and these by the name of their linear map."""
    trunk = load_minilm()
    with torch.device("meta"):
        network = MiniNetwork(trunk)
    own, changes = _read(path)
    trunk_weights = {f"trunk.{name}": w for name, w in trunk.state_dict().items()}
    try:
        network.load_state_dict({**own, **trunk_weights}, strict=True, assign=True)
    except RuntimeError as error:
        raise _unreadable(path) from error
    return network, changes


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor, Tensor]]]:
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("format") != _FORMAT:
                raise _unreadable(path)
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelMissingError(
            f"{path} is missing", hint="pip install --force-reinstall clamr-rag"
        ) from error
    except SafetensorError as error:
        raise _unreadable(path) from error
    changed = {
        n.removesuffix(".up") for n in weights if n.startswith(_CHANGE) and n.endswith(".up")
    }
    changes = {
        _linear_of(name.removeprefix(_CHANGE)): (
            weights.pop(f"{name}.up"), weights.pop(f"{name}.down"),
        )
        for name in changed
    }  # fmt: skip
    return weights, changes


def _weight_of(linear: str) -> str:
    """The weight of a linear map, as the files name it: as torch's own transformer layers do."""
    return f"{linear}.weight".replace("in_proj.weight", "in_proj_weight")


def _linear_of(weight: str) -> str:
    return weight.removesuffix("weight").rstrip("._")


def _unreadable(path: Path) -> ModelMissingError:
    return ModelMissingError(
        f"{path} does not hold the weights of mini",
        allowed=f"a file of format {_FORMAT}, as python -m eval.mini.train writes",
    )
