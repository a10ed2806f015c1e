"""The public fakes keep the contracts that the real ones keep."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from clamr_rag.extraction import TextRecognizer, Transcriber
from clamr_rag.extraction.fake import ScriptedRecognizer, ScriptedTranscriber
from clamr_rag.types import AudioWindow, Cue, Frame, OcrLine


def test_a_script_is_heard_window_by_window_without_loss_or_repeat() -> None:
    cues = tuple(Cue(start, start + 2.0, f"at {start}") for start in (0.0, 4.5, 9.99, 10.0, 17.0))
    transcriber: Transcriber = ScriptedTranscriber(cues)
    windows = [AudioWindow(s, np.zeros(10 * 16_000, np.float32)) for s in (0.0, 10.0)]
    heard = [transcriber.transcribe(window) for window in windows]
    assert heard == [cues[:3], cues[3:]]
    assert transcriber.windows == [(0.0, 10.0), (10.0, 20.0)]  # type: ignore[attr-defined]


def test_a_script_shows_the_lines_of_the_latest_second() -> None:
    box = (0.1, 0.1, 0.3, 0.2)
    one, two = OcrLine("one", 0, 0, box, 0.9), OcrLine("two", 0, 0, box, 0.8)
    recognizer: TextRecognizer = ScriptedRecognizer({10.0: [two], 5.0: [one], 20.0: []})
    pixels = np.zeros((9, 9, 3), np.uint8)
    texts = [
        [(line.text, line.first_seconds) for line in recognizer.recognize(Frame(second, pixels))]
        for second in (0.0, 5.0, 9.9, 10.0, 25.0)
    ]
    assert texts == [[], [("one", 5.0)], [("one", 9.9)], [("two", 10.0)], []]
    assert recognizer.recognize(Frame(10.0, pixels), (0.5, 0.5, 1.0, 1.0)) == ()


def test_importing_the_rooms_loads_nothing_heavy() -> None:
    rooms = (
        "segmentation.shots segmentation.weighed extraction.asr extraction.ocr extraction.screen"
    )
    script = (
        "import sys\n"
        + "".join(f"import clamr_rag.{name}\n" for name in rooms.split())
        + "import clamr_rag.extraction.speech, clamr_rag.extraction.metadata\n"
        "heavy = set('av cv2 torch rapidocr scenedetect faster_whisper'.split())\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
