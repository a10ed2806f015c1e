"""The parent's side of the decoder child: start it, read it with a time limit, end it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError, MediaLimitError
from clamr_rag.media.wire import MAX_HEADER_BYTES, PREFIX, unpacked_header
from clamr_rag.types import ByteArray

_log = logging.getLogger(__name__)

# The child gets this side's module path and nothing else: no site hooks, no PYTHON* variables, and
# not the working folder, where a hostile download could lie in wait as ``av.py``.
_BOOT = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from clamr_rag.media.child.main import main; sys.exit(main())"
)
_PYTHON = (sys.executable, "-I", "-S", "-X", "utf8", "-c")
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_EXIT_SECONDS = 5.0
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message of the child; its values are still to be checked."""

    header: dict[str, Any]
    payload: ByteArray
    """uint8 ``(n,)``, owned by the receiver."""


class DecoderProcess:
    """A limited child that does one operation on one file.

    Args:
        operation: Name in `clamr_rag.media.child.main`.
        path: Absolute path of a regular file.
        options: Limits.
        arguments: What the operation needs, as JSON values.
        max_payload_bytes: Larger payloads are not believed.
    """

    def __init__(
        self,
        operation: str,
        path: Path,
        options: MediaOptions,
        *,
        arguments: dict[str, Any] | None = None,
        max_payload_bytes: int = 0,
    ) -> None:
        self._path = path
        self._options = options
        self._max_payload_bytes = max_payload_bytes
        self._stderr, write_end = os.pipe()
        # A child that complains too much must lose words, not block.
        os.set_blocking(write_end, False)
        os.set_blocking(self._stderr, False)
        module_path = [place for place in sys.path if place and place != _PACKAGE_ROOT]
        try:
            self._child = subprocess.Popen(
                [*_PYTHON, _BOOT, *module_path, _PACKAGE_ROOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=write_end,
                bufsize=0,
                env=_child_environment(),
                # Ctrl-C at the terminal is for the parent, which ends the child in good order.
                start_new_session=True,
            )
        except BaseException:
            os.close(self._stderr)
            raise
        finally:
            os.close(write_end)
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        os.set_blocking(self._child.stdin.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._child.stdout, selectors.EVENT_READ)
        request = {
            "operation": operation,
            "path": os.fsencode(path).hex(),
            "limits": options.model_dump(mode="json"),
            "arguments": arguments or {},
        }
        try:
            self.tell(request)
        except MediaError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def tell(self, value: object) -> None:
        """Sends one line of JSON; a child that is gone is noticed when it is next read.

        Raises:
            MediaError: The child does not listen: what it has not read yet fills the pipe.
        """
        assert self._child.stdin is not None
        line = json.dumps(value).encode("ascii") + b"\n"
        with contextlib.suppress(BrokenPipeError):
            if self._child.stdin.write(line) != len(line):
                raise self._error("the decoder does not listen")

    def messages(self) -> Iterator[Message]:
        """Yields the child's messages until it says that it is done.

        Raises:
            MediaLimitError: A limit was met: memory, pixels, or no sign of life for too long.
            MediaError: The file cannot be read, or the child died over it.
        """
        while True:
            message = self._receive()
            kind = message.header.get("kind")
            if kind == "end":
                return
            if kind == "error":
                raise self._reported(message.header)
            if kind != "alive":
                yield message

    def close(self) -> None:
        """Ends the child, whatever it is doing, and frees its pipes; safe to call twice."""
        if self._child.stdin is None or self._child.stdin.closed:
            return
        # It holds nothing worth a polite end, and may be deaf in the middle of a decoder.
        self._child.kill()
        self._child.wait()
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()
        self._selector.close()
        assert self._child.stdout is not None
        self._child.stdout.close()
        last_words = self._last_words()
        if last_words:
            _log.debug("decoder child on %s said: %s", self._path, last_words)
        os.close(self._stderr)

    def nonsense(self, error: Exception) -> MediaError:
        """Returns the error for a message that does not say what it should."""
        return self._error(f"the decoder sent an unusable message ({error!r})")

    def _receive(self) -> Message:
        prefix = self._read(PREFIX.size)
        header_bytes, payload_bytes = PREFIX.unpack(prefix.tobytes())
        if header_bytes > MAX_HEADER_BYTES or payload_bytes > self._max_payload_bytes:
            raise self._error("the decoder sent an unusable message (too long)")
        try:
            header = unpacked_header(self._read(header_bytes).tobytes())
        except (ValueError, RecursionError) as error:
            raise self.nonsense(error) from None
        return Message(header, self._read(payload_bytes))

    def _read(self, num_bytes: int) -> ByteArray:
        """Reads exactly so many bytes, each pause limited to `stall_seconds`."""
        assert self._child.stdout is not None
        buffer = np.empty(num_bytes, np.uint8)
        view = buffer.data
        done = 0
        while done < num_bytes:
            if not self._selector.select(self._options.stall_seconds):
                raise self._error(
                    f"no progress for {self._options.stall_seconds:g} s",
                    limit=True,
                    allowed="a file that decodes steadily (media.stall_seconds)",
                )
            count = self._child.stdout.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise self._died()
            done += count
        return buffer

    def _reported(self, header: dict[str, Any]) -> MediaError:
        parts = {key: str(header.get(key, "")) for key in ("allowed", "hint")}
        return self._error(str(header.get("got", "")), limit=bool(header.get("limit")), **parts)

    def _died(self) -> MediaError:
        try:
            code = self._child.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            # It closed the pipe but lives on; `close` will end it.
            return self._error("the decoder hung up")
        if code < 0:
            reason = signal.Signals(-code).name
        else:
            reason = self._last_words() or f"exit code {code}"
        return self._error(
            f"the decoder died: {reason}", hint="the file is probably damaged; try converting it"
        )

    def _error(
        self, got: str, *, limit: bool = False, allowed: str = "", hint: str = ""
    ) -> MediaError:
        kind = MediaLimitError if limit else MediaError
        return kind(f"{str(self._path)!r}: {got}", allowed=allowed, hint=hint)

    def _last_words(self) -> str:
        """Returns the last line that the child wrote to stderr."""
        with contextlib.suppress(BlockingIOError):
            lines = os.read(self._stderr, 1 << 16).decode("utf-8", "replace").split("\n")
            return next((line for line in reversed(lines) if line.strip()), "")
        return ""


def _child_environment() -> dict[str, str]:
    """Only what a process needs to start; one malloc arena, since each reserves address space."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
