"""Reading a video's texts: speech, on-screen text and metadata."""

from __future__ import annotations

from typing import Protocol

from clamr_rag.types import AudioWindow, Cue, Frame, OcrLine

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in [0, 1] of the upright picture."""

WHOLE_PICTURE: Box = (0.0, 0.0, 1.0, 1.0)


class Transcriber(Protocol):
    """Turns sound into timed speech text."""

    @property
    def name(self) -> str:
        """As said in the output, e.g. ``"faster-whisper small"``."""
        ...

    def transcribe(self, window: AudioWindow) -> tuple[Cue, ...]:
        """Returns the speech of one window in video time; no speech is ``()``.

        A window is read by itself: the result does not depend on what was transcribed before.

        Raises:
            ExtractionError: Recognition broke down.
        """
        ...


class TextRecognizer(Protocol):
    """Reads the text on one picture."""

    @property
    def name(self) -> str:
        """As said in the output, e.g. ``"rapidocr"``."""
        ...

    def recognize(self, frame: Frame, region: Box = WHOLE_PICTURE) -> tuple[OcrLine, ...]:
        """Returns the lines in reading order, first and last second both the frame's.

        Only the part of the picture in ``region`` is read; boxes are of the whole picture always.

        Raises:
            ExtractionError: Recognition broke down.
        """
        ...
