"""Several processes as one: clips of all of them as negatives, with gradients back to their owner.

Under torchrun or ``accelerate launch``; a process that was started alone is all there is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from clamr_rag.errors import UsageError

_PATIENCE = timedelta(hours=2)
"""How long processes wait for one that reads, evaluates or saves."""
_HONOURED = {
    "ACCELERATE_USE_FSDP": ("false", "0"),
    "ACCELERATE_USE_DEEPSPEED": ("false", "0"),
    "ACCELERATE_USE_MEGATRON_LM": ("false", "0"),
    "ACCELERATE_MIXED_PRECISION": ("no", "bf16"),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("1",),
}
"""What `accelerate launch` may ask for: weights are whole, and --precision says how it computes."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Which of how many processes this is."""

    rank: int
    count: int
    local_rank: int = 0
    """Among those of this machine: the number of its GPU."""

    @property
    def is_first(self) -> bool:
        """The one that writes files."""
        return self.rank == 0


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Meets the other processes that a launcher started, if any, and parts from them.

    Raises:
        UsageError: The launcher asks for what this script does not do.
    """
    for variable, allowed in _HONOURED.items():
        value = os.environ.get(variable, allowed[0])
        if value.lower() not in allowed:
            raise UsageError(f"accelerate sets {variable}={value}", allowed=" or ".join(allowed))
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1)
        return
    # Each kind of tensor has its own: numbers of the host go through gloo.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()


def gather(tensor: Tensor, processes: Processes) -> Tensor:
    """The tensors ``(n, ...)`` of all processes, own first: ``(count * n, ...)``, with gradients.

    Where lengths of the second axis differ, all are padded with zeros to the longest.
    """
    if processes.count == 1:
        return tensor
    if tensor.ndim > 1:
        longest = torch.tensor([tensor.shape[1]], device=tensor.device)
        dist.all_reduce(longest, dist.ReduceOp.MAX)
        missing = int(longest) - tensor.shape[1]
        tensor = F.pad(tensor, (0, 0) * (tensor.ndim - 2) + (0, missing))
    # Own first, since the losses take clip i to be that of query i.
    stacked: Tensor = _Gather.apply(tensor, processes)  # type: ignore[no-untyped-call]
    others = [rank for rank in range(processes.count) if rank != processes.rank]
    return stacked[[processes.rank, *others]].flatten(0, 1)


def average_gradients(parameters: Iterable[torch.nn.Parameter], processes: Processes) -> None:
    """Makes the gradients of all processes their mean; one that is None counts as zeros."""
    if processes.count == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        # Each process has the mean over its own queries.
        parameter.grad /= processes.count


def mean_over(value: Tensor, processes: Processes) -> float:
    """The mean of a number over all processes."""
    if processes.count > 1:
        value = value.clone()
        dist.all_reduce(value)
    return float(value) / processes.count


def wait_for_all(processes: Processes) -> None:
    """Returns when all processes have come here."""
    if processes.count > 1:
        dist.barrier()


class _Gather(torch.autograd.Function):
    """All processes' tensors stacked ``(count, ...)``; backward sums what each of them asks for."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: Processes) -> Tensor:
        ctx.rank = processes.rank
        parts = [torch.empty_like(tensor) for _ in range(processes.count)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[ctx.rank], None
