"""Work in a process of its own, and what it took: time, and memory that no other work has had."""

from __future__ import annotations

import multiprocessing
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

_PROCESS_FILES = Path("/proc/self")
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Taken:
    """By some work, medians of its repetitions."""

    seconds: float
    cpu_seconds: float
    """Of all threads of the process."""
    rest_bytes: int
    """Of memory before the work: of the process on a CPU, as allocated by torch on a GPU."""
    peak_bytes: int
    """The same, at most."""


def in_child(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Calls a function in a fresh process: its peak of memory is its own."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as pool:
        return pool.submit(work, *args, **kwargs).result()


def time_and_memory(work: Callable[[], object], device: torch.device, repeats: int) -> Taken:
    """Does the work once to warm up, then so many times."""
    on_gpu = device.type == "cuda"
    rest = torch.cuda.memory_allocated(device) if on_gpu else reset_peak()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    seconds, cpu_seconds = [], []
    for _ in range(repeats + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        work()
        if on_gpu:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else peak_bytes()
    return Taken(statistics.median(seconds[1:]), statistics.median(cpu_seconds[1:]), rest, peak)


def device_name(device: torch.device, threads: int) -> str:
    """What measured: the GPU, or the CPU and its threads (0: as many as torch takes)."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {threads or torch.get_num_threads()} threads"


def reset_peak() -> int:
    """Lets the peak of this process start from now, where the system can; its memory now."""
    with suppress(OSError):
        (_PROCESS_FILES / "clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """Most memory that this process has had in use."""
    # Not getrusage where there is another way: after exec it still knows the parent's peak.
    with suppress(OSError):
        for line in (_PROCESS_FILES / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
