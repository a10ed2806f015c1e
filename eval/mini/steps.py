"""Steps down a loss, the same way in every stage."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_LOG_EVERY = 50


class Steps:
    """Steps of one stage: AdamW, a warm-up and half a cosine, gradients cut at length 1."""

    def __init__(
        self,
        name: str,
        count: int,
        rate: float,
        modules: Sequence[nn.Module],
        others: Sequence[tuple[float, Iterable[nn.Parameter]]] = (),
    ) -> None:
        """Takes what is trained at the rate, and ``others`` at a share of it."""
        self._name, self._count = name, count
        trained = [p for module in modules for p in module.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim > 1], "lr": rate, "weight_decay": 0.02},
            {"params": [p for p in trained if p.ndim < 2], "lr": rate, "weight_decay": 0.0},
        ]
        for share, some in others:
            groups.append({"params": [*some], "lr": rate * share, "weight_decay": 0.0})
        groups = [group for group in groups if group["params"]]
        self._parameters = [p for group in groups for p in group["params"]]
        self._optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        warm_up = max(1, min(200, count // 10))
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser,
            lambda step: min(
                (step + 1) / warm_up, 0.01 + 0.99 * (1 + math.cos(math.pi * step / count)) / 2
            ),
        )
        self._began, self._done = time.monotonic(), 0
        self._losses: list[float] = []
        self._right: list[list[float]] = []

    def over(self, batches: Iterable[_T]) -> Iterator[_T]:
        """So many batches as the stage has steps."""
        for batch in batches:
            if self._done == self._count:
                return
            yield batch

    def take(self, loss: Tensor, right: list[float]) -> None:
        """One step down the loss; ``right`` is logged."""
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._schedule.step()
        self._done += 1
        self._losses.append(loss.item())
        self._right.append(right)
        if self._done % _LOG_EVERY == 0 or self._done == self._count:
            means = [sum(column) / len(column) for column in zip(*self._right, strict=True)]
            _log.info(
                "%s %d/%d  %.0f s  loss %.3f  right %s",
                self._name, self._done, self._count, time.monotonic() - self._began,
                sum(self._losses) / len(self._losses), " ".join(f"{mean:.2f}" for mean in means),
            )  # fmt: skip
            self._losses, self._right = [], []
