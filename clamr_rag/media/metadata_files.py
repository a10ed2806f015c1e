"""Sidecars that describe a video: ``.info.json``, ``.nfo`` and chapter lists."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError
from clamr_rag.media.files import checked_file
from clamr_rag.media.probing import chapters_in_order
from clamr_rag.media.process import DecoderProcess
from clamr_rag.media.values import Chapter, InfoJson, Nfo

_Value = TypeVar("_Value")


def read_info_json(path: str | os.PathLike[str], options: MediaOptions | None = None) -> InfoJson:
    """Returns what a yt-dlp ``.info.json`` says of its video.

    Raises:
        MediaError: Not a JSON object.
        MediaLimitError: A larger file than allowed.
    """
    return _read("info_json", path, options, _info_json)


def read_nfo(path: str | os.PathLike[str], options: MediaOptions | None = None) -> Nfo:
    """Returns what a Kodi or Jellyfin ``.nfo`` says of its video.

    Raises:
        MediaError: Not XML, or XML with a DTD or entities of its own.
        MediaLimitError: A larger file than allowed.
    """
    return _read("nfo", path, options, _nfo)


def read_chapters(
    path: str | os.PathLike[str], options: MediaOptions | None = None
) -> tuple[Chapter, ...]:
    """Returns the chapters of an OGM list or of ``00:00 Title`` lines.

    Each ends where the next starts; the last one, whose end nobody says, has an empty span.

    Raises:
        MediaError: No chapter found.
        MediaLimitError: A larger file than allowed.
    """
    return _read("chapters", path, options, lambda header: _chapters(header["chapters"]))


def _read(
    operation: str,
    path: str | os.PathLike[str],
    options: MediaOptions | None,
    value_of: Callable[[dict[str, Any]], _Value],
) -> _Value:
    whole = checked_file(path, "a sidecar")
    with DecoderProcess(operation, whole, options or MediaOptions()) as child:
        for message in child.messages():
            try:
                return value_of(message.header)
            except (KeyError, TypeError, ValueError) as error:
                raise child.nonsense(error) from error
        raise MediaError(f"{str(whole)!r}: the decoder said nothing")


def _info_json(header: dict[str, Any]) -> InfoJson:
    return InfoJson(
        title=_text(header["title"]),
        description=_text(header["description"]),
        tags=_texts(header["tags"]),
        uploader=_text(header["uploader"]),
        upload_date=_text(header["upload_date"]),
        chapters=_chapters(header["chapters"]),
    )


def _nfo(header: dict[str, Any]) -> Nfo:
    return Nfo(
        title=_text(header["title"]),
        plot=_text(header["plot"]),
        tagline=_text(header["tagline"]),
        genres=_texts(header["genres"]),
        tags=_texts(header["tags"]),
        people=_texts(header["people"]),
        premiered=_text(header["premiered"]),
    )


def _chapters(parts: list[Any]) -> tuple[Chapter, ...]:
    return chapters_in_order(
        [
            (str(title), float(start), None if stop is None else float(stop))
            for title, start, stop in parts
        ]
    )


def _text(value: object) -> str | None:
    return str(value) if value is not None else None


def _texts(values: list[object]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
