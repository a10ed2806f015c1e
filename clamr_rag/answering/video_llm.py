"""Answers from a video LLM on this machine: Qwen2.5-VL, Qwen2.5-Omni (its thinker) and Qwen3-VL.

Transformers runs the model. The prompt and the pictures are made here, so that each picture stands
behind its true time and no text of a video becomes a special token.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import GenerationConfig, TextIteratorStreamer

from clamr_rag.answering import CUT_MARK, Message
from clamr_rag.answering.thoughts import ThoughtFilter
from clamr_rag.answering.video_llm_loading import (
    Family,
    find_folder,
    load_model,
    read_family,
)
from clamr_rag.answering.video_llm_pictures import picture_rules
from clamr_rag.answering.video_llm_prompt import THINKING, PromptLayout, PromptTokens
from clamr_rag.config import AnswerOptions
from clamr_rag.encoder.devices import Placement, is_out_of_memory, place
from clamr_rag.errors import AnswererError, OutOfMemoryError

_log = logging.getLogger(__name__)


class VideoLlm:
    """A `ChatModel` that reads pictures."""

    def __init__(
        self,
        name: str,
        family: Family,
        model: Any,
        layout: PromptLayout,
        options: AnswerOptions,
        placement: Placement,
    ) -> None:
        self.name = name
        self.reads_pictures = True
        self.placement = placement
        self._family = family
        self._model = model
        self._layout = layout
        self._options = options
        # The model keeps the positions of the prompt it is at: one reply at a time.
        self._one_at_a_time = Lock()
        self._closed = Event()
        _stop_between_layers(model, self)

    @classmethod
    def load(cls, name: str, options: AnswerOptions, *, device: str, dtype: str) -> VideoLlm:
        """Loads a model from this machine.

        Args:
            name: Folder or hub id.
            options: Longest answer.
            device: A torch device; ``"auto"`` is the first GPU, else the CPU.
            dtype: ``"float32"``, ``"bfloat16"``, ``"float16"``; ``"auto"`` is bfloat16 on a GPU.

        Raises:
            ModelMissingError: The model or a part of it is not here.
            UsageError: It is none that can answer, or is damaged.
            OutOfMemoryError: It does not fit.
        """
        folder = find_folder(name)
        family = read_family(folder)
        placement = place(device, dtype, "auto")
        model = load_model(folder, family, placement)
        config = model.config
        rules = picture_rules(folder, config.vision_config, family.pictures)
        layout = PromptLayout(folder, int(config.image_token_id), rules)
        model.generation_config = _greedy(layout, model.generation_config, options)
        _log.info("%s runs on %s", name, placement)
        return cls(name, family, model, layout, options, placement)

    def stream(self, message: Message) -> Iterator[str]:
        """Yields the reply in pieces, a word or so each; closing the iterator stops the model.

        Raises:
            AnswererError: The message is too long, or the model breaks off.
            OutOfMemoryError: The message does not fit.
        """
        prompt = self._layout.lay_out(message)
        self._check_length(prompt)
        closed, has_spoken = Event(), False
        streamer = TextIteratorStreamer(
            self._layout.reader,
            skip_prompt=True,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        with ThreadPoolExecutor(1, "video-llm") as pool:
            running = pool.submit(self._generate, prompt, streamer, closed)
            # An error ends the pieces too; it is raised here, where they are read.
            running.add_done_callback(lambda _: streamer.text_queue.put(streamer.stop_signal))
            try:
                for piece in self._spoken(streamer):
                    has_spoken = True
                    yield piece
            finally:
                closed.set()
            is_cut = running.result()
        if is_cut:
            yield self._cut(has_spoken)

    def model_inputs(self, prompt: PromptTokens) -> dict[str, torch.Tensor]:
        """What transformers' ``generate`` is called with, on the model's device."""
        ids = torch.from_numpy(prompt.ids)[None]
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self._family.wants_token_types:
            placeholders = ids == self._model.config.image_token_id
            inputs["mm_token_type_ids"] = placeholders.to(torch.int32)
        if prompt.pictures:
            values = np.concatenate([picture.values for picture in prompt.pictures])
            inputs["pixel_values"] = torch.from_numpy(values)
            inputs["image_grid_thw"] = torch.tensor([each.grid for each in prompt.pictures])
        return {name: value.to(self.placement.device) for name, value in inputs.items()}

    def _spoken(self, pieces: Iterable[str]) -> Iterator[str]:
        """The reply without its thoughts."""
        thoughts = ThoughtFilter()
        if self._layout.starts_thinking:
            thoughts.feed(THINKING)
        for raw in pieces:
            if piece := thoughts.feed(raw):
                yield piece
        if piece := thoughts.finish():
            yield piece

    def _cut(self, has_spoken: bool) -> str:
        """An answer that is too long is still one; thoughts that are too long are none."""
        most = self._options.max_answer_tokens
        hint = f"--set answer.max_answer_tokens={4 * most}"
        if not has_spoken:
            raise AnswererError(
                f"{self.name} spent all its {most} tokens before it came to the answer", hint=hint
            )
        _log.warning("the answer was cut at %s tokens (%s for more)", most, hint)
        return CUT_MARK

    def _generate(
        self, prompt: PromptTokens, streamer: TextIteratorStreamer, closed: Event
    ) -> bool:
        """Runs in a thread of its own; says whether the reply was cut at its longest."""
        with self._one_at_a_time:
            self._closed = closed
            try:
                ids = self._model.generate(**self.model_inputs(prompt), streamer=streamer)
            except (RuntimeError, MemoryError, ValueError, IndexError) as error:
                raise self._told(error, prompt) from error
            finally:
                self._closed = Event()
        return int(ids[0, -1]) not in self._model.generation_config.eos_token_id

    def stop_if_closed(self, *_: Any) -> None:
        """Breaks off a reply that nobody reads any more."""
        if self._closed.is_set():
            raise _ReaderGoneError(f"nobody reads the reply of {self.name} any more")

    def _check_length(self, prompt: PromptTokens) -> None:
        """Nothing is left out without a word: what to leave out is the user's to say."""
        window = int(self._model.config.get_text_config().max_position_embeddings)
        most = window - self._options.max_answer_tokens
        if len(prompt.ids) > most:
            raise AnswererError(
                f"the question and its evidence have {len(prompt.ids)} tokens, "
                f"{prompt.num_picture_tokens} of them pictures",
                allowed=f"{most} ({self.name} reads {window}, less "
                f"{self._options.max_answer_tokens} for the answer)",
                hint="lower --frames or --set answer.speech_characters=N",
            )

    def _told(self, error: Exception, prompt: PromptTokens) -> Exception:
        if isinstance(error, _ReaderGoneError):
            return error
        if is_out_of_memory(error):
            return OutOfMemoryError(
                f"{self.name} ran out of memory on a prompt of {len(prompt.ids)} tokens "
                f"on {self.placement.device}",
                hint="lower --frames or --set answer.frame_side=N, or take another --device",
            )
        return AnswererError(
            f"{self.name} broke off: {error}", hint="take another --dtype, or another --answerer"
        )


class _ReaderGoneError(RuntimeError):
    """Ends the thread of a reply that was closed; never reaches a caller."""


def _stop_between_layers(model: nn.Module, owner: VideoLlm) -> None:
    """Lets a reply be stopped while the prompt is still being read, which takes longest."""
    for stack in model.modules():
        if isinstance(stack, nn.ModuleList):
            for layer in stack:
                layer.register_forward_pre_hook(owner.stop_if_closed)


def _greedy(
    layout: PromptLayout, stored: GenerationConfig, options: AnswerOptions
) -> GenerationConfig:
    """The likeliest token each time, and nothing else of what a checkpoint was saved with.

    A penalty on repeated words would be one on quoting the evidence.
    """
    ends = stored.eos_token_id
    own = ends if isinstance(ends, list) else [] if ends is None else [ends]
    config_class: Any = GenerationConfig
    greedy: GenerationConfig = config_class(
        do_sample=False,
        max_new_tokens=options.max_answer_tokens,
        eos_token_id=sorted({*own, *layout.stop_tokens}),
        pad_token_id=layout.stop_tokens[-1],
    )
    return greedy
