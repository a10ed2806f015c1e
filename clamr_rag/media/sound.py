"""Mono 16 kHz sound in windows."""

from __future__ import annotations

import math
import os
from collections.abc import Generator
from pathlib import Path

import numpy as np

from clamr_rag.config import MediaOptions
from clamr_rag.errors import UsageError
from clamr_rag.media.files import checked_video_path
from clamr_rag.media.process import DecoderProcess
from clamr_rag.types import AudioWindow

SAMPLE_RATE = 16_000
_MAX_WINDOW_SECONDS = 7200.0


def iter_audio(
    path: str | os.PathLike[str],
    *,
    window_seconds: float,
    start_seconds: float = 0.0,
    track: int | None = None,
    options: MediaOptions | None = None,
) -> Generator[AudioWindow, None, None]:
    """Yields consecutive windows of sound on the video's clock, the last one shorter.

    Gaps in the file are silence, so that sample ``i`` of a window is at ``start_seconds + i/16000``
    whatever is missing; sound before second 0 of the video is left out.

    Args:
        path: A video or sound file.
        window_seconds: Length of a window, at most two hours.
        start_seconds: Where the first window starts; the file is sought.
        track: Index of an `AudioTrack`; None takes the one that a player would.
        options: Limits of the decoder child.

    Raises:
        UsageError: A length or start that is not positive or not finite.
        MediaError: There is no such sound track, or it cannot be decoded.
        MediaLimitError: It would take too much memory or time.
    """
    if not 0 < window_seconds <= _MAX_WINDOW_SECONDS:
        raise UsageError(f"window_seconds {window_seconds}", allowed="above 0, at most 7200")
    if not 0 <= start_seconds < math.inf:
        raise UsageError(f"start_seconds {start_seconds}", allowed="0 or more")
    whole = checked_video_path(path)
    arguments = {"window_seconds": window_seconds, "start_seconds": start_seconds, "track": track}
    return _windows(whole, arguments, options or MediaOptions())


def _windows(
    path: Path, arguments: dict[str, float | int | None], options: MediaOptions
) -> Generator[AudioWindow, None, None]:
    with DecoderProcess(
        "sound",
        path,
        options,
        arguments=arguments,
        max_payload_bytes=int(_MAX_WINDOW_SECONDS * SAMPLE_RATE * 4),
    ) as child:
        for message in child.messages():
            try:
                start = int(message.header["first_sample"]) / SAMPLE_RATE
                samples = message.payload.view(np.float32)
            except (KeyError, TypeError, ValueError) as error:
                raise child.nonsense(error) from error
            # A damaged stream can decode to NaN and to peaks; recognisers take neither.
            np.nan_to_num(samples, copy=False, posinf=1.0, neginf=-1.0)
            yield AudioWindow(start, np.clip(samples, -1.0, 1.0, out=samples))
