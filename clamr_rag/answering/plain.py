"""Words of strangers as plain text: what a video says, and what a model makes of it."""

from __future__ import annotations

import re
import unicodedata

_UNWANTED = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Control, format (bidi overrides, zero width), surrogate, private, line and paragraph signs."""
_JOINERS = "\u200c\u200d"
"""Needed to write Persian, Indic scripts and emoji."""
_TURN_BORDER = re.compile(
    r"[<＜](?=[^\s\d=<＜])|\[(?=/?(?:INST|TOOL|AVAILABLE_TOOL|SYSTEM|IMG|THINK|AUDIO)[A-Z_]*\])"
)
_MARKUP = re.compile(r"!(?=\[)|\](?=\()|<(?=[A-Za-z/!?])")
_MAY_BEGIN_MARKUP = "!]<"


def one_plain_line(text: str, limit: int = 2000) -> str:
    """Evidence as one line that cannot leave its place in a prompt.

    Line breaks fold to spaces, invisible characters go, and what tokenizers and chat templates
    read as the border of a turn, a tool call or a picture (``<|im_end|>``, ``[/INST]``,
    ``<image>``) gets a space inside.
    """
    flat = " ".join(_visible(text).split())
    return _TURN_BORDER.sub(lambda found: f"{found[0]} ", flat)[:limit]


def timecode(seconds: float) -> str:
    """``HH:MM:SS.hh`` of a time, to the hundredth of a second."""
    whole, hundredths = divmod(round(seconds * 100), 100)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{hundredths:02}"


def plain_reply(text: str) -> str:
    """A model's words without invisible characters and markup; line breaks stay.

    A space is put into ``![``, ``](`` and ``<a``: a page that renders Markdown or HTML then loads
    no picture and hides no address behind other words. An address that is written out stays.
    """
    reply = PlainReply()
    return reply.feed(text) + reply.finish()


class PlainReply:
    """`plain_reply` of a text that comes in pieces, wherever these are cut."""

    def __init__(self) -> None:
        """Has seen nothing yet."""
        self._waiting = ""

    def feed(self, text: str) -> str:
        """Takes a piece and returns what can be shown by now."""
        ready = self._waiting + _visible(text)
        held = len(ready) > 0 and ready[-1] in _MAY_BEGIN_MARKUP
        self._waiting = ready[-1] if held else ""
        shown = ready[:-1] if held else ready
        # What was held back is known by its successor, which may be the next thing held back.
        parted = _MARKUP.sub(lambda found: f"{found[0]} ", shown + self._waiting)
        return parted[:-1] if held else parted

    def finish(self) -> str:
        """Returns what was held back in case that markup was coming."""
        rest, self._waiting = self._waiting, ""
        return rest


def _visible(text: str) -> str:
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character == "\n" or character in _JOINERS:
        return character
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) in _UNWANTED else character
