"""From retrieved clips to an answer with citations.

An answerer either quotes (`extractive`) or has a model write (`generated`). A model is anything
with the two properties and the one method of `ChatModel` (`fake.ScriptedModel` is the smallest);
what it is shown, and what becomes of its words, is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Protocol

from clamr_rag.config import AnswerOptions
from clamr_rag.encoder import Encoder
from clamr_rag.errors import UsageError
from clamr_rag.types import Clip, Frame, Modality, ScoredClip, Statement, TimeSpan, Video

if TYPE_CHECKING:
    from clamr_rag.answering.footage import Footage

OnText = Callable[[str], None]
"""Is told each piece of a generated answer as soon as it is there."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question and the evidence to answer it from."""

    question: str
    choices: tuple[str, ...]
    """Options of a multiple-choice question, in order; empty for an open one."""
    clips: tuple[ScoredClip, ...]
    """Best first."""

    def __post_init__(self) -> None:
        if len(self.choices) > len(ascii_uppercase):
            raise UsageError(f"got {len(self.choices)} choices", allowed="up to 26, A to Z")
        if any(not choice.strip() for choice in self.choices):
            raise UsageError("got a blank choice", hint="write every option out")

    @property
    def letters(self) -> str:
        """The letters of the choices, e.g. ``"ABCD"``."""
        return ascii_uppercase[: len(self.choices)]

    def video(self, video_id: str) -> Video:
        """The video that some of the clips are of."""
        return next(found.video for found in self.clips if found.video.video_id == video_id)


@dataclass(frozen=True, slots=True)
class Quote:
    """What of a clip supports an answer."""

    clip: Clip
    """Of a video of the prompt."""
    modality: Modality
    text: str | None
    """Exactly as it stands in the clip's speech, screen text or metadata; None for pictures."""
    span: TimeSpan
    """When it is said, shown, or what time the metadata line speaks of."""
    similarity: float
    """As `Citation.similarity`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a generator says, before citations are resolved."""

    quotes: tuple[Quote, ...]
    """In the order of their marks: ``[1]`` is the first."""
    text: str
    """The answer with marks ``[1]``, ``[2]``."""
    confidence: float
    """That the clips hold the answer, in [0, 1]."""
    choice: str | None = None
    """Letter of the option picked."""
    declined: str | None = None
    """Why the generator gives no answer; None if it gives one."""
    statements: tuple[Statement, ...] = ()
    notes: tuple[str, ...] = ()


class Generator(Protocol):
    """Writes an answer from evidence."""

    @property
    def name(self) -> str:
        """As said in the output, e.g. ``"extractive"``."""
        ...

    def generate(self, prompt: Prompt, on_text: OnText | None = None) -> Draft:
        """Answers from the clips of the prompt alone; no clips give no quotes and confidence 0.

        Args:
            prompt: The question and the clips found.
            on_text: Is told the answer piece by piece while it is written, if it is written so.

        Raises:
            AnswererError: The model cannot be reached, refuses, or says nothing.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """What a model is shown."""

    system: str
    """The rules: from this program alone, never from a video."""
    parts: tuple[str | Frame, ...]
    """Text and pictures in reading order; each picture's time stands in the text before it."""

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The pictures among the parts."""
        return tuple(part for part in self.parts if isinstance(part, Frame))


CUT_MARK = "\n…"
"""Ends a reply that was cut at its limit, on a line of its own: ``Answer: B`` before it counts."""


class ChatModel(Protocol):
    """A model that reads a message and writes a reply. It is given no tools."""

    @property
    def name(self) -> str:
        """As said in the output, e.g. ``"Qwen2.5-VL-7B at 127.0.0.1:8000"``."""
        ...

    @property
    def reads_pictures(self) -> bool:
        """Whether it may be sent frames."""
        ...

    def stream(self, message: Message) -> Iterator[str]:
        """Yields the reply in pieces.

        Raises:
            AnswererError: It cannot be reached, refuses, or breaks off.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChosenGenerator:
    """A generator, and why ``auto`` chose it."""

    generator: Generator
    reason: str | None = None


def make_generator(
    options: AnswerOptions,
    encoder: Encoder,
    footage: Footage,
    *,
    device: str = "auto",
    dtype: str = "auto",
    model: ChatModel | None = None,
) -> ChosenGenerator:
    """Returns what the options name, or a generator around a model of the caller's own.

    Args:
        options: Of the answer.
        encoder: Of the library; the extractive answerer scores passages with it.
        footage: Where a model's pictures and neighbouring clips come from.
        device: Where a local model (``hf:``) runs.
        dtype: Number format of a local model's weights.
        model: Overrides the options' answerer.

    Raises:
        ModelMissingError: A local model is not on this machine.
        AnswererError: ``auto`` with a base URL, and the server there does not answer.
    """
    from clamr_rag.answering.extractive import ExtractiveGenerator
    from clamr_rag.answering.generated import GeneratedAnswers

    kind, _, name = options.answerer.partition(":")
    if model is not None:
        return ChosenGenerator(GeneratedAnswers(model, footage, options))
    if kind == "hf":
        from clamr_rag.answering.video_llm import VideoLlm

        local = VideoLlm.load(name, options, device=device, dtype=dtype)
        return ChosenGenerator(GeneratedAnswers(local, footage, options))
    if kind == "openai" or (kind == "auto" and options.base_url):
        from clamr_rag.answering.openai import OpenAiModel, only_served_model

        reason = None
        if kind == "auto":
            name, reason = only_served_model(options), "auto: the model that --base-url serves"
        return ChosenGenerator(
            GeneratedAnswers(OpenAiModel(name, options), footage, options), reason
        )
    reason = "auto: no model server is named" if kind == "auto" else None
    quotes = ExtractiveGenerator(encoder, abstain_below=options.abstain_below)
    return ChosenGenerator(quotes, reason)
