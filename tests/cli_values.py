"""Hand-made answers, clips and records for tests of what the command prints."""

from __future__ import annotations

import math

from clamr_rag.index.records import VideoRecord
from clamr_rag.types import (
    Answer,
    Citation,
    Clip,
    Evidence,
    Modality,
    ScoredClip,
    TimeSpan,
    Video,
)

PATH = "/films/lecture.mp4"


def make_record(path: str = PATH, video_id: str = "a" * 16, **changes: object) -> VideoRecord:
    """An indexed video."""
    values: dict[str, object] = {
        "status": "indexed",
        "options_fingerprint": "f",
        "speech_source": "lecture.en.srt",
        "screen_text_source": "rapidocr",
        "num_clips": 120,
    }
    video = Video(video_id, path, "A lecture", 3600.0, 10_000_000)
    return VideoRecord(video=video, **(values | changes))  # type: ignore[arg-type]


def make_clip(rank: int = 1, path: str = PATH, text: str | None = "Q3 results") -> ScoredClip:
    """A clip found by its on-screen text, with one weaker word in its speech."""
    video = make_record(path).video
    return ScoredClip(
        rank=rank,
        clip=Clip(f"{video.video_id}-{rank:05}", video.video_id, rank, TimeSpan(751.2, 772.4)),
        video=video,
        score=0.82,
        best_modality=Modality.OCR,
        modality_scores={Modality.OCR: 0.82, Modality.ASR: math.nan},
        evidence=(
            Evidence("Q3", Modality.OCR, 752.0, text, 0.9),
            Evidence("slide", Modality.ASR, math.nan, "the slide", 0.95),
        ),
    )


def make_answer(
    *, texts: tuple[str | None, ...] = ("Q3 results",), paths: tuple[str, ...] = (PATH,),
    abstained: bool = False, num_clips: int = 4,
) -> Answer:  # fmt: skip
    """An answer with one citation per text, taken from ``num_clips`` clips."""
    clips = tuple(
        make_clip(rank, paths[(rank - 1) % len(paths)]) for rank in range(1, num_clips + 1)
    )
    citations = tuple(
        Citation(
            index=number,
            clip_id=clips[number - 1].clip.clip_id,
            video_id=clips[number - 1].video.video_id,
            video_path=paths[(number - 1) % len(paths)],
            span=TimeSpan(751.0, 772.0),
            modality=Modality.OCR,
            text=text,
            similarity=0.82,
        )
        for number, text in enumerate(texts, start=1)
    )
    return Answer(
        question="Which slide shows the Q3 revenue?",
        text="The videos do not seem to tell." if abstained else "Q3 revenue is $4.2M [1].",
        abstained=abstained,
        confidence=0.9,
        encoder="mini",
        answerer="extractive",
        citations=citations,
        clips=clips,
        timings_seconds={"search": 0.1, "answer": math.inf},
    )
