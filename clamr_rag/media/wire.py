"""How the decoder child and its parent talk: length-prefixed messages, JSON header plus raw bytes.

No pickle: the child has read hostile bytes, so all that it says is checked against limits. This
module is loaded on both sides and needs the standard library only.
"""

from __future__ import annotations

import json
import struct
from typing import Any

PREFIX = struct.Struct(">IQ")
"""Length of the JSON header and of the payload that follows it, in bytes."""

MAX_HEADER_BYTES = 16 << 20
"""Largest header that is believed; subtitles and chapters come in batches far below it."""


def packed(header: dict[str, Any], payload_bytes: int = 0) -> bytes:
    """Returns prefix and header, to be followed by the payload."""
    text = json.dumps(header, allow_nan=False).encode("ascii")
    return PREFIX.pack(len(text), payload_bytes) + text


def unpacked_header(text: bytes) -> dict[str, Any]:
    """Returns the header of a message.

    Raises:
        ValueError: The text is not a JSON object.
    """
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("a message header must be a JSON object")
    return header
