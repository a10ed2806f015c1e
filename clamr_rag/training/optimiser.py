"""The optimiser, and its learning rate at each step."""

from __future__ import annotations

import math

import torch
from torch.optim import Optimizer

from clamr_rag.training.adapting import Parameters, needed_bitsandbytes
from clamr_rag.training.options import TrainOptions


def make_optimiser(parameters: Parameters, options: TrainOptions) -> Optimizer:
    """AdamW over what is trained, without decay of biases, norms and the temperature.

    Raises:
        UsageError: An 8-bit one without bitsandbytes and CUDA.
    """
    groups = [
        {
            "params": [p for p in parameters.values() if p.ndim > 1],
            "weight_decay": options.weight_decay,
        },
        {"params": [p for p in parameters.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if options.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=options.learning_rate)
    bnb = needed_bitsandbytes(f"optimiser {options.optimiser}", "--optimiser adamw")
    paged = options.optimiser == "paged_adamw_8bit"
    family = bnb.optim.PagedAdamW8bit if paged else bnb.optim.AdamW8bit
    eight_bit: Optimizer = family(groups, lr=options.learning_rate)
    return eight_bit


def learning_rate(step: int, num_steps: int, options: TrainOptions) -> float:
    """The rate of a step, counted from 0: it rises linearly in the warm-up, then falls to zero."""
    warmup_steps = math.ceil(num_steps * options.warmup)
    if step < warmup_steps:
        return options.learning_rate * (step + 1) / warmup_steps
    return options.learning_rate * (num_steps - step) / (num_steps - warmup_steps)


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """Gives all parameters the rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate
