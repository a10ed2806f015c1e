r"""Questions about videos, answered through the library and scored: one benchmark in one command.

::

    python -m eval.run_qa --benchmark videomme --root DIR --retriever clamr \
        --answerer openai:MODEL --base-url http://127.0.0.1:8000/v1 --frames 100 --out runs/clamr
    python -m eval.run_qa --benchmark synthetic

Every video is indexed once into a library in ``--cache``; then every question is put in turn: clips
of its video are found, the answerer reads them, and a line is written to ``--out``. The same
command goes on where a run was killed, and finds that a finished one has nothing to do; `--shard
1/4` asks a quarter of the videos (`python -m eval.run_records merge` puts quarters together).

``--retriever`` takes several, parted by commas: ``mini``, ``clamr`` and ``joint`` search the
library as a user does, all others are the arms of `eval.arms` over the same clips of the same
video. ``NAME+full`` (or another subtitle mode) reads the subtitles in a mode of its own. Without
``--root`` the synthetic benchmark is rendered into the cache.
"""

from __future__ import annotations

import argparse
import errno
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import NoReturn, get_args

from clamr_rag.answering import ChatModel
from clamr_rag.cli.settings import Setting, load_settings, parse_assignment
from clamr_rag.config import LibraryOptions, Options
from clamr_rag.errors import ClamrError, UsageError
from clamr_rag.ingest import OnProgress, Progress
from eval.arms import ARM_NAMES, ArmParts
from eval.benchmarks import load_options, load_qa
from eval.benchmarks.records import QaBenchmark
from eval.qa_plan import QaPlan
from eval.qa_run import LIBRARY_RETRIEVERS, OnQuestion, QaRun
from eval.qa_scoring import score_run
from eval.qa_summary import summary_lines, table_lines
from eval.qa_videos import QaVideos, open_videos, subtitle_rules
from eval.run_records import FORMS, SUBTITLE_MODES, Form, Run, SubtitleMode
from eval.synthetic import SPLITS, Split, make_world, render

