"""Looking at a file from outside: may it be read as a video, and which one is it?"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from clamr_rag.errors import MediaError

_BLOCK_BYTES = 1 << 20
_NUM_BLOCKS = 64


def checked_video_path(path: str | os.PathLike[str]) -> Path:
    """Returns the absolute path of a readable, non-empty regular file; opens nothing else.

    Links are followed, since people link to videos on other disks; what counts is where they end.

    Raises:
        MediaError: Missing, a folder, a pipe or device, empty, or not permitted.
    """
    return checked_file(path, "a video")


def checked_file(path: str | os.PathLike[str], noun: str) -> Path:
    """As `checked_video_path`, for any kind of file; ``noun`` says what was looked for."""
    shown = repr(os.fspath(path))
    try:
        # abspath, not resolve: the user knows the file by the name he gave.
        whole = Path(os.path.abspath(path))  # noqa: PTH100
        status = whole.stat()
    except FileNotFoundError:
        raise MediaError(f"{shown}: no such file", hint="check the path") from None
    except PermissionError:
        raise MediaError(f"{shown}: permission denied", hint="check the folder's rights") from None
    except (OSError, ValueError) as error:
        # ValueError: an embedded NUL; OSError: a name too long, a loop of links.
        raise MediaError(f"{shown}: not a usable path: {error}", allowed=f"{noun} file") from None
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{shown} is {_sort_of(status.st_mode)}", allowed=f"{noun} file")
    if status.st_size == 0:
        raise MediaError(f"{shown} is empty", hint="was it downloaded or copied completely?")
    # Asked, not tried: opening could block or have effects on odd file systems.
    if not os.access(whole, os.R_OK):
        raise MediaError(f"{shown}: permission denied", hint="make the file readable")
    return whole


def content_key(path: str | os.PathLike[str]) -> str:
    """Returns a hex key of what the file holds: the same for a renamed, moved or touched copy.

    SHA-256 over the size and all bytes up to 64 MiB; of a larger file over 64 blocks of 1 MiB,
    evenly spread from its start to its end: a film takes a tenth of a second, and one whose
    download has not finished is told from the whole. `full_hash` reads everything.

    Raises:
        MediaError: The file cannot be read.
    """
    whole = checked_video_path(path)
    try:
        with whole.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            step = max(_BLOCK_BYTES, (size - _BLOCK_BYTES) / (_NUM_BLOCKS - 1))
            for number in range(_NUM_BLOCKS):
                file.seek(int(number * step))
                digest.update(file.read(_BLOCK_BYTES))
    except OSError as error:
        raise MediaError(f"{os.fspath(path)!r}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def full_hash(path: str | os.PathLike[str]) -> str:
    """Returns the hex SHA-256 of the whole file.

    Raises:
        MediaError: The file cannot be read.
    """
    whole = checked_video_path(path)
    try:
        with whole.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{os.fspath(path)!r}: cannot be read: {error.strerror}") from error


def _sort_of(mode: int) -> str:
    """Says in words what stands there instead of a regular file."""
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"
