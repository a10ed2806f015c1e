"""The tables of a library file, and how an empty one is made."""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

APPLICATION_ID = 0x436C5267  # "ClRg", shown by file(1)
USER_VERSION = 1

# Every row that is served carries a checksum over its key and values: SQLite itself does not notice
# a flipped bit. JSON columns are ASCII, so that names that are not UTF-8 come back as they were.
_TABLES = (
    """CREATE TABLE meta(
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE video(
        position INTEGER PRIMARY KEY,
        video_id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL,
        details TEXT NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE clip(
        position INTEGER PRIMARY KEY,
        clip_id TEXT NOT NULL UNIQUE,
        video_id TEXT NOT NULL REFERENCES video(video_id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        details TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE(video_id, number)
    ) STRICT""",
    """CREATE TABLE vector(
        clip INTEGER PRIMARY KEY REFERENCES clip(position) ON DELETE CASCADE,
        blob BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE artefact(
        video_id TEXT NOT NULL REFERENCES video(video_id) ON DELETE CASCADE,
        stage TEXT NOT NULL,
        options_hash TEXT NOT NULL,
        part ANY NOT NULL,
        payload BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY(video_id, stage, options_hash, part)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE stage(
        video_id TEXT NOT NULL REFERENCES video(video_id) ON DELETE CASCADE,
        stage TEXT NOT NULL,
        options_hash TEXT NOT NULL,
        num_parts INTEGER NOT NULL,
        PRIMARY KEY(video_id, stage, options_hash)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE derived(
        video_id TEXT NOT NULL REFERENCES video(video_id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        PRIMARY KEY(video_id, name)
    ) STRICT, WITHOUT ROWID""",
    """CREATE VIRTUAL TABLE clip_text USING fts5(
        asr, ocr, description, tokenize = "unicode61 remove_diacritics 2"
    )""",
)


def create(path: Path, facts: Sequence[tuple[str, str, int]]) -> None:
    """Makes a library file with its first rows of `meta`; it appears whole or not at all.

    The application id and the version stand in the file from its first moment on, so that they can
    be read without opening it as a database.
    """
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    connection = sqlite3.connect(unfinished, isolation_level=None)
    try:
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("BEGIN")
        for statement in _TABLES:
            connection.execute(statement)
        connection.executemany("INSERT INTO meta VALUES(?, ?, ?)", facts)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {USER_VERSION}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    unfinished.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a rename in the folder last through a loss of power, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether tables, triggers and views are those of `create`, and no others.

    A library may come from a stranger, and a trigger in it would run in our hands.
    """
    return _statements(connection) == _expected()


@functools.cache
def _expected() -> frozenset[tuple[str, str, str]]:
    connection = sqlite3.connect(":memory:")
    try:
        for statement in _TABLES:
            connection.execute(statement)
        return _statements(connection)
    finally:
        connection.close()


def _statements(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str]]:
    # FTS5's own tables (clip_text_*) are left out: their text depends on the SQLite version.
    rows = connection.execute(
        "SELECT type, name, coalesce(sql, '') FROM sqlite_schema "
        "WHERE type != 'table' OR name NOT GLOB 'clip_text_*'"
    )
    return frozenset((kind, name, sql) for kind, name, sql in rows)
