"""Any LangChain chat model as the answerer of a video library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from clamr_rag.errors import AnswererError, UsageError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.content import ContentBlock, create_text_block

from langchain_clamr.pictures import image_block, jpeg

if TYPE_CHECKING:
    from clamr_rag.answering import Message


class ChatModelAnswerer:
    """Lets a chat model write a library's answers; the library checks its citations.

    ::

        library = VideoLibrary.open("lectures", answerer=ChatModelAnswerer(chat_model))
        answer = library.ask("Why did churn fall?")

    The model is given no tools. Its times and citations are never believed: the library resolves
    them from its own index.
    """

    def __init__(self, chat_model: BaseChatModel, *, reads_pictures: bool | None = None) -> None:
        """Asks nothing of the model yet.

        Args:
            chat_model: Of any provider.
            reads_pictures: Whether it may be sent frames. None goes by the model's own profile,
                and takes a model that has none for one that sees.

        Raises:
            UsageError: It is not a chat model.
        """
        if not isinstance(chat_model, BaseChatModel):
            raise UsageError(
                f"got a {type(chat_model).__name__} as chat model",
                allowed="a LangChain BaseChatModel",
                hint="bind options in the model itself, not with .bind()",
            )
        self._model = chat_model
        self._reads_pictures = reads_pictures

    @property
    def name(self) -> str:
        """The model's name where it has one, e.g. ``"langchain:gpt-4o"``; else its kind."""
        for field in ("model_name", "model", "model_id"):
            name = getattr(self._model, field, None)
            if isinstance(name, str) and name:
                return f"langchain:{name}"
        return f"langchain:{self._model._llm_type}"

    @property
    def reads_pictures(self) -> bool:
        """Whether it may be sent frames."""
        if self._reads_pictures is not None:
            return self._reads_pictures
        profile: dict[str, Any] = getattr(self._model, "profile", None) or {}
        return bool(profile.get("image_inputs", True))

    def stream(self, message: Message) -> Iterator[str]:
        """Yields the reply in pieces.

        Raises:
            AnswererError: The model cannot be reached, refuses, or breaks off.
        """
        sent = self._messages(message)
        try:
            for piece in self._model.stream(sent):
                # Reasoning and tool calls are blocks of other kinds and are not the answer.
                text = str(piece.text)
                if text:
                    yield text
        except Exception as fault:
            # Every provider raises errors of its own package, which is not known here.
            raise self._error(fault, num_frames=len(message.frames)) from fault

    def _messages(self, message: Message) -> list[BaseMessage]:
        if not message.frames:
            # Some text-only models take a plain string and nothing else.
            words = "".join(part for part in message.parts if isinstance(part, str))
            return [SystemMessage(message.system), HumanMessage(words)]
        content: list[ContentBlock] = [
            create_text_block(part) if isinstance(part, str) else image_block(jpeg(part.pixels))
            for part in message.parts
        ]
        return [SystemMessage(message.system), HumanMessage(content_blocks=content)]

    def _error(self, fault: Exception, *, num_frames: int) -> AnswererError:
        hint = "check the model's key, address and limits"
        if num_frames and self._reads_pictures is None:
            hint += (
                "; for a model that sees no pictures, ChatModelAnswerer(…, reads_pictures=False)"
            )
        words = str(fault) or "no reason given"
        return AnswererError(f"{self.name} failed: {type(fault).__name__}: {words}", hint=hint)
