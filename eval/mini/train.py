"""Trains `mini` on a CPU in under an hour: ``python -m eval.mini.train --out FILE``.

Four stages, each of which starts from the one before:

1. *read*: each word of a description is drawn to the vector of what it tells, by low-rank changes
   of the trunk, which is held to what it made of prose;
2. *look*: the stem names what stands on each patch of still frames (labels of the renderer);
3. *match*: four frames at a time, the stem's tokens are drawn to the same vectors and matched with
   descriptions as the trunk now reads them, near-duplicates in every batch;
4. *join*: frames and texts of a clip in one sequence, the kit's loss on the kit's scores
   (modality_max unless told otherwise), and prose, so that plain text stays as well understood as
   it was.
"""

from __future__ import annotations

import argparse
import logging
import math
import platform
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, pad
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.mini_network import LowRank, MiniNetwork, MiniSequence, adapt
from clamr_rag.encoder.mini_reading import MiniReader
from clamr_rag.encoder.mini_weights import checksum, save_network
from clamr_rag.encoder.minilm import load_minilm
from clamr_rag.scoring import Scorer
from clamr_rag.training.losses import LOSSES, Comparison, LossName
from clamr_rag.training.scores import batch_scores
from clamr_rag.types import TEXT_MODALITIES, ClipInput, Modality
from eval.arms.pools import only
from eval.mini import UNTRAINED
from eval.mini.batches import asked_clips, moving_pictures, prose_pairs, still_frames
from eval.mini.heads import PatchHead, PictureHead
from eval.mini.naming import Names
from eval.mini.telling import Told, tellings
from eval.synthetic.world import DATA_VERSION

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_LOG_EVERY = 50
_CLIPS_AT_A_TIME = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides what is learned, but for the machine."""

    seed: int = 0
    read_steps: int = 200
    look_steps: int = 4000
    match_steps: int = 1000
    join_steps: int = 180
    tellings: int = 96
    """Descriptions in a batch of stage 1."""
    stills: int = 32
    """Frames in a batch of stage 2."""
    pictures: int = 64
    """Clips in a batch of stage 3."""
    clips: int = 40
    """Clips of the world in a batch of stage 4."""
    prose: int = 24
    """Paragraphs in it."""
    read_rate: float = 1e-3
    look_rate: float = 2e-3
    match_rate: float = 1e-3
    join_rate: float = 5e-4
    rank: int = 32
    """Of the trunk's changes."""
    temperature: float = 0.02
    scorer: Scorer = "modality_max"
    loss: LossName = "contrastive"
    encoding: Literal["joint", "apart"] = "joint"
    """Of clips in stage 4: in one sequence, or each modality in one of its own."""
    kept_share: float = 0.95
    """Of the trunk's changes, in the end: a little less keeps more of what the trunk knew
    (Wortsman et al. 2022, WiSE-FT)."""


def train(plan: Plan, out: Path, *, start: Path | None = None, matched: Path | None = None) -> None:
    """Runs the stages and writes the weights.

    Args:
        plan: Of the run.
        out: File of the weights.
        start: Where another run wrote its ``matched``: only stage 4 is done.
        matched: File for the state after stage 3, 110 MB.
    """
    torch.manual_seed(plan.seed)
    began = time.monotonic()
    network = untrained_network()
    adapt(network.trunk, plan.rank)
    if start is None:
        names, picture_head = Names(), PictureHead()
        # On CPUs the flash kernel's way back takes as long as all the rest.
        with sdpa_kernel(SDPBackend.MATH):
            read(network, names, plan)
        look(network, picture_head, plan)
        match(network, names, picture_head, plan)
        if matched is not None:
            torch.save(network.state_dict(), matched)
    else:
        network.load_state_dict(torch.load(start, weights_only=True))
    with sdpa_kernel(SDPBackend.MATH):
        join(network, plan)
    weaken(network, plan.kept_share)
    minutes = (time.monotonic() - began) / 60
    told = {
        "command": " ".join(["python -m eval.mini.train", *sys.argv[1:]]),
        "plan": str(asdict(plan)),
        "data": DATA_VERSION,
        "minutes": f"{minutes:.1f}",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }
    if start is not None:
        told["start"] = checksum(start)
    save_network(out, network, told)
    _log.info("wrote %s (%.1f MB) after %.1f min", out, out.stat().st_size / 1e6, minutes)


def untrained_network() -> MiniNetwork:
    """The published trunk, a stem drawn at random, and the projection of `fit_projection`."""
    network = MiniNetwork(load_minilm())
    network.stem.draw_weights()
    network.projection.data = load_file(UNTRAINED)["projection"]
    network.trunk.requires_grad_(False)
    return network


@torch.no_grad()
def weaken(network: MiniNetwork, share: float) -> None:
    """Keeps a share of the low-rank changes of the trunk."""
    for module in network.trunk.modules():
        if isinstance(module, LowRank):
            module.up.mul_(share)


