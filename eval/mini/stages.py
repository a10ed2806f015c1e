"""The stages of the training, in their order; each starts from what the one before left."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import islice

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.mini_network import MiniNetwork
from clamr_rag.encoder.mini_reading import MiniReader
from clamr_rag.training.losses import LOSSES, Comparison
from clamr_rag.training.scores import batch_scores
from clamr_rag.types import TEXT_MODALITIES, ClipInput, Modality
from eval.arms.pools import only
from eval.mini.batches import (
    asked_clips,
    moving_pictures,
    pictures_and_moved_ones,
    prose_pairs,
    still_frames,
)
from eval.mini.encoding import (
    embed_clips,
    embed_queries,
    half,
    padded_modalities,
    untrained_network,
)
from eval.mini.heads import PatchHead, PictureHead
from eval.mini.labels import Labels
from eval.mini.naming import Names
from eval.mini.plan import Plan
from eval.mini.progress import Progress
from eval.mini.steps import Steps
from eval.mini.telling import Told, tellings


def read(network: MiniNetwork, names: Names, plan: Plan, progress: Progress) -> None:
    """Stage 1: descriptions against what their words tell, prose against the untrained trunk."""
    reader = MiniReader(EncoderOptions(), looks=True, all_words=True)
    plain = untrained_network()
    steps = Steps(
        progress, "read", plan.read_steps, plan.read_rate, (network.trunk,),
        others=((10.0, names.parameters()), (1.0, [network.projection])),
    )  # fmt: skip
    for (told, labels), kept in steps.over(lambda rng: _told_and_kept(rng, plan.tellings)):
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


def _told_and_kept(
    rng: random.Random, count: int
) -> Iterator[tuple[tuple[list[Told], Labels], list[str]]]:
    """Endless batches of searches for stagings, with an eighth as many texts of prose."""
    prose = prose_pairs(rng)
    for told in tellings(rng, count):
        pairs = islice(prose, count // 16)
        yield told, [text for paragraph, (one, _) in pairs for text in (paragraph, one)]


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


def look(
    network: MiniNetwork,
    patch_head: PatchHead,
    picture_head: PictureHead,
    plan: Plan,
    progress: Progress,
) -> None:
    """Stage 2: still frames against what the renderer drew."""
    stem, heads = network.stem, (patch_head, picture_head)
    steps = Steps(progress, "look", plan.look_steps, plan.look_rate, (stem, *heads))
    drawn = steps.over(lambda rng: still_frames(rng, plan.stills, plan.shift_pixels))
    for frames, patch_labels, picture_labels in drawn:
        with half():
            features = stem.features(torch.from_numpy(frames))
            patches = stem.patches(features, len(frames))
            named = patch_head.loss(features, torch.from_numpy(patch_labels))
            labels = torch.from_numpy(picture_labels)
            told, right = picture_head.loss(patches, labels, moving=False)
        steps.take(named + told, right)


def match(
    network: MiniNetwork,
    names: Names,
    picture_head: PictureHead,
    plan: Plan,
    progress: Progress,
) -> None:
    """Stage 3: clips of four frames against names and against descriptions, both ways."""
    stem, reader = network.stem, MiniReader(EncoderOptions(), looks=True, all_words=True)
    steps = Steps(progress, "match", plan.match_steps, plan.match_rate, (stem, picture_head))
    drawn = steps.over(lambda rng: moving_pictures(rng, plan.pictures, plan.shift_pixels))
    for frames, queries, picture_labels in drawn:
        with half():
            patches = stem.patches(stem.features(torch.from_numpy(frames)), len(frames))
            labels = torch.from_numpy(picture_labels)
            told, _ = picture_head.loss(patches, labels, moving=True)
            seen = network.unit(stem.tokens(patches))
        both_ways, found = _found_both_ways(network, reader, queries, seen, plan.temperature)
        named, _, right = names.of_pictures(seen, labels)
        steps.take(both_ways + 2 * told + 2 * named, [found, *right])


def settle(network: MiniNetwork, names: Names, plan: Plan, progress: Progress) -> None:
    """Stage 4: what the stem sees, close to the names themselves.

    To be told apart from other names is not enough: whatever a token holds besides the name is
    noise to a word that was never taught.
    """
    stem, reader = network.stem, MiniReader(EncoderOptions(), looks=True, all_words=True)
    steps = Steps(progress, "settle", plan.settle_steps, plan.settle_rate, (stem,))
    drawn = steps.over(lambda rng: moving_pictures(rng, plan.pictures, plan.shift_pixels))
    for frames, queries, picture_labels in drawn:
        with half():
            seen = network.unit(stem(torch.from_numpy(frames)))
        both_ways, found = _found_both_ways(network, reader, queries, seen, plan.temperature)
        named, distance, right = names.of_pictures(seen, torch.from_numpy(picture_labels))
        loss = both_ways / 2 + 2 * named + plan.settle_weight * distance
        steps.take(loss, [found, *right, 1 - distance.item()])


def _found_both_ways(
    network: MiniNetwork,
    reader: MiniReader,
    queries: Sequence[str],
    seen: Tensor,
    temperature: float,
) -> tuple[Tensor, float]:
    """Cross entropy of queries among pictures and of pictures among queries; right queries."""
    with half(), torch.no_grad():
        words, mask = embed_queries(network, reader, queries)
    cosines = torch.einsum("qtd,cnd->qctn", words, seen).amax(dim=-1)
    scores = (cosines * mask[:, None]).sum(dim=-1) / mask.sum(dim=1)[:, None]
    own, logits = torch.arange(len(queries)), scores / temperature
    loss = (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
    return loss, float((logits.argmax(1) == own).float().mean())


def join(network: MiniNetwork, plan: Plan, progress: Progress) -> None:
    """Stage 5: whole clips and prose by the kit's loss."""
    reader, loss = MiniReader(EncoderOptions(), looks=True, all_words=True), LOSSES[plan.loss]
    steps = Steps(progress, "join", plan.join_steps, plan.join_rate, (network,))
    drawn = steps.over(lambda rng: asked_clips(rng, plan.clips, plan.prose, plan.shift_pixels))
    for asked in drawn:
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


