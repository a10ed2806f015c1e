"""A world: videos of clips in which facts are planted, each in exactly one modality."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from clamr_rag.errors import UsageError
from clamr_rag.types import ClipInput, Cue, Modality, TimeSpan
from eval.synthetic.boards import Board, draw_board
from eval.synthetic.facts import Fact, FactBook
from eval.synthetic.lexicon import Lexicon, Split, read_lexicon
from eval.synthetic.planting import TEXTS, draw_lengths, draw_stagings, plant
from eval.synthetic.staging import Staging, phrase, stated_words
from eval.synthetic.words import content_words, grammatical

DATA_VERSION = "synthetic-1"
"""Changes with everything that changes a world of the same arguments."""
MAX_HOURS = 200.0
_MIN_SECONDS = 60
_SPEECH_DECOY_SHARE, _SCREEN_DECOY_SHARE = 0.5, 0.3
_NUM_FILLERS = 3
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class WorldClip:
    """A stretch of a video with one picture, its texts, and what was planted."""

    clip_id: str
    video: str
    """Name of the file."""
    span: TimeSpan
    """Of the video's time."""
    staging: Staging
    group: int | None
    """Clips of one group are near-duplicates: they differ from its first in one detail."""
    board: Board | None
    """None where nothing is written in the picture."""
    cues: tuple[Cue, ...]
    """In the video's time; empty where nobody speaks."""
    chapter: str | None
    facts: tuple[Fact, ...]
    """At most one per text modality; the picture's are in ``staging``."""
    video_lines: tuple[str, ...]
    """What the video says of itself, all the same for its clips."""

    def fact(self, modality: Modality) -> Fact | None:
        """What a text modality tells."""
        return next((fact for fact in self.facts if fact.modality == modality), None)

    def text(self, modality: Modality) -> str:
        """Everything that a text modality holds, a line each; empty where there is nothing."""
        if modality == Modality.ASR:
            return "\n".join(cue.text for cue in self.cues)
        if modality == Modality.OCR:
            return "\n".join(self.board.texts()) if self.board else ""
        chapter = (f"Chapter: {self.chapter}",) if self.chapter else ()
        return "\n".join((*self.video_lines, *chapter))


@dataclass(frozen=True, slots=True)
class WorldVideo:
    """One video of a world."""

    name: str
    title: str
    description: str
    clips: tuple[WorldClip, ...]
    """In order, without gaps."""

    @property
    def duration_seconds(self) -> float:
        """Where the last clip ends."""
        return self.clips[-1].span.stop_seconds


@dataclass(frozen=True, slots=True)
class World:
    """Videos of one split; the same arguments give the same one."""

    seed: int
    hours: float
    split: Split
    video_minutes: float
    videos: tuple[WorldVideo, ...]
    unseen: tuple[Fact, ...]
    """Facts that are told nowhere, about subjects of their own."""
    people: tuple[str, ...]
    """Names that facts have for values."""

    @property
    def clips(self) -> tuple[WorldClip, ...]:
        """All clips, video by video."""
        return tuple(clip for video in self.videos for clip in video.clips)


