"""The operations on sidecars: subtitle files, .info.json, .nfo and chapter lists."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from clamr_rag.media.child.limits import RefusedError
from clamr_rag.media.child.plain import plain_text
from clamr_rag.media.child.subtitles import too_many_cues

if TYPE_CHECKING:
    from clamr_rag.media.child.channel import Channel
    from clamr_rag.media.child.main import Request

_SUBTITLE_FORMATS = ("srt", "vtt", "ass", "ssa")
_BATCH = 500
_MAX_FIELD = 20_000
_MAX_LIST = 1_000
_MAX_CHAPTERS = 10_000
_MAX_XML_DEPTH = 32

_WORD_TIME = re.compile(r"<(?:\d{1,4}:)?\d\d:\d\d\.\d{2,3}>")
_OGM_TIME = re.compile(r"^CHAPTER(\d{1,5})\s*=\s*(\S+)", re.IGNORECASE)
_OGM_NAME = re.compile(r"^CHAPTER(\d{1,5})NAME\s*=\s*(.*)", re.IGNORECASE)
_PLAIN_LINE = re.compile(
    r"^[\[(]?((?:\d{1,3}:)?\d{1,3}:\d{1,2}(?:[.,]\d{1,6})?)[\])]?[\s:–—-]+(.+)"
)
_CLOCK = re.compile(r"^(?:(\d{1,5}):)?(\d{1,5}):(\d{1,2}(?:[.,]\d{1,9})?)$")


def subtitle_file(request: Request, channel: Channel) -> None:
    """Sends batches of (start, stop, text) of a .srt, .vtt, .ass or .ssa file."""
    import pysubs2
    from pysubs2.formats import autodetect_format

    # The parser takes two word times on one line of automatic captions for the times of a cue.
    text = _WORD_TIME.sub("", _decoded(_bytes_of(request)))
    try:
        kind = autodetect_format(text[:10_000])
        if kind not in _SUBTITLE_FORMATS:
            raise _no_subtitles(kind)
        # Tags are taken out by `plain_text`: the parser's own pattern is quadratic on "<a <a <a".
        subtitles = pysubs2.SSAFile.from_string(text, kind, keep_html_tags=True)
    except (pysubs2.Pysubs2Error, ValueError, KeyError, IndexError, OverflowError) as error:
        raise _no_subtitles(type(error).__name__) from error
    if len(subtitles.events) > request.limits["max_cues"]:
        raise too_many_cues(request.limits["max_cues"])
    cues = [
        (event.start / 1000, event.end / 1000, plain_text(event.text))
        for event in subtitles.events
        if not event.is_comment
    ]
    for first in range(0, len(cues), _BATCH):
        channel.send({"kind": "cues", "cues": cues[first : first + _BATCH]})


def _no_subtitles(found: str) -> RefusedError:
    return RefusedError(
        f"not subtitles that can be read ({found})", allowed=".srt, .vtt, .ass or .ssa text"
    )


def info_json(request: Request, channel: Channel) -> None:
    """Sends the fields of a yt-dlp ``.info.json`` that tell about the video."""
    try:
        fields = json.loads(_bytes_of(request))
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"not readable as JSON ({type(error).__name__})") from error
    if not isinstance(fields, dict):
        raise RefusedError("not a JSON object", allowed="a .info.json as yt-dlp writes it")
    tags = fields.get("tags")
    chapters = fields.get("chapters")
    channel.send(
        {
            "kind": "info_json",
            **{
                name: _words(fields.get(name))
                for name in ("title", "description", "uploader", "upload_date")
            },
            "tags": [w for w in map(_words, _listed(tags, _MAX_LIST)) if w],
            "chapters": [
                chapter
                for chapter in map(_json_chapter, _listed(chapters, _MAX_CHAPTERS))
                if chapter is not None
            ],
        }
    )


def nfo(request: Request, channel: Channel) -> None:
    """Sends the fields of a Kodi ``.nfo``."""
    found: dict[str, list[str]] = {}
    for name, text in _xml_fields(_bytes_of(request)):
        found.setdefault(name, []).append(text[:_MAX_FIELD])
    people = [
        name for role in ("director", "credits", "actor/name") for name in found.get(role, ())
    ]
    channel.send(
        {
            "kind": "nfo",
            "title": _first(found, "title"),
            "plot": _first(found, "plot") or _first(found, "outline"),
            "tagline": _first(found, "tagline"),
            "premiered": _first(found, "premiered")
            or _first(found, "aired")
            or _first(found, "year"),
            "genres": found.get("genre", [])[:_MAX_LIST],
            "tags": found.get("tag", [])[:_MAX_LIST],
            "people": list(dict.fromkeys(people))[:_MAX_LIST],
        }
    )


def chapters(request: Request, channel: Channel) -> None:
    """Sends (title, start, None) per chapter of an OGM or plain list."""
    lines = [line.strip() for line in _decoded(_bytes_of(request)).splitlines()]
    found = _ogm_chapters(lines) or _plain_chapters(lines)
    if not found:
        raise RefusedError(
            "no chapters found", allowed='"CHAPTER01=00:00:00.000" or "00:00 Title" lines'
        )
    channel.send({"kind": "chapters", "chapters": found[:_MAX_CHAPTERS]})


def _bytes_of(request: Request) -> bytes:
    """Reads the file, but never more than the limit: its size may grow while we look."""
    allowed: int = request.limits["max_sidecar_bytes"]
    try:
        with open(request.path, "rb") as file:  # noqa: PTH123
            content = file.read(allowed + 1)
    except OSError as error:
        raise RefusedError(f"cannot be read: {error.strerror}") from None
    if len(content) > allowed:
        raise RefusedError(
            "the file is too large",
            allowed=f"{allowed} bytes (media.max_sidecar_bytes)",
            limit=True,
        )
    return content


def _decoded(content: bytes) -> str:
    """Decodes text by its byte order mark, else UTF-8, else Latin-1, which takes any byte."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    # UTF-16 without a mark: every second byte of Western text is zero.
    if content[:200].count(0) > len(content[:200]) // 4:
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be", "replace")
    return content.decode("latin-1")


