"""The command that makes a run, from what its header says.

Folders are not in it: they are another machine's.
"""

from __future__ import annotations

import re
import shlex

from clamr_rag.config import Options
from eval.retrieval_records import RetrievalHeader
from eval.run_records import RunHeader

_OWN_FLAGS = {
    ("answer", "answerer"),
    ("answer", "base_url"),
    ("answer", "frames"),
    ("search", "top_k"),
}
"""Options with flags of their own."""
_SYNTHETIC = "synthetic"


def qa_command(header: RunHeader) -> str:
    """Of `eval.run_qa`."""
    words = ["python", "-m", "eval.run_qa", "--benchmark", header.benchmark]
    words += (
        _world(header.source, header.split) if header.benchmark == _SYNTHETIC else ["--root", "DIR"]
    )
    for name, value in sorted(header.benchmark_options.items()):
        words += ["--load", f"{name}={value}"]
    words += ["--retriever", header.retriever]
    encoder = header.retriever_details.split(" ")[0]
    if encoder != ("clamr" if header.retriever == "clamr" else "mini"):
        words += ["--encoder", encoder]
    words += ["--answerer", header.answerer]
    if header.options.answer.base_url:
        words += ["--base-url", "URL"]
    words += ["--subtitles", header.subtitles, "--forms", ",".join(header.forms)]
    words += ["--frames", str(header.frames), "--top-k", str(header.top_k)]
    words += _changed_options(header)
    if header.limit is not None:
        words += ["--limit", str(header.limit)]
    return shlex.join([*words, "--out", "OUT"])


def _changed_options(header: RunHeader) -> list[str]:
    usual, words = Options().model_dump(mode="json"), []
    for stage, options in header.options.model_dump(mode="json").items():
        for name, value in options.items():
            follows = (stage, name) in _OWN_FLAGS or (stage, name) == ("speech", "speech")
            if not follows and value != usual[stage][name]:
                words += ["--set", f"{stage}.{name}={value}"]
    return words


def retrieval_command(header: RetrievalHeader) -> str:
    """Of `eval.run_retrieval`, for its benchmark, arm and depth.

    Its ``options`` are told in the header's own words; they stand beside it in a row.
    """
    words = ["python", "-m", "eval.run_retrieval", "--benchmark", header.benchmark]
    words += (
        _world(header.source, header.split) if header.benchmark == _SYNTHETIC else ["--root", "DIR"]
    )
    words += ["--retriever", header.arm, "--depth", str(header.depth)]
    if header.limit is not None:
        words += ["--limit", str(header.limit)]
    return shlex.join([*words, "--out", "OUT"])


def _world(source: str, split: str) -> list[str]:
    """How to make a synthetic world, from what its loader says of it."""
    words = []
    for flag, pattern in (("--hours", r"([\d.]+) hours"), ("--seed", r"seed (\d+)")):
        if found := re.search(pattern, source):
            words += [flag, found[1]]
    return [*words, "--split", split]
