"""A model that says what it was told to say, for tests and to try out what surrounds a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clamr_rag.answering import Message


class ScriptedModel:
    """A `ChatModel` that writes one given reply per message and keeps every message it was sent."""

    def __init__(
        self,
        *replies: str | Sequence[str],
        name: str = "scripted",
        reads_pictures: bool = True,
        breaks_off: Exception | None = None,
    ) -> None:
        """Takes the replies in order.

        Args:
            replies: One per message, whole or in the pieces that it is to come in. The last one is
                repeated where more messages come.
            name: As said in the output.
            reads_pictures: Whether it asks for frames.
            breaks_off: Raised after the last piece of every reply.
        """
        if not replies:
            raise ValueError("a scripted model needs at least one reply")
        self._replies = [(reply,) if isinstance(reply, str) else tuple(reply) for reply in replies]
        self._name = name
        self._reads_pictures = reads_pictures
        self._breaks_off = breaks_off
        self.messages: list[Message] = []
        """What it was shown, in order."""

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    @property
    def reads_pictures(self) -> bool:
        """As given."""
        return self._reads_pictures

    def stream(self, message: Message) -> Iterator[str]:
        """Keeps the message and yields the pieces of the next reply."""
        self.messages.append(message)
        yield from self._replies[min(len(self.messages), len(self._replies)) - 1]
        if self._breaks_off:
            raise self._breaks_off
