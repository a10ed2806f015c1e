"""How a training goes: a JSON object a line per step and evaluation, on disk and said aloud."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

from clamr_rag.training.evaluation import Evaluation

LOG_FILE = "log.jsonl"
_log = logging.getLogger(__name__)


class TrainingLog:
    """Written by the first process only.

    Args:
        folder: Of the run.
        after_step: Lines of later steps are dropped: those steps come again.
        written: Whether this is the process that writes.
    """

    def __init__(self, folder: Path, *, after_step: int, written: bool) -> None:
        self._path = folder / LOG_FILE if written else None
        if self._path is not None:
            _forget_after(self._path, after_step)

    def step(
        self, step: int, loss: float, rate: float, norm: float, num_pairs: int, seconds: float
    ) -> None:
        """Notes an optimisation step, counted from 1."""
        self._write(
            {
                "step": step,
                "loss": loss,
                "learning_rate": rate,
                "gradient_norm": norm,
                "samples_per_second": num_pairs / seconds,
                "seconds": seconds,
            }
        )

    def evaluation(self, step: int, measured: Evaluation) -> None:
        """Notes how the model does after a step."""
        self._write({"step": step, **asdict(measured)})

    def _write(self, values: dict[str, float]) -> None:
        if self._path is None:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(values)}\n")
        _log.info("%s", "  ".join(f"{name} {value:.5g}" for name, value in values.items()))


def _forget_after(path: Path, step: int) -> None:
    # A kill may have cut the last line short; the line is of a step that comes again.
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
