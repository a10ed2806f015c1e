"""How fast a retriever is trained, in how much memory, and how large a batch fits.

``python -m eval.bench_train --config 3b --device cuda --method lora --batches 4 8 16 32 64``

Whole optimisation steps of `clamr_rag.training` (its gradients, its AdamW, dropout, gradient
checkpointing) on random weights of the real sizes and random clips of a real clip's length. Each
batch is trained all at once and with a gradient cache (GradCache, arXiv 2101.06983) that encodes
``--pairs-at-a-time`` pairs, each way in a process of its own, so that its peak memory is its own.
A batch that does not fit is said to be out of memory, and larger ones of that way are not tried;
one of no more pairs than the cache encodes at a time has no use for it, and is left out there.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from clamr_rag.encoder.devices import is_out_of_memory, place
from clamr_rag.encoder.qwen import QwenEncoder
from clamr_rag.errors import UsageError
from clamr_rag.training.adapting import check_method, make_trainable, train_mode
from clamr_rag.training.collator import Batch, video_key
from clamr_rag.training.gather import Processes
from clamr_rag.training.gradients import BatchLoss, backward
from clamr_rag.training.optimiser import make_optimiser
from clamr_rag.training.options import Method, TrainOptions
from clamr_rag.types import TEXT_MODALITIES, Modality
from eval.children import Taken, device_name, in_child, time_and_memory
from eval.random_models import SIZES, random_clips, random_config, random_encoder

_GOLDS = (Modality.VIDEO, *TEXT_MODALITIES)


@dataclass(frozen=True, slots=True)
class Setting:
    """What all ways of a run have in common."""

    config: str
    omni: bool
    device: str
    dtype: str
    repeats: int
    threads: int
    """Of torch on a CPU; 0 is its own choice."""
    options: TrainOptions


@dataclass(frozen=True, slots=True)
class Row:
    """One batch size, trained in one way."""

    batch_pairs: int
    pairs_at_a_time: int | None
    """Of the gradient cache; None without."""
    pairs_per_second: float | None
    """None: out of memory."""
    peak_memory_bytes: int | None
    """Of the process on a CPU, as allocated by torch on a GPU."""


def main() -> None:
    """Runs the benchmark that the command line asks for and prints it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config", choices=sorted(SIZES), default="tiny")
    add("--omni", action="store_true", help="Qwen2.5-Omni with sound instead of Qwen2.5-VL")
    add("--device", default="cpu")
    add(
        "--dtype",
        choices=("auto", "bfloat16", "float32"),
        default="auto",
        help="of frozen weights; auto is bfloat16 on a GPU",
    )
    add("--method", choices=get_args(Method), default="lora")
    add("--batches", type=_pairs, nargs="+", default=[2, 4, 8], help="pairs, at least 2 each")
    add("--pairs-at-a-time", type=_positive, default=1, help="of the gradient cache")
    add("--no-checkpointing", action="store_true", help="keep the language model's activations")
    add("--repeats", type=_positive, default=3)
    add("--threads", type=int, default=0, help="of torch on a CPU; 0: its choice")
    add("--json", type=Path, help="also write the rows here")
    told = parser.parse_args()
    options = TrainOptions(
        base=told.config,
        pairs=Path(),
        out=Path(),
        method=told.method,
        optimiser="adamw",
        gradient_checkpointing=not told.no_checkpointing,
    )
    try:
        check_method(options)
        place(told.device, told.dtype, "auto")
    except UsageError as error:
        parser.error(str(error))
    setting = Setting(
        told.config, told.omni, told.device, told.dtype, told.repeats, told.threads, options
    )
    rows = list(run(setting, sorted(told.batches), told.pairs_at_a_time))
    print(render(setting, rows))
    if told.json:
        text = json.dumps([asdict(row) for row in rows], indent=2)
        told.json.write_text(f"{text}\n", encoding="utf-8")


def run(setting: Setting, batches: Sequence[int], pairs_at_a_time: int) -> Iterator[Row]:
    """Measures each batch all at once and through the cache, the smallest first."""
    for cached in (None, pairs_at_a_time):
        for batch in (batch for batch in batches if cached is None or batch > cached):
            taken = in_child(measure, setting, batch, cached)
            if taken is None:
                yield Row(batch, cached, None, None)
                break
            yield Row(batch, cached, batch / taken.seconds, taken.peak_bytes)