def _words(value: Any) -> str | None:
    return value[:_MAX_FIELD] if isinstance(value, str) and value.strip() else None


def _listed(value: Any, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _json_chapter(value: Any) -> tuple[str, float, float | None] | None:
    if not isinstance(value, dict):
        return None
    title, start = _words(value.get("title")), _second(value.get("start_time"))
    if title is None or start is None:
        return None
    return title, start, _second(value.get("end_time"))


def _second(value: Any) -> float | None:
    """Returns a JSON number as seconds; None for anything else, NaN and infinity too."""
    # A bool is an int in Python, but no time.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -1e12 < value < 1e12 and math.isfinite(value) else None


def _xml_fields(content: bytes) -> list[tuple[str, str]]:
    """Returns (path below the root, text) of all elements; entities and DTDs are refused.

    Kodi allows a link after the XML, so the text is cut behind the last tag.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser, ParseError

    found: list[tuple[str, str]] = []
    try:
        parser = DefusedXMLParser(target=_Fields(found), forbid_dtd=True)
        end = content.rfind(b">") + 1
        parser.feed(content[: end + 1 if content.startswith(b"\xff\xfe") else end])
        parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise RefusedError(f"not readable as XML ({type(error).__name__})") from error
    return found


class _Fields:
    """Collects the text of elements while the parser runs; no tree is built."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        self._found = found
        self._path: list[str] = []
        self._text = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag.lower())
        self._text = ""
        if len(self._path) > _MAX_XML_DEPTH:
            raise RefusedError("its XML is nested too deeply", allowed=f"{_MAX_XML_DEPTH} levels")

    def data(self, text: str) -> None:
        if len(self._text) < _MAX_FIELD:
            self._text += text

    def end(self, tag: str) -> None:
        if self._text.strip():
            self._found.append(("/".join(self._path[1:]), self._text.strip()))
        self._path.pop()
        self._text = ""

    def close(self) -> None:
        pass


def _first(found: dict[str, list[str]], name: str) -> str | None:
    return next(iter(found.get(name, ())), None)


def _ogm_chapters(lines: list[str]) -> list[tuple[str, float, None]]:
    """Reads ``CHAPTER01=00:00:00.000`` and ``CHAPTER01NAME=Intro`` pairs."""
    times: dict[int, float] = {}
    names: dict[int, str] = {}
    for line in lines:
        if match := _OGM_TIME.match(line):
            seconds = _clock_seconds(match[2])
            if seconds is not None:
                times[int(match[1])] = seconds
        elif match := _OGM_NAME.match(line):
            names[int(match[1])] = match[2].strip()
    return [
        (names.get(number) or f"Chapter {number}", start, None) for number, start in times.items()
    ]


def _plain_chapters(lines: list[str]) -> list[tuple[str, float, None]]:
    """Reads ``00:00 Title`` lines, as under a YouTube video; other lines are passed over."""
    found = []
    for line in lines:
        if match := _PLAIN_LINE.match(line):
            seconds = _clock_seconds(match[1])
            if seconds is not None:
                found.append((match[2].strip()[:_MAX_FIELD], seconds, None))
    return found


def _clock_seconds(text: str) -> float | None:
    match = _CLOCK.match(text)
    if match is None:
        return None
    hours, minutes, seconds = match[1] or "0", match[2], match[3].replace(",", ".")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
