"""The table of token vectors."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from clamr_rag.errors import LibraryError, UsageError
from clamr_rag.index import codec
from clamr_rag.index.codec import CodecName, StoredVectors
from clamr_rag.index.database import Database
from clamr_rag.types import MultiVector


def put(
    database: Database, video_id: str, batch: Sequence[tuple[str, MultiVector]], name: CodecName
) -> None:
    """Adds or replaces the vectors of planned clips."""
    for clip_id, vectors in batch:
        row = database.row(
            "SELECT position FROM clip WHERE clip_id = ? AND video_id = ?", clip_id, video_id
        )
        if row is None:
            raise UsageError(f"clip {clip_id} was not planned for video {video_id}")
        database.run(
            "INSERT OR REPLACE INTO vector(clip, blob) VALUES(?, ?)",
            row[0],
            codec.encode(vectors, name, key=clip_id),
        )


def of_video(database: Database, video_id: str, num_clips: int) -> list[tuple[str, StoredVectors]]:
    """Vectors of all clips of an indexed video, in time order.

    Raises:
        LibraryDamagedError: A blob is damaged, or one is missing.
    """
    found = stored(database, video_id)
    if len(found) != num_clips:
        raise codec.damaged(
            f"video {video_id}", f"vectors of {len(found)} clips instead of {num_clips}"
        )
    return found


def stored(database: Database, video_id: str) -> list[tuple[str, StoredVectors]]:
    """The vectors that are there of a video, in time order.

    Raises:
        LibraryDamagedError: A blob is damaged.
    """
    rows = database.rows(
        "SELECT clip.clip_id, vector.blob FROM clip JOIN vector ON vector.clip = clip.position "
        "WHERE clip.video_id = ? ORDER BY clip.number",
        video_id,
    )
    return [(clip_id, codec.decode(blob, key=clip_id)) for clip_id, blob in rows]


def of_clips(
    database: Database, clip_ids: Collection[str], video_ids: Collection[str] | None
) -> list[tuple[str, StoredVectors]]:
    """Vectors of those of the clips that are searchable, in order of clip id.

    Raises:
        LibraryDamagedError: A blob is damaged.
    """
    rows = database.rows(
        "SELECT clip.clip_id, vector.blob FROM clip JOIN vector ON vector.clip = clip.position "
        "JOIN video USING(video_id) WHERE video.status = 'indexed' "
        "AND clip.clip_id IN (SELECT value FROM json_each(?1)) "
        "AND (?2 IS NULL OR video_id IN (SELECT value FROM json_each(?2))) ORDER BY clip.clip_id",
        json.dumps(list(clip_ids)),
        None if video_ids is None else json.dumps(list(video_ids)),
    )
    return [(clip_id, codec.decode(blob, key=clip_id)) for clip_id, blob in rows]


def of_clip(database: Database, clip_id: str) -> MultiVector:
    """Vectors of one clip.

    Raises:
        UsageError: The clip is not there, or has no vectors yet.
    """
    row = database.row(
        "SELECT vector.blob FROM clip JOIN vector ON vector.clip = clip.position "
        "WHERE clip.clip_id = ?",
        clip_id,
    )
    if row is None:
        raise UsageError(f"the library has no vectors of clip {clip_id}")
    return codec.decode(row[0], key=clip_id).multi_vector()


def check_dim(batch: Sequence[tuple[str, MultiVector]], dim: int) -> None:
    """Raises LibraryError unless all multi-vectors have the width of the library."""
    for clip_id, vectors in batch:
        if vectors.dim != dim:
            raise LibraryError(
                f"clip {clip_id} has vectors of {vectors.dim} numbers", allowed=f"{dim}"
            )


def any_at_all(database: Database) -> bool:
    """Whether the library has vectors."""
    return database.row("SELECT 1 FROM vector LIMIT 1") is not None
