"""From a clip of the library to what an encoder reads, and back from a token to its text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clamr_rag.types import Clip, ClipInput, Cue, Frame, MetadataLine, Modality, OcrLine

_Mark = tuple[int, float]
_NO_SECOND = float("nan")
_EDGE_SECONDS = 0.01
"""Seconds of tokens are float32: 0.002 s off in a video of ten hours."""


def clip_input(clip: Clip, frames: Sequence[Frame] = ()) -> ClipInput:
    """Writes a clip's texts line by line, with the second that each character comes from.

    What began before the clip is dated to the clip's start.
    """
    begin = clip.span.start_seconds
    ocr, ocr_marks = _timed_text(
        (line.text, max(line.first_seconds, begin)) for line in clip.ocr_lines
    )
    asr, asr_marks = _timed_text(part for cue in clip.cues for part in _words(cue))
    description, description_marks = _timed_text(
        (line.text, max(line.span.start_seconds, begin) if line.span else _NO_SECOND)
        for line in clip.metadata
    )
    return ClipInput(
        frames=tuple(frame.pixels for frame in frames),
        frame_seconds=tuple(frame.seconds for frame in frames),
        ocr=ocr,
        asr=asr,
        description=description,
        text_marks={
            Modality.OCR: ocr_marks,
            Modality.ASR: asr_marks,
            Modality.DESCRIPTION: description_marks,
        },
    )


def text_at(clip: Clip, modality: Modality, seconds: float | None, token: str) -> str | None:
    """Returns the cue, OCR line or metadata line that a clip token stands for.

    Several lines may share a second (all lines of a slide do): the one with the query token in it
    is preferred, else the last to appear.
    """
    edge = _EDGE_SECONDS
    lines = [
        text
        for text, starts, stops in sorted(_lines(clip, modality), key=lambda line: -line[1])
        if seconds is None or starts - edge <= seconds <= stops + edge
    ]
    matching = [text for text in lines if token.lower() in text.lower()]
    return next(iter(matching or lines), None)


def _timed_text(parts: Iterable[tuple[str, float]]) -> tuple[str | None, tuple[_Mark, ...]]:
    """Joins texts by line breaks; returns the text (None if there is none) and its marks."""
    texts: list[str] = []
    marks: list[_Mark] = []
    offset = 0
    for text, seconds in parts:
        texts.append(text)
        marks.append((offset, seconds))
        offset += len(text) + 1
    return "\n".join(texts) or None, tuple(marks)


def _words(cue: Cue) -> list[tuple[str, float]]:
    """The cue's words with their own times where its source knows them, else the whole cue."""
    if cue.words:
        return [(word.text.strip(), word.start_seconds) for word in cue.words]
    return [(cue.text, cue.start_seconds)]


def _lines(clip: Clip, modality: Modality) -> list[tuple[str, float, float]]:
    """Text, first and last second of every line of a text modality; none for the others."""
    return {
        Modality.ASR: [_cue_line(cue) for cue in clip.cues],
        Modality.OCR: [_ocr_line(line) for line in clip.ocr_lines],
        Modality.DESCRIPTION: [_metadata_line(line) for line in clip.metadata],
    }.get(modality, [])


def _cue_line(cue: Cue) -> tuple[str, float, float]:
    return cue.text, cue.start_seconds, cue.stop_seconds


def _ocr_line(line: OcrLine) -> tuple[str, float, float]:
    return line.text, line.first_seconds, line.last_seconds


def _metadata_line(line: MetadataLine) -> tuple[str, float, float]:
    if line.span is None:
        return line.text, 0.0, float("inf")
    return line.text, line.span.start_seconds, line.span.stop_seconds
