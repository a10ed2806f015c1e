"""``python -m eval.report RUN_DIR... --out DIR`` and ``python -m eval.report rows RUN_DIR...``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from clamr_rag.errors import ClamrError
from eval.extractors import RULES
from eval.report.rows import readme_rows
from eval.report.runs import load_runs
from eval.report.writing import ReportOptions, write_report


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Leaves with the exit code of a wrong use."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    words = sys.argv[1:] if words is None else list(words)
    try:
        if words[:1] == ["rows"]:
            return _rows(words[1:])
        return _report(words)
    except ClamrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _report(words: Sequence[str]) -> int:
    parser = _Parser(
        prog="python -m eval.report",
        description="Tables, plots and a page per failure, from the records of runs.",
        epilog="python -m eval.report rows RUN_DIR prints the rows of eval/README.md.",
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN_DIR",
        help="the first is what the others are compared with",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--format", choices=("md", "latex"), default="md", help="of the tables")
    parser.add_argument(
        "--rule", choices=tuple(RULES), default="strict",
        help="by which groups, comparisons and plots are given",
    )  # fmt: skip
    parser.add_argument(
        "--failures", type=_count, default=200, help="pages per run, from the first; 'all'"
    )
    parser.add_argument(
        "--library", type=Path, action="append", default=[], metavar="DIR",
        help="a library that a run searched: its clips' texts and pictures are shown",
    )  # fmt: skip
    parser.add_argument("--no-pictures", action="store_true", help="do not read the videos")
    arguments = parser.parse_args(words)
    options = ReportOptions(
        form=arguments.format,
        rule=arguments.rule,
        num_failures=arguments.failures,
        libraries=tuple(arguments.library),
        has_pictures=not arguments.no_pictures,
    )
    print(write_report(load_runs(arguments.runs), arguments.out, options))
    return 0


def _rows(words: Sequence[str]) -> int:
    parser = _Parser(
        prog="python -m eval.report rows",
        description="Rows of eval/README.md: finished runs of a commit only.",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR")
    arguments = parser.parse_args(words)
    print(readme_rows(load_runs(arguments.runs)), end="")
    return 0


def _count(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: a number from 0, or all")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
