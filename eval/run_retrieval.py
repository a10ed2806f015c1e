r"""Ranks the candidates of a benchmark with several retrievers: how well, and at what cost.

The synthetic world, which needs no download, and any retrieval benchmark that lies in a folder::

    python -m eval.run_retrieval --benchmark synthetic --num-clips 500 --seed 1 \
        --retriever mini bm25 dense asr ocr mean rrf --out runs/synthetic
    python -m eval.run_retrieval --benchmark msrvtt --root ~/MSRVTT --retriever clamr bm25 \
        --encoder clamr --out runs/msrvtt

Every retriever has a folder of its own in ``--out``; a run that was killed goes on where it
stopped. Shards of several machines are put together with ``--merge SHARD [SHARD ...] --out WHOLE``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, get_args

from clamr_rag import VideoLibrary
from clamr_rag.encoder import Encoder, load_encoder
from clamr_rag.encoder.pooling import PoolingMethod
from clamr_rag.errors import ClamrError, UsageError
from eval.arms import ARM_NAMES, ArmParts, EncodingCache, make_arm
from eval.arms.making import SINGLES
from eval.benchmarks import RETRIEVAL_NAMES, load_retrieval
from eval.benchmarks.synthetic import (
    rendered_retrieval,
    retrieval_benchmark,
    world_of_size,
)
from eval.retrieval_ranking import DEPTH, Part, run_retrieval
from eval.retrieval_records import (
    RetrievalRun,
    is_retrieval_run,
    merge_retrieval_runs,
)
from eval.retrieval_subjects import Subject, changed, library_subject, synthetic_subject
from eval.retrieval_tables import report_tables
from eval.synthetic import SPLITS, Split, make_world

_BUDGETS = ("16", "32", "64", "all")
_WORLD_OPTIONS = ("hours", "num_clips", "seed", "split", "frames", "frame_size")
"""Of a world that is made on the spot; with files they would mean nothing."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs, or merges shards; returns the exit code."""
    arguments = _parser().parse_args(words)
    try:
        merge: list[Path] | None = arguments.merge
        runs = _merged(merge, arguments.out) if merge else _run(arguments)
        print(report_tables(runs))
    except ClamrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _run(arguments: argparse.Namespace) -> list[RetrievalRun]:
    """Ranks with every retriever that was asked for."""
    _check(arguments)
    with ExitStack() as open_libraries:
        subject = _subject(arguments, open_libraries)
        cache = EncodingCache(arguments.cache)
        parts = ArmParts(
            _encoder(arguments),
            cache=cache,
            vectors_per_clip=_budget(arguments.tokens_per_clip),
            pooling=arguments.pooling,
        )
        part = Part(arguments.limit, _shard(arguments.shard))
        runs = []
        # All first: what cannot be made should be said before hours of work.
        arms = [make_arm(name, parts) for name in arguments.retriever]
        while arms:
            arm = arms.pop(0)  # an arm that has run gives its index back
            out = arguments.out / arm.name
            run = run_retrieval(subject, arm, cache, out, part=part, depth=arguments.depth)
            print(f"{arm.name}: {len(run.records)} queries", file=sys.stderr)
            runs.append(run)
        return runs


def _encoder(arguments: argparse.Namespace) -> Encoder | None:
    """The one that was named, None for each retriever's own."""
    if arguments.encoder is None:
        return None
    return load_encoder(
        arguments.encoder,
        adapter=arguments.adapter,
        device=arguments.device or "auto",
        dtype=arguments.dtype or "auto",
    )


def _subject(arguments: argparse.Namespace, open_libraries: ExitStack) -> Subject:
    """What was asked for, with what was to be taken from its clips."""
    if arguments.benchmark == "synthetic" and arguments.root is None:
        subject = _drawn_world(arguments)
    else:
        library = VideoLibrary.open(arguments.library or arguments.out / "library")
        open_libraries.enter_context(library)
        subject = _files(arguments, library)
    return changed(
        subject,
        without=[SINGLES[name] for name in arguments.remove_modality],
        blank_frames=arguments.blank_frames,
        shuffle_frames=arguments.shuffle_frames,
        moved_frames=arguments.move_frames,
        seed=arguments.shuffle_seed,
    )


def _drawn_world(arguments: argparse.Namespace) -> Subject:
    """A world of which nothing is written."""
    seed, hours = arguments.seed or 0, arguments.hours
    split: Split = arguments.split or "test"
    if hours is None and arguments.num_clips is not None:
        world = world_of_size(seed, split, arguments.num_clips)
    else:
        world = make_world(seed, 1.0 if hours is None else hours, split)
    width, height = arguments.frame_size or (640, 360)
    frames = 4 if arguments.frames is None else arguments.frames
    synthetic = retrieval_benchmark(
        world,
        num_clips=arguments.num_clips,
        wording=arguments.wording,
        within_video=arguments.within_video,
        num_frames=frames,
        frame_size=(width, height),
    )
    pictures = f"{frames} of {width}x{height}"
    return synthetic_subject(synthetic, _asked_for(arguments) | {"frames": pictures})


def _files(arguments: argparse.Namespace, library: VideoLibrary) -> Subject:
    """A benchmark whose videos lie in a folder."""
    root = arguments.root.expanduser()
    if arguments.benchmark == "synthetic":
        synthetic = rendered_retrieval(
            root, wording=arguments.wording, within_video=arguments.within_video
        )
        options = _asked_for(arguments)
        return library_subject(synthetic.benchmark, library, options, synthetic.groups)
    options = dict(_pair(text) for text in arguments.option)
    return library_subject(load_retrieval(arguments.benchmark, root, **options), library, options)


