"""Ctrl-C while indexing: the first one stops at the next safe point, the second one at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self

_SHOW_CURSOR = "\x1b[?25h"


class GracefulInterrupt:
    """Within it, the first Ctrl-C only asks; `check` then raises where nothing is half done."""

    def __init__(self) -> None:
        self.asked = False
        self._previous: Any = None

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def check(self) -> None:
        """Call it between two steps.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        if self.asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        # From now on the system itself ends the process, even amid a long call into C: nothing is
        # lost, since starting up is recovery. The progress line has hidden the cursor, though.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
        text = f"{cursor}\nstopping at the next safe point; Ctrl-C again stops at once\n"
        os.write(sys.stderr.fileno(), text.encode())