def steady(network: MiniNetwork, plan: Plan, progress: Progress) -> None:
    """Stage 6: moved pictures against descriptions, and against what was seen of them unmoved.

    Pictures of the world are laid out alike to the pixel, and the stem knows them so: moved by two
    pixels, a tenth to a fifth of them is no longer found first. It learns from what it was before:
    whatever it told of a picture, one of its tokens tells of the moved one, and nothing else.
    """
    stem, reader = network.stem, MiniReader(EncoderOptions(), looks=True, all_words=True)
    before = deepcopy(stem).requires_grad_(False)
    steps = Steps(progress, "steady", plan.steady_steps, plan.steady_rate, (stem,))
    drawn = steps.over(lambda rng: pictures_and_moved_ones(rng, plan.pictures, plan.steady_pixels))
    for frames, moved_frames, queries in drawn:
        with half():
            seen = network.unit(stem(torch.from_numpy(moved_frames)))
            with torch.no_grad():
                known = network.unit(before(torch.from_numpy(frames)))
        both_ways, found = _found_both_ways(network, reader, queries, seen, plan.temperature)
        distance = distance_both_ways(seen, known)
        loss = both_ways / 2 + plan.steady_weight * distance
        steps.take(loss, [found, 1 - distance.item() / 2])


def distance_both_ways(tokens: Tensor, others: Tensor) -> Tensor:
    """Mean distance, 1 - cosine, of tokens from the nearest of the others, and of these from them.

    Args:
        tokens: Unit rows ``(clips, n, 128)``.
        others: Unit rows ``(clips, m, 128)``, of the same clips.

    Returns:
        The sum of both, 0 to 4.
    """
    cosines = tokens @ others.transpose(1, 2)
    return (1 - cosines.amax(dim=2)).mean() + (1 - cosines.amax(dim=1)).mean()


def _encoded_together(clip: ClipInput, encoding: str) -> list[ClipInput]:
    if encoding == "joint":
        return [clip]
    return [only(clip, (modality,)) for modality in (Modality.VIDEO, *TEXT_MODALITIES)]


def _share_right(scores: Tensor) -> float:
    own = torch.arange(len(scores))
    return float((scores.argmax(dim=1) == own).float().mean())
