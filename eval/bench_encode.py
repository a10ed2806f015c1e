"""How fast clips are encoded: the released way against ours, random weights at real sizes.

``python -m eval.bench_encode --config 3b --device cuda``

The released way is what the authors' code does (shared/research/clamr.md §4): few clips at a time,
each padded on the left to 2048 tokens, logits of all tokens computed and thrown away, transformers'
own vision tower. Both ways run the same weights on the same sequences in the same process, and the
vectors are compared. Useful work (no padding, no logits) over the time, over the rate of a large
matrix product in the same run, is the share of the device's peak.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.patches import PATCH_VALUES, pixel_values
from clamr_rag.encoder.processing import ChatTokenizer, ClipProcessor, TokenSequence
from clamr_rag.encoder.qwen import (
    QwenEncoder,
    build_backbone,
    model_config,
    model_tokens,
    weights_on_meta,
)
from clamr_rag.types import ClipInput

RELEASED_LENGTH = 2048
_SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# config.json of Qwen/Qwen2.5-VL-3B-Instruct, sizes only; a quarter of its widths for CPUs; a
# miniature for tests.
_SIZES: dict[str, dict[str, Any]] = {
    "3b": {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "vision_config": {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    },
    "small": {
        "hidden_size": 512,
        "intermediate_size": 2752,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": 37984,
        "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
        "vision_config": {
            "depth": 8,
            "hidden_size": 320,
            "intermediate_size": 856,
            "num_heads": 4,
            "out_hidden_size": 512,
            "fullatt_block_indexes": [7],
        },
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "vision_config": {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
    },
}


@dataclass(frozen=True, slots=True)
class Row:
    """One way of encoding, measured."""

    way: str
    batch_clips: int
    clips_per_second: float
    tokens_per_second: float
    """Tokens of clips, padding not counted."""
    peak_memory_bytes: int
    """On the device; 0 on a CPU."""
    share_of_peak: float


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of a run and what they were measured on."""

    config: str
    device: str
    versions: str
    num_clips: int
    mean_tokens: float
    peak_flops: float
    """Rate of a large matrix product in the run's number type."""
    rows: tuple[Row, ...]
    ratio: float
    """Clips per second of our best row over the released way's best."""
    min_cosine: float
    """Between the two ways' vectors, smallest over all tokens."""
    min_cosine_float32: float
    """Between our vectors and the same in float32, smallest over all tokens."""


