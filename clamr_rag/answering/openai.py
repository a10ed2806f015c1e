"""Any server that speaks OpenAI's protocol: vLLM, Ollama, SGLang, llama.cpp, a cloud.

The key comes from the environment alone and is held by nothing here: it is read when a question is
put, and no message, log or repr may say it.
"""

from __future__ import annotations

import base64
import io
import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clamr_rag.answering import CUT_MARK, Message
from clamr_rag.answering.openai_faults import Call, answerer_error, listed, without_key
from clamr_rag.answering.openai_replies import ReplyEnd, ReplyError, model_names, reply_events
from clamr_rag.answering.thoughts import ThoughtFilter
from clamr_rag.config import AnswerOptions
from clamr_rag.errors import AnswererError, UsageError
from clamr_rag.types import Frame

if TYPE_CHECKING:
    from openai import BadRequestError, OpenAI, Stream

logger = logging.getLogger(__name__)

CLOUD_ADDRESS = "https://api.openai.com/v1"
_NO_KEY = "none"
"""What a server of one's own is sent where no key is set: the package insists on one."""
_JPEG_QUALITY = 90
_LOOK_SECONDS = 10.0
"""Longest wait for the names that only make an error message better."""


class OpenAiModel:
    """A `ChatModel` behind an OpenAI-compatible server."""

    def __init__(self, name: str, options: AnswerOptions) -> None:
        """Asks nothing yet.

        Args:
            name: The model, as the server calls it.
            options: Its base URL, limits and patience.

        Raises:
            UsageError: The base URL cannot be one.
        """
        self._model = name.strip()
        self._options = options
        self._address = server_address(options)

    @property
    def name(self) -> str:
        """The model and the host that serves it."""
        return f"{self._model} at {_host(self._address)}"

    @property
    def reads_pictures(self) -> bool:
        """True: a server does not say; one that cannot answers with an error that says so."""
        return True

    def stream(self, message: Message) -> Iterator[str]:
        """Yields the answer as it comes; what a reasoning model thinks is left out.

        Raises:
            AnswererError: No server, no key, no such model, a refusal, a time-out, a broken reply.
        """
        from openai import OpenAIError

        num_characters = 0
        try:
            for piece in self._pieces(message):
                num_characters += len(piece)
                yield piece
            return
        except (OpenAIError, ReplyError) as fault:
            failure = fault
        # Past the handler, so that nothing is chained: the package's errors hold the server's words
        # and the request, and either may hold the key.
        raise self._error(failure, message, num_characters)

    def _pieces(self, message: Message) -> Iterator[str]:
        thoughts, end, has_spoken = ThoughtFilter(), ReplyEnd(), False
        options = self._options
        with _client(self._address, options.timeout_seconds, options.retries) as client:
            for event in reply_events(self._opened(client, message)):
                end = end.after(event)
                if piece := thoughts.feed(event.delta.content or ""):
                    has_spoken = True
                    yield piece
        if piece := thoughts.finish():
            has_spoken = True
            yield piece
        if refusal := end.refusal.strip():
            raise AnswererError(f"{self.name} refuses to answer: {without_key(refusal)}")
        if end.reason == "content_filter":
            raise AnswererError(
                f"{self.name} gave no answer: a content filter stopped it",
                hint="ask otherwise, or take another --answerer",
            )
        if end.reason == "length":
            yield self._cut(has_spoken)

    def _cut(self, has_spoken: bool) -> str:
        """An answer that is too long is still one; thoughts that are too long are none."""
        limit = f"{self._options.max_answer_tokens} tokens"
        hint = f"--set answer.max_answer_tokens={4 * self._options.max_answer_tokens}"
        if not has_spoken:
            raise AnswererError(
                f"{self.name} spent all its {limit} before it came to the answer", hint=hint
            )
        logger.warning("the answer was cut at %s (%s for more)", limit, hint)
        return CUT_MARK

    def _opened(self, client: OpenAI, message: Message) -> Stream[object]:
        """Puts the question, and once more where the model takes an option under no such name."""
        from openai import BadRequestError, Stream

        body = self._body(message)
        while True:
            try:
                return client.post(
                    "/chat/completions",
                    body=body,
                    cast_to=object,
                    stream=True,
                    stream_cls=Stream[object],
                )
            except BadRequestError as fault:
                wanted = _as_wanted(body, fault)
                if wanted is None:
                    raise
                body = wanted

    def _body(self, message: Message) -> dict[str, Any]:
        pictured = [_part(part) for part in message.parts]
        # Templates of text-only models take nothing but a string.
        plain = "".join(part for part in message.parts if isinstance(part, str))
        return {
            "model": self._model,
            "messages": [
                {"role": "system", "content": message.system},
                {"role": "user", "content": pictured if message.frames else plain},
            ],
            "max_tokens": self._options.max_answer_tokens,
            "temperature": 0,
            "stream": True,
        }

    def _error(self, fault: Exception, message: Message, num_characters: int) -> AnswererError:
        call = Call(
            self.name,
            self._address,
            self._options,
            num_pictures=len(message.frames),
            num_characters=num_characters,
            served=self._served() if getattr(fault, "status_code", None) == 404 else None,
        )
        return answerer_error(fault, call)

    def _served(self) -> tuple[str, ...] | None:
        """The names of the server's models; None where it does not tell."""
        patience = {"timeout_seconds": min(_LOOK_SECONDS, self._options.timeout_seconds)}
        try:
            return _served_models(
                self._address, self._options.model_copy(update={**patience, "retries": 0})
            )
        except AnswererError:
            return None


