"""How far a training has come, kept in a folder so that it goes on after a stop."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import nn
from torch.optim import Optimizer

from clamr_rag.errors import UsageError
from clamr_rag.training.state import load_state, save_state
from eval.mini.plan import Plan

_PLAN, _SECONDS = "plan.json", "seconds.json"
_NAMING = ("scorer", "loss", "encoding")
_LAST = ("join", "steady")
_OF_LAST = {
    *_NAMING, "join_steps", "join_rate", "clips", "prose", "kept_share",
    "steady_steps", "steady_rate", "steady_pixels", "steady_weight",
}  # fmt: skip
"""What the plan says of these stages only."""


class Progress:
    """Of a training in all its stages; each has a folder of its own for its newest state.

    Runs that differ in the last stages only can share a folder: what comes before is done once.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        plan: Plan,
        folder: Path | None = None,
        data: str = "",
    ) -> None:
        """Opens the folder, which is made if it is not there.

        Args:
            parts: All that is trained in any stage.
            plan: Of the run.
            folder: None to keep nothing.
            data: What it is trained on, by name.

        Raises:
            UsageError: It was begun by another plan or on other data.
        """
        self._parameters = {
            f"{name}.{own}": parameter
            for name, part in parts.items()
            for own, parameter in part.named_parameters()
            if parameter.requires_grad
        }
        self._folder, self._plan = folder, {**asdict(plan), "data": data}
        self._began, self._before = time.monotonic(), 0.0
        if folder is not None:
            _claim(folder, {n: v for n, v in self._plan.items() if n not in _OF_LAST})
            if (folder / _SECONDS).is_file():
                self._before = json.loads((folder / _SECONDS).read_text(encoding="utf-8"))

    @property
    def seed(self) -> int:
        """Of the run."""
        return int(self._plan["seed"])

    @property
    def seconds(self) -> float:
        """What the run has taken so far, and what went into the folder before it."""
        return self._before + time.monotonic() - self._began

    def resumed(self, stage: str, num_steps: int, optimiser: Optimizer) -> int:
        """Puts back the newest state of a stage, if there is one, and returns its steps.

        Raises:
            UsageError: The state is damaged or of other parts.
        """
        folder = self._of(stage)
        if folder is None or not any(folder.glob("*.safetensors")):
            return 0
        return load_state(folder, num_steps, self._parameters, optimiser)

    def keep(self, stage: str, step: int, num_steps: int, optimiser: Optimizer) -> None:
        """Writes the state of a stage after so many of its steps."""
        folder = self._of(stage)
        if self._folder is not None and folder is not None:
            folder.mkdir(exist_ok=True)
            save_state(folder, step, num_steps, self._parameters, optimiser)
            (self._folder / _SECONDS).write_text(json.dumps(self.seconds), encoding="utf-8")

    def _of(self, stage: str) -> Path | None:
        if self._folder is None:
            return None
        if stage not in _LAST:
            return self._folder / stage
        folder = self._folder / "-".join([stage, *(str(self._plan[name]) for name in _NAMING)])
        _claim(folder, self._plan)
        return folder


def _claim(folder: Path, plan: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _PLAN
    if not path.is_file():
        path.write_text(json.dumps(plan), encoding="utf-8")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [name for name in plan if before.get(name) != plan[name]]
    if changed:
        told = ", ".join(f"{name} {before.get(name)!r}, now {plan[name]!r}" for name in changed)
        raise UsageError(f"{folder} was begun with {told}", hint="take another folder")
