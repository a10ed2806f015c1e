"""Clips, questions and libraries for the tests of answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clamr_rag.answering import Prompt
from clamr_rag.answering.footage import Footage
from clamr_rag.config import MediaOptions
from clamr_rag.index.store import Store
from clamr_rag.types import (
    Clip,
    Cue,
    Evidence,
    MetadataLine,
    Modality,
    OcrLine,
    ScoredClip,
    TimeSpan,
    Video,
)

VIDEO = Video("v", "/films/town hall.mp4", "Town hall", 400.0, 1000)
CLIP_SECONDS = 20.0


def clip(number: int, *said: str, video: Video = VIDEO, **texts: object) -> Clip:
    """Clip ``number`` of 20 s, with one cue of a second per sentence."""
    start = CLIP_SECONDS * number
    cues = tuple(Cue(start + i, start + i + 1, text) for i, text in enumerate(said))
    span = TimeSpan(start, start + CLIP_SECONDS)
    clip_id = f"{video.video_id}-{number:05d}"
    return Clip(clip_id, video.video_id, number, span, cues, **texts)  # type: ignore[arg-type]


def line(text: str, first: float = 3, last: float = 9) -> OcrLine:
    return OcrLine(text, first, last, (0.1, 0.1, 0.5, 0.2), 0.9)


def told(text: str) -> MetadataLine:
    return MetadataLine(text, "tags")


def found(
    of: Clip, rank: int = 1, *, video: Video = VIDEO, matched_seconds: Sequence[float] = ()
) -> ScoredClip:
    """A clip that was found, matched by pictures at the given seconds."""
    evidence = tuple(
        Evidence(f"word{i}", Modality.VIDEO, seconds, None, 0.9 - i / 100)
        for i, seconds in enumerate(matched_seconds)
    )
    return ScoredClip(rank, of, video, 0.8, Modality.ASR, {Modality.ASR: 0.8}, evidence)


def prompt_of(
    question: str, *clips: Clip, choices: Sequence[str] = (), video: Video = VIDEO
) -> Prompt:
    """A question with clips of one video, best first."""
    ranked = tuple(found(each, rank, video=video) for rank, each in enumerate(clips, start=1))
    return Prompt(question, tuple(choices), ranked)


def footage_of(folder: Path, *videos: tuple[Video, Sequence[Clip]]) -> Footage:
    """What a library in that folder knows of these videos."""
    store = Store.open(folder)
    if store.encoder is None:
        store.claim_encoder("mini", "mini:1")
    for video, clips in videos:
        store.begin_video(video, "options")
        store.plan_clips(video.video_id, tuple(clips))
    return Footage(store, MediaOptions())
