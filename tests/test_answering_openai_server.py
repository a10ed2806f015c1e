"""Questions to transformers' own OpenAI-compatible server, a process with a tiny Qwen2.5-VL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chat_servers import save_chat_model, transformers_server
from cli_runs import Run
from conftest import Talk
from media_files import numbered_picture

from clamr_rag import VideoLibrary
from clamr_rag.answering import Message
from clamr_rag.answering.openai import OpenAiModel, only_served_model
from clamr_rag.config import AnswerOptions, Options
from clamr_rag.errors import AnswererError
from clamr_rag.types import Frame

NAME = "tiny/qwen2.5-vl"
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711])


@dataclass(frozen=True)
class Running:
    """A server and what its model is given."""

    base_url: str
    weights: Path
    seen: Path

    def options(self, **more: Any) -> AnswerOptions:
        return AnswerOptions(
            base_url=self.base_url, timeout_seconds=120, **{"max_answer_tokens": 12, **more}
        )

    def last_seen(self) -> dict[str, np.ndarray]:
        """The tensors of the last question as they went into the model."""
        number = len(list(self.seen.glob("*.npz"))) - 1
        with np.load(self.seen / f"{number}.npz") as arrays:
            return dict(arrays)

    def last_prompt(self) -> str:
        """The text of the last question; one sign ``▣`` stands for a picture."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.weights)
        text = str(tokenizer.decode(self.last_seen()["input_ids"][0]))
        return re.sub(r"<\|vision_start\|>(<\|image_pad\|>)+<\|vision_end\|>", "▣", text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    cache, seen = folder / "cache", folder / "seen"
    cache.mkdir()
    seen.mkdir()
    weights = save_chat_model(cache, NAME)
    with transformers_server(cache, seen) as base_url:
        yield Running(base_url, weights, seen)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


def test_the_server_names_its_model(server: Running) -> None:
    assert only_served_model(server.options()) == NAME


def test_words_reach_the_model_and_its_words_come_back(server: Running) -> None:
    message = Message("the rules", ("the river overflowed\n", "what?\n"))
    model = OpenAiModel(NAME, server.options(max_answer_tokens=9))
    reply = "".join(model.stream(message))
    assert server.last_prompt() == (
        "<|im_start|>system\nthe rules<|im_end|>\n"
        "<|im_start|>user\nthe river overflowed\nwhat?\n<|im_end|>\n<|im_start|>assistant\n"
    )
    assert reply == written_here(server, 9)


def test_pictures_reach_the_model_in_order_each_behind_its_time(server: Running) -> None:
    grays = (30, 220, 120)
    frames = [
        Frame(float(n), np.full((112, 112, 3), gray, np.uint8)) for n, gray in enumerate(grays)
    ]
    parts = [part for n, f in enumerate(frames) for part in (f"picture at 00:00:0{n}.50:\n", f)]
    message = Message("the rules", (*parts, "\nwhat?"))
    reply = "".join(OpenAiModel(NAME, server.options()).stream(message))

    seen = server.last_seen()
    assert "".join(f"picture at 00:00:0{n}.50:\n▣" for n in range(3)) in server.last_prompt()
    sizes = seen["image_grid_thw"].prod(axis=1)
    starts = np.cumsum([0, *sizes])
    shown = [seen["pixel_values"][a:b] for a, b in pairwise(starts)]
    # The processor's own scale; JPEG keeps an even gray but for a step or two.
    values = [gray_of(patches) for patches in shown]
    assert values == pytest.approx(grays, abs=3)
    assert reply == written_here(server, 12)


def test_other_pictures_make_another_answer(server: Running) -> None:
    def seen_of(number: int) -> tuple[str, np.ndarray]:
        frame = Frame(1.0, numbered_picture(number, (112, 112)))
        message = Message("rules", ("picture at 00:00:01.00:\n", frame, "what?"))
        reply = "".join(OpenAiModel(NAME, server.options()).stream(message))
        return reply, server.last_seen()["pixel_values"]

    (_, first), (_, second) = seen_of(1), seen_of(40000)
    assert first.shape == second.shape
    assert np.abs(first - second).mean() > 0.1


def test_a_model_that_the_server_has_not_is_one_line(server: Running) -> None:
    with pytest.raises(AnswererError) as caught:
        list(OpenAiModel("tiny/other", server.options(retries=0)).stream(Message("r", ("q",))))
    assert str(caught.value).startswith("tiny/other at 127.0.0.1:")
    assert "\n" not in str(caught.value)


def test_a_library_asks_it_and_shows_its_clips_whatever_it_says(
    server: Running, talk: Talk
) -> None:
    options = Options(answer=server.options(frames=4, overview_frames=1, frame_side=112))
    with VideoLibrary.open(talk.library, options=options) as library:
        answer = library.ask("What was the revenue?")
    assert answer.answerer.startswith(f"{NAME} at 127.0.0.1:")
    assert answer.answerer_reason
    assert answer.clips
    assert not any("no pictures" in note for note in answer.notes), answer.notes
    prompt = server.last_prompt()
    assert prompt.count("▣") >= 3
    assert len(re.findall(r"picture at \d\d:\d\d:\d\d\.\d\d:\n▣", prompt)) == prompt.count("▣")
    assert "Churn fell, mostly because of the new onboarding." in prompt


def test_the_command_asks_it(server: Running, talk: Talk, run_here: Callable[..., Run]) -> None:
    told = run_here(
        "ask", talk.video, "What was the revenue?", "--library", talk.library,
        "--base-url", server.base_url, "--frames", "2", "--set", "answer.max_answer_tokens=8",
        "--json",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert told.json["answerer"].startswith(f"{NAME} at 127.0.0.1:")
    assert told.json["clips"]


def written_here(server: Running, num_tokens: int) -> str:
    """What the same weights write in this process after the same tensors, cut as an answer is."""
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(server.weights)
    inputs = {name: torch.from_numpy(array) for name, array in server.last_seen().items()}
    length = inputs["input_ids"].shape[1]
    with torch.no_grad():
        tokens = model.generate(**inputs, max_new_tokens=num_tokens, do_sample=False)[0, length:]
    text = AutoTokenizer.from_pretrained(server.weights).decode(tokens, skip_special_tokens=True)
    return f"{str(text).lstrip()}\n…"


def gray_of(patches: np.ndarray) -> float:
    """Mean gray of a picture from its patches ``(n, 2 * 3 * 14 * 14)`` on the processor's scale."""
    channels = patches.reshape(len(patches), 3, -1).mean(axis=(0, 2))
    return float(((channels * CLIP_STD + CLIP_MEAN) * 255).mean())
