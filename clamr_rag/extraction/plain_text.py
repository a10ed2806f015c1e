"""Readable text from what strangers wrote: names, descriptions and dates."""

from __future__ import annotations

import re
import unicodedata

_MAX_CHARACTERS = 300
_STAMP = r"(?:(?P<hours>\d{1,2}):)?(?P<minutes>\d{1,2}):(?P<seconds>[0-5]\d)"
_STAMP_FIRST = re.compile(rf"^[\s\-–—•*(\[]*{_STAMP}[)\]]?(?![\d:])[\s\-–—:|.)\]]*(?P<title>\S.*)$")
_STAMP_LAST = re.compile(rf"^[\s\-–—•*]*(?P<title>\S.*?)[\s\-–—:|.(\[]+{_STAMP}[)\]]?\s*$")
_SPAN_END = re.compile(r"^(?:to|until|bis)?\s*(?:\d{1,2}:)?\d{1,2}:[0-5]\d[)\]]?[\s\-–—:|.]*")
_LINK = re.compile(r"https?://\S+|www\.\S+")
_SENTENCE_BREAK = re.compile(r"(?<=[.!?…])\s+(?=[\w\"'(])")
_DAY = re.compile(r"^(\d{4})[-./]?(\d{2})?[-./]?(\d{2})?(?!\d)")
_NO_DAYS = ("1904-01-01", "1970-01-01")
"""What a camera without a clock writes."""
_VIDEO_ID = re.compile(r"\s*[\[(][\w-]{11}[\])]\s*$")
_ENCODING_WORDS = re.compile(
    r"\b(?:\d{3,4}[pi]|4k|uhd|hd|[xh]\.?26[45]|hevc|avc|av1|vp9|aac|web-?(?:rip|dl)|bluray|"
    r"brrip|dvdrip|hdtv|10bit)\b",
    re.IGNORECASE,
)


def clean(text: str, max_characters: int = _MAX_CHARACTERS) -> str:
    """One line of text: control and direction characters gone, spaces folded, cut at a word."""
    # A line break separates words; a control character within a line may, too.
    spaced = "".join(" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in text)
    # Cf holds the characters that turn the direction of text or are not seen at all; Cs is broken.
    kept = "".join(c for c in spaced if unicodedata.category(c) not in {"Cf", "Cs", "Co", "Cn"})
    folded = " ".join(unicodedata.normalize("NFC", kept).split())
    if len(folded) <= max_characters:
        return folded
    cut = folded[: max_characters - 1]
    return (cut.rpartition(" ")[0] or cut) + "…"


def sentences(text: str) -> list[str]:
    """The sentences of a text, line breaks respected; lines that are only links are left out."""
    found = []
    for line in text.splitlines():
        for sentence in _SENTENCE_BREAK.split(line):
            plain = clean(sentence)
            if any(character.isalnum() for character in _LINK.sub("", plain)):
                found.append(plain)
    return found


def timed_titles(text: str) -> tuple[list[tuple[float, str]], str]:
    """Splits ``12:31 Results`` lines from the rest of a description.

    Returns:
        Seconds and title of each such line in order of time, and the other lines.
    """
    timed: list[tuple[float, str]] = []
    others = []
    for line in text.splitlines():
        # Both styles are common: "12:31 Results" and "Results - 12:31".
        match = _STAMP_FIRST.match(line) or _STAMP_LAST.match(line)
        title = clean(_SPAN_END.sub("", match["title"])) if match else ""
        if match and any(character.isalnum() for character in title):
            timed.append((_stamp_seconds(match), title))
        else:
            others.append(line)
    return sorted(timed), "\n".join(others)


def _stamp_seconds(match: re.Match[str]) -> float:
    hours, minutes, seconds = (int(match[part] or 0) for part in ("hours", "minutes", "seconds"))
    return hours * 3600.0 + minutes * 60.0 + seconds


def day_of(text: str | None) -> str | None:
    """The day (or month, or year) of a date as files write it: ``20240131`` is ``2024-01-31``."""
    match = _DAY.match((text or "").strip())
    if not match:
        return clean(text or "") or None
    day = "-".join(part for part in match.groups() if part)
    return None if day in _NO_DAYS else day


def readable_stem(stem: str) -> str:
    """A file's name as words: separators, the id of a download and the encoding's terms gone."""
    words = re.sub(r"[_.+]+|\s-\s", " ", _VIDEO_ID.sub("", stem))
    return clean(re.sub(r"[\[(]\s*[\])]", " ", _ENCODING_WORDS.sub(" ", words))) or clean(stem)
