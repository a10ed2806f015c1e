"""How fast clips are encoded: the released way against ours, random weights at real sizes.

``python -m eval.bench_encode --config 3b --device cuda``

The released way is what the authors' code does (shared/research/clamr.md §4): few clips at a time,
each padded on the left to 2048 tokens, logits of all tokens computed and thrown away, transformers'
own vision tower. Both ways run the same weights on the same sequences, one after the other, each in
a process of its own, so that its peak memory is its own; a last process compares the vectors.
Useful work (no padding, no logits) over the time, over the rate of a large matrix product in the
same run, is the share of the device's peak. The Omni model has no released way: as shipped it does
not run (clamr.md §6, B11 and B12a).

Memory is of the whole process on a CPU (program, weights, clips, work), and what torch has
allocated on a GPU. On a GPU nothing has been measured yet: the ratio of at least 5, the share of a
GPU's peak, and bfloat16 there (cosine of 0.999 at least) wait for one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from clamr_rag.encoder.architecture import weights_on_meta
from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.devices import Placement, place
from clamr_rag.encoder.patches import pixel_values
from clamr_rag.encoder.processing import TokenSequence
from eval.children import device_name, in_child, time_and_memory
from eval.random_models import SIZES, random_clips, random_config, random_encoder, useful_flops

RELEASED_LENGTH = 2048
_COMPARED_CLIPS = 4

WayName = Literal["released", "ours", "ours, from frames and text", "ours, omni with sound"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all ways of a run have in common."""

    config: str
    device: str
    dtype: str
    attention: str
    num_clips: int
    repeats: int
    threads: int
    """Of torch on a CPU; 0 is its own choice."""

    def settle(self) -> Placement:
        """Sets the threads of this process and settles where it computes."""
        if self.threads:
            torch.set_num_threads(self.threads)
        return place(self.device, self.dtype, self.attention)


@dataclass(frozen=True, slots=True)
class Way:
    """One way of encoding, at one batch size."""

    name: WayName
    batch_clips: int


