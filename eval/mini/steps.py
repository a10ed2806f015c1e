"""Steps down a loss, the same way in every stage."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from eval.mini.progress import Progress

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_LOG_SECONDS = 30.0
_PARTS = 10


class Steps:
    """Steps of one stage: AdamW, a warm-up and half a cosine, gradients cut at length 1.

    A tenth of the steps at a time has batches of its own and is followed by a state that is kept,
    so that a run that goes on from there sees what it would have seen.
    """

    def __init__(
        self,
        progress: Progress,
        name: str,
        count: int,
        rate: float,
        modules: Sequence[nn.Module],
        others: Sequence[tuple[float, Iterable[nn.Parameter]]] = (),
    ) -> None:
        """Takes what is trained at the rate, and ``others`` at a share of it."""
        self.name = name
        """Of the stage."""
        self._progress, self._count = progress, count
        trained = [p for module in modules for p in module.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim > 1], "lr": rate, "weight_decay": 0.02},
            {"params": [p for p in trained if p.ndim < 2], "lr": rate, "weight_decay": 0.0},
        ]
        for share, some in others:
            groups.append({"params": [*some], "lr": rate * share, "weight_decay": 0.0})
        groups = [group for group in groups if group["params"]]
        self._rates = [group["lr"] for group in groups]
        self._parameters = [p for group in groups for p in group["params"]]
        self._optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self._began = self._logged = time.monotonic()
        self._done = progress.resumed(name, count, self._optimiser)
        self._losses: list[float] = []
        self._right: list[list[float]] = []
        self._resumed_at = self._done
        if self._done:
            _log.info("%s goes on after %d of %d steps", name, self._done, count)

    def over(self, drawn: Callable[[random.Random], Iterator[_T]]) -> Iterator[_T]:
        """So many batches as are left of the stage's steps.

        Args:
            drawn: Endless batches.
        """
        while self._done < self._count:
            rng = random.Random(f"{self._progress.seed} {self.name} {self._done}")
            part = min(math.ceil(self._count / _PARTS), self._count - self._done)
            yield from islice(drawn(rng), part)
            self._progress.keep(self.name, self._done, self._count, self._optimiser)

    def take(self, loss: Tensor, right: list[float]) -> None:
        """One step down the loss; ``right`` is logged, twice a minute."""
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * self._share_of_rate()
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._done += 1
        self._losses.append(loss.item())
        self._right.append(right)
        now = time.monotonic()
        if now - self._logged > _LOG_SECONDS or self._done == self._count:
            self._logged = now
            self._log(now - self._began)

    def _log(self, seconds: float) -> None:
        """Since the last time: the mean of the losses, and of each share of right ones."""
        means = [sum(column) / len(column) for column in zip(*self._right, strict=True)]
        left = seconds / (self._done - self._resumed_at) * (self._count - self._done)
        _log.info(
            "%s %d/%d  %.0f s, %.0f left  loss %.3f  right %s",
            self.name, self._done, self._count, seconds, left,
            sum(self._losses) / len(self._losses), " ".join(f"{mean:.2f}" for mean in means),
        )  # fmt: skip
        self._losses, self._right = [], []

    def _share_of_rate(self) -> float:
        warm_up = max(1, min(200, self._count // 10))
        cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * self._done / self._count)) / 2
        return min((self._done + 1) / warm_up, cosine)