def main() -> None:
    """Runs the benchmark that the command line asks for and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", choices=sorted(_SIZES), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default=None)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--released-batches", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="also write the report here")
    arguments = parser.parse_args()
    dtype = arguments.dtype or ("bfloat16" if arguments.device.startswith("cuda") else "float32")
    report = run(
        arguments.config,
        torch.device(arguments.device),
        getattr(torch, dtype),
        num_clips=arguments.clips,
        released_batches=arguments.released_batches,
        batches=arguments.batches,
        repeats=arguments.repeats,
    )
    print(render(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


def run(
    config_name: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    num_clips: int,
    released_batches: Sequence[int],
    batches: Sequence[int],
    repeats: int,
) -> Report:
    """Measures both ways on the same clips and weights."""
    import transformers

    config = model_config(_raw_config(config_name), Path(config_name))
    encoder = random_encoder(config, device, dtype)
    clips = random_clips(num_clips)
    sequences = [encoder.processor.clip(clip) for clip in clips]
    flops = sum(useful_flops(config, sequence) for sequence in sequences)
    num_tokens = sum(len(sequence) for sequence in sequences)
    peak_flops = _matrix_flops(device, dtype)
    released = ReleasedWay(config, encoder.backbone)

    def row(way: str, batch: int, work: Callable[[], object]) -> Row:
        seconds, memory = _measure(work, device, repeats)
        return Row(
            way,
            batch,
            num_clips / seconds,
            num_tokens / seconds,
            memory,
            flops / seconds / peak_flops,
        )

    rows = [
        *(
            row("released", n, lambda n=n: _drain(released.encode(sequences, n)))  # type: ignore[misc]
            for n in released_batches
        ),
        *(row("ours", n, lambda n=n: _encode(encoder.backbone, sequences, n)) for n in batches),  # type: ignore[misc]
    ]
    best = max(batches)
    encoder.batch_clips = best
    rows.append(row("ours, from frames and text", best, lambda: encoder.encode_clips(clips)))
    ours = _encode(encoder.backbone, sequences, best)
    theirs = torch.cat(list(released.encode(sequences, 1)))
    fast = max(row.clips_per_second for row in rows if row.way == "ours")
    slow = max(row.clips_per_second for row in rows if row.way == "released")
    exact = _encode(encoder.backbone.float(), sequences, 1)
    return Report(
        config=config_name,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        versions=f"torch {torch.__version__}, transformers {transformers.__version__}, {dtype}",
        num_clips=num_clips,
        mean_tokens=num_tokens / num_clips,
        peak_flops=peak_flops,
        rows=tuple(rows),
        ratio=fast / slow,
        min_cosine=float((ours * theirs).sum(-1).min()),
        min_cosine_float32=float((ours * exact).sum(-1).min()),
    )


def render(report: Report) -> str:
    """The report as a table for people."""
    lines = [
        f"{report.config} on {report.device}, {report.versions}",
        f"{report.num_clips} clips of {report.mean_tokens:.0f} tokens; peak of a matrix product "
        f"{report.peak_flops / 1e12:.1f} TFLOP/s",
        f"{'way':28}{'batch':>6}{'clips/s':>10}{'tokens/s':>11}{'GiB':>7}{'of peak':>9}",
    ]
    lines += [
        f"{row.way:28}{row.batch_clips:6}{row.clips_per_second:10.2f}{row.tokens_per_second:11.0f}"
        f"{row.peak_memory_bytes / 2**30:7.1f}{row.share_of_peak:9.1%}"
        for row in report.rows
    ]
    lines.append(
        f"ours / released: {report.ratio:.2f} x; smallest cosine {report.min_cosine:.6f}, against "
        f"float32 {report.min_cosine_float32:.6f}"
    )
    return "\n".join(lines)


class ReleasedWay:
    """The authors' forward pass on the same weights: left padding to 2048, logits and all."""

    def __init__(self, config: Any, backbone: Backbone) -> None:
        from transformers import Qwen2_5_VLForConditionalGeneration

        with weights_on_meta():
            model = Qwen2_5_VLForConditionalGeneration(config)
        model.model.visual = backbone.visual
        model.model.language_model = backbone.language_model
        model.lm_head.weight = backbone.language_model.embed_tokens.weight
        model.train(mode=False)
        self._model = model
        self._video_token = config.video_token_id
        self._projection = backbone.projection

    @torch.inference_mode()
    def encode(self, sequences: Sequence[TokenSequence], batch: int) -> Iterator[torch.Tensor]:
        """Unit vectors ``(n, dim)`` of the clips, batch by batch."""
        device = self._projection.weight.device
        for start in range(0, len(sequences), batch):
            part = sequences[start : start + batch]
            ids = torch.zeros(len(part), RELEASED_LENGTH, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, sequence in enumerate(part):
                ids[row, -len(sequence) :] = torch.from_numpy(sequence.ids)
                mask[row, -len(sequence) :] = 1
            frames = [sequence.frames for sequence in part if sequence.frames]
            patches = torch.from_numpy(np.concatenate([clip.values for clip in frames]))
            output = self._model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                mm_token_type_ids=((ids == self._video_token) * 2).to(device),
                pixel_values_videos=pixel_values(patches).to(device),
                video_grid_thw=torch.tensor([clip.grid for clip in frames]).to(device),
                use_cache=False,
                output_hidden_states=True,
            )
            vectors = self._projection(output.hidden_states[-1])
            vectors = F.normalize(vectors, dim=-1) * mask.to(device).unsqueeze(-1)
            yield vectors[mask.bool().to(device)].float()


def random_encoder(config: Any, device: torch.device, dtype: torch.dtype) -> QwenEncoder:
    """An encoder with random weights and a tokenizer of bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        write_byte_tokenizer(path)
        tokenizer = ChatTokenizer(path)
    tokens = model_tokens(config, tokenizer)
    backbone = build_backbone(config, tokens, dim=128, attention="sdpa")
    generator = torch.Generator(device).manual_seed(0)
    for name, parameter in backbone.state_dict().items():
        weight = torch.empty(parameter.shape, device=device, dtype=dtype)
        if "norm" in name or name.endswith("ln_q.weight"):
            weight.fill_(1)
        elif name.endswith(".bias"):
            weight.zero_()
        else:
            weight.normal_(0, 0.02, generator=generator)
        backbone.load_state_dict({name: weight}, strict=False, assign=True)
    backbone.to(device).eval()
    options = EncoderOptions()
    processor = ClipProcessor(tokenizer, tokens, options)
    return QwenEncoder("random", "random", backbone, processor, options)


def write_byte_tokenizer(path: Path) -> None:
    """A Qwen-like tokenizer that merges nothing: one token per byte, and the special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL_TOKENS))
    tokenizer.save(str(path))


