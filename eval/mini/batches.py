"""What each stage of the training reads, drawn on the spot and never twice."""

from __future__ import annotations

import ast
import json
import random
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from clamr_rag.encoder.stem import HEIGHT, NUM_FRAMES, WIDTH, fitted
from clamr_rag.types import ByteArray, ClipInput, Modality
from eval.arms.pools import moved
from eval.mini.labels import SIZE, Labels, patch_labels, picture_labels
from eval.mini.wording import decoy, description, picture_query, renamed
from eval.synthetic.asking import make_questions
from eval.synthetic.pictures import draw_frame, draw_ground, frames_of
from eval.synthetic.world import World, WorldClip, make_world

_WORLD_HOURS = 10.0
_RENAMED_SHARE = 0.8
_SIZES = ((224, 126), (320, 180), (448, 252))
_TEXTS = (Modality.OCR, Modality.ASR, Modality.DESCRIPTION)
_DROPPED_SHARE = 0.15
_FALSE_PICTURE_SHARE = 0.3
_DECOY_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, the clip it is about, and the modality that it was written from."""

    query: str
    clip: ClipInput
    gold: Modality


def still_frames(
    rng: random.Random, count: int, shift_pixels: int = 0
) -> Iterator[tuple[ByteArray, Labels, Labels]]:
    """Endless batches of single frames with the labels of their patches and of the whole.

    Args:
        rng: Of everything that is drawn.
        count: Of frames in a batch.
        shift_pixels: How far a picture is moved at most, in both directions.

    Yields:
        uint8 ``(count, 1, HEIGHT, WIDTH, 3)``, `patch_labels` and `picture_labels` of each.
    """
    clips = _clips_one_by_one(rng)
    while True:
        frames = np.zeros((count, 1, HEIGHT, WIDTH, 3), np.uint8)
        patches, pictures = [], []
        for row in range(count):
            clip = next(clips)
            motion = rng.choice(("still", "still", "spin"))
            clip = replace(clip, staging=replace(clip.staging, motion=motion))
            seconds = rng.random() * clip.span.duration_seconds
            picture = draw_frame(clip, draw_ground(clip, SIZE), seconds)
            shift = _shift(rng, shift_pixels)
            frames[row, 0] = moved(fitted([np.asarray(picture)])[0], shift)
            patches.append(patch_labels(clip, seconds, shift))
            pictures.append(picture_labels(clip.staging))
        yield frames, np.stack(patches), np.array(pictures)


def moving_pictures(
    rng: random.Random, count: int, shift_pixels: int = 0
) -> Iterator[tuple[ByteArray, list[str], Labels]]:
    """Endless batches of clips' frames, near-duplicates among them, with a query for each.

    Args:
        rng: Of everything that is drawn.
        count: Of clips in a batch.
        shift_pixels: How far the frames of a clip are moved at most, all alike.

    Yields:
        uint8 ``(count, 4, HEIGHT, WIDTH, 3)``, queries, `picture_labels` of each.
    """
    for clips in _groups_batched(rng, count):
        frames = np.stack([_frames(rng, clip, shift_pixels) for clip in clips])
        queries = [picture_query(rng, clip, description(rng, clip)) for clip in clips]
        yield frames, queries, np.array([picture_labels(clip.staging) for clip in clips])


def pictures_and_moved_ones(
    rng: random.Random, count: int, shift_pixels: int
) -> Iterator[tuple[ByteArray, ByteArray, list[str]]]:
    """Endless batches of `moving_pictures`, twice: as they are, and each clip moved by itself.

    Yields:
        Both, uint8 ``(count, 4, HEIGHT, WIDTH, 3)``, and queries.
    """
    for frames, queries, _ in moving_pictures(rng, count):
        yield frames, np.stack([moved(clip, _shift(rng, shift_pixels)) for clip in frames]), queries


def asked_clips(
    rng: random.Random, num_clips: int, num_prose: int, shift_pixels: int = 0
) -> Iterator[tuple[list[Asked], list[Asked]]]:
    """Endless batches of clips of the world and of prose, each asked in two ways.

    Args:
        rng: Of everything that is drawn.
        num_clips: Of the world in a batch.
        num_prose: Paragraphs in it.
        shift_pixels: As in `moving_pictures`.

    Yields:
        Two lists about the same clips in the same order: for a clip of the world a query about its
        picture and one about its texts, for prose two questions.
    """
    prose = prose_pairs(rng)
    for clips, questions in _groups_with_questions(rng, num_clips):
        first, second = [], []
        stated = [description(rng, clip) for clip in clips]
        for place, clip in enumerate(clips):
            searched = picture_query(rng, clip, stated[place])
            told = questions.get(clip.clip_id, ())
            text, gold = rng.choice(told) if told else (searched, Modality.VIDEO)
            shown = rng.randrange(len(clips))
            false = decoy(rng, stated[shown]) if shown != place else None
            kept = _with_missing(rng, clip, gold, false, shift_pixels)
            first.append(Asked(searched, kept, Modality.VIDEO))
            second.append(Asked(text, kept, gold))
        for _ in range(num_prose):
            paragraph, (one, other) = next(prose)
            read = _prose_clip(rng, paragraph, rng.choice(clips), shift_pixels)
            first.append(Asked(one, *read))
            second.append(Asked(other, *read))
        yield first, second


def _frames(rng: random.Random, clip: WorldClip, shift_pixels: int) -> ByteArray:
    frames = fitted(list(frames_of(clip, NUM_FRAMES, rng.choice(_SIZES))))
    return moved(frames, _shift(rng, shift_pixels))


def _shift(rng: random.Random, most: int) -> tuple[int, int]:
    return rng.randint(-most, most), rng.randint(-most, most)


def _with_missing(
    rng: random.Random, clip: WorldClip, gold: Modality, false: str | None, shift_pixels: int
) -> ClipInput:
    """The clip as an encoder reads it.

    Now and then without a text that is not asked about, or with a line that describes another
    picture of the batch in the very words of its query.
    """
    texts = {
        modality: clip.text(modality) or None
        for modality in _TEXTS
        if modality == gold or rng.random() >= _DROPPED_SHARE
    }
    there = [modality for modality in (Modality.ASR, Modality.OCR) if texts.get(modality)]
    if false and there and rng.random() < _DECOY_SHARE:
        home = rng.choice(there)
        texts[home] = f"{texts[home]}\n{false}"
    return ClipInput(
        frames=tuple(_frames(rng, clip, shift_pixels)),
        frame_seconds=tuple(map(float, range(NUM_FRAMES))),
        ocr=texts.get(Modality.OCR),
        asr=texts.get(Modality.ASR),
        description=texts.get(Modality.DESCRIPTION),
    )


def _prose_clip(
    rng: random.Random, paragraph: str, other: WorldClip, shift_pixels: int
) -> tuple[ClipInput, Modality]:
    """A paragraph as one of the texts, now and then under a picture of something else."""
    gold = rng.choice((Modality.ASR, Modality.ASR, Modality.OCR, Modality.DESCRIPTION))
    has_picture = rng.random() < _FALSE_PICTURE_SHARE
    return ClipInput(
        frames=tuple(_frames(rng, other, shift_pixels)) if has_picture else (),
        frame_seconds=tuple(map(float, range(NUM_FRAMES))) if has_picture else (),
        ocr=paragraph if gold == Modality.OCR else None,
        asr=paragraph if gold == Modality.ASR else None,
        description=paragraph if gold == Modality.DESCRIPTION else None,
    ), gold


def prose_pairs(rng: random.Random) -> Iterator[tuple[str, tuple[str, str]]]:
    """Endless paragraphs with two questions each: hand-written ones, and Python's docstrings."""
    written, documented = _written_prose(), docstrings()
    while True:
        if rng.random() < 0.5:
            yield rng.choice(written)
        else:
            summary, rest = rng.choice(documented)
            yield rest, (summary, summary)


