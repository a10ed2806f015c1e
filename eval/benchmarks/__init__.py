"""Published benchmarks as they lie on disk, one module per layout, none downloaded by us.

A loader reads the annotation files of one benchmark, checks every row and gives the same frozen
values for all of them (`eval.benchmarks.records`)::

    benchmark = load_benchmark("videomme", Path("~/Video-MME").expanduser(), subtitles="ours")

Every module of `MODULES` has one function ``load(root, *, option="default", ...)`` whose options
are all strings, so that a command line can name them; a name that a loader does not know is an
error and never ignored. One that has both questions and queries has a second function,
``load_retrieval``. ``subtitles`` names the rule that reads the subtitle files ("none": they are not
looked for), ``split`` the part of the benchmark.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from clamr_rag.errors import UsageError
from eval.benchmarks.records import Benchmark, QaBenchmark, RetrievalBenchmark

__all__ = [
    "MODULES",
    "QA_NAMES",
    "RETRIEVAL_NAMES",
    "load_benchmark",
    "load_options",
    "load_qa",
    "load_retrieval",
]

QA_NAMES = (
    "videomme",
    "videomme_v2",
    "longvideobench",
    "mlvu",
    "lvbench",
    "cgbench",
    "egoschema",
    "hourvideo",
    "videommmu",
    "synthetic",
)
RETRIEVAL_NAMES = ("multivent", "msrvtt", "msvd", "didemo", "activitynet", "synthetic")
MODULES: Mapping[str, str] = MappingProxyType(
    {name: f"eval.benchmarks.{name}" for name in QA_NAMES + RETRIEVAL_NAMES}
)
"""Module of every benchmark's loader, imported when it is asked for."""


def load_benchmark(name: str, root: Path, **options: str) -> Benchmark:
    """Reads a benchmark from the folder that it was downloaded to; of both kinds, its questions.

    Args:
        name: One of `MODULES`.
        root: The folder.
        options: What the loader takes, see `load_options`.

    Raises:
        UsageError: The name, an option, the folder or a row of a file cannot be used.
    """
    return _load(name, "load", root, options)


def load_options(name: str) -> dict[str, str]:
    """The options of `load_benchmark` for a benchmark, with their defaults."""
    return _options_of(_loader(name, "load"))


def load_qa(name: str, root: Path, **options: str) -> QaBenchmark:
    """`load_benchmark` for one that has questions to answer.

    Raises:
        UsageError: As `load_benchmark`, or it is a benchmark of retrieval.
    """
    if name in MODULES and name not in QA_NAMES:
        raise UsageError(f"{name} has no questions to answer", allowed=", ".join(QA_NAMES))
    benchmark = _load(name, "load", root, options)
    assert isinstance(benchmark, QaBenchmark)
    return benchmark


def load_retrieval(name: str, root: Path, **options: str) -> RetrievalBenchmark:
    """`load_benchmark` for one that has queries and candidates.

    Raises:
        UsageError: As `load_benchmark`, or it is a benchmark of questions.
    """
    if name in MODULES and name not in RETRIEVAL_NAMES:
        allowed = ", ".join(RETRIEVAL_NAMES)
        raise UsageError(f"{name} has no queries with candidates", allowed=allowed)
    has_both = name in QA_NAMES
    benchmark = _load(name, "load_retrieval" if has_both else "load", root, options)
    assert isinstance(benchmark, RetrievalBenchmark)
    return benchmark


def _load(name: str, function: str, root: Path, options: Mapping[str, str]) -> Benchmark:
    load = _loader(name, function)
    allowed = _options_of(load)
    for option in options:
        if option not in allowed:
            raise UsageError(
                f"benchmark {name} got the option {option!r}",
                allowed=", ".join(allowed) or "no option",
            )
    if not root.is_dir():
        raise UsageError(
            f"benchmark {name}: {root} is not a folder",
            allowed="the folder that the benchmark was downloaded to",
            hint="eval/README.md says which files it must hold",
        )
    try:
        benchmark = load(root, **options)
    except ValueError as error:
        # Rows that are right one by one and wrong together: an id twice, a video that is not there.
        raise UsageError(
            f"benchmark {name} in {root}: {error}", hint="is it the published download?"
        ) from error
    asked = benchmark.questions if isinstance(benchmark, QaBenchmark) else benchmark.queries
    if not asked:
        raise UsageError(f"{benchmark.source}: holds no question", hint="download it again")
    return benchmark


def _options_of(load: Callable[..., Benchmark]) -> dict[str, str]:
    parameters = inspect.signature(load).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _loader(name: str, function: str) -> Callable[..., Benchmark]:
    if name not in MODULES:
        raise UsageError(f"got benchmark {name!r}", allowed=", ".join(MODULES))
    load: Callable[..., Benchmark] = getattr(import_module(MODULES[name]), function)
    return load