def make_world(
    seed: int, hours: float, split: Split = "test", *, video_minutes: float = 10.0
) -> World:
    """Draws a world.

    Args:
        seed: Of all choices.
        hours: Length of all videos together, from a minute on.
        split: Whose objects, words and phrasings are used; no two splits share any.
        video_minutes: Longest video.

    Raises:
        UsageError: A number that is out of bounds, or no such split.
    """
    _check(seed, hours, video_minutes)
    # 1 and 1.0 are one world.
    hours, video_minutes = float(hours), float(video_minutes)
    lexicon = read_lexicon(split)
    rng = random.Random(f"{DATA_VERSION} {split} {seed} {hours} {video_minutes}")
    lengths = draw_lengths(rng, round(hours * 3600), round(video_minutes * 60))
    num_clips = sum(map(len, lengths))
    staged = draw_stagings(rng, lexicon, num_clips)
    book = FactBook(rng, lexicon, 3 * num_clips)
    planted = plant(rng, book, num_clips)
    unseen = tuple(book.draw(rng.choice(TEXTS)) for _ in range(max(3, num_clips // 4)))
    videos, first = [], 0
    for number, seconds in enumerate(lengths):
        plans = [
            _Plan(length, staging, group, facts)
            for length, (staging, group), facts in zip(
                seconds, staged[first:], planted[first:], strict=False
            )
        ]
        first += len(seconds)
        others = [staging for staging, _ in rng.sample(staged, min(40, num_clips))]
        name = f"{split}-{seed}-{number:03d}.mp4"
        videos.append(_video(rng, lexicon, name, number, plans, others))
    return World(seed, hours, lexicon.split, video_minutes, tuple(videos), unseen, book.people)


def clip_input(
    clip: WorldClip, num_frames: int = 4, size: tuple[int, int] = (640, 360)
) -> ClipInput:
    """What an encoder reads of a clip, with pictures drawn on the spot.

    Args:
        clip: A clip of a world.
        num_frames: Pictures, from the middles of equal parts of the clip; 0 for none.
        size: Width and height of a picture in pixels.
    """
    from eval.synthetic.pictures import frame_seconds, frames_of

    texts = {modality: clip.text(modality) or None for modality in TEXTS}
    return ClipInput(
        frames=tuple(frames_of(clip, num_frames, size)),
        frame_seconds=frame_seconds(clip, num_frames),
        ocr=texts[Modality.OCR],
        asr=texts[Modality.ASR],
        description=texts[Modality.DESCRIPTION],
    )


def _check(seed: int, hours: float, video_minutes: float) -> None:
    if not 0 <= seed < 1 << 63:
        raise UsageError(f"got seed {seed}", allowed="0 or more, below 2^63")
    if not _MIN_SECONDS / 3600 <= hours <= MAX_HOURS:
        raise UsageError(f"got {hours} hours", allowed=f"a minute (0.0167) to {MAX_HOURS:g}")
    if not _MIN_SECONDS / 60 <= video_minutes <= 60 * MAX_HOURS:
        raise UsageError(
            f"got videos of {video_minutes} minutes", allowed=f"1 to {60 * MAX_HOURS:g}"
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a clip is made of."""

    seconds: int
    staging: Staging
    group: int | None
    facts: tuple[Fact, ...]


def _video(
    rng: random.Random,
    lexicon: Lexicon,
    name: str,
    number: int,
    plans: list[_Plan],
    others: list[Staging],
) -> WorldVideo:
    title = rng.choice(lexicon.titles).format(number=number + 1)
    description = rng.choice(lexicon.descriptions)
    lines = (f"Title: {title}", f"Description: {description}")
    clips, start = [], 0
    for place, plan in enumerate(plans):
        span = TimeSpan(start, start + plan.seconds)
        clip_id = f"{name.removesuffix('.mp4')}-{place:04d}"
        clips.append(_clip(rng, lexicon, clip_id, name, span, plan, others, lines))
        start += plan.seconds
    return WorldVideo(name, title, description, tuple(clips))


def _clip(
    rng: random.Random,
    lexicon: Lexicon,
    clip_id: str,
    video: str,
    span: TimeSpan,
    plan: _Plan,
    others: list[Staging],
    video_lines: tuple[str, ...],
) -> WorldClip:
    by_modality = {fact.modality: fact for fact in plan.facts}
    seen = stated_words(lexicon, plan.staging)
    taken = seen.union(*(fact.words for fact in plan.facts))
    spoken, written = by_modality.get(Modality.ASR), by_modality.get(Modality.OCR)
    listed = by_modality.get(Modality.DESCRIPTION)
    board = None
    if written:
        decoy = _decoy(rng, lexicon, others, taken, _SCREEN_DECOY_SHARE)
        board = draw_board(
            rng, lexicon, written, decoy and grammatical(decoy), taken - written.words
        )
        taken |= content_words(" ".join(board.texts()))
    cues: tuple[Cue, ...] = ()
    if spoken:
        sentences = _speech(rng, lexicon, spoken, others, taken)
        cues = _timed(sentences, span)
    return WorldClip(
        clip_id=clip_id,
        video=video,
        span=span,
        staging=plan.staging,
        group=plan.group,
        board=board,
        cues=cues,
        chapter=listed.told() if listed else None,
        facts=plan.facts,
        video_lines=video_lines,
    )


def _speech(
    rng: random.Random, lexicon: Lexicon, fact: Fact, others: list[Staging], taken: set[str]
) -> list[str]:
    """Sentences among which one tells the fact, and one may speak of what is not to be seen."""
    fillers = [text for text in lexicon.fillers if not content_words(text) & taken]
    sentences = [fact.told(), *rng.sample(fillers, min(_NUM_FILLERS, len(fillers)))]
    decoy = _decoy(rng, lexicon, others, taken, _SPEECH_DECOY_SHARE)
    if decoy:
        sentences[-1] = grammatical(rng.choice(lexicon.decoys).format(staging=decoy))
    rng.shuffle(sentences)
    return sentences


def _decoy(
    rng: random.Random, lexicon: Lexicon, others: list[Staging], taken: set[str], share: float
) -> str | None:
    """Describes a picture of another clip, in words that are true of nothing in this one."""
    if rng.random() >= share:
        return None
    for staging in rng.sample(others, min(12, len(others))):
        text = phrase(lexicon, staging)
        if not content_words(text) & taken:
            return text
    return None


def _timed(sentences: list[str], span: TimeSpan) -> tuple[Cue, ...]:
    """Spreads sentences over a span, each as long as its words ask for; the last ends with it."""
    weights = [len(sentence) + 10 for sentence in sentences]
    ends = [
        span.start_seconds + span.duration_seconds * told / sum(weights)
        for told in itertools.accumulate(weights)
    ]
    starts = [span.start_seconds, *ends]
    # A pause after the last one, too, would move the cut to before the picture's.
    stops = [*(end - _PAUSE_SECONDS for end in ends[:-1]), span.stop_seconds]
    return tuple(
        Cue(round(start, 3), round(stop, 3), sentence)
        for start, stop, sentence in zip(starts, stops, sentences, strict=False)
    )