@cache
def _written_prose() -> list[tuple[str, tuple[str, str]]]:
    path = Path(__file__).parents[1] / "prose" / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(row["paragraph"], tuple(row["questions"])) for row in rows]


@cache
def docstrings() -> list[tuple[str, str]]:
    """Summary and body of docstrings of the standard library: English prose on every machine."""
    pairs = set()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                summary, _, body = (ast.get_docstring(node) or "").partition("\n\n")
                summary, body = " ".join(summary.split()), " ".join(body.split())
                if len(summary) > 30 and len(body) > 80:
                    pairs.add((summary[:200], body[:400]))
    return sorted(pairs)


def _clips_one_by_one(rng: random.Random) -> Iterator[WorldClip]:
    while True:
        clips = list(_world(rng).clips)
        rng.shuffle(clips)
        for clip in clips:
            # Sketches come with the next stage: with all of them at once no kind is learned in
            # 4,000 steps (a ninth right, against two thirds).
            yield renamed(clip, rng.random(), redraw=False)


def _groups_batched(rng: random.Random, count: int) -> Iterator[list[WorldClip]]:
    while True:
        yield from _batches_of(rng, _world(rng), count, _RENAMED_SHARE)


def _groups_with_questions(
    rng: random.Random, count: int
) -> Iterator[tuple[list[WorldClip], dict[str, list[tuple[str, Modality]]]]]:
    """Batches of clips, and what can be asked of the texts of each clip of their world."""
    while True:
        world = _world(rng)
        asked, rivals = _text_questions(world)
        for clips in _batches_of(rng, world, count, _RENAMED_SHARE, rivals):
            yield clips, asked