def _asked_for(arguments: argparse.Namespace) -> dict[str, str]:
    scope = "within the video" if arguments.within_video else "all clips"
    return {"wording": arguments.wording, "search": scope}


def _merged(folders: Sequence[Path], out: Path) -> list[RetrievalRun]:
    """Merges the shards of every retriever that the first folder has."""
    there = folders[0].iterdir() if folders[0].is_dir() else ()
    names = sorted(path.name for path in there if is_retrieval_run(path))
    if not names:
        raise UsageError(f"no run in {str(folders[0])!r}", hint="name the --out of every shard")
    return [
        merge_retrieval_runs([folder / name for folder in folders], out / name) for name in names
    ]


def _check(arguments: argparse.Namespace) -> None:
    """Refuses what would mean nothing."""
    if arguments.benchmark is None or not arguments.retriever:
        raise UsageError("got no --benchmark or no --retriever", hint="see --help")
    for name in ("adapter", "device", "dtype"):
        if getattr(arguments, name) is not None and arguments.encoder is None:
            raise UsageError(f"got --{name} without --encoder", hint="name the encoder, too")
    is_world = arguments.benchmark == "synthetic"
    if not is_world and arguments.root is None:
        raise UsageError(
            f"benchmark {arguments.benchmark} needs --root", allowed="the folder that it lies in"
        )
    if is_world and arguments.option:
        raise UsageError("got --option for synthetic", allowed="the options of its own")
    if arguments.root is not None:
        for name in _WORLD_OPTIONS:
            if getattr(arguments, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"got {option} with --root", allowed="only for a drawn world")
    if not is_world and (arguments.within_video or arguments.wording != "search"):
        raise UsageError(
            f"got --wording or --within-video for {arguments.benchmark}",
            allowed="only for synthetic",
        )


def _budget(text: str) -> int:
    return 0 if text == "all" else int(text)


def _shard(text: str | None) -> tuple[int, int] | None:
    """Reads ``2/4``.

    Raises:
        UsageError: It is not that.
    """
    if text is None:
        return None
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UsageError(f"got shard {text!r}", allowed="1/n to n/n")
    return int(number), int(of)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"got option {text!r}", allowed="NAME=VALUE")
    return name, value


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Leaves with the exit code of a wrong use."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m eval.run_retrieval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--benchmark", choices=sorted(RETRIEVAL_NAMES), help="what is searched")
    add("--root", type=Path, help="folder of the benchmark; of a world that was rendered")
    add("--option", action="append", default=[], metavar="NAME=VALUE", help="of its loader")
    add("--library", type=Path, help="of its videos, made if needed (default: OUT/library)")
    add("--retriever", nargs="+", choices=ARM_NAMES, default=[], metavar="NAME",
        help=f"the first is what others are compared with; of {', '.join(ARM_NAMES)}")  # fmt: skip
    add("--encoder", help="name or folder of the encoder of all retrievers but mini")
    add("--adapter", help="LoRA adapter on top of --encoder")
    add("--device", help="torch device of --encoder; auto unless given")
    add("--dtype", help="number format of --encoder; auto unless given")
    add("--tokens-per-clip", choices=_BUDGETS, default="all", help="vectors that pooling leaves")
    add("--pooling", choices=get_args(PoolingMethod), default="hierarchical")
    add("--cache", type=Path, help="folder that keeps encodings for other runs")
    add("--out", type=Path, required=True, help="a folder in it per retriever")
    add("--limit", type=_positive, help="the first so many queries")
    add("--shard", help="i/n: every n-th query, from the i-th")
    add("--depth", type=_positive, default=DEPTH, help="candidates kept of a ranking")
    add("--merge", type=Path, nargs="+", help="the --out of all shards, instead of a run")
    changes = parser.add_argument_group("what is taken from the clips")
    add = changes.add_argument
    add("--remove-modality", nargs="+", choices=sorted(SINGLES), default=[], metavar="NAME")
    frames = changes.add_mutually_exclusive_group()
    frames.add_argument("--blank-frames", action="store_true", help="all pictures grey")
    frames.add_argument("--shuffle-frames", action="store_true", help="those of another clip")
    frames.add_argument(
        "--move-frames", type=_share, default=0.0, metavar="SHARE",
        help="all pictures a share of their width to the right, and half as far down",
    )  # fmt: skip
    add("--shuffle-seed", type=int, default=0)
    world = parser.add_argument_group("the synthetic world")
    add = world.add_argument
    add("--hours", type=float, help="1 unless --num-clips is given")
    add("--num-clips", type=_positive, help="the first so many clips of it")
    add("--seed", type=int, help="0 unless given")
    add("--split", choices=SPLITS, help="test unless given")
    add("--wording", choices=("search", "question"), default="search", help="of the queries")
    add("--within-video", action="store_true", help="search the right video only")
    add("--frames", type=int, help="pictures of a clip, 4 unless given")
    add("--frame-size", type=_size, metavar="WxH", help="640x360 unless given")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {number}, allowed: 1 or more")
    return number


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"got {text}, allowed: 0 to 1, without 1")
    return share


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"got {text!r}, allowed: such as 640x360")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main())
