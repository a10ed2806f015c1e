"""From the clips found to an answer: what is read of the subtitles, and what the model was shown.

Answers come from `clamr_rag.answering.make_generator`, as a user of the library gets them: its
prompt, its evidence, its quotes. Three things are added: the subtitle mode, a blind question where
no clip may be seen, and a record of what the model was shown and what it wrote.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from clamr_rag.answering import ChatModel, Draft, Generator, Message, Prompt, make_generator
from clamr_rag.answering.evidence import assemble
from clamr_rag.answering.footage import Footage
from clamr_rag.answering.thoughts import ThoughtFilter
from clamr_rag.config import AnswerOptions, Options
from clamr_rag.encoder import Encoder
from clamr_rag.errors import UsageError
from clamr_rag.index.store import Store
from clamr_rag.types import Clip, Frame, Modality, ScoredClip
from eval.run_records import SubtitleMode

_MARK = re.compile(r"(?<=marks that begin with )[0-9a-f]{12}")
"""The random mark, where the library's rules name it."""
_ALL = 1_000_000
"""More neighbours than any video has clips."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one question."""

    draft: Draft
    reply: str | None
    """As a record has it."""
    frame_seconds: tuple[float, ...]
    prompt_characters: int
    prompt_sha256: str | None
    answer_seconds: float
    prompt_tokens: int | None = None
    reply_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as a model's server counts them."""

    prompt_tokens: int
    reply_tokens: int


class QaReader:
    """Answers questions from clips of one library, in one subtitle mode."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        options: Options,
        subtitles: SubtitleMode,
        *,
        device: str = "auto",
        dtype: str = "auto",
        model: ChatModel | None = None,
        is_blind: bool = False,
    ) -> None:
        """Loads the model that the options name.

        Args:
            store: Of the library.
            encoder: Scores passages for the extractive answerer.
            options: Of the library.
            subtitles: What is read of them.
            device: Where a local model runs.
            dtype: Number format of its weights.
            model: Takes the place of the options' answerer.
            is_blind: No clip is ever found: what is read is the question, and in mode "full" the
                subtitles.

        Raises:
            UsageError: The mode needs what the options do not give.
            ModelMissingError: The model is not on this machine.
        """
        answer = _options_of_mode(options.answer, subtitles, is_blind)
        self._store, self._options, self._subtitles = store, answer, subtitles
        self._is_blind = is_blind
        self._footage = _SpokenNeighbours(store, options, only_speech=subtitles == "full")
        chosen = model or _model_of(answer, device, dtype)
        self._recorded = RecordedModel(chosen) if chosen else None
        self._generator: Generator = make_generator(
            answer, encoder, self._footage, model=self._recorded
        ).generator

    @property
    def name(self) -> str:
        """The answerer, as records name it."""
        return self._generator.name

    def read(self, question: str, choices: Sequence[str], clips: Sequence[ScoredClip]) -> Reading:
        """Answers from the clips found, best first.

        Raises:
            AnswererError: The model cannot be reached, refuses, or says nothing.
        """
        prompt = Prompt(question, tuple(choices), tuple(clips))
        started = time.monotonic()
        prompt = self._in_mode(prompt)
        recorded = self._recorded
        if recorded is None:
            draft = self._generator.generate(prompt)
            seconds = time.monotonic() - started
            reply = draft.choice if choices else draft.text or None
            return Reading(draft, reply, (), 0, None, seconds)
        recorded.forget()
        draft = self._generator.generate(prompt) if prompt.clips else _blind_draft(recorded, prompt)
        seconds = time.monotonic() - started
        usage = recorded.usage
        return Reading(
            draft,
            recorded.reply,
            tuple(frame.seconds for frame in recorded.frames),
            recorded.num_characters,
            recorded.sha256,
            seconds,
            usage.prompt_tokens if usage else None,
            usage.reply_tokens if usage else None,
        )

    def read_all_speech(
        self, question: str, choices: Sequence[str], video_ids: Sequence[str]
    ) -> Reading:
        """Answers a blind question from all that is said in some videos."""
        return self.read(question, choices, self._spoken(video_ids, ()))

    def _in_mode(self, prompt: Prompt) -> Prompt:
        """The clips with what the mode lets a reader see of their speech."""
        if not prompt.clips or self._is_blind:
            return prompt
        if self._subtitles == "sampled":
            return replace(prompt, clips=_with_cues_on_show(prompt, self._footage, self._options))
        if self._subtitles == "full" and self._recorded is None:
            # A model's neighbours are read beside the clips; an extractive answerer has none.
            videos = list(dict.fromkeys(found.clip.video_id for found in prompt.clips))
            rest = self._spoken(videos, prompt.clips)
            return replace(prompt, clips=(*prompt.clips, *rest))
        return prompt

    def _spoken(
        self, video_ids: Sequence[str], found: Sequence[ScoredClip]
    ) -> tuple[ScoredClip, ...]:
        """All other clips of some videos with nothing but their speech, behind those found."""
        seen = {each.clip.clip_id for each in found}
        clips = [
            (clip, self._store.video(video_id).video)
            for video_id in video_ids
            for clip in self._store.clips(video_id)
            if clip.clip_id not in seen and clip.cues
        ]
        return tuple(
            ScoredClip(rank, only_speech(clip), video, 0.0, Modality.ASR, {Modality.ASR: 0.0})
            for rank, (clip, video) in enumerate(clips, start=len(found) + 1)
        )


def only_speech(clip: Clip) -> Clip:
    """A clip without screen text and metadata."""
    return replace(clip, ocr_lines=(), metadata=())


def _options_of_mode(
    options: AnswerOptions, subtitles: SubtitleMode, is_blind: bool
) -> AnswerOptions:
    if is_blind:
        return options.model_copy(update={"frames": 0, "overview_frames": 0, "neighbours": 0})
    if subtitles == "full":
        # All of it, as published protocols have it: what the model cannot read it refuses itself.
        return options.model_copy(update={"neighbours": _ALL, "speech_characters": 100_000_000})
    if subtitles == "sampled":
        if not options.frames:
            raise UsageError(
                "subtitles sampled go with the pictures shown, got --frames 0",
                allowed="--frames 1 or more",
            )
        # A neighbour and an overview show no picture of a clip, so nothing is on show in them.
        return options.model_copy(update={"neighbours": 0, "overview_frames": 0})
    return options


def _with_cues_on_show(
    prompt: Prompt, footage: Footage, options: AnswerOptions
) -> tuple[ScoredClip, ...]:
    """The clips found, each with the cues that its pictures were taken in."""
    sheet = assemble(prompt, footage, options, with_pictures=True)
    times = {each.clip.clip_id: [f.seconds for f in each.frames] for each in sheet.clips}
    return tuple(
        replace(found, clip=_with_cues_at(found.clip, times.get(found.clip.clip_id, ())))
        for found in prompt.clips
    )


def _with_cues_at(clip: Clip, seconds: Sequence[float]) -> Clip:
    cues = [cue for cue in clip.cues if any(cue.span.contains(second) for second in seconds)]
    return replace(clip, cues=tuple(cues))


class _SpokenNeighbours(Footage):
    """Footage whose clips, which are read as neighbours only, may be reduced to speech."""

    def __init__(self, store: Store, options: Options, *, only_speech: bool) -> None:
        super().__init__(store, options.media)
        self._only_speech = only_speech

    def clips(self, video_id: str) -> tuple[Clip, ...]:
        """All clips of a video, in time order."""
        clips = super().clips(video_id)
        return tuple(map(only_speech, clips)) if self._only_speech else clips


# --- the model


def _model_of(options: AnswerOptions, device: str, dtype: str) -> ChatModel | None:
    """The model that an answerer's name stands for; None for the extractive one."""
    kind, _, name = options.answerer.partition(":")
    if kind == "openai":
        from eval.qa_models import CountedOpenAiModel

        return CountedOpenAiModel(name, options)
    if kind == "hf":
        from clamr_rag.answering.video_llm import VideoLlm

        return VideoLlm.load(name, options, device=device, dtype=dtype)
    if kind == "auto":
        raise UsageError(
            "got --answerer auto", allowed="extractive, openai:MODEL or hf:PATH",
            hint="a run says by name what answered",
        )  # fmt: skip
    return None


