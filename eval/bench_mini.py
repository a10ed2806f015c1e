"""How long `mini-vl` takes for a clip, beside its trunk on as many tokens and torch's own layers.

``python -m eval.bench_mini [--tokens 300] [--batch 8] [--repeats 7] [--threads 2]``
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from clamr_rag import EncoderOptions
from clamr_rag.encoder.mini import load_mini
from clamr_rag.encoder.minilm import load_minilm
from clamr_rag.encoder.stem import NUM_FRAMES, NUM_TOKENS
from clamr_rag.types import ClipInput

_SIZE = (448, 252)
_MARKS = 5
"""Of the template: [CLS], and a [SEP] for frames and each text."""


def clip_of(tokens: int, generator: np.random.Generator) -> ClipInput:
    """A clip of four frames and three texts, so many tokens altogether."""
    words = tokens - NUM_TOKENS - _MARKS
    # Each is one token.
    ocr, asr, told = (" ".join(["river"] * len(p)) for p in np.array_split(range(words), 3))
    width, height = _SIZE
    frames = generator.integers(0, 255, (NUM_FRAMES, height, width, 3), np.uint8)
    seconds = tuple(map(float, range(NUM_FRAMES)))
    return ClipInput(tuple(frames), seconds, ocr, asr, told)


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after one that does not count."""
    work()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Prints milliseconds per clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    generator = np.random.default_rng(0)
    clips = [clip_of(told.tokens, generator) for _ in range(told.batch)]
    mini, trunk = load_mini(EncoderOptions(), name="mini-vl"), load_minilm()
    [first, *_] = mini.encode_clips(clips, keep_other=True)
    ids = torch.randint(1000, 30000, (told.batch, len(first)))
    positions = torch.arange(len(first)).expand(ids.shape)

    @torch.inference_mode()
    def bare() -> None:
        trunk(ids, positions, torch.ones_like(ids, dtype=torch.bool))

    width = trunk.words.embedding_dim
    layers = nn.ModuleList(
        nn.TransformerEncoderLayer(width, 12, 4 * width, 0.0, "gelu", batch_first=True)
        for _ in trunk.layers
    ).eval()
    hidden, padding = torch.randn(*ids.shape, width), torch.zeros_like(ids, dtype=torch.bool)

    @torch.inference_mode()
    def torchs() -> None:
        out = hidden
        for layer in layers:
            out = layer(out, src_key_padding_mask=padding)

    works = (lambda: mini.encode_clips(clips), bare, torchs)
    ours, own, theirs = (median_seconds(work, told.repeats) / told.batch * 1000 for work in works)
    print(f"{len(first)} tokens a clip, batch {told.batch}, {told.threads} threads, "
          f"medians of {told.repeats}: mini-vl {ours:.1f} ms a clip (frames scaled and read); "
          f"its trunk {own:.1f} ms, {own / theirs:.2f} of torch's nn.TransformerEncoderLayer "
          f"({theirs:.1f} ms)")  # fmt: skip


if __name__ == "__main__":
    main()
