"""Measures indexing: wall time and the memory of the whole process tree, for several videos.

``python -m eval.bench_index 10min.mp4 60min.mp4`` indexes each in a process of its own and a fresh
library. The tree's memory is the proportional set size (PSS) summed over the command and its
children, sampled ten times a second: pages that processes share count once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAMPLE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of ``clamr-rag index``."""

    wall_seconds: float
    cpu_seconds: float
    """User and system time of the command and its children that ended."""
    peak_bytes: int
    """Largest memory of the process tree."""


def measure(command: list[str]) -> Measurement:
    """Runs a command to its end.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    before = psutil.Process().cpu_times()
    peak = 0
    while process.poll() is None:
        peak = max(peak, _tree_bytes(process.pid))
        time.sleep(_SAMPLE_SECONDS)
    wall = time.monotonic() - started
    if process.returncode:
        _, stderr = process.communicate()
        raise subprocess.CalledProcessError(process.returncode, command, stderr=stderr)
    after = psutil.Process().cpu_times()
    cpu = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return Measurement(wall, cpu, peak)


def _tree_bytes(pid: int) -> int:
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_pss_bytes(process) for process in processes)


def _pss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return 0


def main() -> None:
    """Measures all videos and compares the first with the last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path, nargs="+")
    arguments = parser.parse_args()
    peaks = []
    for video in arguments.videos:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "clamr_rag", "index", str(video), "--library", folder]
            done = measure(command)
        peaks.append(done.peak_bytes)
        print(f"{video.name}: {done.wall_seconds:.1f} s wall, {done.cpu_seconds:.1f} s CPU, "
              f"peak {done.peak_bytes / 1e6:.0f} MB")  # fmt: skip
    if len(peaks) > 1:
        print(f"memory, last video to first: {peaks[-1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
