"""The table of videos."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from clamr_rag.errors import UsageError
from clamr_rag.index.database import Database
from clamr_rag.index.faults import damaged
from clamr_rag.index.records import VideoRecord, VideoStatus, check, checksum
from clamr_rag.types import Video

_COLUMNS = "SELECT video_id, status, details, checksum FROM video"
_SHORTEST_ID = 4
"""Characters of an id that are enough to mean a video."""


def write(database: Database, record: VideoRecord) -> VideoRecord:
    """Adds or replaces a video's row."""
    video_id, details = record.video.video_id, _dump(record)
    database.run(
        "INSERT INTO video(video_id, status, details, checksum) VALUES(?, ?, ?, ?) "
        "ON CONFLICT(video_id) DO UPDATE SET status = excluded.status, "
        "details = excluded.details, checksum = excluded.checksum",
        video_id,
        record.status,
        details,
        checksum(video_id, record.status, details),
    )
    return record


def remove(database: Database, video_id: str) -> None:
    """Removes a video's row, and with it all rows that belong to it."""
    database.run("DELETE FROM video WHERE video_id = ?", video_id)


def status(database: Database, video_id: str) -> str:
    """A video's status as it stands there, damaged or not.

    Raises:
        UsageError: It is not in the library.
    """
    row = database.row("SELECT status FROM video WHERE video_id = ?", video_id)
    if row is None:
        raise UsageError(f"video {video_id} is not in the library {database.path.parent}")
    return str(row[0])


def read_all(database: Database) -> tuple[VideoRecord, ...]:
    """All videos, in the order in which they were added."""
    return tuple(_record(*row) for row in database.rows(f"{_COLUMNS} ORDER BY position"))


def read(database: Database, video_id: str) -> VideoRecord | None:
    """One video, None if it is not there."""
    row = database.row(f"{_COLUMNS} WHERE video_id = ?", video_id)
    if row:
        return _record(*row)
    # A damaged key or index hides a row: looked at one by one, it shows.
    if any(record.video.video_id == video_id for record in read_all(database)):
        raise damaged(database.path, f"the index of videos has lost {video_id}")
    return None


def find(database: Database, reference: str) -> VideoRecord:
    """The video meant by its id, its path, its file name, its title or the start of its id.

    Raises:
        UsageError: None or several are meant.
    """
    found = _meant(read_all(database), reference)
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"no video {reference!r} in the library {database.path.parent}",
            hint="clamr-rag ls lists the videos",
        )
    paths = ", ".join(record.video.path for record in found[:3])
    raise UsageError(
        f"{reference!r} means {len(found)} videos: {paths}", hint="give a path or a longer id"
    )


def _meant(videos: tuple[VideoRecord, ...], reference: str) -> list[VideoRecord]:
    """The videos that the strictest reading of the reference finds."""
    path = str(Path(reference).absolute())
    readings = [
        [record for record in videos if record.video.video_id == reference],
        [record for record in videos if record.video.path in (reference, path)],
        [record for record in videos if Path(record.video.path).name == reference],
        [record for record in videos if record.video.title == reference],
    ]
    if len(reference) >= _SHORTEST_ID:
        readings.append([r for r in videos if r.video.video_id.startswith(reference)])
    return next((found for found in readings if found), [])


def _dump(record: VideoRecord) -> str:
    """All of a record but its status, as ASCII JSON."""
    values = asdict(record)
    del values["status"]
    return json.dumps(values)


def _record(video_id: str, status: VideoStatus, details: str, stored: int) -> VideoRecord:
    check(stored, checksum(video_id, status, details), f"video {video_id}")
    values = json.loads(details)
    return VideoRecord(**{**values, "video": Video(**values["video"]), "status": status})
