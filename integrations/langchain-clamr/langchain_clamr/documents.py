"""A clip that was found, as a LangChain Document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clamr_rag.answering.plain import one_plain_line
from clamr_rag.types import Clip, ScoredClip, Video
from langchain_core.documents import Document

Scalar = str | int | float

_MARK_EVERY_SECONDS = 5.0
"""Speech and screen text are given a time where the last one is longer ago than this."""
_LONGEST_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A picture of a clip, kept as a file."""

    seconds: float
    """Its true time in the video."""
    path: Path
    """JPEG, absolute."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the vectors of a clip were made with."""

    model_id: str
    """The encoder with its weights and options."""
    index_version: str
    """Fingerprint of the options under which the video was indexed."""


def clip_facts(clip: Clip, video: Video) -> dict[str, Scalar]:
    """The flat metadata of a clip that does not depend on a query; filters see exactly this."""
    return {
        "clip_id": clip.clip_id,
        "video_id": clip.video_id,
        "title": _sendable(video.title),
        "start_s": clip.span.start_seconds,
        "end_s": clip.span.stop_seconds,
        "timecode": _timecode(clip),
        "video_path": _sendable(video.path),
        "modalities": ",".join(["visual", *(label for label, _ in _evidence(clip))]),
    }


def clip_document(
    found: ScoredClip, origin: Origin, keyframes: Sequence[Keyframe] | None = None
) -> Document:
    """The clip as text that says by itself where it comes from, and as flat scalars.

    The header makes the text of every clip its own, so that an ensemble, which takes equal texts
    for one document, keeps clips apart that say the same.
    """
    metadata = clip_facts(found.clip, found.video)
    metadata["model_id"] = origin.model_id
    metadata["index_version"] = origin.index_version
    metadata["score"] = float(found.score)
    metadata["best_modality"] = found.best_modality.label
    if keyframes is not None:
        metadata["keyframes"] = json.dumps(
            [{"t": round(each.seconds, 3), "path": str(each.path)} for each in keyframes]
        )
    return Document(
        id=found.clip.clip_id, page_content=_page(found.clip, found.video), metadata=metadata
    )


def clock(seconds: float) -> str:
    """Seconds as ``HH:MM:SS.s``."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{tenths // 10:02d}.{tenths % 10}"


def _timecode(clip: Clip) -> str:
    return f"{clock(clip.span.start_seconds)}-{clock(clip.span.stop_seconds)}"


def _page(clip: Clip, video: Video) -> str:
    header = f"[{_plain(video.title)} | {_timecode(clip)} | {clip.clip_id}]"
    return "\n".join([header, *(f"{label}: {text}" for label, text in _evidence(clip))])


def _evidence(clip: Clip) -> Iterator[tuple[str, str]]:
    """Label and text of each modality that has words; one line each, whatever was said or shown."""
    begin = clip.span.start_seconds
    shown = ((max(line.first_seconds, begin), line.text) for line in clip.ocr_lines)
    texts = {
        "speech": _timed((cue.start_seconds, cue.text) for cue in clip.cues),
        "ocr": _timed(shown),
        "metadata": "; ".join(filter(None, (_plain(line.text) for line in clip.metadata))),
    }
    return ((label, text) for label, text in texts.items() if text)


def _timed(lines: Iterable[tuple[float, str]]) -> str:
    """Texts in order of time, with a time before the first and then every few seconds."""
    parts: list[str] = []
    marked = float("-inf")
    for seconds, text in sorted(lines, key=lambda line: line[0]):
        words = _plain(text)
        if not words:
            continue
        if seconds - marked >= _MARK_EVERY_SECONDS:
            parts.append(f"({_short_clock(seconds)})")
            marked = seconds
        parts.append(words)
    return " ".join(parts)


def _short_clock(seconds: float) -> str:
    """A second as ``MM:SS``, or as ``H:MM:SS`` from an hour on."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"


def _plain(text: str) -> str:
    """Words of strangers in one line, unable to leave their place in a prompt."""
    return one_plain_line(text, limit=_LONGEST_TEXT)


def _sendable(text: str) -> str:
    """Without halves of surrogate pairs (of names that are not UTF-8): no request carries them."""
    return text.encode("utf-8", "replace").decode()
