"""What frame reading costs against ``ffmpeg -vf fps=1 -f null -`` on the same file.

Run ``python -m eval.bench_frames VIDEO``. Both read one picture per second of the whole video; ours
also hands each over to this process as an RGB array. The two take turns, so that other load on the
machine meets both, and the medians are compared. The issue allows a ratio of 1.2.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from clamr_rag.media import iter_frames, probe

ALLOWED_RATIO = 1.2


def main(arguments: list[str] | None = None) -> int:
    """Prints the figures; exit code 1 when the ratio is above what is allowed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--max-side", type=int, default=None, help="shrink our frames to this")
    wanted = parser.parse_args(arguments)
    ffmpeg = shutil.which("ffmpeg")

    print(f"{wanted.video}: {described(wanted.video)}")
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(wanted.runs):
        ours.append(timed(lambda: read_every_second(wanted.video, wanted.max_side)))
        if ffmpeg is not None:
            theirs.append(timed(lambda: run_ffmpeg(ffmpeg, wanted.video)))
    print(f"clamr_rag.media.iter_frames: {summary(ours)}")
    seek = timed(lambda: read_every(wanted.video, 60.0))
    print(f"clamr_rag.media.iter_frames, one frame a minute: {seek:.2f} s")
    if ffmpeg is None:
        print("ffmpeg was not found: no comparison was made")
        return 0
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"ffmpeg -vf fps=1 -f null -: {summary(theirs)}")
    print(f"ratio of medians: {ratio:.2f} (allowed: {ALLOWED_RATIO})")
    return int(ratio > ALLOWED_RATIO)


def described(path: Path) -> str:
    """Returns codec, size and length in words."""
    info = probe(path)
    if info.video is None:
        raise SystemExit(f"{path} has no picture track")
    video = info.video
    return (
        f"{video.codec} {video.width}x{video.height} {video.average_rate:g} fps, "
        f"{info.duration_seconds:.0f} s, {info.size_bytes / 1e6:.0f} MB"
    )


def read_every_second(path: Path, max_side: int | None) -> None:
    """Takes one frame per second, and touches it as a reader would."""
    for frame in iter_frames(path, itertools.count(), max_side=max_side):
        frame.pixels[0, 0].sum()


def read_every(path: Path, step_seconds: float) -> None:
    """Takes frames so far apart that the file is sought."""
    for frame in iter_frames(path, itertools.count(0, step_seconds)):
        frame.pixels[0, 0].sum()


def run_ffmpeg(ffmpeg: str, path: Path) -> None:
    """Runs the yardstick."""
    command = [ffmpeg, "-nostdin", "-v", "error", "-i", str(path), "-vf", "fps=1"]
    subprocess.run([*command, "-f", "null", "-"], check=True)


def timed(work: Callable[[], None]) -> float:
    """Returns the wall-clock seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def summary(seconds: list[float]) -> str:
    """Returns median and range in words."""
    return (
        f"median {statistics.median(seconds):.2f} s "
        f"({min(seconds):.2f} to {max(seconds):.2f}, {len(seconds)} runs)"
    )


if __name__ == "__main__":
    sys.exit(main())
