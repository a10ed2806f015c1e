"""The synthetic world as a benchmark, of retrieval and of questions, rendered or not.

Of a world that is not rendered encoders read pictures that are drawn on the spot (`WorldPool`) and
texts as a perfect extraction would find them; a rendered one (``python -m eval.synthetic make``)
is video files like any other benchmark's, which `load` reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from clamr_rag.errors import UsageError
from clamr_rag.types import ClipInput, Cue, Modality, TimeSpan
from eval.arms.pools import PoolClip, digest, texts_digest
from eval.benchmarks.records import (
    BenchmarkQuestion,
    BenchmarkVideo,
    QaBenchmark,
    RetrievalBenchmark,
    RetrievalCandidate,
    RetrievalQuery,
    Subtitles,
)
from eval.benchmarks.tables import checked_choice
from eval.metrics.moments import Moment
from eval.synthetic import (
    DATA_VERSION,
    Question,
    Split,
    World,
    WorldClip,
    WorldVideo,
    clip_input,
    make_questions,
    make_world,
    read_questions,
    read_world,
)
from eval.synthetic.questions import NAMES

NAME = "synthetic"
RULES = ("strict",)
Form = Literal["choices", "open"]
Wording = Literal["search", "question"]
Groups = Mapping[str, tuple[str, ...]]
_MODALITIES = {name: modality for modality, name in NAMES.items()}
_SECONDS_PER_CLIP = 19.0
"""On average."""


class WorldPool:
    """The clips of a world, their pictures drawn when they are read. Nobody speaks aloud in it."""

    def __init__(
        self,
        clips: Sequence[WorldClip],
        *,
        num_frames: int = 4,
        frame_size: tuple[int, int] = (640, 360),
    ) -> None:
        """Draws nothing yet.

        Args:
            clips: Of one world.
            num_frames: Pictures per clip.
            frame_size: Width and height in pixels.
        """
        self._drawn = tuple(clips)
        self._num_frames, self._frame_size = num_frames, frame_size

    @cached_property
    def clips(self) -> Sequence[PoolClip]:
        """See `ClipPool.clips`."""
        return tuple(
            PoolClip(clip.clip_id, clip.video, clip.span, clip_input(clip, 0))
            for clip in self._drawn
        )

    @cached_property
    def fingerprint(self) -> str:
        """See `ClipPool.fingerprint`; the world's version stands for how pictures are drawn."""
        pictures = f"{DATA_VERSION} {self._num_frames} {self._frame_size}"
        return digest(pictures, texts_digest(self.clips))

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """See `ClipPool.read`."""
        count = self._num_frames if Modality.VIDEO in senses else 0
        for number in numbers:
            yield clip_input(self._drawn[number], count, self._frame_size)


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticRetrieval:
    """Queries about a world, its clips, and of which kind each query is."""

    benchmark: RetrievalBenchmark
    pool: WorldPool
    """Its clip ids are the candidates' ids."""
    groups: Mapping[str, Groups]
    """Per query id: ``kind``, and ``modality`` with all that it needs, e.g. "asr+video"."""


def retrieval_benchmark(
    world: World,
    *,
    num_clips: int | None = None,
    wording: Wording = "search",
    within_video: bool = False,
    num_frames: int = 4,
    frame_size: tuple[int, int] = (640, 360),
) -> SyntheticRetrieval:
    """Makes every clip a candidate and every question that has an answer a query.

    Args:
        world: Of any split.
        num_clips: The first so many clips only, and the queries about them; None for all.
        wording: The question's form as a search, or the question.
        within_video: Search the right video only, instead of all clips.
        num_frames: Pictures per clip.
        frame_size: In pixels.

    Raises:
        UsageError: The world has fewer clips.
    """
    clips = world.clips[:num_clips]
    if num_clips is not None and (num_clips < 1 or num_clips != len(clips)):
        raise UsageError(
            f"got {num_clips} clips", allowed=f"1 to {len(world.clips)} in {world.hours:g} hours"
        )
    here = {clip.clip_id for clip in clips}
    asked = [
        question
        for question in make_questions(world)
        if question.clip_ids and here.issuperset(question.clip_ids)
    ]
    benchmark = RetrievalBenchmark(
        name=NAME,
        split=world.split,
        source=_source(world),
        candidates=tuple(RetrievalCandidate(clip.clip_id, clip.video, clip.span) for clip in clips),
        queries=tuple(_query(question, wording, within_video) for question in asked),
        videos={video.name: _video(video, None, subtitles=True) for video in world.videos},
    )
    pool = WorldPool(clips, num_frames=num_frames, frame_size=frame_size)
    return SyntheticRetrieval(benchmark, pool, {q.id: groups_of(q) for q in asked})


def rendered_retrieval(
    root: Path, *, wording: Wording = "search", within_video: bool = False
) -> SyntheticRetrieval:
    """Reads a rendered world; its videos have paths.

    Args:
        root: The folder that ``python -m eval.synthetic make`` wrote.
        wording: As in `retrieval_benchmark`.
        within_video: Likewise.

    Raises:
        UsageError: The folder holds no world of this version.
    """
    world = _rendered_world(root)
    drawn = retrieval_benchmark(world, wording=wording, within_video=within_video)
    videos = {video.name: _video(video, root, subtitles=True) for video in world.videos}
    missing = tuple(name for name, video in videos.items() if video.path is None)
    benchmark = replace(
        drawn.benchmark, source=_source(world, root), videos=videos, missing_videos=missing
    )
    return replace(drawn, benchmark=benchmark)


