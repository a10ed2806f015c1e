"""Answers that a model writes, held against the evidence that it was given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clamr_rag.answering import ChatModel, Draft, OnText, Prompt, Quote
from clamr_rag.answering.evidence import EvidenceClip, EvidenceSheet, assemble
from clamr_rag.answering.footage import Footage
from clamr_rag.answering.letters import picked_letter
from clamr_rag.answering.marks import CitationMarks
from clamr_rag.answering.plain import PlainReply
from clamr_rag.answering.prompts import NOT_IN_VIDEO, message_of
from clamr_rag.answering.sentences import sentence_spans, without_list_sign
from clamr_rag.answering.support import (
    ENOUGH_WORDS,
    overlap,
    share_of,
    telling,
    without_true_times,
)
from clamr_rag.answering.suspicion import reads_like_instruction
from clamr_rag.answering.thoughts import ThoughtFilter
from clamr_rag.config import AnswerOptions
from clamr_rag.errors import AnswererError
from clamr_rag.types import Modality, Statement, Support

UNSUPPORTED_MARK = "[?]"
"""Stands after a sentence that nothing in its evidence bears out."""
GRADES: dict[Support, float] = {"text": 1.0, "pictures": 0.75, "none": 0.0}
"""What a sentence adds to the confidence of an answer, which is their mean: half the sentences must
be borne out to pass the default threshold. A scale, not a probability, until
`eval/calibrate_abstention.py` has been run with the model in question."""
UNCITED_CHOICE = 0.5
"""Confidence of an option that is picked without a citation; its sentences can add as much."""

_MARK = re.compile(r"\[(\d+)\]")
_CLIP_NAME = re.compile(r"\bclips? #?\d+\b(?:(?:,| and|, and| &) #?\d+\b)*", re.IGNORECASE)
_WRAPPING = " #*_.!\"'“”‘’"
_DECLINES = re.compile(
    # The phrase as told, or in other letters where nothing but a stop or a line follows.
    rf"[\W_]*(?:(?i:answer)[\W_]+)?(?:{NOT_IN_VIDEO}[\"'”’*_]*(?=[\W_]*$|\s*[.!,:;(\[\n–—-])"
    rf"|(?i:{NOT_IN_VIDEO})[\"'”’*_]*(?=[\W_]*$|\s*[.!:;(\n–—-]))"
)


class GeneratedAnswers:
    """A `Generator` around a `ChatModel`."""

    def __init__(self, model: ChatModel, footage: Footage, options: AnswerOptions) -> None:
        """Asks nothing yet."""
        self._model = model
        self._footage = footage
        self._options = options

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    def generate(self, prompt: Prompt, on_text: OnText | None = None) -> Draft:
        """Shows the model the evidence; its sentences are checked and its citations resolved."""
        if not prompt.clips:
            return Draft((), "", 0.0, declined="nothing was found to answer from")
        sheet = assemble(
            prompt, self._footage, self._options, with_pictures=self._model.reads_pictures
        )
        if not sheet.clips:
            why = "the clips found hold nothing that this model can read"
            return Draft((), "", 0.0, declined=why, notes=sheet.notes)
        marks = CitationMarks(len(sheet.clips))
        spoken = []
        for piece in _trimmed(self._pieces(prompt, sheet, marks)):
            spoken.append(piece)
            if on_text:
                on_text(piece)
        if not spoken:
            raise AnswererError(
                f"{self.name} said nothing", hint="ask again, or take another --answerer"
            )
        return draft_of(prompt, sheet, "".join(spoken), marks)

    def _pieces(self, prompt: Prompt, sheet: EvidenceSheet, marks: CitationMarks) -> Iterator[str]:
        thoughts, plain = ThoughtFilter(), PlainReply()
        for piece in self._model.stream(message_of(prompt, sheet)):
            yield marks.feed(plain.feed(thoughts.feed(piece)))
        yield marks.feed(plain.feed(thoughts.finish()) + plain.finish())
        yield marks.finish()


def _trimmed(pieces: Iterable[str]) -> Iterator[str]:
    """Pieces without the white space before the first word and after the last."""
    spaces, has_begun = "", False
    for piece in pieces:
        text = spaces + piece if has_begun else piece.lstrip()
        shown = text.rstrip()
        spaces = text[len(shown) :]
        has_begun = has_begun or bool(shown)
        if shown:
            yield shown


def draft_of(prompt: Prompt, sheet: EvidenceSheet, reply: str, marks: CitationMarks) -> Draft:
    """What a reply amounts to.

    Args:
        prompt: The question.
        sheet: What the model was shown.
        reply: Its words, with the marks that `marks` has rewritten.
        marks: Which clips they are of.
    """
    notes = list(sheet.notes)
    if marks.num_invented:
        many = marks.num_invented > 1
        notes.append(
            f"{marks.num_invented} citation{'s' if many else ''} of clips that do not exist "
            f"{'were' if many else 'was'} dropped"
        )
    choice = picked_letter(reply, prompt.letters, prompt.choices) if prompt.choices else None
    cited = [sheet.clips[number - 1] for number in marks.cited]
    if why := _why_no_answer(prompt, reply, choice, cited):
        if reply.strip(_WRAPPING).upper() != NOT_IN_VIDEO:
            notes.append(_said(reply))
        return Draft((), reply, 0.0, declined=why, notes=tuple(notes))
    option = prompt.choices[prompt.letters.index(choice)] if choice else ""
    checked = list(_checked(reply, cited, prompt.question, option))
    quotes = tuple(_quote(each, n, checked) for n, each in enumerate(cited, start=1))
    return Draft(
        quotes,
        _with_marks(reply, checked),
        _confidence(checked, choice),
        choice=choice,
        statements=tuple(each.statement for each in checked),
        notes=tuple(notes),
    )


def _why_no_answer(
    prompt: Prompt, reply: str, choice: str | None, cited: Sequence[EvidenceClip]
) -> str | None:
    """Why a reply answers nothing, None if it does answer."""
    alone = any(_DECLINES.fullmatch(line.rstrip(_WRAPPING)) for line in reply.splitlines())
    if _DECLINES.match(reply) or (alone and not cited):
        return "the model finds no answer in the clips it was shown"
    if prompt.choices and choice is None:
        return f"the model named no option of {prompt.letters} as it was told to"
    if not cited and choice is None:
        return "the model cited none of the clips it was given"
    return None


def _said(reply: str) -> str:
    return f"the model said: {' '.join(reply.split())[:300]}"


@dataclass(frozen=True, slots=True)
class _Checked:
    """A statement, what it claims, and where it stops in the reply."""

    statement: Statement
    claim: str
    stop: int


def _checked(
    reply: str, cited: Sequence[EvidenceClip], question: str, option: str
) -> Iterator[_Checked]:
    """Grades each sentence against the clips it cites, or else against all that are cited."""
    for start, stop in sentence_spans(reply):
        sentence = reply[start:stop]
        numbers = dict.fromkeys(map(int, _MARK.findall(sentence)))
        own = tuple(number for number in numbers if 1 <= number <= len(cited))
        claim = _CLIP_NAME.sub(" ", _MARK.sub(" ", without_list_sign(sentence))).strip()
        if not any(sign.isalnum() for sign in claim):
            continue
        if not telling(claim).words:
            if not own:
                continue  # "Answer: B", "Yes."
            claim = option or claim
        yield _Checked(Statement(sentence, own, _grade(claim, own, cited, question)), claim, stop)


def _grade(claim: str, own: Sequence[int], cited: Sequence[EvidenceClip], question: str) -> Support:
    clips = [cited[number - 1] for number in own] or list(cited)
    claim = without_true_times(claim, [each.clip.span for each in clips])
    if share_of(claim, _texts(clips), question) >= ENOUGH_WORDS:
        return "text"
    return "pictures" if own and any(each.frames for each in clips) else "none"


def _texts(clips: Sequence[EvidenceClip]) -> list[str]:
    """What may bear out a claim: an order to the machine bears out nothing."""
    texts = [passage.text for clip in clips for passage in clip.passages]
    return [text for text in texts if not reads_like_instruction(text)]


def _quote(each: EvidenceClip, index: int, checked: Sequence[_Checked]) -> Quote:
    """The passage of a cited clip that says most of what cites it, else the clip as a whole."""
    scored = [
        (overlap(c.claim, passage.text), passage)
        for c in checked
        if index in c.statement.citations
        for passage in each.passages
        if not reads_like_instruction(passage.text)
    ]
    share, best = max(scored, key=lambda pair: pair[0], default=(0.0, None))
    if best is not None and share > 0:
        return Quote(each.clip, best.modality, best.text, best.span, share)
    shown = Modality.VIDEO if each.frames else each.passages[0].modality
    return Quote(each.clip, shown, None, each.clip.span, each.found.score if each.found else 0.0)


def _with_marks(reply: str, checked: Sequence[_Checked]) -> str:
    """The reply with a mark after each sentence that nothing bears out."""
    for each in reversed(checked):
        if each.statement.support == "none":
            reply = f"{reply[: each.stop]} {UNSUPPORTED_MARK}{reply[each.stop :]}"
    return reply


def _confidence(checked: Sequence[_Checked], choice: str | None) -> float:
    grades = [GRADES[each.statement.support] for each in checked]
    mean = sum(grades) / len(grades) if grades else 0.0
    return mean if choice is None else UNCITED_CHOICE + (1 - UNCITED_CHOICE) * mean
