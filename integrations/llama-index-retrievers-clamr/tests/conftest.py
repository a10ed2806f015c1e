"""Three short videos of several clips, a library that has read them, and models that keep notes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clamr_rag.cli.slide_video import Slide, slide_shots, write_slide_video
from clamr_rag.config import Options, SegmentationOptions
from clamr_rag.types import Cue
from llama_index.core import Settings
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseGen,
    ImageBlock,
    LLMMetadata,
    TextBlock,
)
from llama_index.core.indices.prompt_helper import ChatPromptHelper
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.mock import MockLLM
from pydantic import PrivateAttr

from llama_index.retrievers.clamr import ClamrRetriever, LibraryBackend, Opening

os.environ.setdefault("OMP_NUM_THREADS", "2")

OPTIONS = Options(segmentation=SegmentationOptions(segmenter="fixed", min_seconds=8, max_seconds=8))
SLIDE_SECONDS = 8.0
SIZE = (320, 240)


@dataclass(frozen=True)
class Corpus:
    """Videos and the library that has read them."""

    folder: Path
    library: Path
    num_clips: int
    options: Options = OPTIONS


VIDEOS = {
    "review.mp4": (
        "Northwind review",
        [
            ("Q3 results", "Revenue 4.2M", "Here you see how we did this summer."),
            ("Customers", "41,000 subscribers", "Churn fell because of the new onboarding."),
            ("Outlook", "Two new shops", "Next year we open shops in Porto and Lyon."),
        ],
    ),
    "kitchen.mp4": (
        "Baking bread",
        [
            ("Dough", "500 g flour", "Knead the dough for ten minutes."),
            ("Proving", "Two hours", "Let it rise under a damp cloth."),
            ("Oven", "230 degrees", "Bake until the crust sounds hollow."),
        ],
    ),
    "stars/sky.mp4": (
        "Night sky",
        [
            ("Saturn", "Rings of ice", "The rings of Saturn are mostly ice."),
            ("Jupiter", "95 moons", "Galileo saw four moons of Jupiter."),
        ],
    ),
}


def write(path: Path, name: str, slide_seconds: float = SLIDE_SECONDS) -> None:
    """One of the videos: a slide per entry, with its heading, its line, and what is said."""
    title, slides = VIDEOS[name]
    shown = [Slide(heading, (line,)) for heading, line, _ in slides]
    said = [
        Cue(number * slide_seconds + 1, number * slide_seconds + 6, speech)
        for number, (_, _, speech) in enumerate(slides)
    ]
    write_slide_video(
        path,
        slide_shots(shown, slide_seconds, size=SIZE),
        size=SIZE,
        fps=4,
        subtitles=said,
        tags={"title": title},
    )


@pytest.fixture(scope="session")
def write_video() -> Callable[..., None]:
    return write


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("videos")
    for name in VIDEOS:
        (folder / name).parent.mkdir(exist_ok=True)
        write(folder / name, name)
    library = tmp_path_factory.mktemp("library")
    with_options = ClamrRetriever.from_defaults(
        library, videos=folder, opening={"options": OPTIONS}
    )
    num_clips = len(with_options.nodes())
    with_options.close()
    assert num_clips == sum(len(slides) for _, slides in VIDEOS.values())
    return Corpus(folder, library, num_clips)


@pytest.fixture(scope="session")
def backend(corpus: Corpus) -> LibraryBackend:
    return LibraryBackend(Opening(corpus.library, options=OPTIONS))


@pytest.fixture
def retriever(backend: LibraryBackend) -> ClamrRetriever:
    return ClamrRetriever(backend, similarity_top_k=3)


@dataclass
class Call:
    """What a model was asked once."""

    messages: list[ChatMessage]

    @property
    def text(self) -> str:
        """All text blocks, in order."""
        blocks = [block for message in self.messages for block in message.blocks]
        return "\n".join(block.text for block in blocks if isinstance(block, TextBlock))

    @property
    def images(self) -> list[ImageBlock]:
        """All pictures, in order."""
        blocks = [block for message in self.messages for block in message.blocks]
        return [block for block in blocks if isinstance(block, ImageBlock)]


class RecordingLLM(MockLLM):
    """Says what it is told to say, and keeps what it was asked."""

    context_window: int = 128_000
    reply: str = "Because of the new onboarding."
    _calls: list[Call] = PrivateAttr(default_factory=list)

    def __init__(self, **fields: Any) -> None:
        super().__init__(is_chat_model=fields.pop("is_chat_model", True))
        for name, value in fields.items():
            setattr(self, name, value)

    @property
    def calls(self) -> list[Call]:
        return self._calls

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=self.context_window,
            num_output=256,
            is_chat_model=bool(self.is_chat_model),
            model_name="recording",
        )

    def _take(self, messages: Sequence[ChatMessage]) -> None:
        self._calls.append(Call([message.model_copy(deep=True) for message in messages]))

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._take(messages)
        return ChatResponse(message=ChatMessage(role="assistant", content=self.reply))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        self._take(messages)

        def pieces() -> ChatResponseGen:
            said = ""
            for word in self.reply.split(" "):
                delta = word if not said else f" {word}"
                said += delta
                message = ChatMessage(role="assistant", content=said)
                yield ChatResponse(message=message, delta=delta)

        return pieces()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self._take([ChatMessage(role="user", content=prompt)])
        return CompletionResponse(text=self.reply)

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        self._take([ChatMessage(role="user", content=prompt)])

        def pieces() -> CompletionResponseGen:
            yield CompletionResponse(text=self.reply, delta=self.reply)

        return pieces()


@pytest.fixture
def make_llm() -> Callable[..., RecordingLLM]:
    return RecordingLLM


@pytest.fixture
def llm() -> RecordingLLM:
    return RecordingLLM()


@dataclass
class SlowBackend(LibraryBackend):
    """A real library whose every search takes a while; counts who is in it at once."""

    opening: Opening
    delay_seconds: float = 0.3
    in_flight: int = 0
    most_in_flight: int = 0
    searches: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        super().__init__(self.opening)

    def search(self, *arguments: Any) -> Any:
        with self.using():
            with self.counting:
                self.in_flight += 1
                self.searches += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
            time.sleep(self.delay_seconds)
            with self.counting:
                self.in_flight -= 1
            return super().search(*arguments)


@pytest.fixture
def slow_backend(corpus: Corpus) -> SlowBackend:
    made = SlowBackend(Opening(corpus.library, options=OPTIONS))
    made.warm_up()
    return made


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch, llm: RecordingLLM) -> None:
    """The model is LlamaIndex's default: the stock engine of 0.14.23 packs for that one's window.

    no_text and context_only look for the default model too, and would find OpenAI's.
    """
    helper = ChatPromptHelper.from_llm_metadata(llm.metadata)
    monkeypatch.setattr(Settings, "_llm", llm)
    monkeypatch.setattr(Settings, "_chat_prompt_helper", helper)
