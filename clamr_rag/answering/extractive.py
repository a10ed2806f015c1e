"""Answers by quoting: the sentences, screen lines and metadata lines that the question points at.

Nothing is generated. Every passage of the retrieved clips is scored against the question by the
same late interaction that found the clips; the best is quoted, then others as long as they match
words of the question that the quotes so far do not. A passage that only repeats words of the
question (often a slide's title) answers nothing: it counts as context of its clip's passages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase

import numpy as np

from clamr_rag.answering import Draft, Prompt, Quote
from clamr_rag.answering.passages import passages
from clamr_rag.encoder import Encoder
from clamr_rag.types import TEXT_MODALITIES, ClipInput, FloatArray, Modality, MultiVector

_MAX_PASSAGES = 400
"""Passages that are scored per question; the clips of a dense transcript have thousands."""
_BATCH_PASSAGES = 32
_MAX_QUOTES = 3
_NEW_WORD_GAIN = 0.30
"""Cosine that a further quote must add to some word of the question."""
_MIN_QUOTE_SCORE = 0.35
"""Mean cosine under which a further quote is not worth reading."""
_CONTEXT_SHARE = 0.8
"""What a word of the question that only the context matches is worth."""

CONFIDENCE_MIDPOINT = 0.48
CONFIDENCE_SLOPE = 20.0
"""Logistic of "is it in the video" in the best passages' score. `eval/calibrate_abstention.py` on
generated lectures (seeds 100-105) fits 0.525 and 20.7; the midpoint is set lower, since a reader
sees at once that a quote does not answer, but learns nothing from a wrong silence."""

_LEADS = {Modality.ASR: "Said", Modality.OCR: "On screen", Modality.DESCRIPTION: "In the metadata"}


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """A passage and its best cosine per query token, ``(T,)``."""

    quote: Quote
    token_cosines: FloatArray


class ExtractiveGenerator:
    """Quotes the evidence; see the module's docstring."""

    name = "extractive"

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def generate(self, prompt: Prompt) -> Draft:
        """Quotes one to three passages of the prompt's clips, or picks a choice by them."""
        found = [p for i, clip in enumerate(prompt.clips) for p in passages(clip.clip, i)]
        if not found:
            return Draft((), "", 0.0)
        found = _fewest(_without_repeats(found), prompt.question)
        vectors = self._encode(found)
        query = self._encoder.encode_query(prompt.question)
        scored = _with_context(prompt.question, _scored(query, found, vectors))
        if not scored:
            return Draft((), "", 0.0)
        quotes = _cover(scored)
        confidence = _confidence(quotes)
        if prompt.choices:
            return self._choose(prompt, found, vectors, scored, confidence)
        return Draft(tuple(q.quote for q in quotes), _sentence(quotes), confidence)

    def _encode(self, found: Sequence[Quote]) -> list[MultiVector]:
        """Encodes passages in batches of like length, and returns them in their own order."""
        order = sorted(range(len(found)), key=lambda number: len(found[number].text))
        vectors: dict[int, MultiVector] = {}
        for start in range(0, len(order), _BATCH_PASSAGES):
            batch = order[start : start + _BATCH_PASSAGES]
            inputs = [_passage_input(found[number]) for number in batch]
            vectors.update(zip(batch, self._encoder.encode_clips(inputs), strict=True))
        return [vectors[number] for number in range(len(found))]

    def _choose(
        self,
        prompt: Prompt,
        found: Sequence[Quote],
        vectors: Sequence[MultiVector],
        scored: Sequence[_Scored],
        confidence: float,
    ) -> Draft:
        """Picks the option that stands in the passages which match the question."""
        by_text = {entry.quote.text: entry for entry in scored}
        best: tuple[float, int, Quote] | None = None
        for number, choice in enumerate(prompt.choices):
            for entry in _scored(self._encoder.encode_query(choice), found, vectors):
                if entry.quote.text not in by_text:
                    continue  # it only repeats the question
                question_score = by_text[entry.quote.text].quote.similarity
                support = entry.quote.similarity + 2 * question_score
                if best is None or support > best[0]:
                    best = support, number, by_text[entry.quote.text].quote
        assert best is not None, "a choice is scored against at least one passage"
        _, number, quote = best
        letter = ascii_uppercase[number]
        text = f"{letter}) {prompt.choices[number]}. {_LEADS[quote.modality]}: “{quote.text}” [1]"
        return Draft((quote,), text, confidence, choice=letter)


