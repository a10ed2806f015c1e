"""How long an event loop is held up while eight questions are answered at once.

Run: ``python bench_async.py [--clips 2000]``. It prints the longest gap between two ticks of a 5 ms
ticker, for `aretrieve` and for `aquery` with pictures, cold and warmed up.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from clamr_rag.cli.slide_video import Slide, slide_shots, write_slide_video
from clamr_rag.config import Options, SegmentationOptions
from clamr_rag.types import Cue
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.mock import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine

from llama_index.retrievers.clamr import ClamrRetriever, cited_query_engine

TICK_SECONDS = 0.005
QUESTIONS = [f"What is said about topic {number}?" for number in range(8)]


async def longest_gap(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Longest gap between two ticks, and the time that the work took, in seconds."""
    longest, last = 0.0, time.perf_counter()

    async def tick() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.perf_counter()
            longest, last = max(longest, now - last - TICK_SECONDS), now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0.05)
    started = time.perf_counter()
    await work()
    took = time.perf_counter() - started
    ticker.cancel()
    return max(longest, time.perf_counter() - last - TICK_SECONDS), took


def write_video(path: Path, num_clips: int) -> None:
    """A slide and a sentence every 8 s."""
    slides = [Slide(f"Topic {number}", (f"Fact {number}",)) for number in range(num_clips)]
    said = [
        Cue(8 * n + 1, 8 * n + 7, f"This part is about topic {n}, and nothing else.")
        for n in range(num_clips)
    ]
    shots = slide_shots(slides, 8.0, size=(640, 360))
    write_slide_video(path, shots, size=(640, 360), fps=1, subtitles=said)


def report(name: str, retriever: ClamrRetriever) -> None:
    """Prints the figures of one retriever, twice: the first time finds everything cold."""
    llm = PatientLLM()
    engines = {
        "cited": cited_query_engine(retriever, llm),
        "cited text": cited_query_engine(retriever, llm, multimodal=False),
        "stock text": RetrieverQueryEngine.from_args(retriever, llm=llm),
        "stock pictures": RetrieverQueryEngine.from_args(retriever, llm=llm, multimodal=True),
    }
    asks = {"aretrieve": retriever.aretrieve}
    asks |= {f"aquery {kind}": engine.aquery for kind, engine in engines.items()}
    for what, ask in asks.items():
        gap, took = asyncio.run(longest_gap(partial(all_at_once, ask)))
        line = f"{name:5} {what:22} longest block {gap * 1000:6.1f} ms, all 8 in {took:5.2f} s"
        print(line)


async def all_at_once(ask: Callable[[str], Awaitable[object]]) -> None:
    """Asks every question at the same time."""
    await asyncio.gather(*(ask(question) for question in QUESTIONS))


class PatientLLM(MockLLM):
    """Takes 0.2 s to answer, as a server would, without holding up the loop."""

    def __init__(self) -> None:
        super().__init__(is_chat_model=True)

    @property
    def metadata(self) -> LLMMetadata:
        """A model with room for all pictures."""
        return LLMMetadata(context_window=128_000, is_chat_model=True, model_name="patient")

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answers after a while."""
        await asyncio.sleep(0.2)
        return ChatResponse(message=ChatMessage(role="assistant", content="Topic."))


def main() -> None:
    """Makes a library, and asks it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=60)
    arguments = parser.parse_args()
    options = Options(
        segmentation=SegmentationOptions(segmenter="fixed", min_seconds=8, max_seconds=8)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_video(folder / "talk.mp4", arguments.clips)
        opening = {"options": options}
        ClamrRetriever.from_defaults(
            folder / "library", videos=folder / "talk.mp4", opening=opening
        ).close()
        cold = ClamrRetriever.from_defaults(folder / "library", opening=opening)
        report("cold", cold)
        cold.close()
        warm = ClamrRetriever.from_defaults(folder / "library", opening=opening, preload=True)
        report("warm", warm)
        warm.close()


if __name__ == "__main__":
    main()
