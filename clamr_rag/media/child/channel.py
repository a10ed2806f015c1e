"""The child's end of the two pipes: wishes come in, messages go out, both beside the decoding."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from clamr_rag.media.wire import packed

_AHEAD_BYTES = 96 << 20
"""How far decoding runs ahead of the parent; one message may be larger."""

_AHEAD_MESSAGES = 64

_ALIVE_SECONDS = 1.0

Payload = bytes | memoryview


class Channel:
    """Two pipes to the parent. When the parent is gone, so is this process."""

    def __init__(self) -> None:
        # The wire gets a descriptor of its own: a library that prints must not garble it.
        self._wire = os.dup(1)
        os.dup2(2, 1)
        self._wishes: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._outgoing: queue.SimpleQueue[tuple[bytes, Payload] | None] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._ahead_bytes = 0
        self._ahead_messages = 0
        self._told_at = time.monotonic()

    def start(self) -> dict[str, Any]:
        """Returns the parent's request: the first line, read before any thread runs."""
        request: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
        return request

    def serve(self) -> None:
        """Starts the threads; only after the limits, which want a process of one thread."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._writer.start()

    def wishes(self) -> Iterator[Any]:
        """Yields what the parent sends after the request, until it sends ``null``."""
        while (wish := self._wishes.get()) is not None:
            yield from wish

    def send(self, header: dict[str, Any], payload: Payload = b"") -> None:
        """Hands one message to the writer; waits while the parent is too far behind."""
        with self._room:
            self._room.wait_for(lambda: self._has_room(len(payload)))
            self._ahead_bytes += len(payload)
            self._ahead_messages += 1
        self._outgoing.put((packed(header, len(payload)), payload))
        self._told_at = time.monotonic()

    def _has_room(self, num_bytes: int) -> bool:
        # A message larger than the whole allowance still goes out, alone.
        fits = self._ahead_bytes + num_bytes <= _AHEAD_BYTES
        return self._ahead_messages == 0 or (fits and self._ahead_messages < _AHEAD_MESSAGES)

    def alive(self) -> None:
        """Tells the parent about once a second that work goes on; cheap enough for every packet."""
        if time.monotonic() - self._told_at > _ALIVE_SECONDS:
            self.send({"kind": "alive"})

    def finish(self, header: dict[str, Any]) -> None:
        """Sends the last message and waits until it is out."""
        self.send(header)
        self._outgoing.put(None)
        self._writer.join()

    def _listen(self) -> None:
        """Takes in wishes; the end of the pipe means that the parent has died or lost interest."""
        for line in sys.stdin.buffer:
            self._wishes.put(json.loads(line))
        os._exit(0)

    def _write(self) -> None:
        while (message := self._outgoing.get()) is not None:
            head, payload = message
            try:
                _write_all(self._wire, memoryview(head))
                _write_all(self._wire, memoryview(payload))
            except BrokenPipeError:
                os._exit(0)
            with self._room:
                self._ahead_bytes -= len(payload)
                self._ahead_messages -= 1
                self._room.notify()


def _write_all(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view) :]