def measure(setting: Setting, batch_pairs: int, pairs_at_a_time: int | None) -> Taken | None:
    """Some optimisation steps on one batch; None if they or the model are out of memory."""
    try:
        return _measured(setting, batch_pairs, pairs_at_a_time)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _measured(setting: Setting, batch_pairs: int, pairs_at_a_time: int | None) -> Taken:
    if setting.threads:
        torch.set_num_threads(setting.threads)
    placement = place(setting.device, setting.dtype, "auto")
    options, alone = setting.options, Processes(0, 1)
    encoder = random_encoder(random_config(setting.config, omni=setting.omni), placement)
    backbone, loss = encoder.backbone, BatchLoss(options, alone).to(placement.device)
    parameters = make_trainable(backbone, options)
    optimiser = make_optimiser(parameters, options)
    train_mode(backbone, options)
    batch = random_batch(encoder, batch_pairs, sound=setting.omni)
    steps = itertools.count()

    def step() -> None:
        backward(
            backbone,
            loss,
            batch,
            pairs_at_a_time=pairs_at_a_time,
            seed=(options.seed, next(steps)),
            autocast=placement.dtype == torch.bfloat16,
        )
        clip_grad_norm_(parameters.values(), options.max_gradient_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return time_and_memory(step, placement.device, setting.repeats)


def random_batch(encoder: QwenEncoder, count: int, *, sound: bool) -> Batch:
    """Random clips of a real one's length, each of another video, and a query about each."""
    clips = random_clips(count, sound=sound)
    return Batch(
        queries=tuple(
            encoder.processor.query(f"what is said of {n}, and where") for n in range(count)
        ),
        clips=tuple(encoder.processor.clip(clip) for clip in clips),
        gold=np.array([int(_GOLDS[n % len(_GOLDS)]) for n in range(count)], np.int64),
        video_keys=np.array([video_key(str(number)) for number in range(count)], np.int64),
    )


def render(setting: Setting, rows: Sequence[Row]) -> str:
    """The rows as a table for people, and what the cache costs and saves."""
    placement = place(setting.device, setting.dtype, "auto")
    options = setting.options
    kept = "recomputed" if options.gradient_checkpointing else "kept"
    lines = [
        f"{setting.config}{' omni' if setting.omni else ''} on "
        f"{device_name(placement.device, setting.threads)}: {placement}, {options.method}, "
        f"activations {kept}, torch {torch.__version__}, medians of {setting.repeats}",
        f"{'batch':>6}{'at a time':>11}{'pairs/s':>10}{'peak GiB':>10}",
    ]
    lines += [_line(row) for row in rows]
    lines += [f"largest batch {name}: {_largest(rows, cached)}" for name, cached in (
        ("all at once", False), ("with the cache", True),
    )]  # fmt: skip
    lines += _ratios(rows)
    return "\n".join(lines)


def _line(row: Row) -> str:
    way = "all" if row.pairs_at_a_time is None else str(row.pairs_at_a_time)
    if row.pairs_per_second is None or row.peak_memory_bytes is None:
        return f"{row.batch_pairs:6}{way:>11}  out of memory"
    gib = row.peak_memory_bytes / 2**30
    return f"{row.batch_pairs:6}{way:>11}{row.pairs_per_second:10.2f}{gib:10.2f}"


def _largest(rows: Sequence[Row], cached: bool) -> str:
    """The largest that fitted; the largest that was tried says nothing of larger ones."""
    own = [row for row in rows if (row.pairs_at_a_time is not None) == cached]
    fitted = [row.batch_pairs for row in own if row.pairs_per_second is not None]
    if not fitted:
        return "none of those tried"
    is_tried_out = len(fitted) < len(own)
    return f"{max(fitted)}" if is_tried_out else f"{max(fitted)} or more (no larger one was tried)"


def _ratios(rows: Sequence[Row]) -> list[str]:
    """For each batch that both ways can do: time and memory with the cache over those without."""
    done = {(row.batch_pairs, row.pairs_at_a_time is not None): row for row in rows}
    lines = []
    for (batch, cached), row in done.items():
        other = done.get((batch, True))
        if cached or other is None:
            continue
        if row.pairs_per_second and other.pairs_per_second:
            time = row.pairs_per_second / other.pairs_per_second
            memory = (other.peak_memory_bytes or 0) / (row.peak_memory_bytes or 1)
            lines.append(
                f"batch {batch}: the cache takes {time:.2f} x the time, {memory:.2f} x the memory"
            )
    return lines


def _positive(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"got {text}; allowed: 1 or more")
    return count


def _pairs(text: str) -> int:
    count = int(text)
    if count < 2:
        raise argparse.ArgumentTypeError(
            f"got {text}; allowed: 2 or more (a pair needs a negative)"
        )
    return count


if __name__ == "__main__":
    main()
