"""What a reasoning model thinks before it answers is no part of the answer."""

from __future__ import annotations

import re

from clamr_rag.errors import AnswererError

_TAG = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_TAGS = ("<think>", "</think>", "<thinking>", "</thinking>")


class ThoughtFilter:
    """Takes ``<think>…</think>`` out of a reply that comes piece by piece."""

    def __init__(self) -> None:
        """Has heard nothing yet."""
        self._pending = ""
        self._is_thinking = False
        self._has_spoken = False

    def feed(self, piece: str) -> str:
        """What of the reply so far is answer and was not returned before.

        Raises:
            AnswererError: A thought ends that never began: what was answered so far was one.
        """
        self._pending += piece
        answer = []
        while tag := _TAG.search(self._pending):
            answer.append(self._taken(tag.start()))
            self._pending = self._pending[tag.end() - tag.start() :]
            self._turn(ends=bool(tag[1]))
        answer.append(self._taken(len(self._pending) - self._num_undecided()))
        return self._without_lead("".join(answer))

    def finish(self) -> str:
        """What was held back since it looked like the start of a tag."""
        return self._without_lead(self._taken(len(self._pending)))

    def _taken(self, length: int) -> str:
        """Removes the first characters of what is pending; thoughts are not returned."""
        text, self._pending = self._pending[:length], self._pending[length:]
        return "" if self._is_thinking else text

    def _turn(self, *, ends: bool) -> None:
        if ends and not self._is_thinking:
            raise AnswererError(
                "the model wrote its reasoning into its answer (a </think> without a <think>)",
                hint="start its server with the reasoning parser of the model",
            )
        self._is_thinking = not ends

    def _num_undecided(self) -> int:
        """Length of what may turn out to be a tag."""
        start = self._pending.rfind("<")
        tail = self._pending[start:].lower() if start >= 0 else ""
        return len(tail) if tail and any(tag.startswith(tail) for tag in _TAGS) else 0

    def _without_lead(self, answer: str) -> str:
        """Thoughts leave blank lines behind them."""
        if not self._has_spoken:
            answer = answer.lstrip()
            self._has_spoken = bool(answer)
        return answer
