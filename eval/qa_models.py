"""An OpenAI-compatible model that also says how many tokens it read and wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from clamr_rag.answering import Message
from clamr_rag.answering.openai import OpenAiModel
from clamr_rag.config import AnswerOptions
from eval.qa_reading import Usage

if TYPE_CHECKING:
    from openai import OpenAI, Stream


class CountedOpenAiModel(OpenAiModel):
    """Asks for the usage at the end of the stream; a server that knows no such wish sends none."""

    def __init__(self, name: str, options: AnswerOptions) -> None:
        """See `OpenAiModel`."""
        super().__init__(name, options)
        self.usage: Usage | None = None
        """Of the last message; None where the server does not tell."""
        self._asks_usage = True

    def stream(self, message: Message) -> Iterator[str]:
        """See `OpenAiModel.stream`."""
        self.usage = None
        yield from super().stream(message)

    def _body(self, message: Message) -> dict[str, Any]:
        wish = {"stream_options": {"include_usage": True}} if self._asks_usage else {}
        return super()._body(message) | wish

    def _opened(self, client: OpenAI, message: Message) -> Stream[object]:
        from openai import BadRequestError

        try:
            stream = super()._opened(client, message)
        except BadRequestError as fault:
            if not self._asks_usage or "stream_options" not in str(fault):
                raise
            self._asks_usage = False
            stream = super()._opened(client, message)
        return cast("Stream[object]", _CountedStream(stream, self._note))

    def _note(self, piece: object) -> None:
        """Keeps the usage of a piece, if it has one."""
        usage = piece.get("usage") if isinstance(piece, Mapping) else None
        if isinstance(usage, Mapping):
            read, wrote = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if isinstance(read, int) and isinstance(wrote, int):
                self.usage = Usage(read, wrote)


class _CountedStream:
    """A stream that shows each piece to somebody before it passes it on."""

    def __init__(self, stream: Stream[object], note: Callable[[object], None]) -> None:
        self._stream, self._note = stream, note
        self.response = stream.response

    def __iter__(self) -> Iterator[object]:
        for piece in self._stream:
            self._note(piece)
            yield piece

    def __enter__(self) -> Self:
        self._stream.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.__exit__(kind, error, traceback)