@dataclass(frozen=True, slots=True)
class Row:
    """One way of encoding, measured."""

    way: str
    batch_clips: int
    clips_per_second: float
    tokens_per_second: float
    """Tokens of clips, padding not counted."""
    cpu_seconds_per_clip: float
    """Of all threads of the process: on a shared CPU steadier than the clock, if one thread."""
    peak_memory_bytes: int
    """Of the process on a CPU, as allocated by torch on a GPU."""
    rest_memory_bytes: int
    """The same before the first clip: weights, and on a CPU the program and the clips."""
    share_of_peak: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near vectors are that should be the same; smallest cosine over all tokens."""

    released: float
    """Between the two ways' vectors."""
    float32: float
    """Between our vectors and the same in float32."""


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of a run and what they were measured on."""

    config: str
    device: str
    running_on: str
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto", help="auto is bfloat16 on a GPU, else float32")
    parser.add_argument("--attention", default="auto", help="auto (sdpa), eager, flash_attention_2")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--released-batches", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of torch on a CPU; 0: its choice")
    parser.add_argument("--json", type=Path, default=None, help="also write the report here")
    arguments = parser.parse_args()
    setting = Setting(
        arguments.config,
        arguments.device,
        arguments.dtype,
        arguments.attention,
        arguments.clips,
        arguments.repeats,
        arguments.threads,
    )
    report = run(setting, arguments.released_batches, arguments.batches)
    print(render(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


def run(setting: Setting, released_batches: Sequence[int], batches: Sequence[int]) -> Report:
    """Measures all ways on the same clips and weights."""
    import transformers

    best = max(batches)
    ways = [
        *(Way("released", batch) for batch in released_batches),
        *(Way("ours", batch) for batch in batches),
        Way("ours, from frames and text", best),
        Way("ours, omni with sound", best),
    ]
    peak_flops = in_child(matrix_flops, setting)
    rows = tuple(in_child(measure, setting, way, peak_flops) for way in ways)
    agreement = in_child(compare, setting)
    fastest = {
        name: max(row.clips_per_second for row in rows if row.way == name)
        for name in ("ours", "released")
    }
    [ours, *_] = [row for row in rows if row.way == "ours"]
    placement = place(setting.device, setting.dtype, setting.attention)
    return Report(
        config=setting.config,
        device=device_name(placement.device, setting.threads),
        running_on=str(placement),
        versions=f"torch {torch.__version__}, transformers {transformers.__version__}",
        num_clips=setting.num_clips,
        mean_tokens=ours.tokens_per_second / ours.clips_per_second,
        peak_flops=peak_flops,
        rows=rows,
        ratio=fastest["ours"] / fastest["released"],
        min_cosine=agreement.released,
        min_cosine_float32=agreement.float32,
    )


def measure(setting: Setting, way: Way, peak_flops: float) -> Row:
    """Builds a model, encodes all clips several times, and takes the median."""
    placement = setting.settle()
    omni = way.name == "ours, omni with sound"
    config = random_config(setting.config, omni=omni)
    encoder = random_encoder(config, placement)
    clips = random_clips(setting.num_clips, sound=omni)
    sequences = [encoder.processor.clip(clip) for clip in clips]
    work: Callable[[], object]
    if way.name == "released":
        released = ReleasedWay(config, encoder.backbone)
        work = lambda: _drain(released.encode(sequences, way.batch_clips))  # noqa: E731
    elif way.name == "ours, from frames and text":
        encoder.batch_clips = way.batch_clips
        work = lambda: encoder.encode_clips(clips)  # noqa: E731
    else:
        work = lambda: _encode(encoder.backbone, sequences, way.batch_clips)  # noqa: E731
    taken = time_and_memory(work, placement.device, setting.repeats)
    flops = sum(useful_flops(config, sequence) for sequence in sequences)
    return Row(
        way=way.name,
        batch_clips=way.batch_clips,
        clips_per_second=len(clips) / taken.seconds,
        tokens_per_second=sum(map(len, sequences)) / taken.seconds,
        cpu_seconds_per_clip=taken.cpu_seconds / len(clips),
        peak_memory_bytes=taken.peak_bytes,
        rest_memory_bytes=taken.rest_bytes,
        share_of_peak=flops / taken.seconds / peak_flops,
    )


def compare(setting: Setting) -> Agreement:
    """Encodes a few clips both ways, and once more in float32."""
    placement = setting.settle()
    config = random_config(setting.config)
    encoder = random_encoder(config, placement)
    clips = random_clips(min(setting.num_clips, _COMPARED_CLIPS))
    sequences = [encoder.processor.clip(clip) for clip in clips]
    ours = _encode(encoder.backbone, sequences, len(sequences))
    theirs = torch.cat(list(ReleasedWay(config, encoder.backbone).encode(sequences, 1)))
    exact = _encode(encoder.backbone.float(), sequences, 1)
    return Agreement(float((ours * theirs).sum(-1).min()), float((ours * exact).sum(-1).min()))


def render(report: Report) -> str:
    """The report as a table for people."""
    lines = [
        f"{report.config} on {report.device}: {report.running_on}, {report.versions}",
        f"{report.num_clips} clips of {report.mean_tokens:.0f} tokens; peak of a matrix product "
        f"{report.peak_flops / 1e12:.2f} TFLOP/s",
        f"{'way':28}{'batch':>6}{'clips/s':>10}{'tokens/s':>11}{'CPU s/clip':>12}{'peak GiB':>10}"
        f"{'at rest':>9}{'of peak':>9}",
    ]
    lines += [
        f"{row.way:28}{row.batch_clips:6}{row.clips_per_second:10.2f}{row.tokens_per_second:11.0f}"
        f"{row.cpu_seconds_per_clip:12.3f}{row.peak_memory_bytes / 2**30:10.2f}"
        f"{row.rest_memory_bytes / 2**30:9.2f}{row.share_of_peak:9.1%}"
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


def matrix_flops(setting: Setting) -> float:
    """Rate of a large square matrix product on random numbers."""
    placement = setting.settle()
    side = 8192 if placement.device.type == "cuda" else 1024
    left, right = (
        torch.randn(side, side, device=placement.device).to(placement.dtype) for _ in range(2)
    )
    taken = time_and_memory(lambda: [left @ right for _ in range(10)], placement.device, 3)
    return 10 * 2 * side**3 / taken.seconds


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


if __name__ == "__main__":
    main()