def _text_questions(
    world: World,
) -> tuple[dict[str, list[tuple[str, Modality]]], dict[str, list[WorldClip]]]:
    """Queries and rivals by clip.

    The queries' finding modality is a text, so that renamed pictures do not matter. Rivals tell
    the same of the same subject otherwise, in another modality: side by side they teach what
    "according to the speaker" means.
    """
    clips = {clip.clip_id: clip for clip in world.clips}
    rivals: dict[str, list[WorldClip]] = {}
    golds = {"asr": Modality.ASR, "ocr": Modality.OCR, "description": Modality.DESCRIPTION}
    found: dict[str, list[tuple[str, Modality]]] = {}
    for question in make_questions(world):
        gold = golds.get(question.modalities[0])
        if gold is None or not question.clip_ids:
            continue
        wordings = found.setdefault(question.clip_ids[0], [])
        wordings += [(question.query, gold), (question.question, gold)]
        of_clip = rivals.setdefault(question.clip_ids[0], [])
        of_clip += [clips[rival] for rival in question.rival_ids]
    return found, rivals


def _batches_of(
    rng: random.Random,
    world: World,
    count: int,
    renamed_share: float,
    rivals: Mapping[str, Sequence[WorldClip]] = MappingProxyType({}),
) -> Iterator[list[WorldClip]]:
    """Batches in which groups of near-duplicates stay whole, and bring their rivals along."""
    groups: dict[object, list[WorldClip]] = {}
    for clip in world.clips:
        groups.setdefault(clip.clip_id if clip.group is None else clip.group, []).append(clip)
    waiting = list(groups.values())
    rng.shuffle(waiting)
    batch: list[WorldClip] = []
    for own in waiting:
        in_batch = {clip.clip_id for clip in batch}
        taken = in_batch | {clip.clip_id for clip in own}
        brought = {
            rival.clip_id: rival
            for clip in own
            for rival in rivals.get(clip.clip_id, ())
            if rival.clip_id not in taken
        }
        group = [*own, *brought.values()]
        if len(batch) + len(group) > count or len(taken) < len(in_batch) + len(own):
            continue
        seed = rng.random()
        is_renamed = rng.random() < renamed_share
        batch += [renamed(clip, seed) if is_renamed else clip for clip in group]
        if len(batch) == count:
            yield batch
            batch = []


def _world(rng: random.Random) -> World:
    return make_world(rng.randrange(1 << 30), _WORLD_HOURS, "train")
