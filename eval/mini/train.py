"""Trains `mini-vl` on a CPU: ``python -m eval.mini.train --out FILE``.

Six stages, each of which starts from the one before:

1. *read*: each word of a description is drawn to the vector of what it tells, by low-rank changes
   of the trunk, which is held to what it made of prose;
2. *look*: the stem names what stands on each patch of still frames (labels of the renderer);
3. *match*: four frames at a time, the stem's tokens are drawn to the same vectors and settled with
   descriptions as the trunk now reads them, near-duplicates in every batch;
4. *settle*: the tokens are drawn onto the vectors themselves, so that nothing else in them
   disturbs a word that was never taught;
5. *join*: frames and texts of a clip in one sequence, the kit's loss on the kit's scores
   (modality_max unless told otherwise), and prose, so that plain text stays as well understood as
   it was. In the end the weights go a step back towards where this stage began;
6. *steady*: moved pictures are seen as what they were unmoved. The weights that ship were made
   before there was this stage, so that it has no steps unless it is told some.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import get_args, get_type_hints

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from clamr_rag.encoder.mini_network import MiniNetwork, adapt
from clamr_rag.encoder.mini_weights import checksum, load_adapted, save_network
from clamr_rag.errors import ClamrError
from eval.mini.encoding import knows_bfloat16, untrained_network
from eval.mini.heads import PatchHead, PictureHead
from eval.mini.memory import keep_large_blocks
from eval.mini.naming import Names
from eval.mini.plan import Plan
from eval.mini.progress import Progress
from eval.mini.stages import join, look, match, read, settle, steady
from eval.synthetic.world import DATA_VERSION

_log = logging.getLogger(__name__)
_EVAL = Path(__file__).parents[1]
_OF_EARLIER = (
    "read_steps", "look_steps", "match_steps", "settle_steps", "tellings", "stills",
    "read_rate", "look_rate", "match_rate", "settle_rate", "rank", "settle_weight",
)  # fmt: skip
"""What the plan says of stages 1 to 4 only."""
_DATA = (
    "mini/words.json",
    "synthetic/lexicon_train.json",
    "synthetic/sketches.json",
    "prose/train.jsonl",
)


def train(plan: Plan, out: Path, *, start: Path | None = None, folder: Path | None = None) -> None:
    """Runs the stages and writes the weights.

    Args:
        plan: Of the run.
        out: File of the weights.
        start: Weights of an earlier run: only stages 5 and 6 are done.
        folder: Keeps how far the run has come, ten times a stage; it goes on from what is there.

    Raises:
        UsageError: The folder holds a run of another plan or data, or a state that is damaged.
        ModelMissingError: ``start`` does not hold weights of `mini`.
    """
    keep_large_blocks()
    torch.manual_seed(plan.seed)
    if start is None:
        network = untrained_network()
        adapt(network.trunk, plan.rank)
    else:
        network = load_adapted(start)
    names, patch_head, picture_head = Names(), PatchHead(), PictureHead()
    parts = {"network": network, "names": names, "patches": patch_head, "picture": picture_head}
    data = f"{DATA_VERSION}, {data_sha256()[:12]}"
    begun_with = data if start is None else f"{data}, {checksum(start)}"
    progress = Progress(parts, plan, folder, begun_with)
    if start is None:
        # On CPUs the flash kernel's way back takes as long as all the rest.
        with sdpa_kernel(SDPBackend.MATH):
            read(network, names, plan, progress)
        look(network, patch_head, picture_head, plan, progress)
        match(network, names, picture_head, plan, progress)
        settle(network, names, plan, progress)
    before = {name: weights.clone() for name, weights in network.state_dict().items()}
    with sdpa_kernel(SDPBackend.MATH):
        join(network, plan, progress)
    go_back(network, before, plan.kept_share)
    steady(network, plan, progress)
    told = {
        "command": " ".join(["python -m eval.mini.train", *sys.argv[1:]]),
        "plan": str(asdict(plan)),
        "data": data,
        "minutes": f"{progress.seconds / 60:.1f}",
        "machine": f"{_processor()}, {torch.get_num_threads()} threads, "
        f"{'bfloat16' if knows_bfloat16() else 'float32'}",
        "torch": torch.__version__,
    }
    if start is not None:
        told["start"] = checksum(start)
    save_network(out, network, told)
    _log.info(
        "wrote %s (%.1f MB) after %.1f min",
        out, out.stat().st_size / 1e6, progress.seconds / 60,
    )  # fmt: skip


@torch.no_grad()
def go_back(network: MiniNetwork, before: Mapping[str, Tensor], kept_share: float) -> None:
    """Keeps a share of what has changed since; of low-rank changes, of each factor."""
    for name, weights in network.state_dict().items():
        weights.copy_(torch.lerp(before[name], weights, kept_share))


def data_sha256() -> str:
    """Of the words, drawings and prose that are trained on; they change without a new version."""
    digest = hashlib.sha256()
    for name in _DATA:
        digest.update((_EVAL / name).read_bytes())
    return digest.hexdigest()


def _processor() -> str:
    """As Linux names it; elsewhere its family."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m eval.mini.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="file of the weights")
    parser.add_argument("--start", type=Path, help="weights of an earlier run: stages 5 and 6")
    parser.add_argument("--folder", type=Path, help="keeps how far the run is; goes on from there")
    kinds = get_type_hints(Plan)
    for field in fields(Plan):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(
            name,
            type=type(field.default),
            default=field.default,
            choices=get_args(kinds[field.name]) or None,
        )
    told = vars(parser.parse_args(arguments))
    files = {name: told.pop(name) for name in ("out", "start", "folder")}
    plan = Plan(**told)
    ignored = [name for name in _OF_EARLIER if getattr(plan, name) != getattr(Plan(), name)]
    if files["start"] is not None and ignored:
        parser.error(f"got {', '.join(ignored)} with --start; allowed: what stages 5 and 6 read")
    try:
        train(plan, **files)
    except ClamrError as error:
        parser.exit(error.exit_code, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
