"""From a generator's draft to an answer whose citations are true."""

from __future__ import annotations

from collections.abc import Mapping

from clamr_rag.answering import Draft, Prompt, Quote
from clamr_rag.types import Answer, Citation

NOT_FOUND = "The videos do not seem to tell."


def resolve(
    prompt: Prompt,
    draft: Draft,
    *,
    abstain_below: float,
    encoder: str,
    answerer: str,
    answerer_reason: str | None = None,
    timings_seconds: Mapping[str, float],
) -> Answer:
    """Turns quotes into citations whose clip, file and times come from the index.

    A draft that declines, or of less confidence than the threshold, becomes an abstention: it
    says and cites nothing; what came nearest is among the clips.
    """
    reason = _why_not(draft, abstain_below)
    abstained = reason is not None
    return Answer(
        question=prompt.question,
        text=NOT_FOUND if abstained else draft.text,
        abstained=abstained,
        confidence=draft.confidence,
        encoder=encoder,
        answerer=answerer,
        choice=None if abstained else draft.choice,
        citations=() if abstained else _citations(prompt, draft),
        clips=prompt.clips,
        timings_seconds=timings_seconds,
        answerer_reason=answerer_reason,
        reason=reason,
        statements=() if abstained else draft.statements,
        notes=draft.notes,
    )


def _why_not(draft: Draft, abstain_below: float) -> str | None:
    """Why the draft is no answer, None if it is one."""
    if draft.declined:
        return draft.declined
    if not draft.quotes and draft.choice is None:
        return "nothing was found to answer from"
    if draft.confidence < abstain_below:
        return f"confidence {draft.confidence:.2f} is below {abstain_below:g}"
    return None


def _citations(prompt: Prompt, draft: Draft) -> tuple[Citation, ...]:
    return tuple(_citation(prompt, quote, i) for i, quote in enumerate(draft.quotes, start=1))


def _citation(prompt: Prompt, quote: Quote, index: int) -> Citation:
    video = prompt.video(quote.clip.video_id)
    return Citation(
        index=index,
        clip_id=quote.clip.clip_id,
        video_id=video.video_id,
        video_path=video.path,
        span=quote.span,
        modality=quote.modality,
        text=quote.text,
        similarity=max(0.0, min(1.0, quote.similarity)),
    )
