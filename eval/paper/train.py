"""Trains the weights that the paper in miniature compares: ``python -m eval.paper.train``.

For each seed a file for each role (both scorers, and one whose clips are encoded apart), by
`eval.mini.train` in a process of its own. Without ``--start`` the files of a seed share all stages
but the last: seeds share nothing (more than an hour a seed). With it all files start from those
weights: seeds differ in the last stage only. Files that are there are not made again, and what was
broken off goes on. Options that are not known here are passed on, the same to all:
``--join-steps 240``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.paper.figures import ROLES, Role

_TOLD: dict[Role, tuple[str, ...]] = {
    "modality_max": ("--scorer", "modality_max"),
    "token_max": ("--scorer", "token_max"),
    "separate": ("--scorer", "modality_max", "--encoding", "apart"),
}
"""What `eval.mini.train` is told of each role."""
FOLDER = Path("runs/paper")


def commands(
    folder: Path, seeds: Sequence[int], start: Path | None = None, options: Sequence[str] = ()
) -> list[list[str]]:
    """Command lines for the files that are missing, in the order in which they have to run.

    Args:
        folder: Of the weights.
        seeds: A file of each role for each.
        start: Weights that all start the last stage from; None for those of each seed's stages.
        options: Of `eval.mini.train`, the same for all.
    """
    wanted = []
    for seed in seeds:
        stages = folder / f"seed-{seed}"
        for role in ROLES:
            out = folder / f"{role}-{seed}.safetensors"
            if out.is_file():
                continue
            begin = ("--start", str(start)) if start else ("--folder", str(stages))
            told = ["--seed", str(seed), *_TOLD[role], *begin, "--out", str(out)]
            wanted.append([sys.executable, "-m", "eval.mini.train", *told, *options])
    return wanted


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns the exit code of the first training that fails, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.paper.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the weights")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--start", type=Path, help="weights before the last stage, for all seeds")
    arguments, options = parser.parse_known_args(words)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for command in commands(arguments.folder, arguments.seeds, arguments.start, options):
        print(" ".join(command), file=sys.stderr)
        code = subprocess.run(command, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