def only_served_model(options: AnswerOptions) -> str:
    """The name of the one model that the server of the base URL offers.

    Raises:
        UsageError: It offers none or several, or the base URL cannot be one.
        AnswererError: It does not answer, or with something else than a list of models.
    """
    address = server_address(options)
    names = _served_models(address, options)
    if len(names) == 1:
        return names[0]
    raise UsageError(
        f"{address} serves {len(names)} models" + (f": {listed(names)}" if names else ""),
        allowed="one model, or one that is named",
        hint="name it: --answerer openai:MODEL",
    )


def _served_models(address: str, options: AnswerOptions) -> tuple[str, ...]:
    from openai import OpenAIError

    try:
        with _client(address, options.timeout_seconds, options.retries) as client:
            return model_names(client.get("/models", cast_to=str))
    except (OpenAIError, ReplyError) as fault:
        failure = fault
    raise answerer_error(failure, Call(_host(address), address, options))


def server_address(options: AnswerOptions) -> str:
    """The base URL of the options, else of ``OPENAI_BASE_URL``, else the cloud's.

    One that has no path gets ``/v1``, where every such server has its API; a path is kept as it is,
    but for slashes at its end.

    Raises:
        UsageError: It is no http(s) address, or holds a password, a query or a fragment.
    """
    given = (options.base_url or os.environ.get("OPENAI_BASE_URL") or CLOUD_ADDRESS).strip()
    source = "--base-url" if options.base_url else "OPENAI_BASE_URL"
    allowed = "an address like http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(given)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(f"{source} {_shown_address(given)} is no server", allowed=allowed)
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"{source} of {parts.hostname} holds more than a host, a port and a path",
            allowed=allowed,
            hint="a key belongs into OPENAI_API_KEY",
        )
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def _shown_address(given: str) -> str:
    """Of what is no address at all, what stands before an @ may be a password."""
    return given.rpartition("@")[2][:200]


def _host(address: str) -> str:
    return urlsplit(address).netloc


# --- the request


def _client(address: str, timeout_seconds: float, retries: int) -> OpenAI:
    import openai

    class OnePatience(openai.DefaultHttpxClient):
        """Silence is not asked again: the server may still be at work on the first question."""

        def send(self, request: Any, **arguments: Any) -> Any:
            try:
                return super().send(request, **arguments)
            except Exception as fault:
                # By name: the package has moved from httpx to httpx2.
                if type(fault).__name__ == "ReadTimeout":
                    raise openai.APITimeoutError(request) from None
                raise

    return openai.OpenAI(
        api_key=_key(address),
        base_url=address,
        max_retries=retries,
        timeout=timeout_seconds,
        http_client=OnePatience(timeout=timeout_seconds),
    )


def _key(address: str) -> str:
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key and address == CLOUD_ADDRESS:
        raise AnswererError(
            f"{_host(address)} asks for a key",
            hint="set OPENAI_API_KEY, or name a server of your own with --base-url",
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise AnswererError(
            "OPENAI_API_KEY holds characters that no key has",
            allowed="letters, digits and signs on one line",
            hint="set OPENAI_API_KEY again",
        )
    return key or _NO_KEY


def _part(part: str | Frame) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    picture = base64.b64encode(_jpeg(part)).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}}


def _jpeg(frame: Frame) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame.pixels).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _as_wanted(body: Mapping[str, Any], fault: BadRequestError) -> dict[str, Any] | None:
    """The cloud's reasoning models take neither the common name of the limit nor a temperature."""
    # The code is declared a string, yet llama.cpp sends a number.
    refused = fault.param if str(fault.code).startswith("unsupported") else None
    if refused not in ("max_tokens", "temperature") or refused not in body:
        return None
    logger.info("%s takes no %s", body["model"], refused)
    kept = {name: value for name, value in body.items() if name != refused}
    if refused == "max_tokens":
        kept["max_completion_tokens"] = body[refused]
    return kept