def qa_benchmark(
    world: World,
    *,
    form: Form = "choices",
    absent: bool = True,
    folder: Path | None = None,
    subtitles: bool = True,
) -> QaBenchmark:
    """Makes every question of a world one of the benchmark's.

    Args:
        world: Of any split.
        form: With four options, or open.
        absent: Also ask what nothing answers (answer None, group ``kind`` "absent").
        folder: Where the world is rendered; None leaves the videos without a path.
        subtitles: Give the videos the cues that are said in them.
    """
    questions = [q for q in make_questions(world) if absent or q.answer is not None]
    videos = {video.name: _video(video, folder, subtitles=subtitles) for video in world.videos}
    missing = [name for name, video in videos.items() if folder and video.path is None]
    return QaBenchmark(
        name=NAME,
        split=world.split,
        source=_source(world, folder),
        videos=videos,
        questions=tuple(_question(question, form) for question in questions),
        rules=RULES,
        missing_videos=tuple(missing),
    )


def load(
    root: Path, *, form: str = "choices", absent: str = "yes", subtitles: str = "ours"
) -> QaBenchmark:
    """Reads a rendered world.

    Args:
        root: The folder that ``python -m eval.synthetic make`` wrote.
        form: ``"choices"`` or ``"open"``.
        absent: ``"yes"`` also asks what nothing answers, ``"no"`` does not.
        subtitles: ``"ours"``: what is said in the world; ``"none"``.

    Raises:
        UsageError: The folder holds no world of this version, or an option is not one of these.
    """
    checked_choice("form", form, get_args(Form))
    checked_choice("absent", absent, ("yes", "no"))
    checked_choice("subtitles", subtitles, ("ours", "none"))
    world = _rendered_world(root)
    chosen: Form = "open" if form == "open" else "choices"
    return qa_benchmark(
        world, form=chosen, absent=absent == "yes", folder=root, subtitles=subtitles == "ours"
    )


def load_retrieval(
    root: Path, *, wording: str = "search", within_video: str = "no"
) -> RetrievalBenchmark:
    """Reads a rendered world as queries; `rendered_retrieval` also says of which kind each is.

    Args:
        root: The folder that ``python -m eval.synthetic make`` wrote.
        wording: ``"search"`` or ``"question"``.
        within_video: ``"yes"`` searches the right video only, ``"no"`` all of them.

    Raises:
        UsageError: As `load`.
    """
    checked_choice("wording", wording, get_args(Wording))
    checked_choice("within_video", within_video, ("yes", "no"))
    chosen: Wording = "question" if wording == "question" else "search"
    is_within = within_video == "yes"
    return rendered_retrieval(root, wording=chosen, within_video=is_within).benchmark


def world_of_size(seed: int, split: Split, num_clips: int) -> World:
    """The shortest world of whole tenths of an hour that has so many clips.

    Raises:
        UsageError: As `make_world`.
    """
    tenths = max(1, int(num_clips * _SECONDS_PER_CLIP / 360))
    while len((world := make_world(seed, tenths / 10, split)).clips) < num_clips:
        tenths += 1
    return world


def groups_of(question: Question) -> Groups:
    """What a question is filed under: its kind, and all modalities that it needs."""
    return {"kind": (question.kind,), "modality": ("+".join(question.modalities),)}


def gold_modality(question: Question) -> Modality | None:
    """The one modality that answers; None for a question that needs two."""
    names = question.modalities
    return _MODALITIES[names[0]] if len(names) == 1 else None


def _rendered_world(root: Path) -> World:
    world = read_world(root)
    if read_questions(root) != make_questions(world):
        raise UsageError(
            f"{root}/questions.jsonl differs from what its seed makes", hint="make the world anew"
        )
    return world


def _query(question: Question, wording: Wording, within_video: bool) -> RetrievalQuery:
    return RetrievalQuery(
        query_id=question.id,
        text=question.query if wording == "search" else question.question,
        relevant=dict.fromkeys(question.clip_ids, 1),
        modality=gold_modality(question),
        video_id=question.video if within_video else None,
    )


def _question(question: Question, form: Form) -> BenchmarkQuestion:
    video = question.video
    return BenchmarkQuestion(
        question_id=question.id,
        # What is nowhere is asked of all videos at once.
        video_id=video or "",
        text=question.question,
        options=question.choices if form == "choices" else (),
        answer=question.answer if form == "choices" else question.answer_text or None,
        evidence=tuple(Moment(video, TimeSpan(*span)) for span in question.spans if video),
        groups=groups_of(question),
        modality=gold_modality(question),
    )


def _video(video: WorldVideo, folder: Path | None, *, subtitles: bool) -> BenchmarkVideo:
    path = folder / "videos" / video.name if folder else Path(video.name)
    cues: list[Cue] = [cue for clip in video.clips for cue in clip.cues]
    spoken = Subtitles(tuple(cues), path.with_suffix(".srt"), f"synthetic {DATA_VERSION}")
    return BenchmarkVideo(
        video_id=video.name,
        path=path if folder and path.is_file() else None,
        duration_seconds=video.duration_seconds,
        subtitles=spoken if subtitles else None,
    )


def _source(world: World, folder: Path | None = None) -> str:
    made = f"eval.synthetic {DATA_VERSION}, seed {world.seed}, {world.hours:g} hours"
    if folder is None:
        return f"{made}, not rendered"
    digest_of_file = hashlib.sha256((folder / "questions.jsonl").read_bytes()).hexdigest()
    return f"{made}, rendered: questions.jsonl sha256 {digest_of_file}"
