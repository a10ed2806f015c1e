"""Writes a world as files: videos with subtitles and sidecars, questions, and what made them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pysubs2

from clamr_rag.cli.slide_video import Shot, write_slide_video
from clamr_rag.errors import UsageError
from eval.synthetic.asking import make_questions
from eval.synthetic.pictures import SIZE, draw_frame, draw_ground, moves
from eval.synthetic.questions import write_questions
from eval.synthetic.world import DATA_VERSION, World, WorldClip, WorldVideo, make_world

FPS = 4
_CRF = 24
"""Letters of 14 pixels stay sharp."""

OnVideo = Callable[[WorldVideo], None]


def render(world: World, folder: str | Path, *, on_video: OnVideo | None = None) -> None:
    """Writes ``videos/*.mp4`` with ``.srt`` and ``.info.json``, questions.jsonl, world.json.

    world.json is written last: a folder that has it is whole.

    Args:
        world: What is written.
        folder: Where to; made if it is not there, and must be empty if it is.
        on_video: Is told each video that is written.

    Raises:
        UsageError: The folder holds something, or is a file.
    """
    folder = Path(folder)
    _check_empty(folder)
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    for video in world.videos:
        write_video(video, videos)
        if on_video is not None:
            on_video(video)
    questions = make_questions(world)
    write_questions(questions, folder / "questions.jsonl")
    text = json.dumps(_summary(world, len(questions)), indent=1)
    (folder / "world.json").write_text(text + "\n", encoding="utf-8")


def write_video(video: WorldVideo, folder: Path) -> Path:
    """Writes one video with its sidecars; returns the video's path."""
    path = folder / video.name
    _subtitles(video).save(str(path.with_suffix(".srt")))
    path.with_suffix(".info.json").write_text(_info_json(video), encoding="utf-8")
    write_slide_video(
        path, _shots(video), size=SIZE, fps=FPS, tags={"title": video.title}, crf=_CRF
    )
    return path


def read_world(folder: str | Path) -> World:
    """Makes the world anew whose files are in a folder.

    Raises:
        UsageError: There is no world.json, or it was written by another version.
    """
    path = Path(folder) / "world.json"
    if not path.is_file():
        raise UsageError(f"no world.json in {str(folder)!r}", hint="was its making cut short?")
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        version = made["data_version"]
        arguments = int(made["seed"]), float(made["hours"]), made["split"]
        video_minutes = float(made["video_minutes"])
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} tells of no world: {error!r}") from error
    if version != DATA_VERSION:
        raise UsageError(
            f"{path} is of version {version!r}", allowed=DATA_VERSION, hint="make the world anew"
        )
    return make_world(*arguments, video_minutes=video_minutes)


def _check_empty(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UsageError(f"{str(folder)!r} is a file or not empty", allowed="a new or empty folder")


def _shots(video: WorldVideo) -> Iterator[Shot]:
    for clip in video.clips:
        ground = draw_ground(clip)
        rate = FPS if moves(clip.staging) else 0
        yield Shot(clip.span.duration_seconds, partial(draw_frame, clip, ground), rate)


def _subtitles(video: WorldVideo) -> pysubs2.SSAFile:
    subtitles = pysubs2.SSAFile()
    for clip in video.clips:
        for cue in clip.cues:
            start = pysubs2.make_time(s=cue.start_seconds)
            stop = pysubs2.make_time(s=cue.stop_seconds)
            subtitles.append(pysubs2.SSAEvent(start, stop, cue.text))
    return subtitles


def _info_json(video: WorldVideo) -> str:
    """As yt-dlp writes it."""
    chapters = [
        {
            "title": clip.chapter,
            "start_time": clip.span.start_seconds,
            "end_time": clip.span.stop_seconds,
        }
        for clip in video.clips
        if clip.chapter
    ]
    told = {"title": video.title, "description": video.description, "chapters": chapters}
    return json.dumps(told, indent=1) + "\n"


def _summary(world: World, num_questions: int) -> dict[str, object]:
    """What made the world, how large it is, and where its clips are."""
    return {
        "data_version": DATA_VERSION,
        "seed": world.seed,
        "hours": world.hours,
        "split": world.split,
        "video_minutes": world.video_minutes,
        "fps": FPS,
        "size": list(SIZE),
        "num_videos": len(world.videos),
        "num_clips": len(world.clips),
        "num_questions": num_questions,
        "videos": [
            {
                "video": video.name,
                "duration_seconds": video.duration_seconds,
                "clips": _spans(video.clips),
            }
            for video in world.videos
        ],
    }


def _spans(clips: tuple[WorldClip, ...]) -> list[list[object]]:
    return [[clip.clip_id, clip.span.start_seconds, clip.span.stop_seconds] for clip in clips]
