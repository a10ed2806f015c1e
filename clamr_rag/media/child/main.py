"""Entry of the decoder child: one request in, messages out.

Only expected failures are told in words. Anything else ends the child with a traceback, and the
parent says that the decoder died: that is what the process border is for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from clamr_rag.media.child.channel import Channel
from clamr_rag.media.child.limits import RefusedError, apply_limits

_HOMES = {
    "probe": "probing",
    "pictures": "pictures",
    "sound": "sound",
    "subtitle_track": "subtitles",
    "subtitle_file": "texts",
    "info_json": "texts",
    "nfo": "texts",
    "chapters": "texts",
}
"""Which module of this folder has each operation: only that one is loaded."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the parent wants."""

    path: str
    """Absolute; bytes that are not UTF-8 stand as surrogates."""
    limits: dict[str, Any]
    """Values of `MediaOptions`."""
    arguments: dict[str, Any]


def main() -> int:
    """Does one operation; returns the exit code."""
    # Ctrl-C on a terminal reaches the whole group; it is the parent that decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel()
    words = channel.start()
    apply_limits(words["limits"]["memory_bytes"])
    channel.serve()
    request = Request(
        path=os.fsdecode(bytes.fromhex(words["path"])),
        limits=words["limits"],
        arguments=words["arguments"],
    )
    channel.finish(_outcome(words["operation"], request, channel))
    return 0


def _outcome(operation: str, request: Request, channel: Channel) -> dict[str, Any]:
    """Runs the operation and returns the last message."""
    module = import_module(f"clamr_rag.media.child.{_HOMES[operation]}")
    run: Callable[[Request, Channel], None] = getattr(module, operation)
    try:
        run(request, channel)
    except RefusedError as error:
        return {
            "kind": "error",
            "got": error.got,
            "allowed": error.allowed,
            "hint": error.hint,
            "limit": error.limit,
        }
    except MemoryError:
        megabytes = request.limits["memory_bytes"] >> 20
        return {
            "kind": "error",
            "got": "it needs too much memory to decode",
            "allowed": f"{megabytes} MB (media.memory_bytes)",
            "limit": True,
        }
    return {"kind": "end"}
