"""Public fakes: speech and screen text from a script, for tests that need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from clamr_rag.extraction import WHOLE_PICTURE, Box
from clamr_rag.types import AudioWindow, Cue, Frame, OcrLine

SAMPLES_PER_SECOND = 16_000


class ScriptedTranscriber:
    """Hears the cues of a script: those that start in the window that it is given."""

    name = "script"

    def __init__(self, cues: Sequence[Cue]) -> None:
        self.cues = tuple(cues)
        self.windows: list[tuple[float, float]] = []
        """Start and stop second of each window heard, for tests that count the work."""

    def transcribe(self, window: AudioWindow) -> tuple[Cue, ...]:
        """Returns the cues that start in the window."""
        start = window.start_seconds
        stop = start + len(window.samples) / SAMPLES_PER_SECOND
        self.windows.append((start, stop))
        return tuple(cue for cue in self.cues if start <= cue.start_seconds < stop)


class ScriptedRecognizer:
    """Reads the lines of a script: those of the latest second that is not after the frame's."""

    name = "script"

    def __init__(self, lines_by_second: Mapping[float, Sequence[OcrLine]]) -> None:
        self.lines_by_second = {
            second: tuple(lines) for second, lines in sorted(lines_by_second.items())
        }
        self.looks: list[tuple[float, Box]] = []
        """Second and region of each picture read, for tests that count the work."""

    def recognize(self, frame: Frame, region: Box = WHOLE_PICTURE) -> tuple[OcrLine, ...]:
        """Returns the scripted lines whose middle lies in the region, timed like the frame."""
        self.looks.append((frame.seconds, region))
        shown: tuple[OcrLine, ...] = ()
        for second, lines in self.lines_by_second.items():
            if second <= frame.seconds:
                shown = lines
        return tuple(
            replace(line, first_seconds=frame.seconds, last_seconds=frame.seconds)
            for line in shown
            if _middle_is_in(line.box, region)
        )


def _middle_is_in(box: Box, region: Box) -> bool:
    across, down = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return region[0] <= across <= region[2] and region[1] <= down <= region[3]
