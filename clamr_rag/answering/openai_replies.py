"""What an OpenAI-compatible server sends back, read strictly but no further than it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from openai import OpenAIError, Stream


class ReplyError(Exception):
    """A reply that is none, or that has no end; the message says what it is, after a name."""

    def __init__(self, met: str, *, is_protocol: bool = True) -> None:
        """Takes whether the server is one of the kind that was expected."""
        super().__init__(met)
        self.is_protocol = is_protocol


class Delta(BaseModel):
    """What a piece adds. Thoughts come in fields of other names and are not read."""

    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    delta: Delta | None = None
    finish_reason: str | None = None


class ReplyEvent(BaseModel):
    """One piece of a reply."""

    choices: tuple[_Choice, ...] | None = None

    @property
    def delta(self) -> Delta:
        """What it adds."""
        return (self.choices and self.choices[0].delta) or Delta()

    @property
    def finish_reason(self) -> str | None:
        """Why the reply ends with this piece; None where it goes on."""
        return (self.choices and self.choices[0].finish_reason) or None


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """How a reply ends, as far as it is known."""

    reason: str | None = None
    """``"stop"``, ``"length"``, ``"content_filter"`` …"""
    refusal: str = ""
    """Why the model will not answer, in its own words."""

    def after(self, event: ReplyEvent) -> ReplyEnd:
        """With one more piece."""
        return ReplyEnd(
            event.finish_reason or self.reason, self.refusal + (event.delta.refusal or "")
        )


def reply_events(stream: Stream[object]) -> Iterator[ReplyEvent]:
    """Yields the pieces of a reply up to the one that ends it, and closes the stream.

    Raises:
        ReplyError: It is no stream of pieces, or closes before its end.
        OpenAIError: The connection breaks, or the server reports a failure.
    """
    kind = stream.response.headers.get("content-type", "").partition(";")[0] or "nothing"
    num_events, has_end = 0, False
    with stream:
        try:
            for raw in stream:
                event = ReplyEvent.model_validate(raw)
                num_events, has_end = num_events + 1, has_end or event.finish_reason is not None
                yield event
        except ValueError:
            raise ReplyError("sent a piece that is none of an answer", is_protocol=False) from None
        except Exception as fault:
            if type(fault).__module__.startswith("httpx"):
                raise _broken_connection(fault, stream) from fault
            raise
    if num_events == 0 and kind != "text/event-stream":
        raise ReplyError(f"answered with {kind}, not with a stream of events", is_protocol=False)
    if not has_end:
        raise ReplyError("closed the connection before the end of the answer")


def _broken_connection(fault: Exception, stream: Stream[object]) -> OpenAIError:
    """Before its version 3 the package lets a broken connection of httpx through as it is."""
    from openai import APIConnectionError, APITimeoutError

    if "Timeout" in type(fault).__name__:
        return APITimeoutError(request=stream.response.request)
    return APIConnectionError(request=stream.response.request)


class _ModelName(BaseModel):
    id: str


class _ModelList(BaseModel):
    data: tuple[_ModelName, ...] | None
    """None is how Ollama says that it has no model."""


def model_names(reply: str) -> tuple[str, ...]:
    """The names in a list of models, as JSON.

    Raises:
        ReplyError: It is no such list.
    """
    try:
        return tuple(model.id for model in _ModelList.model_validate_json(reply).data or ())
    except ValueError:
        raise ReplyError("answered with something else than models", is_protocol=False) from None
