"""Every error this package raises on purpose, with the exit code the command gives it.

::

    ClamrError                     1   a bug or an unforeseen failure of a part
    ├── UsageError                 2   an option, a question or a name that cannot be used
    ├── MediaError                 4   a file that cannot be read as a video
    │   └── MediaLimitError        4   a file that would take too much memory, time or pixels
    ├── ExtractionError            1   speech or screen text recognition broke down
    ├── ModelMissingError          6   weights that are not here and may not be fetched
    ├── AnswererError              6   the model that should answer cannot be reached or used
    ├── LibraryError               8   a library that cannot be used
    │   ├── LibraryLockedError     7   another process is writing to it
    │   ├── LibraryDamagedError    8   bytes that do not match their checksum
    │   ├── LibraryVersionError    8   written by another version of this package
    │   └── EncoderMismatchError   8   written with another encoder
    ├── DiskFullError              9
    └── OutOfMemoryError          10

A message is one line and says what was got, what is allowed and what to do next.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ClamrError(Exception):
    """Base of all errors raised on purpose.

    Args:
        got: What was met, with the offending value.
        allowed: What would have been accepted.
        hint: What the user can do now.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "CR-E001"

    clips: tuple[Any, ...] = ()
    """The `ScoredClip`s that were found where searching went well and answering did not."""

    def __init__(self, got: str, *, allowed: str = "", hint: str = "") -> None:
        self.got, self.allowed, self.hint = (_one_line(part) for part in (got, allowed, hint))
        parts = [self.got]
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        if self.hint:
            parts.append(self.hint)
        super().__init__("; ".join(parts))


class UsageError(ClamrError):
    """An option, a question or a name that cannot be used."""

    exit_code = 2
    code = "CR-E002"


class MediaError(ClamrError):
    """A file that cannot be read as a video."""

    exit_code = 4
    code = "CR-E004"


class MediaLimitError(MediaError):
    """A file that would take more memory, time or pixels than the limits grant."""

    code = "CR-E014"


class ExtractionError(ClamrError):
    """Speech or screen text recognition broke down (finding none is not an error)."""

    code = "CR-E011"


class ModelMissingError(ClamrError):
    """Weights that are not on this machine and may not be fetched."""

    exit_code = 6
    code = "CR-E006"


class AnswererError(ClamrError):
    """The model that should write the answer cannot be reached, refuses, or says nothing."""

    exit_code = 6
    code = "CR-E016"


class LibraryError(ClamrError):
    """A library on disk that cannot be used."""

    exit_code = 8
    code = "CR-E008"


class LibraryLockedError(LibraryError):
    """Another process is writing to the library."""

    exit_code = 7
    code = "CR-E007"


class LibraryDamagedError(LibraryError):
    """Stored bytes do not match their checksum, or the file is not a library."""

    code = "CR-E018"


class LibraryVersionError(LibraryError):
    """The library was written by another version of this package."""

    code = "CR-E028"


class EncoderMismatchError(LibraryError):
    """The library holds the vectors of another encoder."""

    code = "CR-E038"


class DiskFullError(ClamrError):
    """No space left for the library or its temporary files."""

    exit_code = 9
    code = "CR-E009"


class OutOfMemoryError(ClamrError):
    """Memory ran out even with the smallest batch."""

    exit_code = 10
    code = "CR-E010"


def _one_line(text: str) -> str:
    """Folds line breaks and drops control characters, so that a hostile name stays one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
