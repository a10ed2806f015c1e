"""The sentences of a clip that can be quoted, with their times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from clamr_rag.answering.sentences import SENTENCE_END
from clamr_rag.types import Clip, Cue, Modality, TimeSpan

_LONGEST_SENTENCE_SECONDS = 20.0
_SHORTEST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Passage:
    """One sentence said, line shown or metadata line of a clip."""

    clip: Clip
    modality: Modality
    text: str
    span: TimeSpan
    """When it is said, shown, or what time the metadata line speaks of."""


def passages(clip: Clip) -> list[Passage]:
    """Returns every sentence said, line shown and metadata line of a clip.

    Texts are those of the clip, character for character, but for line breaks.
    """
    said = [(Modality.ASR, text, span) for text, span in _sentences(clip.cues)]
    shown = [
        (Modality.OCR, line.text, TimeSpan(line.first_seconds, line.last_seconds))
        for line in clip.ocr_lines
    ]
    told = [(Modality.DESCRIPTION, line.text, line.span or clip.span) for line in clip.metadata]
    return [
        Passage(clip, modality, text, _within(clip.span, span, modality))
        for modality, text, span in [*said, *shown, *told]
    ]


def _within(clip: TimeSpan, span: TimeSpan, modality: Modality) -> TimeSpan:
    """Cuts a span to its clip (speech may run on past the cut) and gives a lone frame a length."""
    start = min(max(span.start_seconds, clip.start_seconds), clip.stop_seconds)
    limit = span.stop_seconds if modality == Modality.ASR else clip.stop_seconds
    stop = min(max(span.stop_seconds, start + _SHORTEST_SECONDS), max(limit, start))
    return TimeSpan(start, stop)


def _sentences(cues: Iterable[Cue]) -> list[tuple[str, TimeSpan]]:
    """Joins cues until a sentence ends, and cuts cues that hold several sentences.

    Subtitles break lines for the eye, so a sentence often spans two or three cues. The time of a
    cut inside a cue is interpolated by characters.
    """
    sentences: list[tuple[str, TimeSpan]] = []
    text, spans = "", list[TimeSpan]()
    for cue in cues:
        for part, span, ends in _parts(cue):
            too_long = spans and span.stop_seconds - spans[0].start_seconds
            if too_long and too_long > _LONGEST_SENTENCE_SECONDS:
                sentences.append((text, _cover(spans)))
                text, spans = "", []
            text = f"{text} {part}".strip()
            spans.append(span)
            if ends:
                sentences.append((text, _cover(spans)))
                text, spans = "", []
    return [*sentences, (text, _cover(spans))] if spans else sentences


def _parts(cue: Cue) -> list[tuple[str, TimeSpan, bool]]:
    """Pieces of a cue between sentence ends: text, time, and whether the sentence ends there."""
    text = " ".join(cue.text.split())
    if not text:
        return []
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    cuts = [0, *ends] if ends and ends[-1] == len(text) else [0, *ends, len(text)]
    seconds_per_character = (cue.stop_seconds - cue.start_seconds) / len(text)
    times = [cue.start_seconds + cut * seconds_per_character for cut in cuts]
    return [
        (text[start:stop].strip(), TimeSpan(first, max(first, last)), stop in ends)
        for (start, stop), (first, last) in zip(pairwise(cuts), pairwise(times), strict=True)
    ]


def _cover(spans: list[TimeSpan]) -> TimeSpan:
    return TimeSpan(spans[0].start_seconds, max(span.stop_seconds for span in spans))