def _passage_input(passage: Quote) -> ClipInput:
    return ClipInput(
        ocr=passage.text if passage.modality == Modality.OCR else None,
        asr=passage.text if passage.modality == Modality.ASR else None,
        description=passage.text if passage.modality == Modality.DESCRIPTION else None,
    )


def _without_repeats(found: Sequence[Quote]) -> list[Quote]:
    """Keeps the first of passages with the same words (a title stands in every clip)."""
    first: dict[str, Quote] = {}
    for passage in found:
        first.setdefault(passage.text, passage)
    return list(first.values())


def _fewest(found: list[Quote], question: str) -> list[Quote]:
    """Drops the passages with the fewest words of the question where there are too many."""
    asked = _words(question)
    return sorted(found, key=lambda quote: -len(_words(quote.text) & asked))[:_MAX_PASSAGES]


def _scored(
    query: MultiVector, found: Sequence[Quote], vectors: Sequence[MultiVector]
) -> list[_Scored]:
    """Passages with their score, best first; passages without any token are left out."""
    entries = []
    for passage, vector in zip(found, vectors, strict=True):
        if len(vector):
            cosines = (query.vectors @ vector.vectors.T).max(axis=1)
            entries.append(_rescored(_Scored(passage, cosines), cosines))
    return sorted(entries, key=lambda entry: -entry.quote.similarity)


def _with_context(question: str, scored: Sequence[_Scored]) -> list[_Scored]:
    """Takes out the passages that repeat the question, and credits them to their neighbours.

    If nothing else is left they stay: then they are all there is to show.
    """
    asked = _words(question)
    echoes = [entry for entry in scored if _words(entry.quote.text, entry.quote.modality) <= asked]
    telling = [entry for entry in scored if entry not in echoes]
    context: dict[int, FloatArray] = {}
    for echo in echoes:
        known = context.get(echo.quote.clip_number, np.float32(0.0))
        context[echo.quote.clip_number] = np.maximum(known, _CONTEXT_SHARE * echo.token_cosines)
    credited = [
        _rescored(entry, np.maximum(entry.token_cosines, context[entry.quote.clip_number]))
        if entry.quote.clip_number in context
        else entry
        for entry in telling
    ]
    return sorted(credited or echoes, key=lambda entry: -entry.quote.similarity)


def _words(text: str, modality: Modality = Modality.OTHER) -> set[str]:
    """The words of a text in lower case, without the key of a metadata line."""
    if modality == Modality.DESCRIPTION:
        text = text.partition(": ")[2]
    return set(re.findall(r"\w+", text.lower()))


def _rescored(entry: _Scored, token_cosines: FloatArray) -> _Scored:
    similarity = float(token_cosines.mean())
    return _Scored(replace(entry.quote, similarity=similarity), token_cosines)


def _cover(scored: Sequence[_Scored]) -> list[_Scored]:
    """The best passage, then those that match words of the question not matched so far."""
    chosen = [scored[0]]
    covered = scored[0].token_cosines
    for entry in scored[1:]:
        if len(chosen) == _MAX_QUOTES or entry.quote.similarity < _MIN_QUOTE_SCORE:
            break
        if float((entry.token_cosines - covered).max()) >= _NEW_WORD_GAIN:
            chosen.append(entry)
            covered = np.maximum(covered, entry.token_cosines)
    return chosen


def _confidence(quotes: Sequence[_Scored]) -> float:
    """Probability that the quotes hold the answer: logistic in the words they cover together."""
    covered = np.max([quote.token_cosines for quote in quotes], axis=0)
    return 1 / (1 + math.exp(-CONFIDENCE_SLOPE * (float(covered.mean()) - CONFIDENCE_MIDPOINT)))


def _sentence(quotes: Sequence[_Scored]) -> str:
    parts = [
        f"{_LEADS[entry.quote.modality]}: “{entry.quote.text}” [{number}]"
        for number, entry in enumerate(quotes, start=1)
    ]
    return "; ".join(parts) + "."


assert set(_LEADS) == set(TEXT_MODALITIES)
