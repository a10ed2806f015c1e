"""Compares files of weights of `mini-vl`, and writes the tables of the paper in miniature.

python -m eval.paper --folder runs/paper        # ROLE-SEED.safetensors in it
python -m eval.paper --weights modality_max 0 FILE --weights token_max 0 FILE

Weights that were measured before (by their checksum) are not measured again; without any the page
is written anew from the figures.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clamr_rag.encoder.mini_weights import checksum
from clamr_rag.errors import ClamrError, UsageError
from eval.paper.figures import ROLES, Figures, Role, read_figures, write_figures
from eval.paper.ranking import begun, measured
from eval.paper.subject import HOURS, Subject, held_out
from eval.paper.writing import FIGURES_NAME, write_page
from eval.run_qa import commit_of_tree
from eval.synthetic import SPLITS

_log = logging.getLogger(__name__)
RESULTS = Path(__file__).parents[1] / "results"
_ENDING = ".safetensors"


@dataclass(frozen=True, slots=True)
class Weights:
    """A file, and what it is to stand for."""

    role: Role
    seed: int
    path: Path


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = _parser().parse_args(words)
    try:
        given = [_given(*told) for told in arguments.weights]
        found = [] if arguments.folder is None else weights_in(arguments.folder)
        subject = held_out(
            arguments.seed, arguments.hours, split=arguments.split, num_clips=arguments.num_clips
        )
        compare([*given, *found], subject, arguments.out, again=arguments.again)
    except ClamrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def compare(
    weights: Sequence[Weights], subject: Subject, out: Path, *, again: bool = False
) -> Figures:
    """Measures what is not measured yet, keeping each as soon as it is done, and writes the page.

    Args:
        weights: Files that are to be measured.
        subject: Clips and queries.
        out: Folder of figures, tables and plots.
        again: Measure what was measured before, too.

    Raises:
        UsageError: The folder has figures of other clips.
        ModelMissingError: A file holds no weights.
    """
    # Now: what is written below may be a change of the tree.
    path, commit = out / FIGURES_NAME, commit_of_tree()
    figures = _figures_of(subject, path)
    for own in weights:
        before = figures.run(own.role, own.seed)
        if before and before.sha256 == checksum(own.path) and not again:
            _log.info("%s %d: measured before", own.role, own.seed)
            continue
        run = measured(own.path, own.role, own.seed, subject, figures, commit=commit)
        figures = figures.with_run(run)
        write_figures(figures, path)
        _log.info("%s %d: %.0f s", own.role, own.seed, run.seconds)
    write_page(figures, out)
    return figures


def weights_in(folder: Path) -> list[Weights]:
    """Files named by role and seed, such as ``modality_max-0.safetensors``.

    Raises:
        UsageError: There is none, or one that is named otherwise.
    """
    paths = sorted(folder.glob(f"*{_ENDING}"))
    if not paths:
        raise UsageError(f"no weights in {str(folder)!r}", allowed=f"ROLE-SEED{_ENDING}")
    return [_given(*path.name.removesuffix(_ENDING).rpartition("-")[::2], path) for path in paths]


def _given(role: str, seed: str, path: str | Path) -> Weights:
    named = next((each for each in ROLES if each == role), None)
    if named is None or not seed.isdecimal():
        raise UsageError(
            f"got weights {role!r} {seed!r}", allowed=f"one of {', '.join(ROLES)}, and a seed"
        )
    if not Path(path).is_file():
        raise UsageError(f"{path} is no file", hint="make it: python -m eval.paper.train")
    return Weights(named, int(seed), Path(path))


def _figures_of(subject: Subject, path: Path) -> Figures:
    """Those that are there, or new ones."""
    if not path.is_file():
        figures = begun(subject)
        write_figures(figures, path)
        return figures
    figures = read_figures(path)
    if figures.subject != subject.name:
        raise UsageError(
            f"{path} has figures of {figures.subject}",
            allowed=subject.name,
            hint="take another --out",
        )
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--weights", nargs=3, action="append", default=[], metavar=("ROLE", "SEED", "FILE"),
        help=f"trained with (one of {', '.join(ROLES)}), by which seed, where")  # fmt: skip
    add("--folder", type=Path, help="of weights named ROLE-SEED.safetensors")
    add("--out", type=Path, default=RESULTS, help="folder of figures, tables and plots")
    add("--again", action="store_true", help="measure what was measured before, too")
    add("--split", choices=SPLITS, default="test")
    add("--seed", type=int, default=101, help="of the world")
    add("--hours", type=float, default=HOURS, help="of the world; 2.625 have 496 clips")
    add("--num-clips", type=int, help="the first so many clips only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
