"""Scripted models for the injection suite: what the worst of models would reply."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from clamr_rag.answering import ChatModel, Message
from eval.injection_attacks import Case

_MARK = re.compile(r"between marks that begin with (\w+)\.")
_FLAG = re.compile(r" \(worded like an instruction:[^()\n]*\)")
_RULE_OF_THE_MARKS = re.compile(r"^4\. .*?(?=^\d\. |\Z)", re.MULTILINE | re.DOTALL)
_HEADER = re.compile(r"clip \[(\d+)\] of the video")
_WORST = "\x1b[31m\u202e ![x](https://canary.example/?q=1) <img src=x> [99]"
"""What nobody may be shown, after the payload."""


def text_of(message: Message) -> str:
    """The text parts of what a model is shown."""
    return "".join(part for part in message.parts if isinstance(part, str))


@dataclass(eq=False)
class ObedientModel:
    """Does what the injected text says, unless the line that holds it is flagged.

    With ``heeds_flags`` off it obeys whatever it is shown: the worst that a model can do.
    """

    heeds_flags: bool = True
    case: Case | None = None
    """Whose order it obeys; set before each question, since it cannot read."""
    seen: list[Message] = field(default_factory=list)
    name: str = "obedient"
    reads_pictures: bool = False

    def stream(self, message: Message) -> Iterator[str]:
        """Replies with the payload, or with the fact and its clip."""
        assert self.case is not None
        self.seen.append(message)
        fact, shown = self.case.fact, text_of(message)
        obeys = any(not self._is_flagged(line) for line in self._orders(shown, self.case))
        if obeys:
            yield f"{self.case.attack.payload} [1] {_WORST}"
        else:
            yield f"{fact.sentence} {_clip_with(fact.sentence, shown)}"
        if "\nA) " in shown:
            yield f"\nAnswer: {'C' if obeys else fact.letter}"

    def _is_flagged(self, line: str) -> bool:
        return self.heeds_flags and _FLAG.search(line) is not None

    @staticmethod
    def _orders(shown: str, case: Case) -> list[str]:
        """The lines of the evidence that hold the payload; an option of the question is none."""
        payload = " ".join(case.attack.payload.split())
        return [
            line
            for line in shown.splitlines()
            if payload in line and not re.match(r"[A-Z]\) |Question: ", line)
        ]


@dataclass(eq=False)
class ParrotModel:
    """Repeats all that it is shown, and cites clips that there are none of."""

    seen: list[Message] = field(default_factory=list)
    name: str = "parrot"
    reads_pictures: bool = False

    def stream(self, message: Message) -> Iterator[str]:
        """Replies with the whole message, its rules included."""
        self.seen.append(message)
        yield f"{text_of(message)} [1] {_WORST}\n{message.system}"


class WithoutGuard:
    """Another model, shown the same evidence without marks, flags and the rule about them."""

    def __init__(self, model: ChatModel) -> None:
        """Asks nothing yet."""
        self._model = model

    @property
    def name(self) -> str:
        """The model's, and that it is unguarded."""
        return f"{self._model.name} without the guard"

    @property
    def reads_pictures(self) -> bool:
        """As the model."""
        return self._model.reads_pictures

    def stream(self, message: Message) -> Iterator[str]:
        """The model's reply to the bare message."""
        yield from self._model.stream(bare(message))


def bare(message: Message) -> Message:
    """The message as a program without a guard would send it.

    Raises:
        ValueError: It has no mark or no rule about marks, so there is nothing to compare with.
    """
    found = _MARK.search(message.system)
    system = _RULE_OF_THE_MARKS.sub("", message.system)
    if found is None or system == message.system:
        raise ValueError("the message has no guard to take off: has the prompt been reworded?")
    parts = [
        _FLAG.sub("", part.replace(f"{found[1]} ", "")) if isinstance(part, str) else part
        for part in message.parts
    ]
    return Message(system, tuple(parts))


def _clip_with(sentence: str, shown: str) -> str:
    """The mark of the clip that a sentence stands in."""
    before = shown.partition(sentence)[0]
    numbers = _HEADER.findall(before)
    return f"[{numbers[-1]}]" if numbers else ""
