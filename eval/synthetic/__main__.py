"""Makes and checks synthetic worlds.

``python -m eval.synthetic make --hours 1 --seed 7 --out DIR``, then ``... check DIR``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from clamr_rag.errors import ClamrError
from eval.synthetic import SPLITS, check_folder, make_world, read_questions, render
from eval.synthetic.world import WorldVideo


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    arguments = _parser().parse_args(words)
    try:
        return _make(arguments) if arguments.command == "make" else _check(arguments)
    except ClamrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {arguments.out}: {error.strerror or error}", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Leaves with the exit code of a wrong use."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m eval.synthetic", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="render a world: videos, subtitles, questions")
    make.add_argument("--hours", type=float, default=1.0, help="length of all videos together")
    make.add_argument("--seed", type=int, default=7, help="of all choices")
    make.add_argument("--split", default="test", help=f"one of {', '.join(SPLITS)}")
    make.add_argument("--video-minutes", type=float, default=10.0, help="longest video")
    make.add_argument("--out", type=Path, required=True, help="new or empty folder")
    check = commands.add_parser("check", help="what words alone can find in a rendered world")
    check.add_argument("out", type=Path, metavar="DIR")
    return parser


def _make(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    world = make_world(
        arguments.seed, arguments.hours, arguments.split, video_minutes=arguments.video_minutes
    )

    def tell(video: WorldVideo) -> None:
        seconds = time.monotonic() - started
        print(f"{video.name}: {video.duration_seconds:.0f} s of video, after {seconds:.1f} s")

    render(world, arguments.out, on_video=tell)
    seconds = time.monotonic() - started
    print(f"{arguments.out}: {len(world.videos)} videos, {len(world.clips)} clips, "
          f"{len(read_questions(arguments.out))} questions, "
          f"{world.hours * 3600 / seconds:.0f} times as fast as they play")  # fmt: skip
    return 0


def _check(arguments: argparse.Namespace) -> int:
    found, wrong = check_folder(arguments.out)
    print(*found, *(f"WRONG: {line}" for line in wrong), sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
