"""How a command ends: every error becomes one line and the exit code that is promised for it."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

from clamr_rag.cli.terminal import OutputClosedError, Terminal, one_line
from clamr_rag.errors import ClamrError, DiskFullError, OutOfMemoryError

OK = 0
INTERNAL = 1
SOME_FAILED = 3
NOTHING_FOUND = 5
DAMAGED = 8
INTERRUPTED = 130

_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def guarded(body: Callable[[], int], terminal: Terminal, *, debug: bool) -> int:
    """Runs a command and returns its exit code; an error is told in one line.

    What nobody foresaw goes on to `tell_crash`.
    """
    try:
        code = body()
        sys.stdout.flush()
    except KeyboardInterrupt:
        # typer would turn it into its own exit, without a word.
        terminal.error("interrupted; the same command goes on from here")
        return INTERRUPTED
    except (OutputClosedError, BrokenPipeError) as error:
        return _end_without_reader(error)
    except (ClamrError, MemoryError, OSError) as error:
        known = foreseen(error)
        if known is None:
            raise  # a bug: `tell_crash` tells it
        if debug:
            traceback.print_exception(error)
        terminal.error(str(known))
        _let_go_of_stdout()
        return known.exit_code
    return code


def foreseen(error: ClamrError | MemoryError | OSError) -> ClamrError | None:
    """The error as a user should read it; None for one that is a bug."""
    if isinstance(error, ClamrError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError("memory ran out", hint="close other programs or use fewer frames")
    if error.errno in _FULL_ERRNOS:
        name = f" for {error.filename}" if error.filename else ""
        return DiskFullError(
            f"no space left{name}", hint="free some space and run the same command again"
        )
    return None


def _end_without_reader(error: Exception) -> int:
    """Ends quietly if stdout is what broke; a pipe of our own that breaks is a bug."""
    was_stdout = _let_go_of_stdout()
    if isinstance(error, BrokenPipeError) and not was_stdout:
        raise error
    return OK


def _let_go_of_stdout() -> bool:
    """Whether stdout cannot be written; what it still holds is then thrown away.

    The interpreter flushes it once more at its end and would complain there.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def tell_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """As ``sys.excepthook``: one line for a bug, the interpreter then exits with 1."""
    # The options may be what broke, so they are not asked.
    if "--debug" in sys.argv:
        sys.__excepthook__(kind, error, trace)
    told = one_line(f"{kind.__name__}: {error}", 500)
    print(f"error: internal error: {told} (--debug shows the trace)", file=sys.stderr)