SYNTHETIC = "synthetic"
STANDING_ARMS = "mini,asr,ocr,description,mean,rrf,router,bm25,dense,uniform,uniform+full,oracle"
"""Of the synthetic benchmark: joint encoding, each of its parts, and what it must beat."""
_SECONDS_BETWEEN_LINES = 10.0
_SOFTWARE = ("clamr-rag", "av", "rapidocr", "easyocr", "faster-whisper", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class ArmSpec:
    """A retriever and the subtitle mode it is read in."""

    retriever: str
    subtitles: SubtitleMode
    folder: str
    """Name of the run's folder and of its row in a table."""


def main(words: Sequence[str] | None = None, *, model: ChatModel | None = None) -> int:
    """Runs the command; returns its exit code.

    Args:
        words: Of the command line.
        model: Takes the place of the answerer; for tests and models of one's own.
    """
    arguments = _parser().parse_args(words)
    try:
        runs = run_all(arguments, model)
    except ClamrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno is None:
            raise
        print(f"error: {error.filename or arguments.benchmark}: {error.strerror}", file=sys.stderr)
        return 9 if error.errno == errno.ENOSPC else 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    scores = [replace(score_run(run), name=name) for name, run in runs.items()]
    for score in scores:
        print("\n".join(summary_lines(score)))
    if len(scores) > 1:
        print("", *table_lines(scores), sep="\n")
    return 0


def run_all(arguments: argparse.Namespace, model: ChatModel | None = None) -> dict[str, Run]:
    """Runs every retriever that was asked for; the runs by name, in that order.

    Raises:
        ClamrError: See `QaRun`.
    """
    specs = parse_arms(arguments.retriever or _default_arms(arguments), arguments.subtitles)
    options = _options(arguments)
    if model is None:
        _check_answerer(arguments, specs)
    base, cache = _folders(arguments, specs)
    say = Reporter()
    root = _root(arguments, cache, say)
    runs: dict[str, Run] = {}
    with ExitStack() as stack:
        opened: dict[tuple[str, bool], tuple[QaPlan, QaVideos, ArmParts]] = {}
        for spec in specs:
            encoder, reads_speech = _encoder(spec, arguments.encoder), spec.subtitles != "none"
            key = encoder, reads_speech
            if key not in opened:
                plan = _plan(arguments, root, options, encoder, reads_speech)
                rules = subtitle_rules(plan.benchmark.videos.values())
                videos = open_videos(cache, plan.options, plan.library, subtitle_rule=rules)
                stack.enter_context(videos.library)
                opened[key] = plan, videos, ArmParts(videos.library.encoder)
            plan, videos, parts = opened[key]
            out = base / spec.folder if len(specs) > 1 else base
            run = QaRun(plan, spec.retriever, spec.subtitles, videos, parts, out,
                        arm_folder=cache / "arms", model=model)  # fmt: skip
            runs[spec.folder] = run.run(say.indexing, say.asking(spec.folder))
    return runs


def parse_arms(text: str, subtitles: SubtitleMode) -> tuple[ArmSpec, ...]:
    """Reads ``mini,bm25,uniform+full``; ``single:asr`` is the arm ``asr``.

    Raises:
        UsageError: There is no such retriever, or one is there twice.
    """
    specs = [_arm_spec(word.strip(), subtitles) for word in text.split(",")]
    folders = [spec.folder for spec in specs]
    if twice := {folder for folder in folders if folders.count(folder) > 1}:
        raise UsageError(f"got --retriever {sorted(twice)[0]} twice")
    return tuple(specs)


def _arm_spec(word: str, subtitles: SubtitleMode) -> ArmSpec:
    allowed = tuple(dict.fromkeys((*LIBRARY_RETRIEVERS, *ARM_NAMES)))
    retriever, mode = word, subtitles
    for own in SUBTITLE_MODES:
        if word.endswith(f"+{own}"):
            retriever, mode = word.removesuffix(f"+{own}"), own
    retriever = retriever.removeprefix("single:")
    if retriever not in allowed:
        raise UsageError(
            f"got --retriever {word!r}",
            allowed=", ".join(allowed),
            hint=f"each may end with a subtitle mode: +{', +'.join(SUBTITLE_MODES)}",
        )
    return ArmSpec(retriever, mode, word.removeprefix("single:"))


# --- from the command line to a plan


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Leaves with the exit code of a wrong use."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m eval.run_qa",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--benchmark", required=True, help="videomme, longvideobench, …, synthetic")
    add("--root", type=Path, help="folder that the benchmark was downloaded to")
    add("--load", action="append", default=[], metavar="NAME=VALUE", help="option of its loader")
    add("--hours", type=float, help="synthetic: length of all videos (1)")
    add("--seed", type=int, help="synthetic: of all choices (7)")
    add("--split", choices=SPLITS, help="synthetic: test")
    add("--retriever", help="one or several, parted by commas (mini; synthetic: a table of them)")
    add("--answerer", default="extractive", help="extractive, openai:MODEL or hf:PATH")
    add("--base-url", help="of the model's server")
    add("--subtitles", choices=SUBTITLE_MODES, default="retrieved", help="what is read of them")
    add("--frames", type=int, help="most pictures shown to a model")
    add("--top-k", type=int, help="clips found per question")
    add("--forms", default=None, help=f"of {', '.join(FORMS)}; with a comma both")
    add("--encoder", help="of library and arms: mini, clamr, or a checkpoint's folder or hub id")
    add("--device", default="auto", help="where models run")
    add("--dtype", default="auto", help="number format of the encoder's weights")
    add("--set", action="append", default=[], metavar="STAGE.NAME=VALUE", help="of the library")
    add("--limit", type=int, help="ask the first questions only")
    add("--shard", type=_shard, metavar="I/N", help="ask every n-th video, from the i-th")
    add("--keep-going", action="store_true", help="note where the model breaks, and go on")
    add("--cache", type=Path, help="where videos are indexed (OUT/cache; runs/cache)")
    add("--out", type=Path, help="folder of the run, or of one per retriever (runs/BENCHMARK…)")
    return parser


def _shard(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: 1/N to N/N")
    return int(number), int(count)


def _folders(arguments: argparse.Namespace, specs: Sequence[ArmSpec]) -> tuple[Path, Path]:
    """Where the run is written, and where videos are indexed."""
    out: Path | None = arguments.out
    if out is not None:
        return out, arguments.cache or out / "cache"
    runs, name = Path("runs"), arguments.benchmark
    only = f"{name}-{specs[0].folder}" if len(specs) == 1 else name
    return runs / only, arguments.cache or runs / "cache"


def _default_arms(arguments: argparse.Namespace) -> str:
    if arguments.benchmark == SYNTHETIC:
        return STANDING_ARMS
    return "joint" if arguments.encoder else "mini"


def _encoder(spec: ArmSpec, given: str | None) -> str:
    """The encoder of a retriever's library.

    Raises:
        UsageError: ``mini`` with another one.
    """
    if spec.retriever == "mini" and given not in (None, "mini"):
        raise UsageError(
            f"got --retriever mini and --encoder {given}", hint="--retriever joint takes any"
        )
    return given or ("clamr" if spec.retriever == "clamr" else "mini")


def _options(arguments: argparse.Namespace) -> Options:
    """The library's options from ``--set`` and the flags that have names of their own.

    No file and no variable of the environment counts: they would be missing in a command that
    somebody else copies.
    """
    named = {
        ("answer", "answerer"): arguments.answerer,
        ("answer", "base_url"): arguments.base_url,
        ("answer", "frames"): arguments.frames,
        ("search", "top_k"): arguments.top_k,
    }
    flags = [
        Setting(stage, name, value, f"--{name.replace('_', '-')}")
        for (stage, name), value in named.items()
        if value is not None
    ]
    flags += [parse_assignment(text) for text in arguments.set]
    keys = Counter(setting.key for setting in flags)
    for setting in flags:
        if setting.stage == "library":
            raise UsageError(f"got --set {setting.key}", hint="use --encoder, --device, --cache")
        if keys[setting.key] > 1:
            raise UsageError(f"got two values for {setting.key}")
    return load_settings(flags, environment={}, files=()).options


def _check_answerer(arguments: argparse.Namespace, specs: Sequence[ArmSpec]) -> None:
    """Refuses what the extractive answerer would not honour."""
    if arguments.answerer != "extractive":
        return
    if arguments.base_url is not None:
        raise UsageError("got --base-url, and extractive asks no server")
    if arguments.frames is not None and all(spec.subtitles != "sampled" for spec in specs):
        raise UsageError(
            "got --frames, and extractive looks at no picture", hint="leave it out, or name a model"
        )


def _plan(
    arguments: argparse.Namespace, root: Path, options: Options, encoder: str, reads_speech: bool
) -> QaPlan:
    loading = _loading(arguments, reads_speech)
    if arguments.limit is not None and arguments.limit < 1:
        raise UsageError(f"got --limit {arguments.limit}", allowed="1 or more")
    return QaPlan(
        benchmark=_benchmark(arguments.benchmark, root, loading),
        benchmark_options=loading,
        options=_with_speech(options, reads_speech),
        library=LibraryOptions(encoder=encoder, device=arguments.device, dtype=arguments.dtype),
        top_k=options.search.top_k,
        forms=_forms(arguments),
        limit=arguments.limit,
        shard=arguments.shard,
        keep_going=arguments.keep_going,
        software=versions(),
        commit=commit_of_tree(),
        machine=this_machine(),
    )


def _benchmark(name: str, root: Path, loading: dict[str, str]) -> QaBenchmark:
    benchmark = load_qa(name, root, **loading)
    if not benchmark.questions:
        raise UsageError(f"benchmark {name} in {root} has no questions")
    missing = benchmark.missing_videos
    if missing:
        print(f"{len(missing)} of {len(benchmark.videos)} videos are missing, first {missing[0]}; "
              "their questions are recorded as skipped", file=sys.stderr)  # fmt: skip
    if benchmark.missing_subtitles:
        print(f"{len(benchmark.missing_subtitles)} videos have no subtitles, first "
              f"{benchmark.missing_subtitles[0]}", file=sys.stderr)  # fmt: skip
    return benchmark


def _loading(arguments: argparse.Namespace, reads_speech: bool) -> dict[str, str]:
    """Options of the benchmark's loader."""
    loading = {}
    for text in arguments.load:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"got --load {text}", allowed="NAME=VALUE")
        loading[name] = value
    if not reads_speech and "subtitles" in load_options(arguments.benchmark):
        if loading.get("subtitles", "none") != "none":
            raise UsageError(f"got --load subtitles={loading['subtitles']} and --subtitles none")
        loading["subtitles"] = "none"
    return loading


def _with_speech(options: Options, reads_speech: bool) -> Options:
    """Where the index takes speech from: the benchmark's subtitles, unless told otherwise.

    Raises:
        UsageError: Speech was asked for, and no subtitles are to be read.
    """
    given = options.speech.speech
    if given == "auto":
        speech = options.speech.model_copy(
            update={"speech": "subtitles" if reads_speech else "none"}
        )
        return options.model_copy(update={"speech": speech})
    if not reads_speech and given != "none":
        raise UsageError(f"got --set speech.speech={given} and --subtitles none")
    return options


def _forms(arguments: argparse.Namespace) -> tuple[Form, ...]:
    default = "choices,open" if arguments.benchmark == SYNTHETIC else "choices"
    words = [word.strip() for word in (arguments.forms or default).split(",")]
    for word in words:
        if word not in get_args(Form) or words.count(word) > 1:
            raise UsageError(f"got --forms {arguments.forms}", allowed=", ".join(FORMS))
    return tuple(form for form in FORMS if form in words)


def _root(arguments: argparse.Namespace, cache: Path, say: Reporter) -> Path:
    """The benchmark's folder; the synthetic one is rendered if it is nowhere.

    Raises:
        UsageError: No folder is named, or the size of a world that is there already.
    """
    sizes = {"--hours": arguments.hours, "--seed": arguments.seed, "--split": arguments.split}
    given = [name for name, value in sizes.items() if value is not None]
    if arguments.root is not None or arguments.benchmark != SYNTHETIC:
        if given:
            raise UsageError(f"got {given[0]}", hint="only a synthetic world is made to size")
        if arguments.root is None:
            raise UsageError("got no --root", hint="name the folder of the benchmark")
        return Path(arguments.root)
    split: Split = arguments.split or "test"
    hours = 1.0 if arguments.hours is None else arguments.hours
    seed = 7 if arguments.seed is None else arguments.seed
    root = cache / f"synthetic-{split}-{seed}-{hours:g}h"
    if not (root / "world.json").is_file():
        _render(root, seed, hours, split, say)
    return root


def _render(root: Path, seed: int, hours: float, split: Split, say: Reporter) -> None:
    world = make_world(seed, hours, split)
    unfinished = root.with_name(f"{root.name}.part")
    # What a kill has left of an earlier rendering.
    shutil.rmtree(unfinished, ignore_errors=True)
    say.line(f"rendering {hours:g} h of video ({len(world.videos)} videos)")
    render(world, unfinished)
    unfinished.replace(root)


# --- where a run is


def commit_of_tree() -> str:
    """The commit of the code, "+changes" where the tree differs from it; "unknown" outside git."""
    tree = Path(__file__).parent
    try:
        commit = _git("rev-parse", "--short=12", "HEAD", cwd=tree)
        changes = _git("status", "--porcelain", "--", "../clamr_rag", ".", cwd=tree)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}+changes" if changes else commit


