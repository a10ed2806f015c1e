"""What went wrong at a model server, as one line that says what to do about it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from clamr_rag.answering.openai_replies import ReplyError
from clamr_rag.config import AnswerOptions
from clamr_rag.errors import AnswererError

_QUOTED_CHARACTERS = 300
_LISTED_MODELS = 8
_BASE_URL_HINT = "is the base URL that of a model server's API? It mostly ends with /v1"

# In the words of OpenAI, vLLM, SGLang, llama.cpp, Ollama, TGI and Gemini's compatible API.
_TOO_LONG = re.compile(
    r"context[ _-]?(?:length|size|window)|maximum context|max_model_len|too (?:long|many tokens)"
    r"|longer than the model|token count .*exceed|exceed\w* .*\btokens?\b|too large",
    re.IGNORECASE,
)
_MOST_PICTURES = re.compile(r"at most (\d+) image", re.IGNORECASE)
_NO_PICTURES = re.compile(
    r"image|multi-?modal|\bvision\b|mmproj|content (?:type|must be a string)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked of whom, and how far the answer came."""

    name: str
    """Who was asked, as an error names them."""
    address: str
    options: AnswerOptions
    num_pictures: int = 0
    num_characters: int = 0
    """Of the answer that had been shown."""
    served: tuple[str, ...] | None = None
    """Models of the server; None where it was not asked or does not tell."""


def answerer_error(fault: Exception, call: Call) -> AnswererError:
    """Says an error of the ``openai`` package, or of a reply, in one line.

    Args:
        fault: An ``OpenAIError`` or a `ReplyError`.
        call: What it came of.
    """
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    why = _why(fault, call)
    if call.num_characters:
        return AnswererError(
            f"{call.name} broke off after {call.num_characters} characters: {why}",
            hint="ask again",
        )
    if isinstance(fault, APITimeoutError):
        longer = f"--set answer.timeout_seconds={4 * call.options.timeout_seconds:g}"
        return AnswererError(f"{call.name} gave no answer: {why}", hint=f"wait longer: {longer}")
    if isinstance(fault, APIConnectionError):
        return AnswererError(
            f"no server answers at {call.address}: {why}",
            hint="start it, or correct --base-url",
        )
    if isinstance(fault, ReplyError):
        hint = "ask again" if fault.is_protocol else _BASE_URL_HINT
        return AnswererError(f"{call.name} {why}", hint=hint)
    status = fault.status_code if isinstance(fault, APIStatusError) else None
    return AnswererError(f"{call.name} gave no answer: {why}", hint=_hint(status, why, call))


def without_key(text: str) -> str:
    """A server's words, shortened, and without the key that some of them repeat."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    return (text.replace(key, "[key]") if key else text).strip()[:_QUOTED_CHARACTERS]


def listed(names: tuple[str, ...]) -> str:
    """The first few of the names."""
    more = f" and {len(names) - _LISTED_MODELS} more" if len(names) > _LISTED_MODELS else ""
    return ", ".join(names[:_LISTED_MODELS]) + more


def _why(fault: Exception, call: Call) -> str:
    from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

    if isinstance(fault, APITimeoutError):
        return f"it was silent for {call.options.timeout_seconds:g} s"
    if isinstance(fault, APIConnectionError):
        return without_key(str(fault.__cause__ or fault.message))
    if isinstance(fault, APIStatusError):
        return ": ".join(filter(None, [f"HTTP {fault.status_code}", _words(fault.body)]))
    return _words(fault.body) if isinstance(fault, APIError) else without_key(str(fault))


def _words(body: object) -> str:
    """What a server says of its failure, wherever in its reply that stands."""
    while isinstance(body, Mapping):
        body = next((body[name] for name in ("error", "message", "detail") if body.get(name)), "")
    text = str(body or "")
    return "a web page" if text.lstrip().startswith("<") else without_key(text)


def _hint(status: int | None, why: str, call: Call) -> str:
    """What to do; the words count for more than the number, which servers choose freely."""
    if status in (401, 403):
        is_set = bool(os.environ.get("OPENAI_API_KEY", "").strip())
        return "set OPENAI_API_KEY to a key that is valid there" if is_set else "set OPENAI_API_KEY"
    if status in (404, 405):
        if call.served is None:
            return _BASE_URL_HINT
        return f"it serves {listed(call.served) or 'no model'}"
    if status == 429:
        return "wait a while, or raise --set answer.retries"
    if status == 413 or _TOO_LONG.search(why):
        fewer = call.options.speech_characters // 2
        return f"show it less: fewer --frames, --set answer.speech_characters={fewer}"
    if call.num_pictures and (most := _MOST_PICTURES.search(why)):
        return f"--frames {most[1]}"
    if call.num_pictures and _NO_PICTURES.search(why):
        return "if the model reads text only: --frames 0"
    return "see the server's own log" if status is None or status >= 500 else ""
