"""What malloc does with the large blocks of a training."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
"""Of malloc.h."""
_NEVER = (1 << 31) - 1
_PAD_BYTES = 256 << 20


def keep_large_blocks() -> None:
    """Tells glibc to keep what is freed instead of giving it back to the system.

    A step frees what the next one needs again. By itself glibc maps large blocks anew each time,
    and a third of the stem's time went into the page faults (1,062 to 783 ms a batch of 64 clips
    forth and back on two cores). The opposite of what a long-lived index needs
    (`clamr_rag.scan`).
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)
        if set_option is not None:
            for option, value in (
                (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _PAD_BYTES),
            ):  # fmt: skip
                set_option(option, value)
