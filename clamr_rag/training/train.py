"""Trains a late-interaction encoder: ``python -m clamr_rag.training.train --help``.

One process per GPU under torchrun or ``accelerate launch``; a single one needs no launcher. Read
`train`: it is the whole run from top to bottom. In the folder of the run are the options, a log
with a line per step, the state to resume from, and at the end a checkpoint for `load_encoder`.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch.nn.utils import clip_grad_norm_

from clamr_rag.encoder.hub import Checkpoint, locate
from clamr_rag.encoder.qwen import QwenEncoder, load_qwen_encoder
from clamr_rag.errors import ClamrError, OutOfMemoryError, UsageError
from clamr_rag.training.adapting import check_method, make_trainable, train_mode
from clamr_rag.training.checkpoint import write_checkpoint
from clamr_rag.training.collator import Collator, batches_ahead
from clamr_rag.training.command import options_of
from clamr_rag.training.data import (
    IntArray,
    PairSource,
    num_steps_per_epoch,
    open_pairs,
    rows_of_step,
)
from clamr_rag.training.evaluation import evaluate
from clamr_rag.training.gather import (
    Processes,
    average_gradients,
    joined_processes,
    mean_over,
    wait_for_all,
)
from clamr_rag.training.gradients import BatchLoss, backward
from clamr_rag.training.log import TrainingLog
from clamr_rag.training.optimiser import learning_rate, make_optimiser, set_learning_rate
from clamr_rag.training.options import TrainOptions
from clamr_rag.training.state import check_folder, claim_folder, load_state, save_state

CHECKPOINT_FOLDER = "checkpoint"
_log = logging.getLogger(__name__)


def train(options: TrainOptions, processes: Processes | None = None) -> Path:
    """Runs a training and returns the folder of its checkpoint.

    Args:
        options: Of the run.
        processes: That it is shared by; None is this one alone.

    Raises:
        UsageError: Options or data that cannot be used.
    """
    processes = processes or Processes(0, 1)
    check_method(options)
    pairs, held_out = _open_data(options)
    num_steps = _num_steps(len(pairs), options, processes)
    base = _base(options)
    if processes.is_first:
        check_folder(options)

    encoder = _loaded(options, processes)
    backbone, autocast = encoder.backbone, options.precision == "bfloat16"
    loss = BatchLoss(options, processes).to(backbone.device)
    parameters = {**make_trainable(backbone, options), **dict(loss.named_parameters())}
    optimiser = make_optimiser(parameters, options)
    collator = Collator(encoder.processor, encoder.reads, options.encoder, options.seed)
    first = load_state(options.out, len(pairs), parameters, optimiser) if options.resume else 0
    last = min(num_steps, options.stop_after or num_steps)
    if processes.is_first:
        claim_folder(options)
    log = TrainingLog(options.out, after_step=first, written=processes.is_first)
    rows = _own_rows(first, last, len(pairs), options, processes)
    batches = batches_ahead(pairs, rows, collator, options.preparing_threads)

    for step in range(first, last):
        began = time.perf_counter()
        rate = learning_rate(step, num_steps, options)
        set_learning_rate(optimiser, rate)
        # Each time, since an evaluation may have come between.
        train_mode(backbone, options)
        batch = next(batches)
        own_loss = backward(
            backbone,
            loss,
            batch,
            pairs_at_a_time=options.pairs_at_a_time,
            seed=(options.seed, step, processes.rank),
            autocast=autocast,
        )
        average_gradients(parameters.values(), processes)
        # Of the mean over all processes, so that each of them shortens alike.
        norm = clip_grad_norm_(parameters.values(), options.max_gradient_norm)
        value = _finite(mean_over(own_loss, processes), step)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        done = step + 1
        seconds = time.perf_counter() - began
        log.step(done, value, rate, float(norm), options.batch_pairs, seconds)

        if held_out is not None and (done % options.evaluate_every == 0 or done == num_steps):
            backbone.train(mode=False)
            measured = evaluate(
                backbone,
                collator,
                held_out,
                most_pairs=options.held_out_pairs,
                scorer=options.scorer,
                processes=processes,
                autocast=autocast,
            )
            log.evaluation(done, measured)
        if done % options.save_every == 0 or done == last:
            if processes.is_first:
                save_state(options.out, done, len(pairs), parameters, optimiser)
            wait_for_all(processes)

    # A run that was stopped has only its state; a finished one may be resumed to save it again.
    folder = options.out / CHECKPOINT_FOLDER
    if last == num_steps and processes.is_first:
        write_checkpoint(backbone, base, options, folder)
    wait_for_all(processes)
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        options = options_of(sys.argv[1:] if arguments is None else arguments)
        with joined_processes() as processes:
            folder = train(options, processes)
    except ClamrError as error:
        _log.error("error: %s", error)
        return error.exit_code
    except torch.OutOfMemoryError as error:
        told = OutOfMemoryError(str(error), hint="lower --pairs-at-a-time or the encoder's caps")
        _log.error("error: %s", told)
        return told.exit_code
    if folder.is_dir():
        _log.info("trained: %s", folder)
    return 0


def _open_data(options: TrainOptions) -> tuple[PairSource, PairSource | None]:
    """The pairs to train on, and those held out."""

    def opened(path: Path, split: str) -> PairSource:
        # A JSONL file names its files itself, and may stand beside a DatasetDict.
        released = path.is_dir() or path == options.pairs
        return open_pairs(
            path,
            split=split,
            frames_dir=options.frames_dir if released else None,
            video_dir=options.video_dir if released else None,
        )

    held_out = options.held_out
    return (
        opened(options.pairs, options.split),
        None if held_out is None else opened(held_out, options.held_out_split),
    )


def _num_steps(num_pairs: int, options: TrainOptions, processes: Processes) -> int:
    per_epoch = num_steps_per_epoch(num_pairs, options.batch_pairs)
    if options.batch_pairs % processes.count:
        raise UsageError(
            f"got batch_pairs {options.batch_pairs} for {processes.count} processes",
            allowed="a multiple of their number",
        )
    return options.steps or per_epoch * options.epochs


def _own_rows(
    first: int, last: int, num_pairs: int, options: TrainOptions, processes: Processes
) -> Iterator[tuple[int, IntArray]]:
    """Each step with this process's share of its rows."""
    for step in range(first, last):
        rows = rows_of_step(
            step, num_pairs=num_pairs, batch_pairs=options.batch_pairs, seed=options.seed
        )
        yield step, rows.reshape(processes.count, -1)[processes.rank]


def _base(options: TrainOptions) -> Checkpoint:
    base = locate(options.base)
    if base.adapter is not None and options.method != "full":
        raise UsageError(
            f"{options.base} has an adapter already",
            allowed="a checkpoint without one, or --method full",
            hint="merge it first by clamr-rag models merge",
        )
    return base


def _loaded(options: TrainOptions, processes: Processes) -> QwenEncoder:
    device = options.device
    if device == "auto" and torch.cuda.is_available():
        device = f"cuda:{processes.local_rank}"
        torch.cuda.set_device(processes.local_rank)
    # A base of its family that never was a retriever has no projection: one is drawn, and saved.
    reading = options.encoder.model_copy(update={"seeded_projection": True})
    return load_qwen_encoder(options.base, device=device, dtype=options.precision, options=reading)


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise UsageError(
            f"the loss of step {step + 1} is {loss}",
            hint="lower the learning rate, or train without --released-losses",
        )
    return loss


if __name__ == "__main__":
    sys.exit(main())