def random_clips(count: int) -> list[ClipInput]:
    """Clips of ten frames and three texts; with the default caps about 900 tokens on average.

    The real ones have 930 (shared/research/clamr.md §4.1).
    """
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz     "))

    def text() -> str:
        return "".join(generator.choice(letters, generator.integers(64, 400)))

    return [
        ClipInput(
            frames=tuple(generator.integers(0, 256, (10, 180, 320, 3), dtype=np.uint8)),
            frame_seconds=tuple(float(second) for second in range(10)),
            ocr=text(),
            asr=text(),
            description=text(),
        )
        for _ in range(count)
    ]


def useful_flops(config: Any, sequence: TokenSequence) -> float:
    """Floating-point operations that encoding one clip needs: no padding, no logits."""
    text, vision = config.text_config, config.vision_config
    head = text.hidden_size // text.num_attention_heads
    per_layer = (
        2 * text.hidden_size * (text.hidden_size + head * text.num_key_value_heads)
        + 3 * text.hidden_size * text.intermediate_size
    )
    tokens = len(sequence)
    # A causal token attends to half the sequence on average, once for scores, once for values.
    attention = 2 * tokens * tokens * text.hidden_size
    flops = text.num_hidden_layers * (2 * tokens * per_layer + attention)
    if sequence.frames is None:
        return float(flops)
    patches = len(sequence.frames.values)
    width = vision.hidden_size
    block = 4 * width * width + 3 * width * vision.intermediate_size
    pairs = sequence.frames.grid[0]
    full = len(vision.fullatt_block_indexes)
    window = (vision.window_size // vision.patch_size) ** 2
    seen = full * patches // pairs + (vision.depth - full) * min(window, patches // pairs)
    merger = (4 * width) * (4 * width + vision.out_hidden_size)
    flops += 2 * patches * (vision.depth * block + PATCH_VALUES * width + merger // 4)
    return float(flops + 4 * patches * seen * width)


def _raw_config(name: str) -> dict[str, Any]:
    """A ``config.json`` for the byte tokenizer."""
    specials = {token: 256 + number for number, token in enumerate(_SPECIAL_TOKENS)}
    sizes = _SIZES[name]
    vision = {"window_size": 112, "tokens_per_second": 2, **sizes["vision_config"]}
    return {
        "model_type": "qwen2_5_vl",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "tie_word_embeddings": True,
        "image_token_id": specials["<|image_pad|>"],
        "video_token_id": specials["<|video_pad|>"],
        "vision_start_token_id": specials["<|vision_start|>"],
        "vision_end_token_id": specials["<|vision_end|>"],
        "bos_token_id": specials["<|endoftext|>"],
        "eos_token_id": specials["<|im_end|>"],
        **sizes,
        "vision_config": vision,
    }


def _encode(backbone: Backbone, sequences: Sequence[TokenSequence], batch: int) -> torch.Tensor:
    """Vectors of all clips in their order, encoded in batches of similar length."""
    order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    parts: dict[int, torch.Tensor] = {}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        vectors = backbone([sequences[index] for index in chosen])
        lengths = [len(sequences[index]) for index in chosen]
        parts.update(zip(chosen, vectors.split(lengths), strict=True))
    return torch.cat([parts[index] for index in range(len(order))])


def _drain(vectors: Iterator[torch.Tensor]) -> None:
    for _ in vectors:
        pass


def _measure(work: Callable[[], object], device: torch.device, repeats: int) -> tuple[float, int]:
    """Median seconds after one warm-up, and the most device memory in use."""
    on_gpu = device.type == "cuda"
    seconds = []
    for _ in range(repeats + 1):
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    memory = torch.cuda.max_memory_allocated(device) if on_gpu else 0
    return statistics.median(seconds[1:]), memory


def _matrix_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Rate of a large square matrix product on random numbers."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    seconds, _ = _measure(lambda: [left @ right for _ in range(10)], device, 3)
    return 10 * 2 * side**3 / seconds


if __name__ == "__main__":
    main()
