"""Reads every byte of a library and lists what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clamr_rag.errors import ClamrError
from clamr_rag.index import clip_rows, derived, journal, meta_rows, vector_rows, video_rows
from clamr_rag.index.database import Database
from clamr_rag.index.records import Problem

_RESTORE = "restore a copy of the library, or delete it and index again"
_INDEX_AGAIN = "remove this video from the library and index it again"


def problems(database: Database) -> tuple[Problem, ...]:
    """All problems; a check that cannot be finished is one too."""
    found = list(_told(str(database.path), _RESTORE, lambda: _check_word_index(database)))
    with database.snapshot():
        checks = (
            _file,
            _references,
            _facts,
            _words,
            journal.damaged_artefacts,
            _videos,
            derived.problems,
        )
        for check in checks:
            try:
                found.extend(check(database))
            except ClamrError as error:
                found.append(Problem(str(database.path), error.got, _RESTORE))
    # One torn page is met by several checks.
    return tuple(dict.fromkeys(found))


def _told(where: str, repair: str, read: Callable[[], object]) -> Iterator[Problem]:
    try:
        read()
    except ClamrError as error:
        yield Problem(where, error.got, repair)


def _check_word_index(database: Database) -> None:
    # FTS5 takes this command as a write, though nothing is written.
    if not database.read_only:
        with database.transaction():
            database.run("INSERT INTO clip_text(clip_text) VALUES('integrity-check')")


def _file(database: Database) -> Iterator[Problem]:
    for (line,) in database.rows("PRAGMA integrity_check"):
        if line != "ok":
            yield Problem(str(database.path), line, _RESTORE)


def _references(database: Database) -> Iterator[Problem]:
    for table, row, parent, _ in database.rows("PRAGMA foreign_key_check"):
        yield Problem(f"table {table}", f"row {row} belongs to no {parent}", _RESTORE)


def _facts(database: Database) -> Iterator[Problem]:
    for read in (meta_rows.library_id, meta_rows.change_token, meta_rows.encoder, meta_rows.dim):
        yield from _told(str(database.path), _RESTORE, lambda read=read: read(database))  # type: ignore[misc]


def _words(database: Database) -> Iterator[Problem]:
    for clip_id in clip_rows.without_words(database):
        yield Problem(f"clip {clip_id}", "the word index has another text", _INDEX_AGAIN)


def _videos(database: Database) -> Iterator[Problem]:
    for (video_id,) in database.rows("SELECT video_id FROM video ORDER BY position"):
        for check in (_check_clips, _check_vectors):
            yield from _told(
                f"video {video_id}",
                _INDEX_AGAIN,
                lambda check=check, video_id=video_id: check(database, video_id),  # type: ignore[misc]
            )


def _check_clips(database: Database, video_id: str) -> None:
    clip_rows.of_video(database, video_id)


def _check_vectors(database: Database, video_id: str) -> None:
    record = video_rows.read(database, video_id)
    if record and record.status == "indexed":
        vector_rows.of_video(database, video_id, record.num_clips)
    else:
        vector_rows.stored(database, video_id)
