"""What the child gives up before it touches a foreign byte."""

from __future__ import annotations

import ctypes
import resource

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000


class RefusedError(Exception):
    """A file that is not read, with the words that the user gets.

    Args:
        got: What was met.
        allowed: What would have been accepted.
        hint: What the user can do.
        limit: Whether a limit on memory, time or pixels was met.
    """

    def __init__(self, got: str, *, allowed: str = "", hint: str = "", limit: bool = False) -> None:
        super().__init__(got)
        self.got, self.allowed, self.hint, self.limit = got, allowed, hint, limit


def apply_limits(memory_bytes: int) -> None:
    """Limits memory and open files; forbids writing files and core dumps; leaves the network."""
    _limit(resource.RLIMIT_AS, memory_bytes)
    # Enough for the interpreter's own imports, the film, and the pipes.
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _leave_the_network()


def _limit(kind: int, value: int) -> None:
    """Lowers one limit for good; never raises one that is lower already."""
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _leave_the_network() -> None:
    """Moves into an empty network namespace where the system lets us.

    Best effort: containers often forbid it, and only Linux has it. The protocol allow-list is what
    keeps the demuxers off the network; this is a second wall. A user namespace is the way in for
    plain users; root does without, to keep the right to read other people's files.
    """
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is not None and unshare(_CLONE_NEWNET) != 0:
        unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
