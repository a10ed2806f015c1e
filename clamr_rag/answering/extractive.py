"""Answers by quoting: the sentences, screen lines and metadata lines that the question points at.

Nothing is generated. Every passage of the retrieved clips is scored against the question by the
same late interaction that found the clips; the best is quoted, then others as long as they match
words of the question that the quotes so far do not. Words that a question asks with ("who is the")
are left out of the score, whether or not the encoder has rows for them: a sentence that answers
does not say them, and one that does not may. A passage that only repeats words of the
question (often a slide's title) answers nothing: it counts as context of its clip's passages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase

import numpy as np

from clamr_rag.answering import Draft, OnText, Prompt, Quote
from clamr_rag.answering.confidence import calibration_notes, calibration_of
from clamr_rag.answering.passages import Passage, passages
from clamr_rag.answering.suspicion import reads_like_instruction, suspicion_notes
from clamr_rag.encoder import Encoder
from clamr_rag.encoder.stop_words import STOP_WORDS
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

_LEADS = {Modality.ASR: "Said", Modality.OCR: "On screen", Modality.DESCRIPTION: "In the metadata"}


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """A passage and its best cosine per query token, ``(T,)``."""

    passage: Passage
    token_cosines: FloatArray

    @property
    def similarity(self) -> float:
        """Mean over the query tokens."""
        return float(self.token_cosines.mean())

    def quote(self) -> Quote:
        """The passage as a draft quotes it."""
        passage = self.passage
        return Quote(passage.clip, passage.modality, passage.text, passage.span, self.similarity)


class ExtractiveGenerator:
    """Quotes the evidence; see the module's docstring."""

    name = "extractive"

    def __init__(self, encoder: Encoder, *, abstain_below: float = 0.0) -> None:
        """Scores passages with an encoder.

        Args:
            encoder: Of the library.
            abstain_below: A draft of less confidence will be no answer, so it is not told early.
        """
        self._encoder = encoder
        self._calibration = calibration_of(encoder.name)
        self._abstain_below = abstain_below

    def generate(self, prompt: Prompt, on_text: OnText | None = None) -> Draft:
        """Quotes one to three passages of the prompt's clips, or picks a choice by them.

        Passages that read like an instruction to a machine are noted and never quoted.
        """
        draft = self._draft(prompt)
        if on_text and draft.quotes and draft.confidence >= self._abstain_below:
            on_text(draft.text)
        return draft

    def _draft(self, prompt: Prompt) -> Draft:
        everything = [passage for found in prompt.clips for passage in passages(found.clip)]
        sound = [each for each in everything if not reads_like_instruction(each.text)]
        notes = suspicion_notes(
            (each, prompt.video(each.clip.video_id))
            for each in everything
            if reads_like_instruction(each.text)
        )
        draft = self._answered(prompt, sound)
        # Without a quote the confidence is 0 whatever the encoder.
        doubts = calibration_notes(self._encoder.name) if draft.quotes else ()
        return replace(draft, notes=(*notes, *doubts))

    def _answered(self, prompt: Prompt, found: list[Passage]) -> Draft:
        if not found:
            return Draft((), "", 0.0)
        found = _fewest(_without_repeats(found), prompt.question)
        vectors = self._encode(found)
        query = self._encode_asked(prompt.question)
        scored = _with_context(prompt.question, _scored(query, found, vectors))
        if not scored:
            return Draft((), "", 0.0)
        quotes = _cover(scored)
        confidence = self._calibration.confidence(_match(quotes))
        if prompt.choices:
            return self._choose(prompt, found, vectors, scored, confidence)
        return Draft(tuple(each.quote() for each in quotes), _sentence(quotes), confidence)

    def _encode_asked(self, text: str) -> MultiVector:
        """Encodes a question or a choice, and keeps the rows of what it asks for."""
        return _telling(text, self._encoder.encode_query(text))

    def _encode(self, found: Sequence[Passage]) -> list[MultiVector]:
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
        found: Sequence[Passage],
        vectors: Sequence[MultiVector],
        scored: Sequence[_Scored],
        confidence: float,
    ) -> Draft:
        """Picks the option that stands in the passages which match the question."""
        by_text = {entry.passage.text: entry for entry in scored}
        best: tuple[float, int, _Scored] | None = None
        for number, choice in enumerate(prompt.choices):
            for entry in _scored(self._encode_asked(choice), found, vectors):
                if entry.passage.text not in by_text:
                    continue  # it only repeats the question
                asked = by_text[entry.passage.text]
                support = entry.similarity + 2 * asked.similarity
                if best is None or support > best[0]:
                    best = support, number, asked
        assert best is not None, "a choice is scored against at least one passage"
        _, number, chosen = best
        passage = chosen.passage
        letter = ascii_uppercase[number]
        text = (
            f"{letter}) {prompt.choices[number]}. {_LEADS[passage.modality]}: “{passage.text}” [1]"
        )
        return Draft((chosen.quote(),), text, confidence, choice=letter)


