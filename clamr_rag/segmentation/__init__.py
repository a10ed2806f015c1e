"""Cutting a video into clips: fixed windows, shots, speech, or all three together."""

from __future__ import annotations

from typing import Protocol

from clamr_rag.types import Cue, TimeSpan


class Segmenter(Protocol):
    """Cuts the time line of a video into spans.

    Law, whatever the input: the spans tile ``[0, duration_seconds)`` without gap or overlap.
    """

    def segment(
        self, duration_seconds: float, *, shot_cuts: tuple[float, ...], cues: tuple[Cue, ...]
    ) -> tuple[TimeSpan, ...]:
        """Returns the spans in order.

        Args:
            duration_seconds: Length of the video, finite and not negative; 0 gives ``()``.
            shot_cuts: Seconds at which a new shot starts, in any order.
            cues: Speech in order of start time; may overlap each other or leave the video.
        """
        ...