def _git(*words: str, cwd: Path) -> str:
    done = subprocess.run(("git", *words), cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Of what decodes, reads the screen, hears and computes."""
    found = {}
    for name in _SOFTWARE:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def this_machine() -> str:
    """Processor and number of cores, as far as the system tells."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.is_file():
        lines = about.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {cores} cores, {platform.system()}"


@dataclass(slots=True)
class Reporter:
    """Says on stderr how far a run is, now and then."""

    clock: Callable[[], float] = time.monotonic
    _last: float = field(default=-1e9, init=False)

    def line(self, text: str) -> None:
        """Says something at once."""
        print(text, file=sys.stderr, flush=True)

    @property
    def indexing(self) -> OnProgress:
        """For `VideoLibrary.add`."""
        return self._indexing

    def asking(self, name: str) -> OnQuestion:
        """For `QaRun.run`."""
        started = self.clock()

        def told(done: int, total: int) -> None:
            if done == total or self._is_time():
                self.line(f"{name}: {done} of {total} questions, {self.clock() - started:.0f} s")

        return told

    def _indexing(self, progress: Progress) -> None:
        if self._is_time():
            share = progress.done / progress.total if progress.total else 1.0
            name = Path(progress.video_path).name
            self.line(f"indexing {name}: {progress.stage} {100 * share:.0f} %")

    def _is_time(self) -> bool:
        if self.clock() - self._last < _SECONDS_BETWEEN_LINES:
            return False
        self._last = self.clock()
        return True


if __name__ == "__main__":
    sys.exit(main())
