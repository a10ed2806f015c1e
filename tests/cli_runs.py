"""Runs the ``clamr-rag`` command as people do: as a process of its own, in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "clamr_rag")


@dataclass(frozen=True)
class Run:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)

    @property
    def errors(self) -> list[str]:
        """Its lines that say ``error:``."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The variables of a user who has nothing but this home."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ
    }
    return kept | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "2",
    } | more  # fmt: skip


def clamr(
    *arguments: str | Path,
    home: Path,
    stdin: str | None = None,
    variables: dict[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    timeout_seconds: float = 120,
) -> Run:
    """Runs the command in ``home`` to its end.

    Args:
        arguments: After ``clamr-rag``.
        home: Working directory and home directory.
        stdin: Its input; None is no input at all.
        variables: More environment variables.
        prepare: Called in the child before the command starts.
        timeout_seconds: A longer run is an error.
    """
    done = subprocess.run(
        [*COMMAND, *map(os.fspath, arguments)],
        cwd=home,
        env=environment(home, **(variables or {})),
        input=None if stdin is None else stdin.encode("utf-8", "surrogateescape"),
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=timeout_seconds,
        preexec_fn=prepare,
    )
    return Run(
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "surrogateescape"),
    )


def start(arguments: Sequence[str | Path], home: Path, **streams: Any) -> subprocess.Popen[bytes]:
    """Starts the command and returns while it runs."""
    return subprocess.Popen(
        [*COMMAND, *map(os.fspath, arguments)],
        cwd=home,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        **streams,
    )
