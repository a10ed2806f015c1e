"""What a run needs to go on after a stop: one safetensors file, replaced as a whole.

Everything else follows from the step: the rate, the pairs of its batch, and the seed of its
dropout.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.optim import Optimizer

from clamr_rag.errors import UsageError
from clamr_rag.training.adapting import Parameters
from clamr_rag.training.options import TrainOptions

_STATE_FILE = "state.safetensors"
_OPTIONS_FILE = "options.json"
# What may differ between the parts of one run: it decides when and how fast, not what is computed.
_FREE = {"stop_after", "resume", "save_every", "evaluate_every", "held_out", "held_out_split",
         "held_out_pairs", "preparing_threads", "device", "out", "pairs_at_a_time",
         "gradient_checkpointing"}  # fmt: skip


def check_folder(options: TrainOptions) -> None:
    """Looks whether the run can have its folder, before anything is loaded.

    Raises:
        UsageError: The folder has something in it, or nothing to resume, or other options.
    """
    if options.resume:
        _check_options(options.out / _OPTIONS_FILE, options.model_dump(mode="json"))
    elif options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise UsageError(
            f"{options.out} is there already",
            allowed="a new or empty folder",
            hint="go on with what is in it by --resume",
        )


def claim_folder(options: TrainOptions) -> None:
    """Makes the folder of a run, with its options in it."""
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(options.model_dump(mode="json"), indent=2)
    (options.out / _OPTIONS_FILE).write_text(f"{text}\n", encoding="utf-8")


def save_state(
    folder: Path, step: int, num_pairs: int, parameters: Parameters, optimiser: Optimizer
) -> None:
    """Writes the state after so many steps."""
    numbers: dict[str, int | float | bool] = {}
    tensors = {f"parameter.{name}": p.detach() for name, p in parameters.items()}
    for name, parameter in parameters.items():
        for key, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimiser.{name}/{key}"] = value
            else:
                numbers[f"{name}/{key}"] = value
    told = {"step": step, "num_pairs": num_pairs, "numbers": numbers}
    # A kill while writing leaves the state before.
    temporary = folder / f"{_STATE_FILE}.new"
    save_file(
        {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
        temporary,
        metadata={"run": json.dumps(told)},
    )
    os.replace(temporary, folder / _STATE_FILE)  # noqa: PTH105 - the atomic one by its name


def load_state(folder: Path, num_pairs: int, parameters: Parameters, optimiser: Optimizer) -> int:
    """Puts the saved state in place and returns after how many steps it was saved.

    Raises:
        UsageError: There is none, or it is damaged or of other data or weights.
    """
    path = folder / _STATE_FILE
    if not path.is_file():
        raise UsageError(f"no {_STATE_FILE} in {folder}", hint="start anew without --resume")
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})["run"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise UsageError(f"{path} is damaged: {error}", hint="start anew") from error
    if told["num_pairs"] != num_pairs:
        raise UsageError(f"got {num_pairs} pairs", allowed=f"{told['num_pairs']} as before")
    stored = {name.removeprefix("parameter.") for name in tensors if name.startswith("parameter.")}
    if stored != set(parameters):
        raise UsageError(f"{path} is of other weights", allowed="the same base and method")
    # In place: the optimiser and the model share these tensors.
    for name, parameter in parameters.items():
        with torch.no_grad():
            parameter.copy_(tensors[f"parameter.{name}"])
    _load_optimiser(optimiser, parameters, tensors, told["numbers"])
    return int(told["step"])


def _load_optimiser(
    optimiser: Optimizer,
    parameters: Parameters,
    tensors: Mapping[str, torch.Tensor],
    numbers: Mapping[str, int | float | bool],
) -> None:
    values: dict[str, dict[str, Any]] = {name: {} for name in parameters}
    kept = {n.removeprefix("optimiser."): t for n, t in tensors.items() if n.startswith("opt")}
    for place, value in {**kept, **numbers}.items():
        name, key = place.rsplit("/", 1)
        values[name][key] = value
    # Optimisers number parameters by their place in the groups.
    names = {id(parameter): name for name, parameter in parameters.items()}
    ordered = [names[id(p)] for group in optimiser.param_groups for p in group["params"]]
    state = {number: values[name] for number, name in enumerate(ordered) if values[name]}
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _check_options(path: Path, own: Mapping[str, Any]) -> None:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        raise UsageError(f"{path.parent} holds no run", hint="start one without --resume") from None
    changed = [key for key in own if key not in _FREE and before.get(key) != own[key]]
    if changed:
        told = ", ".join(f"{key} {before.get(key)!r}, now {own[key]!r}" for key in changed)
        raise UsageError(
            f"{path.parent} was begun with {told}", hint="resume with the same options"
        )
