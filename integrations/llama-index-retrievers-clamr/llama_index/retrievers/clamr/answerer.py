"""Any LlamaIndex model as the answerer of a clamr-rag library."""

from __future__ import annotations

from collections.abc import Iterator

from clamr_rag.answering import Message
from clamr_rag.errors import AnswererError, UsageError
from clamr_rag.types import Frame
from llama_index.core.base.llms.types import ChatMessage, ContentBlock, ImageBlock, TextBlock
from llama_index.core.llms import LLM

from llama_index.retrievers.clamr.keyframes import jpeg


class LlamaIndexAnswerer:
    """Gives a LlamaIndex chat model to ``VideoLibrary.open(..., answerer=...)``.

    The library chooses the evidence, checks the citations and abstains, as with its own models.
    """

    def __init__(self, llm: LLM, *, reads_pictures: bool = True) -> None:
        """Calls nothing yet.

        Args:
            llm: Any chat model.
            reads_pictures: Whether it may be sent frames; LlamaIndex does not know.

        Raises:
            UsageError: It is not a chat model.
        """
        if not llm.metadata.is_chat_model:
            raise UsageError(
                f"{llm.metadata.model_name} is not a chat model",
                hint="pass is_chat_model=True if its server has a chat endpoint",
            )
        self._llm = llm
        self.reads_pictures = reads_pictures

    @property
    def name(self) -> str:
        """As said in the output."""
        return f"{self._llm.metadata.model_name} through LlamaIndex"

    def stream(self, message: Message) -> Iterator[str]:
        """Yields the reply in pieces.

        Raises:
            AnswererError: The model failed, at once or while it wrote.
        """
        messages = [
            ChatMessage(role="system", content=message.system),
            ChatMessage(role="user", blocks=[_block(part) for part in message.parts]),
        ]
        try:
            for piece in self._llm.stream_chat(messages):
                if piece.delta:
                    yield piece.delta
        # Every model class raises what its own client raises: no narrower type covers them.
        except Exception as error:
            raise AnswererError(
                f"{self.name} failed: {str(error) or type(error).__name__}"
            ) from error


def _block(part: str | Frame) -> ContentBlock:
    if isinstance(part, str):
        return TextBlock(text=part)
    return ImageBlock(image=jpeg(part.pixels), image_mimetype="image/jpeg")
