"""What a model is to answer from: the clips found and what surrounds them, within budgets.

The clips stand in time order, since a story told by rank is told wrongly, and are numbered in that
order: these numbers are all that a model cites. The best clips fill the budgets first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from clamr_rag.answering import Prompt
from clamr_rag.answering.footage import Footage, even_seconds
from clamr_rag.answering.lines import evidence_line, fitted
from clamr_rag.answering.passages import Passage, passages
from clamr_rag.answering.plain import one_plain_line
from clamr_rag.answering.suspicion import reads_like_instruction, suspicion_notes
from clamr_rag.config import AnswerOptions
from clamr_rag.errors import MediaError
from clamr_rag.types import Clip, Frame, Modality, ScoredClip, Video

_SAME_MOMENT_SECONDS = 0.5
"""Two wishes nearer than this would show much the same picture twice."""
_KINDS = {Modality.OCR: "screen text"}
"""Where the label is no noun."""
_OVERVIEW = ""
"""Owner of the pictures that belong to no clip."""


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceClip:
    """One clip as a model is shown it."""

    number: int
    """1 for the first: what a model writes to cite it."""
    clip: Clip
    video: Video
    found: ScoredClip | None
    """None for a neighbour of a clip that was found."""
    passages: tuple[Passage, ...] = ()
    """What is said, shown and told, in time order; a text too long is cut short."""
    frames: tuple[Frame, ...] = ()
    """In time order."""


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceSheet:
    """All that a model is shown of the videos."""

    clips: tuple[EvidenceClip, ...]
    """In time order; ``clips[n - 1]`` has number ``n``. A clip with nothing to show is none."""
    overview: tuple[Frame, ...]
    """Pictures spread evenly over the video of the best clip."""
    overview_video: Video | None
    notes: tuple[str, ...]
    """What the reader of the answer should know about the evidence."""


def assemble(
    prompt: Prompt, footage: Footage, options: AnswerOptions, *, with_pictures: bool
) -> EvidenceSheet:
    """Gathers the evidence for a prompt with at least one clip."""
    by_rank = _with_neighbours(prompt, footage, options.neighbours)
    filled, notes = _filled(by_rank, options)
    in_order = _in_time_order(filled)
    overview: tuple[Frame, ...] = ()
    if with_pictures and options.frames:
        in_order, overview, faults = _with_frames(prompt, in_order, footage, options)
        notes += faults
    shown = [each for each in in_order if each.passages or each.frames]
    numbered = tuple(replace(each, number=n) for n, each in enumerate(shown, start=1))
    notes += suspicion_notes(
        (passage, each.video)
        for each in numbered
        for passage in each.passages
        if reads_like_instruction(passage.text)
    )
    best_video = prompt.clips[0].video if overview else None
    return EvidenceSheet(numbered, overview, best_video, tuple(dict.fromkeys(notes)))


def _with_neighbours(prompt: Prompt, footage: Footage, reach: int) -> list[EvidenceClip]:
    """The clips found by rank, then those before and after them, each once; numbers to come."""
    found = [EvidenceClip(0, each.clip, each.video, each) for each in _once(prompt)]
    once = {each.clip.clip_id: each for each in found}
    videos = {each.video.video_id for each in found}
    of_video = {video_id: footage.clips(video_id) for video_id in videos} if reach else {}
    for each in found:
        for clip in of_video.get(each.video.video_id, ()):
            if abs(clip.number - each.clip.number) <= reach:
                once.setdefault(clip.clip_id, EvidenceClip(0, clip, each.video, None))
    return list(once.values())


def _once(prompt: Prompt) -> list[ScoredClip]:
    """The clips found, by rank, each once (whoever searches twice may find one twice)."""
    first: dict[str, ScoredClip] = {}
    for found in prompt.clips:
        first.setdefault(found.clip.clip_id, found)
    return list(first.values())


def _filled(
    by_rank: Sequence[EvidenceClip], options: AnswerOptions
) -> tuple[list[EvidenceClip], list[str]]:
    """Gives the clips their texts, the best first, until a modality's budget is spent.

    What counts is the line that the model reads, with its time and its line break.
    """
    left = {
        Modality.ASR: options.speech_characters,
        Modality.OCR: options.screen_characters,
        Modality.DESCRIPTION: options.metadata_characters,
    }
    filled, told = list[EvidenceClip](), set[tuple[str, str]]()
    spent, shortened = set[Modality](), set[Modality]()
    for each in by_rank:
        kept = []
        for passage in passages(each.clip):
            modality, fact = passage.modality, (each.video.video_id, passage.text)
            # A title stands in every clip; once is enough.
            repeated = modality == Modality.DESCRIPTION and fact in told
            if repeated or modality in spent or not passage.text.strip():
                continue
            shown = fitted(passage, left[modality])
            if shown is None:
                spent.add(modality)
                continue
            if len(shown.text) < len(passage.text):
                shortened.add(modality)
            left[modality] -= len(evidence_line(shown)) + 1
            told.add(fact)
            kept.append(shown)
        kept.sort(key=lambda passage: (passage.span.start_seconds, passage.modality))
        filled.append(replace(each, passages=tuple(kept)))
    notes = [
        f"not all {_KINDS.get(modality, modality.label)} fitted into what the model reads"
        for modality in sorted(spent | shortened)
    ]
    return filled, notes


def _in_time_order(clips: Sequence[EvidenceClip]) -> list[EvidenceClip]:
    """Videos in order of their best clip, clips in order of time."""
    videos = dict.fromkeys(each.video.video_id for each in clips)
    order = {video_id: number for number, video_id in enumerate(videos)}
    return sorted(clips, key=lambda each: (order[each.video.video_id], each.clip.number))


# --- pictures


def _with_frames(
    prompt: Prompt, clips: Sequence[EvidenceClip], footage: Footage, options: AnswerOptions
) -> tuple[list[EvidenceClip], tuple[Frame, ...], list[str]]:
    """Reads each video once for the pictures of its clips and, of the best one, the overview."""
    num_overview = min(options.overview_frames, options.frames // 4)
    shares = _shares(_once(prompt), options.frames - num_overview)
    best = prompt.clips[0].video
    overview: tuple[Frame, ...] = ()
    pictured: list[EvidenceClip] = []
    faults: list[str] = []
    for video_id, group in groupby(clips, key=lambda each: each.video.video_id):
        of_video = list(group)
        video = of_video[0].video
        wishes = [
            (seconds, each.clip.clip_id)
            for each in of_video
            if each.found
            for seconds in _moments(each.found, shares[each.clip.clip_id])
        ]
        if video_id == best.video_id:
            even = even_seconds(0.0, video.duration_seconds, num_overview)
            wishes += [(seconds, _OVERVIEW) for seconds in even]
        try:
            shown = _granted(video, sorted(wishes), footage, options.frame_side)
        except MediaError as fault:
            faults.append(f"no pictures of {one_plain_line(video.title, 80)} were shown: {fault}")
            shown = {}
        overview = shown.get(_OVERVIEW, overview)
        pictured += [replace(each, frames=shown.get(each.clip.clip_id, ())) for each in of_video]
    return pictured, overview, faults


def _granted(
    video: Video, wishes: Sequence[tuple[float, str]], footage: Footage, max_side: int
) -> dict[str, tuple[Frame, ...]]:
    """The pictures of each clip and of the overview, in time order, none of them twice.

    Where slides stand still for long, two clips wish for one picture: the earlier clip gets it, and
    the overview gets only what no clip shows.
    """
    frames = footage.frames(video, [seconds for seconds, _ in wishes], max_side=max_side)
    # There are fewer frames than wishes where the pictures end before the sound does.
    pairs = [(owner, frame) for (_, owner), frame in zip(wishes, frames, strict=False)]
    owners: dict[float, tuple[str, Frame]] = {}
    for owner, frame in sorted(pairs, key=lambda pair: pair[0] == _OVERVIEW):
        owners.setdefault(frame.seconds, (owner, frame))
    shown: dict[str, tuple[Frame, ...]] = {}
    for _, (owner, frame) in sorted(owners.items()):
        shown[owner] = (*shown.get(owner, ()), frame)
    return shown


def _shares(clips: Sequence[ScoredClip], num_frames: int) -> dict[str, int]:
    """Pictures per clip: equal parts, the rest to the best."""
    each, rest = divmod(num_frames, len(clips))
    return {found.clip.clip_id: each + (n < rest) for n, found in enumerate(clips)}


def _moments(found: ScoredClip, count: int) -> list[float]:
    """Seconds to look at a clip: half of them where the question matched a picture, else evenly."""
    start, stop = found.clip.span.start_seconds, found.clip.span.stop_seconds
    matched = [
        (evidence.similarity, evidence.seconds)
        for evidence in found.evidence
        if evidence.modality == Modality.VIDEO and evidence.seconds is not None
    ]
    chosen: list[float] = []
    for _, seconds in sorted(matched, reverse=True):
        if len(chosen) < (count + 1) // 2:
            # A picture that stands still may have come up before its clip begins.
            _add_apart(chosen, min(max(seconds, start), stop))
    for seconds in even_seconds(start, stop, count - len(chosen)):
        _add_apart(chosen, seconds)
    return sorted(chosen)


def _add_apart(chosen: list[float], seconds: float) -> None:
    if all(abs(seconds - other) >= _SAME_MOMENT_SECONDS for other in chosen):
        chosen.append(seconds)
