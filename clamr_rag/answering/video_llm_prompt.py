"""A message as the token ids and pictures that a model of the Qwen family reads.

Only what stands here and in the checkpoint's chat template becomes a special token: the message's
own text is tokenised by a tokenizer that knows none, so that no video can close a turn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from clamr_rag.answering import Message
from clamr_rag.answering.video_llm_pictures import PatchedPicture, PictureRules, patch_picture
from clamr_rag.encoder.layouts import TOKENIZER_FILE, read_json
from clamr_rag.encoder.processing import ChatTokenizer
from clamr_rag.errors import UsageError
from clamr_rag.types import Frame

THINKING = "<think>"
_CHAT_ML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{{ '<|im_start|>assistant\n' }}"
)
"""What every release's template comes to for one question; for checkpoints saved without theirs.

The last line break is in quotes since the template engine drops it otherwise.
"""
_SYSTEM, _USER = "system-words-0c9e41", "user-words-5b27fa"
"""Stand in for the message while the template is filled in."""


@dataclass(frozen=True, slots=True, eq=False)
class PromptTokens:
    """What the model reads."""

    ids: npt.NDArray[np.int64]
    """``(n,)``, with one placeholder per picture token."""
    pictures: tuple[PatchedPicture, ...]
    """In reading order."""

    @property
    def num_picture_tokens(self) -> int:
        """How many of the ids are placeholders."""
        return sum(picture.num_tokens for picture in self.pictures)


class PromptLayout:
    """The checkpoint's chat template, opened where the message goes in."""

    def __init__(self, folder: Path, picture_token: int, rules: PictureRules) -> None:
        """Reads tokenizer and template.

        Raises:
            ModelMissingError: There is no tokenizer.
            UsageError: Tokenizer or template cannot be used.
        """
        template_tokenizer = ChatTokenizer(folder / TOKENIZER_FILE)
        tokenizer_class: Any = PreTrainedTokenizerFast
        self.reader = tokenizer_class(tokenizer_file=str(folder / TOKENIZER_FILE))
        """Turns the model's tokens back into text."""
        self._plain = _without_special_tokens(folder / TOKENIZER_FILE)
        before, between, after = _split_template(self.reader, folder)
        self._before = template_tokenizer.template_ids(before)
        self._between = template_tokenizer.template_ids(between)
        self._after = template_tokenizer.template_ids(after)
        self.starts_thinking = after.rstrip().endswith(THINKING)
        """Whether the template has opened the thoughts that a reply then begins with."""
        self._start = template_tokenizer.special_id("<|vision_start|>", "<|vision_bos|>")
        self._end = template_tokenizer.special_id("<|vision_end|>", "<|vision_eos|>")
        self.stop_tokens = [
            template_tokenizer.special_id("<|im_end|>"),
            template_tokenizer.special_id("<|endoftext|>"),
        ]
        """A reply ends with one of these; the last one pads."""
        self._picture_token = picture_token
        self._rules = rules

    def lay_out(self, message: Message) -> PromptTokens:
        """Tokenises a message; each picture stays behind the text that tells its time."""
        ids = [*self._before, *self._text_ids(message.system), *self._between]
        pictures = []
        for part in message.parts:
            if isinstance(part, Frame):
                picture = patch_picture(part.pixels, self._rules)
                pictures.append(picture)
                ids += [self._start, *[self._picture_token] * picture.num_tokens, self._end]
            else:
                ids += self._text_ids(part)
        return PromptTokens(np.array([*ids, *self._after], np.int64), tuple(pictures))

    def _text_ids(self, text: str) -> list[int]:
        return list(self._plain.encode(text, add_special_tokens=False).ids)


def _without_special_tokens(path: Path) -> Tokenizer:
    """The same tokenizer with its plain vocabulary alone.

    The package's own switch for this leaves in what is added and not called special
    (``<think>``, ``<tool_call>``).
    """
    values = read_json(path)
    tokenizer = Tokenizer.from_str(json.dumps({**values, "added_tokens": []}))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _split_template(reader: Any, folder: Path) -> tuple[str, str, str]:
    """The chat template's text before the rules, between rules and question, and after."""
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
    try:
        text = reader.apply_chat_template(
            messages,
            chat_template=_chat_template(folder) or _CHAT_ML,
            tokenize=False,
            add_generation_prompt=True,
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise UsageError(
            f"the chat template in {folder} cannot be used: {error}",
            hint="fetch the checkpoint again",
        ) from error
    before, found_system, rest = str(text).partition(_SYSTEM)
    between, found_user, after = rest.partition(_USER)
    if not (found_system and found_user):
        raise UsageError(
            f"the chat template in {folder} leaves out the rules or the question",
            allowed="templates with a system and a user turn",
        )
    return before, between, after


def _chat_template(folder: Path) -> str | None:
    """The template as saved by any version of transformers; None where there is none."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8", errors="replace")
    for name in ("chat_template.json", "tokenizer_config.json"):
        path = folder / name
        template: Any = read_json(path).get("chat_template") if path.is_file() else None
        if isinstance(template, list):
            named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
            template = named.get("default")
        if template:
            return str(template)
    return None
