"""Draws what goes into the clips of a world: their lengths, their stagings, their facts."""

from __future__ import annotations

import random

from clamr_rag.types import Modality
from eval.synthetic.facts import Fact, FactBook
from eval.synthetic.lexicon import Lexicon
from eval.synthetic.staging import Staging, draw_staging, near_duplicates

TEXTS = (Modality.ASR, Modality.OCR, Modality.DESCRIPTION)
_CLIP_SECONDS = (16, 22)
"""Shortest and longest clip: any two are longer than the longest clip of the segmenter, and any
one is longer than its shortest, so that it cuts where the clips end."""
_GROUP = 4
"""Clips of one group of near-duplicates."""
_GROUPED_SHARE = 0.5
_RIVAL_SHARE = 0.25
_MISSING_SHARE = {Modality.OCR: 0.12, Modality.ASR: 0.1, Modality.DESCRIPTION: 0.08}


def draw_lengths(rng: random.Random, total: int, longest: int) -> list[list[int]]:
    """Seconds of each clip of each video; all videos are as long as they can be alike."""
    num_videos = -(-total // longest)
    parts = [total // num_videos + (n < total % num_videos) for n in range(num_videos)]
    return [_clip_lengths(rng, part) for part in parts]


def _clip_lengths(rng: random.Random, total: int) -> list[int]:
    """Lengths that add up to the video's, each of them that of a clip."""
    shortest, longest = _CLIP_SECONDS
    count = max(-(-total // longest), min(total // shortest, round(total / 19)))
    seconds = [total // count + (n < total % count) for n in range(count)]
    for _ in range(2 * count):
        giver, taker = rng.randrange(count), rng.randrange(count)
        if giver != taker and seconds[giver] > shortest and seconds[taker] < longest:
            seconds[giver] -= 1
            seconds[taker] += 1
    return seconds


def draw_stagings(
    rng: random.Random, lexicon: Lexicon, number: int
) -> list[tuple[Staging, int | None]]:
    """Stagings in a random order, no two alike in all stated details, with their groups."""
    seen: set[tuple[object, ...]] = set()
    staged: list[tuple[Staging, int | None]] = []
    num_groups = int(number * _GROUPED_SHARE) // _GROUP
    while len(staged) < number:
        group = len(staged) // _GROUP if len(staged) < num_groups * _GROUP else None
        drawn = [draw_staging(rng, lexicon)]
        if group is not None:
            drawn += near_duplicates(rng, lexicon, drawn[0], _GROUP - 1)
        details = [staging.details() for staging in drawn]
        if not seen.isdisjoint(details):
            continue
        seen.update(details)
        staged += [(staging, group) for staging in drawn]
    rng.shuffle(staged)
    return staged


def plant(rng: random.Random, book: FactBook, num_clips: int) -> list[tuple[Fact, ...]]:
    """Facts of each clip, one per text modality that it has.

    Some facts have a rival: the same subject with another value in another modality elsewhere.
    """
    places = [
        (clip, modality)
        for clip in range(num_clips)
        for modality in TEXTS
        if rng.random() >= _MISSING_SHARE[modality]
    ]
    rng.shuffle(places)
    facts: list[dict[Modality, Fact]] = [{} for _ in range(num_clips)]
    while places:
        clip, modality = places.pop()
        fact = book.draw(modality)
        while _clashes(facts[clip], fact):
            fact = book.draw(modality)
        facts[clip][modality] = fact
        # Looked for near the end only: the list is long and in a random order.
        rivals = [place for place in places[-40:] if place[0] != clip and place[1] != modality]
        if rivals and rng.random() < _RIVAL_SHARE:
            other_clip, other_modality = rivals[-1]
            rival = book.rival(fact, other_modality)
            if not _clashes(facts[other_clip], rival):
                facts[other_clip][other_modality] = rival
                places.remove(rivals[-1])
    return [tuple(told[m] for m in TEXTS if m in told) for told in facts]


def _clashes(told: dict[Modality, Fact], fact: Fact) -> bool:
    """Whether a clip's other facts share words with this one."""
    return any(other.words & fact.words for other in told.values())
