"""The tables of clips and of their words."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from typing import Literal

from clamr_rag.index.database import Database
from clamr_rag.index.records import TextHit, check, checksum
from clamr_rag.types import Clip, Cue, MetadataLine, OcrLine, TimeSpan, Word

_WITHOUT_VECTORS = "position NOT IN (SELECT clip FROM vector)"


def add(database: Database, clips: Sequence[Clip]) -> None:
    """Adds clips and their words."""
    for clip in clips:
        details = _dump(clip)
        key = (clip.clip_id, clip.video_id, clip.number)
        position = database.run(
            "INSERT INTO clip(clip_id, video_id, number, details, checksum) VALUES(?, ?, ?, ?, ?)",
            *key,
            details,
            checksum(*key, details),
        )
        database.run(
            "INSERT INTO clip_text(rowid, asr, ocr, description) VALUES(?, ?, ?, ?)",
            position,
            *_words(clip),
        )


def remove(database: Database, video_id: str) -> None:
    """Removes the clips of a video with their words and vectors."""
    database.run(
        "DELETE FROM clip_text WHERE rowid IN (SELECT position FROM clip WHERE video_id = ?)",
        video_id,
    )
    database.run("DELETE FROM clip WHERE video_id = ?", video_id)


def forget_words(database: Database) -> None:
    """Merges the word index: until then removed words still stand in it."""
    database.run("INSERT INTO clip_text(clip_text) VALUES('optimize')")


def of_video(database: Database, video_id: str) -> tuple[Clip, ...]:
    """All clips of a video in time order."""
    return _read(database, "video_id = ?", video_id)


def pending(database: Database, video_id: str) -> tuple[Clip, ...]:
    """The clips of a video without vectors, in time order."""
    return _read(database, f"video_id = ? AND {_WITHOUT_VECTORS}", video_id)


def count(database: Database, video_id: str) -> tuple[int, int]:
    """Number of clips of a video, and of those without vectors."""
    row = database.row(
        f"SELECT count(*), coalesce(sum({_WITHOUT_VECTORS}), 0) FROM clip WHERE video_id = ?",
        video_id,
    )
    return (row[0], row[1]) if row else (0, 0)


def one(database: Database, clip_id: str) -> Clip | None:
    """One clip, None if it is not there."""
    return next(iter(_read(database, "clip_id = ?", clip_id)), None)


def search(
    database: Database,
    words: str,
    match: Literal["any", "all"],
    limit: int,
    video_ids: Collection[str] | None,
) -> tuple[TextHit, ...]:
    """Clips of indexed videos with these words, best first."""
    wanted = _word_query(words, match)
    if not wanted:
        return ()
    rows = database.rows(
        "SELECT clip.clip_id, -bm25(clip_text) AS weight FROM clip_text "
        "JOIN clip ON clip.position = clip_text.rowid JOIN video USING(video_id) "
        "WHERE clip_text MATCH ?1 AND video.status = 'indexed' "
        "AND (?2 IS NULL OR video_id IN (SELECT value FROM json_each(?2))) "
        "ORDER BY weight DESC, clip.clip_id LIMIT ?3",
        wanted,
        None if video_ids is None else json.dumps(sorted(video_ids)),
        limit,
    )
    return tuple(TextHit(clip_id, weight) for clip_id, weight in rows)


def _word_query(words: str, match: Literal["any", "all"]) -> str:
    """An FTS5 query of plain words: quoted, so that none is read as an operator."""
    found = re.findall(r"\w+", words.encode("utf-8", "replace").decode())
    return (" OR " if match == "any" else " AND ").join(f'"{word}"' for word in found)


def without_words(database: Database) -> Iterator[str]:
    """Ids of the clips whose words in the index are not theirs."""
    rows = database.rows("SELECT position, clip_id FROM clip ORDER BY position")
    for position, clip_id in rows:
        clip = one(database, clip_id)
        found = database.row(
            "SELECT asr, ocr, description FROM clip_text WHERE rowid = ?", position
        )
        if clip is None or found != _words(clip):
            yield clip_id


def _words(clip: Clip) -> tuple[str, str, str]:
    """Speech, screen text and metadata of a clip, as they are searched."""
    cues, lines, metadata = (
        # Half a surrogate pair (of a name that is not UTF-8) cannot be stored as text.
        "\n".join(line.text for line in lines).encode("utf-8", "replace").decode()
        for lines in (clip.cues, clip.ocr_lines, clip.metadata)
    )
    return cues, lines, metadata


def _read(database: Database, condition: str, value: str) -> tuple[Clip, ...]:
    rows = database.rows(
        "SELECT clip_id, video_id, number, details, checksum FROM clip "
        f"WHERE {condition} ORDER BY number",
        value,
    )
    return tuple(_clip(*row) for row in rows)


def _dump(clip: Clip) -> str:
    """Span and texts of a clip as ASCII JSON, from which the clip is restored exactly."""
    return json.dumps(
        {
            "span": asdict(clip.span),
            "cues": [asdict(cue) for cue in clip.cues],
            "ocr_lines": [asdict(line) for line in clip.ocr_lines],
            "metadata": [asdict(line) for line in clip.metadata],
        }
    )


def _clip(clip_id: str, video_id: str, number: int, details: str, stored: int) -> Clip:
    check(stored, checksum(clip_id, video_id, number, details), f"clip {clip_id}")
    values = json.loads(details)
    return Clip(
        clip_id=clip_id,
        video_id=video_id,
        number=number,
        span=TimeSpan(**values["span"]),
        cues=tuple(
            Cue(**{**cue, "words": tuple(Word(**word) for word in cue["words"])})
            for cue in values["cues"]
        ),
        ocr_lines=tuple(
            OcrLine(**{**line, "box": tuple(line["box"])}) for line in values["ocr_lines"]
        ),
        metadata=tuple(
            MetadataLine(**{**line, "span": TimeSpan(**line["span"]) if line["span"] else None})
            for line in values["metadata"]
        ),
    )
