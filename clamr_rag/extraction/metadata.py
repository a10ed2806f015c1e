"""What a video says about itself: tags, chapters, sidecars and its name, one fact per line."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clamr_rag.errors import MediaError
from clamr_rag.extraction.plain_text import (
    clean,
    day_of,
    readable_stem,
    sentences,
    timed_titles,
)
from clamr_rag.types import MetadataLine, TimeSpan

if TYPE_CHECKING:
    from clamr_rag.config import MediaOptions
    from clamr_rag.media import Chapter, InfoJson, MediaInfo, Nfo, Sidecar

_log = logging.getLogger(__name__)

_TITLE = "Title: "
_TAG_NAMES = {
    "title": "Title",
    "show": "Series",
    "album": "Series",
    "artist": "Author",
    "author": "Author",
    "album_artist": "Author",
    "composer": "Composer",
    "director": "Director",
    "network": "Publisher",
    "publisher": "Publisher",
    "genre": "Genre",
    "keywords": "Tags",
    "subtitle": "Subtitle",
}
"""Container tags that say something about the content, and how a reader calls them."""
_DATE_TAGS = ("date", "year", "date_released", "date_recorded", "creation_time")
_LONG_TAGS = ("description", "synopsis", "comment", "summary")
_MAX_DESCRIPTION_LINES = 60


def read_metadata(
    path: str | Path,
    info: MediaInfo,
    sidecars: Sequence[Sidecar],
    media_options: MediaOptions | None = None,
) -> tuple[MetadataLine, ...]:
    """Returns the facts about a video, each once, those without a time first.

    A sidecar that cannot be read is logged and passed over.
    """
    lines: list[MetadataLine] = []
    for sidecar in sidecars:
        try:
            lines += _sidecar_lines(sidecar, info.duration_seconds, media_options)
        except MediaError as error:
            _log.warning("%s is passed over: %s", sidecar.path.name, error)
    # Sidecars come first: their spelling wins over the container's where both say the same.
    lines += _tag_lines(info)
    lines += _chapter_lines(info.chapters, "chapters", info.duration_seconds)
    lines += _facts("file name", [("File name", readable_stem(Path(path).stem))])
    return _distinct(lines)


def title_of(lines: Iterable[MetadataLine], path: str | Path) -> str:
    """The video's title: as the metadata has it, else its file's stem."""
    for line in lines:
        if line.text.startswith(_TITLE):
            return line.text.removeprefix(_TITLE)
    return clean(Path(path).stem) or "untitled"


def _sidecar_lines(
    sidecar: Sidecar, duration_seconds: float, media_options: MediaOptions | None
) -> list[MetadataLine]:
    from clamr_rag.media import read_chapters, read_info_json, read_nfo

    name = sidecar.path.name
    if sidecar.kind == "info_json":
        info_json = read_info_json(sidecar.path, media_options)
        return list(_info_json_lines(info_json, name, duration_seconds))
    if sidecar.kind == "nfo":
        return list(_nfo_lines(read_nfo(sidecar.path, media_options), name, duration_seconds))
    if sidecar.kind == "chapters":
        chapters = read_chapters(sidecar.path, media_options)
        return list(_chapter_lines(chapters, name, duration_seconds))
    return []


def _info_json_lines(
    info_json: InfoJson, source: str, duration_seconds: float
) -> Iterator[MetadataLine]:
    yield from _facts(
        source,
        [
            ("Title", info_json.title),
            ("Author", info_json.uploader),
            ("Date", day_of(info_json.upload_date)),
            ("Tags", ", ".join(info_json.tags)),
        ],
    )
    yield from _chapter_lines(info_json.chapters, source, duration_seconds)
    yield from _description_lines(info_json.description, source, duration_seconds)


def _nfo_lines(nfo: Nfo, source: str, duration_seconds: float) -> Iterator[MetadataLine]:
    yield from _facts(
        source,
        [
            ("Title", nfo.title),
            ("Tagline", nfo.tagline),
            ("Genre", ", ".join(nfo.genres)),
            ("Tags", ", ".join(nfo.tags)),
            ("People", ", ".join(nfo.people)),
            ("Date", day_of(nfo.premiered)),
        ],
    )
    yield from _description_lines(nfo.plot, source, duration_seconds)


def _tag_lines(info: MediaInfo) -> Iterator[MetadataLine]:
    tags = info.tags
    yield from _facts("tags", [(key, tags.get(name)) for name, key in _TAG_NAMES.items()])
    days = (day_of(tags.get(name)) for name in _DATE_TAGS)
    yield from _facts("tags", [("Date", next(filter(None, days), None))])
    for name in _LONG_TAGS:
        yield from _description_lines(tags.get(name), "tags", info.duration_seconds)


def _facts(source: str, facts: Iterable[tuple[str, str | None]]) -> Iterator[MetadataLine]:
    """One line per fact that is not empty."""
    for key, value in facts:
        text = clean(value or "")
        if text:
            yield MetadataLine(f"{key}: {text}", source)


def _chapter_lines(
    chapters: Iterable[Chapter], source: str, duration_seconds: float
) -> Iterator[MetadataLine]:
    for chapter in chapters:
        title = clean(chapter.title)
        if title and chapter.span.start_seconds < duration_seconds:
            yield MetadataLine(f"Chapter: {title}", source, chapter.span)


def _description_lines(
    description: str | None, source: str, duration_seconds: float
) -> Iterator[MetadataLine]:
    """The sentences of a description; lines that start with a time become chapters."""
    timed, rest = timed_titles(description or "")
    # A description gives only starts: each part lasts until the next.
    stops = [seconds for seconds, _ in timed[1:]] + [duration_seconds]
    for (start, title), stop in zip(timed, stops, strict=False):
        if start < duration_seconds:
            span = TimeSpan(start, min(stop, duration_seconds))
            yield MetadataLine(f"Chapter: {title}", source, span)
    for sentence in sentences(rest)[:_MAX_DESCRIPTION_LINES]:
        yield MetadataLine(f"Description: {sentence}", source)


def _distinct(lines: Iterable[MetadataLine]) -> tuple[MetadataLine, ...]:
    """Each fact once, the first to say it; a file name that repeats the title says nothing new."""
    kept: dict[tuple[str, int | None], MetadataLine] = {}
    titles: set[str] = set()
    for line in lines:
        key, _, value = line.text.casefold().partition(": ")
        if key == "title":
            titles.add(_folded(value))
        # Most files are called by their title.
        if key == "file name" and _folded(value) in titles:
            continue
        # Sources round a chapter's time differently, and its end is often only a guess.
        start = None if line.span is None else round(line.span.start_seconds)
        kept.setdefault((f"{key}:{_folded(value)}", start), line)
    return tuple(sorted(kept.values(), key=_by_time))


def _folded(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _by_time(line: MetadataLine) -> float:
    return -1.0 if line.span is None else line.span.start_seconds
