"""Subtitle markup to plain text."""

from __future__ import annotations

import html
import re

_MAX_CHARACTERS = 20_000
"""Nobody says more in one cue; and patterns on endless text take endless time."""

_ASS_OVERRIDE = re.compile(r"\{[^{}]*\}")
_DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}")
# Only what is surely a tag: "a < b" and "<3" are text.
_TAG = re.compile(r"</?(?:[a-zA-Z][\w.-]{0,30})(?:[\s.][^<>]{0,300})?/?>|<\d\d?:[\d:.]{2,12}>")


def plain_text(markup: str) -> str:
    """Returns the words of one ASS, SRT or WebVTT cue, lines kept, without any markup.

    Entities become characters: ``&lt;b&gt;`` was text all along and is left as ``<b>``, so whoever
    shows cues on a page must escape them.
    """
    markup = markup[:_MAX_CHARACTERS]
    if _DRAWING.search(markup):
        return ""
    text = _ASS_OVERRIDE.sub("", markup)
    text = text.replace(r"\N", "\n").replace(r"\n", "\n").replace(r"\h", " ")
    text = html.unescape(_TAG.sub("", text)).replace("\x00", "")
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)
