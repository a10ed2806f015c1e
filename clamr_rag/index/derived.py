"""Files beside the library that are made from it: listed with their hash, or thrown away whole."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from clamr_rag.errors import LibraryLockedError
from clamr_rag.index.database import Database
from clamr_rag.index.lock import ProcessLock
from clamr_rag.index.records import Problem

logger = logging.getLogger(__name__)

FILES_FOLDER = "clamr-rag.derived"
CHROMA_FOLDER = "clamr-rag.chroma"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def put(database: Database, video_id: str, name: str, payload: bytes) -> Path:
    """Writes a file that was made from a video; it appears whole or not at all."""
    path = _path(database, video_id, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
    database.run(
        "INSERT INTO derived(video_id, name, sha256) VALUES(?, ?, ?) "
        "ON CONFLICT DO UPDATE SET sha256 = excluded.sha256",
        video_id,
        name,
        hashlib.sha256(payload).hexdigest(),
    )
    return path


def get(database: Database, video_id: str, name: str) -> bytes | None:
    """The content of a file, None where it is missing or not what was written."""
    row = database.row("SELECT sha256 FROM derived WHERE video_id = ? AND name = ?", video_id, name)
    path = _path(database, video_id, name)
    if row is None or not path.is_file():
        return None
    payload = path.read_bytes()
    return payload if hashlib.sha256(payload).hexdigest() == row[0] else None


def problems(database: Database) -> Iterator[Problem]:
    """One per listed file that is missing or not what was written."""
    for video_id, name in database.rows("SELECT video_id, name FROM derived"):
        if get(database, video_id, name) is None:
            yield Problem(
                f"video {video_id}, file {name}",
                "is missing or was changed",
                "nothing to do: it is made again when it is needed",
            )


def remove(database: Database, video_id: str) -> None:
    """Removes the files of a video, and Chroma's folder with what it keeps of it."""
    folder = database.path.parent
    if _NAME.fullmatch(video_id):
        remove_folder(folder / FILES_FOLDER / video_id)
    if (folder / CHROMA_FOLDER).exists():
        # Chroma only marks records as deleted; the folder is made again when it is needed.
        lock = chroma_lock(folder)
        try:
            lock.acquire()
        except LibraryLockedError as error:
            logger.warning("%s; it forgets the video with its next search", error.got)
            return
        try:
            remove_folder(folder / CHROMA_FOLDER)
        finally:
            lock.release()


def chroma_lock(folder: Path) -> ProcessLock:
    """Chroma loses vectors when two processes use a folder: this lock is held by the one."""
    return ProcessLock(
        folder / f"{CHROMA_FOLDER}.lock",
        purpose=f"using the Chroma folder of the library {folder}",
        hint="wait, search with --candidates exact, or share a server with --chroma-url",
    )


def remove_folder(folder: Path) -> None:
    """Removes a folder with all in it, or a file of that name; one that is not there is fine."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _path(database: Database, video_id: str, name: str) -> Path:
    for part in (video_id, name):
        # The library may come from a stranger: a name never leads out of the folder.
        if not _NAME.fullmatch(part):
            raise ValueError(f"{part!r} cannot be the name of a derived file")
    return database.path.parent / FILES_FOLDER / video_id / name
