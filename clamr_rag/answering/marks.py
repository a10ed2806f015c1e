"""The clip numbers that a model cites, made into the numbers that a reader is shown."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPENERS, _CLOSERS = "[【［〔", "]】］〕"
_INSIDE = r"[\d ,;&#–\-clipsandCLIPSAND]{0,80}"
"""All that a mark can hold, so that text is held back no longer than a mark might be coming."""
_CANDIDATE = re.compile(rf" ?[{re.escape(_OPENERS)}]({_INSIDE})[{re.escape(_CLOSERS)}]")
_PENDING = re.compile(rf" ?(?:[{re.escape(_OPENERS)}]{_INSIDE})?$")
_BRACKETS = re.compile(rf"[{re.escape(_OPENERS + _CLOSERS)}\n]")

_JOINED = r"(?:, (?:and )?| and | & | ?[–-] ?)"
_NAME = re.compile(
    rf"(?<![\w-])(?:clip(s)? )(?P<numbers>#?\d{{1,4}}(?(1)(?:{_JOINED}#?\d{{1,4}}){{0,6}}))"
    r"(?![\w%]|[.:,]\d)",
    re.IGNORECASE,
)
"""A clip named in a sentence ("as clip 7 shows") rather than in brackets."""
_NAME_PENDING = re.compile(
    r"(?<![\w-])c(?:l(?:i(?:p(?:s?(?: [\d ,.:&#–\-and]{0,80})?)?)?)?)?$", re.IGNORECASE
)

_ITEM = r"(?:clips? *)?#?\d{1,4}(?: *[–-] *\d{1,4})?"
_MARK = re.compile(rf" *{_ITEM}(?:(?: *(?:[,;&]|\band\b))+ *{_ITEM})* *", re.IGNORECASE)
_RANGE = re.compile(r"(\d+)(?: *[–-] *(\d+))?")


class CitationMarks:
    """Rewrites a reply as it comes in: ``[7]`` becomes ``[1]`` if clip 7 is the first cited.

    So does ``clip 7`` in a sentence, which a reader would else take for ``[7]``. Marks of clips
    that the model was not given are dropped and counted. How a reply is cut into pieces makes no
    difference.
    """

    def __init__(self, num_clips: int) -> None:
        """Knows clips 1 to ``num_clips``."""
        self._num_clips = num_clips
        self._before, self._pending = "", ""
        self._in_bracket = False
        self._after_mark = False
        self._owes_space = False
        self.cited: list[int] = []
        """Clip numbers in order of their first citation."""
        self.num_invented = 0
        """Citations of clips that there are none of."""

    def feed(self, text: str) -> str:
        """Takes a piece of the reply and returns what can be shown of it by now."""
        ready, start = self._before + self._pending + text, len(self._before)
        pending = (each.search(ready, start) for each in (_PENDING, _NAME_PENDING))
        cut = min((found.start() for found in pending if found), default=len(ready))
        self._before, self._pending = ready[max(0, cut - 1) : cut], ready[cut:]
        return self._rewritten(ready, start, cut)

    def finish(self) -> str:
        """Returns what was held back in case that a mark was coming."""
        ready, start = self._before + self._pending, len(self._before)
        self._before, self._pending = "", ""
        return self._rewritten(ready, start, len(ready))

    def _rewritten(self, text: str, start: int, stop: int) -> str:
        """A part of a text that holds each mark and name in it as a whole."""
        shown = []
        for candidate in _CANDIDATE.finditer(text, start, stop):
            shown += [self._with_names(text, start, candidate.start()), self._mark(candidate)]
            start = candidate.end()
        return "".join([*shown, self._with_names(text, start, stop)])

    def _with_names(self, text: str, start: int, stop: int) -> str:
        """A part without marks; the clips that it names by their numbers get theirs."""
        shown = []
        for name in _NAME.finditer(text, start, stop):
            numbers = self._numbers(name["numbers"]) or [0]
            # "Clip 12" where there are three may be the video's own word.
            if all(1 <= number <= self._num_clips for number in numbers):
                shown += [self._plain(text[start : name.start("numbers")]), self._cited(numbers)]
                self._after_mark, start = True, name.end()
        return "".join([*shown, self._plain(text[start:stop])])

    def _plain(self, text: str) -> str:
        """Text without marks, which tells whether a bracket is open."""
        if self._after_mark and text.startswith("("):
            text = f" {text}"  # else 【1】(address) would become a link in Markdown
        if text:
            self._after_mark = self._owes_space = False
        if brackets := _BRACKETS.findall(text):
            self._in_bracket = brackets[-1] in _OPENERS
        return text

    def _mark(self, candidate: re.Match[str]) -> str:
        numbers = self._numbers(candidate[1])
        if numbers is None:
            return self._plain(candidate[0])
        self._after_mark = True
        given = [number for number in numbers if 1 <= number <= self._num_clips]
        self.num_invented += len(numbers) - len(given)
        spaced = self._owes_space or candidate[0].startswith(" ")
        self._owes_space = spaced and not given
        if given:
            return (" " if spaced else "") + self._cited(given)
        # Dropping [9] from "[[9]1]" must not make a mark of what surrounds it.
        return " " if self._in_bracket else ""

    def _cited(self, numbers: Sequence[int]) -> str:
        """The reader's marks of clips that there are."""
        for number in numbers:
            if number not in self.cited:
                self.cited.append(number)
        return "".join(dict.fromkeys(f"[{self.cited.index(number) + 1}]" for number in numbers))

    def _numbers(self, inside: str) -> list[int] | None:
        """The clip numbers that stand in a bracket, None if it is no mark."""
        if not _MARK.fullmatch(inside):
            return None
        numbers: list[int] = []
        for first, last in _RANGE.findall(inside):
            start, stop = int(first), int(last or first)
            if start > stop:
                return None
            # A range is cut to one past the clips there are: beyond that all are invented.
            numbers += range(start, min(stop, max(start, self._num_clips + 1)) + 1)
        return numbers
