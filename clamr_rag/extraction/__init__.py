"""Reading a video's texts: speech, on-screen text and metadata."""

from __future__ import annotations

from typing import Protocol

from clamr_rag.types import AudioWindow, Cue, Frame, OcrLine


class Transcriber(Protocol):
    """Turns sound into timed speech text."""

    @property
    def name(self) -> str:
        """As said in the output, e.g. ``"faster-whisper small"``."""
        ...

    def transcribe(self, window: AudioWindow) -> tuple[Cue, ...]:
        """Returns the speech of one window in video time; no speech is ``()``.

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

    def recognize(self, frame: Frame) -> tuple[OcrLine, ...]:
        """Returns the lines in reading order, first and last second both the frame's.

        Raises:
            ExtractionError: Recognition broke down.
        """
        ...