class RecordedModel:
    """A `ChatModel` that keeps what it was last shown and what it wrote."""

    def __init__(self, model: ChatModel) -> None:
        """Asks nothing yet."""
        self._model = model
        self.forget()

    def forget(self) -> None:
        """Starts anew: what is kept is of one question."""
        self._message: Message | None = None
        self._pieces: list[str] = []

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    @property
    def reads_pictures(self) -> bool:
        """The model's."""
        return self._model.reads_pictures

    def stream(self, message: Message) -> Iterator[str]:
        """Passes the reply on as it comes."""
        self._message = message
        for piece in self._model.stream(message):
            self._pieces.append(piece)
            yield piece

    @property
    def reply(self) -> str | None:
        """The whole reply without thoughts; None if the model was not asked."""
        if self._message is None:
            return None
        thoughts = ThoughtFilter()
        return (thoughts.feed("".join(self._pieces)) + thoughts.finish()).strip()

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The pictures that it was shown, in order."""
        return self._message.frames if self._message else ()

    @property
    def num_characters(self) -> int:
        """Of the text that it was shown."""
        return sum(len(part) for part in self._text_parts())

    @property
    def sha256(self) -> str | None:
        """Of the text and the picture times; the mark, random in each prompt, is left out."""
        if self._message is None:
            return None
        mark = _MARK.search(self._message.system)
        parts = [self._message.system, *(map(_written, self._message.parts))]
        text = "\n".join(parts)
        return hashlib.sha256((text.replace(mark[0], "") if mark else text).encode()).hexdigest()

    @property
    def usage(self) -> Usage | None:
        """Tokens of the question, where the model tells."""
        usage = getattr(self._model, "usage", None)
        return usage if isinstance(usage, Usage) and self._message is not None else None

    def _text_parts(self) -> list[str]:
        if self._message is None:
            return []
        return [self._message.system, *(p for p in self._message.parts if isinstance(p, str))]


def _written(part: str | Frame) -> str:
    return part if isinstance(part, str) else f"picture at {part.seconds:.3f}"


_BLIND_RULES = """\
You answer a question about a video that you cannot see. Say what is most likely in one or two \
plain sentences."""
_BLIND_CHOICE_RULE = """
End with a line of its own, "Answer: " and the letter of one option out of {letters}."""


def _blind_draft(model: RecordedModel, prompt: Prompt) -> Draft:
    """What a model says without any evidence: what its figures with evidence start from.

    The library itself answers nothing without evidence.
    """
    rules, lines = _BLIND_RULES, [f"Question: {prompt.question.strip()}"]
    if prompt.choices:
        rules += _BLIND_CHOICE_RULE.format(letters=", ".join(prompt.letters))
        pairs = zip(prompt.letters, prompt.choices, strict=True)
        lines += [f"{letter}) {choice}" for letter, choice in pairs]
    for _ in model.stream(Message(rules, ("\n".join(lines) + "\n",))):
        pass
    return Draft((), model.reply or "", 1.0)