def _passage_input(passage: Passage) -> ClipInput:
    return ClipInput(
        ocr=passage.text if passage.modality == Modality.OCR else None,
        asr=passage.text if passage.modality == Modality.ASR else None,
        description=passage.text if passage.modality == Modality.DESCRIPTION else None,
    )


def _without_repeats(found: Sequence[Passage]) -> list[Passage]:
    """Keeps the first of passages with the same words (a title stands in every clip)."""
    first: dict[str, Passage] = {}
    for passage in found:
        first.setdefault(passage.text, passage)
    return list(first.values())


def _fewest(found: list[Passage], question: str) -> list[Passage]:
    """Drops the passages with the fewest words of the question where there are too many."""
    asked = _words(question)
    return sorted(found, key=lambda passage: -len(_words(passage.text) & asked))[:_MAX_PASSAGES]


def _telling(text: str, query: MultiVector) -> MultiVector:
    """Leaves out the rows of stop words; a text of nothing else keeps all its rows."""
    kept = [
        row
        for row, word in enumerate(_words_of_tokens(text, query.tokens))
        if word not in STOP_WORDS
    ]
    if not kept:
        return query
    tokens = tuple(query.tokens[row] for row in kept)
    return MultiVector(query.vectors[kept], query.modalities[kept], query.seconds[kept], tokens)


def _words_of_tokens(text: str, tokens: Sequence[str]) -> list[str]:
    """The whole word that each token is a piece of, in lower case; "" where it is of none.

    A piece may look like a stop word: "is" of "Francis" is none.
    """
    words, here = [], 0
    spans = [match.span() for match in re.finditer(r"\w+", text)]
    for token in tokens:
        place = text.find(token.strip(), here)
        start = max(place, here)
        word = next((text[a:b] for a, b in spans if place >= 0 and a <= start < b), "")
        words.append(word.lower())
        here = start + len(token.strip()) if place >= 0 else here
    return words


def _scored(
    query: MultiVector, found: Sequence[Passage], vectors: Sequence[MultiVector]
) -> list[_Scored]:
    """Passages with their score, best first; passages without any token are left out."""
    entries = []
    for passage, vector in zip(found, vectors, strict=True):
        if len(vector):
            cosines = (query.vectors @ vector.vectors.T).max(axis=1)
            entries.append(_Scored(passage, cosines))
    return sorted(entries, key=lambda entry: -entry.similarity)


def _with_context(question: str, scored: Sequence[_Scored]) -> list[_Scored]:
    """Takes out the passages that repeat the question, and credits them to their neighbours.

    If nothing else is left they stay: then they are all there is to show.
    """
    asked = _words(question)
    echoes = [
        entry for entry in scored if _words(entry.passage.text, entry.passage.modality) <= asked
    ]
    telling = [entry for entry in scored if entry not in echoes]
    context: dict[str, FloatArray] = {}
    for echo in echoes:
        clip_id = echo.passage.clip.clip_id
        known = context.get(clip_id, np.float32(0.0))
        context[clip_id] = np.maximum(known, _CONTEXT_SHARE * echo.token_cosines)
    credited = [
        replace(entry, token_cosines=np.maximum(entry.token_cosines, context[clip_id]))
        if (clip_id := entry.passage.clip.clip_id) in context
        else entry
        for entry in telling
    ]
    return sorted(credited or echoes, key=lambda entry: -entry.similarity)


def _words(text: str, modality: Modality = Modality.OTHER) -> set[str]:
    """The words of a text in lower case, without the key of a metadata line."""
    if modality == Modality.DESCRIPTION:
        text = text.partition(": ")[2]
    return set(re.findall(r"\w+", text.lower()))


def _cover(scored: Sequence[_Scored]) -> list[_Scored]:
    """The best passage, then those that match words of the question not matched so far."""
    chosen = [scored[0]]
    covered = scored[0].token_cosines
    for entry in scored[1:]:
        if len(chosen) == _MAX_QUOTES or entry.similarity < _MIN_QUOTE_SCORE:
            break
        if float((entry.token_cosines - covered).max()) >= _NEW_WORD_GAIN:
            chosen.append(entry)
            covered = np.maximum(covered, entry.token_cosines)
    return chosen


def _match(quotes: Sequence[_Scored]) -> float:
    """Score that the confidence is read off: mean cosine of the words one clip's quotes cover.

    Quotes of other clips than the first one's are shown but vouch for nothing. The name in one
    clip and what is asked, of another name, in the next match every word and answer nothing.
    """
    clip_id = quotes[0].passage.clip.clip_id
    together = [quote for quote in quotes if quote.passage.clip.clip_id == clip_id]
    return float(np.max([quote.token_cosines for quote in together], axis=0).mean())


def _sentence(quotes: Sequence[_Scored]) -> str:
    parts = [
        f"{_LEADS[entry.passage.modality]}: “{entry.passage.text}” [{number}]"
        for number, entry in enumerate(quotes, start=1)
    ]
    return "; ".join(parts) + "."


assert set(_LEADS) == set(TEXT_MODALITIES)
