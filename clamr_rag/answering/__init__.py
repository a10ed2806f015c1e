"""From retrieved clips to an answer with citations."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase
from typing import Protocol

from clamr_rag.config import AnswerOptions
from clamr_rag.encoder import Encoder
from clamr_rag.errors import UsageError
from clamr_rag.types import Modality, ScoredClip, TimeSpan


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


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of a clip that support an answer."""

    clip_number: int
    """Position in `Prompt.clips`."""
    modality: Modality
    text: str
    """Exactly as it stands in the clip's speech, screen text or metadata."""
    span: TimeSpan
    """When it is said, shown, or what time the metadata line speaks of."""
    similarity: float
    """How well the quote matches the question, a cosine."""


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


class Generator(Protocol):
    """Writes an answer from evidence."""

    @property
    def name(self) -> str:
        """As said in the output, e.g. ``"extractive"``."""
        ...

    def generate(self, prompt: Prompt) -> Draft:
        """Answers from the clips of the prompt alone; no clips give no quotes and confidence 0."""
        ...


def make_generator(options: AnswerOptions, encoder: Encoder) -> Generator:
    """Returns what the options name; ``auto`` is extractive, the only one that needs no model."""
    from clamr_rag.answering.extractive import ExtractiveGenerator

    return ExtractiveGenerator(encoder)
