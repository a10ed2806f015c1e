"""The clip numbers that a model cites, made into the numbers that a reader is shown."""

from __future__ import annotations

import re

_OPENERS, _CLOSERS = "[【［〔", "]】］〕"
_INSIDE = r"[\d ,;&#–\-clipsandCLIPSAND]{0,80}"
"""All that a mark can hold, so that text is held back no longer than a mark might be coming."""
_CANDIDATE = re.compile(rf" ?[{re.escape(_OPENERS)}]({_INSIDE})[{re.escape(_CLOSERS)}]")
_PENDING = re.compile(rf" ?(?:[{re.escape(_OPENERS)}]{_INSIDE})?$")
_BRACKETS = re.compile(rf"[{re.escape(_OPENERS + _CLOSERS)}\n]")

_ITEM = r"(?:clips? *)?#?\d{1,4}(?: *[–-] *\d{1,4})?"
_MARK = re.compile(rf" *{_ITEM}(?:(?: *(?:[,;&]|\band\b))+ *{_ITEM})* *", re.IGNORECASE)
_RANGE = re.compile(r"(\d+)(?: *[–-] *(\d+))?")


class CitationMarks:
    """Rewrites a reply as it comes in: ``[7]`` becomes ``[1]`` if clip 7 is the first cited.

    Marks of clips that the model was not given are dropped and counted. How a reply is cut into
    pieces makes no difference.
    """

    def __init__(self, num_clips: int) -> None:
        """Knows clips 1 to ``num_clips``."""
        self._num_clips = num_clips
        self._pending = ""
        self._in_bracket = False
        self._after_mark = False
        self._owes_space = False
        self.cited: list[int] = []
        """Clip numbers in order of their first citation."""
        self.num_invented = 0
        """Citations of clips that there are none of."""

    def feed(self, text: str) -> str:
        """Takes a piece of the reply and returns what can be shown of it by now."""
        ready = self._pending + text
        found = _PENDING.search(ready)
        cut = found.start() if found else len(ready)
        self._pending = ready[cut:]
        shown, start = [], 0
        for candidate in _CANDIDATE.finditer(ready, 0, cut):
            shown += [self._plain(ready[start : candidate.start()]), self._mark(candidate)]
            start = candidate.end()
        return "".join([*shown, self._plain(ready[start:cut])])

    def finish(self) -> str:
        """Returns what was held back in case that a mark was coming."""
        rest, self._pending = self._plain(self._pending), ""
        return rest

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
        shown = []
        for number in numbers:
            if not 1 <= number <= self._num_clips:
                self.num_invented += 1
                continue
            if number not in self.cited:
                self.cited.append(number)
            shown.append(f"[{self.cited.index(number) + 1}]")
        spaced = self._owes_space or candidate[0].startswith(" ")
        self._owes_space = spaced and not shown
        if shown:
            return (" " if spaced else "") + "".join(dict.fromkeys(shown))
        # Dropping [9] from "[[9]1]" must not make a mark of what surrounds it.
        return " " if self._in_bracket else ""

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