def read(network: MiniNetwork, names: Names, plan: Plan) -> None:
    """Stage 1: descriptions against what their words tell, prose against the untrained trunk."""
    reader = MiniReader(EncoderOptions(), looks=True, all_words=True)
    plain = untrained_network()
    steps = _Steps(
        "read", plan.read_steps, plan.read_rate, (network.trunk,),
        others=((10.0, names.parameters()), (1.0, [network.projection])),
    )  # fmt: skip
    prose = prose_pairs(random.Random(plan.seed + 3))
    for told, labels in steps.over(tellings(random.Random(plan.seed + 4), plan.tellings)):
        kept = [text for _ in range(plan.tellings // 16) for text in _sentences(next(prose))]
        with half():
            words, _ = embed_queries(network, reader, [one.query for one in told])
            stayed, mask = embed_queries(network, reader, kept)
            with torch.no_grad():
                was, _ = embed_queries(plain, reader, kept)
        clips, places, slots = telling_words(reader, told)
        meant = torch.from_numpy(labels)[clips, slots]
        named, right = names.of_words(words[clips, places], slots, meant)
        strayed = 1 - (stayed.float() * was.float()).sum(dim=-1)[mask].mean()
        steps.take(named + strayed, [right])


def _sentences(pair: tuple[str, tuple[str, str]]) -> tuple[str, str]:
    paragraph, (question, _) = pair
    return paragraph, question


def telling_words(reader: MiniReader, told: Sequence[Told]) -> tuple[Tensor, Tensor, Tensor]:
    """Which tokens of queries tell a detail: query, place in its sequence, and slot of each."""
    rows = []
    for number, one in enumerate(told):
        query = reader.query(one.query)
        for place, (start, stop) in zip(query.kept, query.spans, strict=True):
            rows += [
                (number, place, part.slot)
                for part in one.parts
                if part.start < stop and start < part.stop
            ]
    clips, places, slots = torch.tensor(rows).T
    return clips, places, slots


def look(network: MiniNetwork, picture_head: PictureHead, plan: Plan) -> None:
    """Stage 2: still frames against what the renderer drew."""
    stem, patch_head = network.stem, PatchHead()
    steps = _Steps("look", plan.look_steps, plan.look_rate, (stem, patch_head, picture_head))
    drawn = still_frames(random.Random(plan.seed), plan.stills)
    for frames, patch_labels, picture_labels in steps.over(drawn):
        with half():
            features = stem.features(torch.from_numpy(frames))
            patches = stem.patches(features, len(frames))
            named = patch_head.loss(features, torch.from_numpy(patch_labels))
            labels = torch.from_numpy(picture_labels)
            told, right = picture_head.loss(patches, labels, moving=False)
        steps.take(named + told, right)


def match(network: MiniNetwork, names: Names, picture_head: PictureHead, plan: Plan) -> None:
    """Stage 3: clips of four frames against names and against descriptions, both ways."""
    stem, reader = network.stem, MiniReader(EncoderOptions(), looks=True, all_words=True)
    steps = _Steps("match", plan.match_steps, plan.match_rate, (stem, picture_head))
    drawn = moving_pictures(random.Random(plan.seed + 1), plan.pictures)
    for frames, queries, picture_labels in steps.over(drawn):
        with half():
            with torch.no_grad():
                words, mask = embed_queries(network, reader, queries)
            patches = stem.patches(stem.features(torch.from_numpy(frames)), len(frames))
            labels = torch.from_numpy(picture_labels)
            told, _ = picture_head.loss(patches, labels, moving=True)
            seen = network.unit(stem.tokens(patches))
        named, right = names.of_pictures(seen, labels)
        cosines = torch.einsum("qtd,cnd->qctn", words, seen).amax(dim=-1)
        scores = (cosines * mask[:, None]).sum(dim=-1) / mask.sum(dim=1)[:, None]
        own = torch.arange(len(queries))
        logits = scores / plan.temperature
        both_ways = (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
        found = float((logits.argmax(1) == own).float().mean())
        steps.take(both_ways + 2 * told + 2 * named, [found, *right])


def join(network: MiniNetwork, plan: Plan) -> None:
    """Stage 4: whole clips and prose by the kit's loss."""
    reader, loss = MiniReader(EncoderOptions(), looks=True, all_words=True), LOSSES[plan.loss]
    steps = _Steps("join", plan.join_steps, plan.join_rate, (network,))
    drawn = asked_clips(random.Random(plan.seed + 2), plan.clips, plan.prose)
    for asked in steps.over(drawn):
        parts = [part for one in asked[0] for part in _encoded_together(one.clip, plan.encoding)]
        sequences = [reader.clip(part) for part in parts]
        kinds = padded_modalities(sequences).reshape(len(asked[0]), -1)
        clips = embed_clips(network, sequences).reshape(*kinds.shape, -1)
        total, right = torch.zeros(()), []
        for wording in asked:
            with half():
                words, mask = embed_queries(network, reader, [one.query for one in wording])
            scores = batch_scores(words, mask, clips, kinds, plan.scorer)
            gold = torch.tensor([int(one.gold) for one in wording])
            total = total + loss(Comparison(scores, gold, temperature=plan.temperature))
            right.append(_share_right(scores.overall))
        steps.take(total / len(asked), right)


def _encoded_together(clip: ClipInput, encoding: str) -> list[ClipInput]:
    if encoding == "joint":
        return [clip]
    return [only(clip, (modality,)) for modality in (Modality.VIDEO, *TEXT_MODALITIES)]


def embed_queries(
    network: MiniNetwork, reader: MiniReader, queries: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Unit rows of queries ``(Q, T, 128)``, and which of them count ``(Q, T)``."""
    read = [reader.query(query) for query in queries]
    rows = network([query.sequence for query in read])
    mask = torch.zeros(rows.shape[:2], dtype=torch.bool)
    for number, query in enumerate(read):
        mask[number, query.kept] = True
    return rows, mask


def embed_clips(network: MiniNetwork, sequences: Sequence[MiniSequence]) -> Tensor:
    """Unit rows of clips ``(C, longest, 128)``; those of padding mean nothing.

    Clips of like length go through the network together: a third of the time is saved.
    """
    order = sorted(range(len(sequences)), key=lambda number: len(sequences[number].ids))
    longest = len(sequences[order[-1]].ids)
    rows: dict[int, Tensor] = {}
    for at in range(0, len(order), _CLIPS_AT_A_TIME):
        part = order[at : at + _CLIPS_AT_A_TIME]
        with half():
            found = network([sequences[number] for number in part])
        found = pad(found, (0, 0, 0, longest - found.shape[1]))
        rows |= dict(zip(part, found, strict=True))
    return torch.stack([rows[number] for number in range(len(sequences))])


def padded_modalities(sequences: Sequence[MiniSequence]) -> Tensor:
    """`Modality` of each row ``(sequences, longest)``; padding is OTHER."""
    rows = [torch.tensor(sequence.modalities) for sequence in sequences]
    return pad_sequence(rows, batch_first=True, padding_value=int(Modality.OTHER))


def half() -> torch.autocast:
    """Computes in bfloat16 what can be: five times as fast on CPUs that know it."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _share_right(scores: Tensor) -> float:
    own = torch.arange(len(scores))
    return float((scores.argmax(dim=1) == own).float().mean())


class _Steps:
    """Steps of one stage: AdamW, a warm-up and half a cosine, gradients cut at length 1."""

    def __init__(
        self,
        name: str,
        count: int,
        rate: float,
        modules: Sequence[nn.Module],
        others: Sequence[tuple[float, Iterable[nn.Parameter]]] = (),
    ) -> None:
        """Takes what is trained at the rate, and ``others`` at a share of it."""
        self._name, self._count = name, count
        trained = [p for module in modules for p in module.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim > 1], "lr": rate, "weight_decay": 0.02},
            {"params": [p for p in trained if p.ndim < 2], "lr": rate, "weight_decay": 0.0},
        ]
        for share, some in others:
            groups.append({"params": [*some], "lr": rate * share, "weight_decay": 0.0})
        groups = [group for group in groups if group["params"]]
        self._parameters = [p for group in groups for p in group["params"]]
        self._optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        warm_up = max(1, min(200, count // 10))
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser,
            lambda step: min(
                (step + 1) / warm_up, 0.01 + 0.99 * (1 + math.cos(math.pi * step / count)) / 2
            ),
        )
        self._began, self._done = time.monotonic(), 0
        self._losses: list[float] = []
        self._right: list[list[float]] = []

    def over(self, batches: Iterable[_T]) -> Iterator[_T]:
        """So many batches as the stage has steps."""
        for batch in batches:
            if self._done == self._count:
                return
            yield batch

    def take(self, loss: Tensor, right: list[float]) -> None:
        """One step down the loss; ``right`` is logged."""
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._schedule.step()
        self._done += 1
        self._losses.append(loss.item())
        self._right.append(right)
        if self._done % _LOG_EVERY == 0 or self._done == self._count:
            means = [sum(column) / len(column) for column in zip(*self._right, strict=True)]
            _log.info(
                "%s %d/%d  %.0f s  loss %.3f  right %s",
                self._name, self._done, self._count, time.monotonic() - self._began,
                sum(self._losses) / len(self._losses), " ".join(f"{mean:.2f}" for mean in means),
            )  # fmt: skip
            self._losses, self._right = [], []


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m eval.mini.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="file of the weights")
    parser.add_argument("--matched", type=Path, help="write the state after stage 3, too")
    parser.add_argument("--start", type=Path, help="start from such a state: only stage 4")
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
    files = {name: told.pop(name) for name in ("out", "start", "matched")}
    train(Plan(**told), **files)


if __name__ == "__main__":
    main()
