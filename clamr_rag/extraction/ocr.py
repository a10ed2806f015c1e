"""Reading one picture: RapidOCR (weights in its wheel) and, where installed, EasyOCR."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import numpy as np
import numpy.typing as npt

from clamr_rag.errors import ExtractionError, ModelMissingError, UsageError
from clamr_rag.extraction import WHOLE_PICTURE, Box, TextRecognizer
from clamr_rag.types import ByteArray, Frame, OcrLine

if TYPE_CHECKING:
    from clamr_rag.config import OcrOptions

Corners = npt.NDArray[np.float32]
"""The four corners of a line of text in pixels of the part that was read, ``(4, 2)``."""

_STROKES = re.compile(r"[\s_\-—–~=+<>^*|\\/lI1!.,:;·•'\"`°()\[\]{}一丨丿丶]")
"""What a recogniser reads in borders, bars and grids: characters of one or two strokes."""
_LONE_CONFIDENCE = 0.9
"""What a line of one character must reach. Mouse pointers and faces read as ``A`` or ``田`` with
0.56-0.88, page numbers with 1.00 (measured on generated lectures)."""
_NUMBER = re.compile(r"[$€£#+\-]?\d[\d\s.,:/%+\-]*")


def make_recognizer(options: OcrOptions, threads: int = 2) -> TextRecognizer | None:
    """Returns the engine that the options name, None for ``ocr="none"``.

    Raises:
        UsageError: The engine's package is not installed.
        ModelMissingError: Its weights are not here and may not be fetched.
    """
    if options.ocr == "none":
        return None
    if options.ocr == "easyocr":
        return EasyOcrRecognizer(options)
    return RapidOcrRecognizer(options, threads)


class RapidOcrRecognizer:
    """PP-OCRv6 small on ONNX Runtime: Latin, Chinese and Japanese in one model, no download."""

    name = "rapidocr"

    def __init__(self, options: OcrOptions, threads: int = 2) -> None:
        from rapidocr import RapidOCR

        self._min_confidence = options.min_confidence
        self._engine = RapidOCR(
            params={
                # The package prints to stderr by its own handler; errors reach us as exceptions.
                "Global.log_level": "critical",
                "Global.text_score": options.min_confidence,
                # Upside-down text is too rare in videos to pay for a third model on every line.
                "Global.use_cls": False,
                # Its default enlarges every picture to 736 at the shorter side: 2.5 times slower,
                # and no better on text of 16 px and more.
                "Det.limit_type": "max",
                "Det.limit_side_len": options.max_side,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def recognize(self, frame: Frame, region: Box = WHOLE_PICTURE) -> tuple[OcrLine, ...]:
        """Returns the lines of the region in reading order."""
        import cv2
        from rapidocr.inference_engine.onnxruntime import ONNXRuntimeError
        from rapidocr.main import RapidOCRError
        from rapidocr.utils.output import RapidOCROutput

        part, origin = _cut_out(frame.pixels, region)
        try:
            found = self._engine(_bgr(part))
        except (ONNXRuntimeError, RapidOCRError, cv2.error, ValueError) as error:
            raise ExtractionError(
                f"rapidocr broke down at {frame.seconds:.3f} s: {error}"
            ) from None
        # With nothing to read it may hand back the output of an earlier step instead.
        if not isinstance(found, RapidOCROutput) or found.boxes is None:
            return ()
        readings = zip(found.boxes, found.txts or (), found.scores or (), strict=True)
        return _lines_of(frame, readings, origin, self._min_confidence)


class EasyOcrRecognizer:
    """EasyOCR, for those who have it: an optional package that fetches its weights itself."""

    name = "easyocr"

    def __init__(self, options: OcrOptions, languages: tuple[str, ...] = ("en",)) -> None:
        self._min_confidence = options.min_confidence
        self._max_side = options.max_side
        self._reader = _easyocr_reader(languages)

    def recognize(self, frame: Frame, region: Box = WHOLE_PICTURE) -> tuple[OcrLine, ...]:
        """Returns the lines of the region in reading order."""
        part, origin = _cut_out(frame.pixels, region)
        try:
            readings = self._reader.readtext(_bgr(part), canvas_size=self._max_side)
        except (RuntimeError, ValueError) as error:
            raise ExtractionError(f"easyocr broke down at {frame.seconds:.3f} s: {error}") from None
        return _lines_of(frame, readings, origin, self._min_confidence)


def _easyocr_reader(languages: tuple[str, ...]) -> Any:
    """The package's Reader; it knows its weights' place and fetches them if that is allowed."""
    from huggingface_hub import is_offline_mode

    try:
        from easyocr import Reader
    except ImportError:
        raise UsageError(
            "--ocr easyocr, but the package easyocr is not installed",
            allowed="rapidocr, none",
            hint="pip install 'clamr-rag[easyocr]'",
        ) from None
    try:
        return Reader(
            list(languages), gpu=False, verbose=False, download_enabled=not is_offline_mode()
        )
    except (FileNotFoundError, URLError) as error:
        raise ModelMissingError(
            f"the weights of easyocr are not here: {error}",
            hint="run once online without HF_HUB_OFFLINE, or use --ocr rapidocr",
        ) from None


def _cut_out(pixels: ByteArray, region: Box) -> tuple[ByteArray, tuple[int, int]]:
    """The pixels of the region and the ``(left, top)`` pixel at which it starts."""
    height, width = pixels.shape[:2]
    # Outward rounding, and never empty: a cut letter is read as another.
    left, top = min(int(region[0] * width), width - 1), min(int(region[1] * height), height - 1)
    right, bottom = int(np.ceil(region[2] * width)), int(np.ceil(region[3] * height))
    return pixels[top : max(bottom, top + 1), left : max(right, left + 1)], (left, top)


def _bgr(pixels: ByteArray) -> ByteArray:
    """The order of colours in which both engines take an array, as OpenCV reads files."""
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _lines_of(
    frame: Frame,
    readings: Iterable[tuple[Corners, str, float]],
    origin: tuple[int, int],
    min_confidence: float,
) -> tuple[OcrLine, ...]:
    """Our lines from an engine's readings, in reading order, without the weak and the senseless."""
    height, width = frame.pixels.shape[:2]
    lines = []
    for corners, text, confidence in readings:
        words = " ".join(text.split())
        needed = max(min_confidence, _LONE_CONFIDENCE) if len(words) == 1 else min_confidence
        if confidence < needed or not looks_like_text(words):
            continue
        # Tilted text has four free corners; lines are kept as upright boxes.
        points = (np.asarray(corners, dtype=np.float64) + origin) / (width, height)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        lines.append(
            OcrLine(
                text=words,
                first_seconds=frame.seconds,
                last_seconds=frame.seconds,
                box=(_unit(left), _unit(top), _unit(right), _unit(bottom)),
                confidence=_unit(confidence),
            )
        )
    return in_reading_order(lines)


def _unit(value: float) -> float:
    return float(min(max(value, 0.0), 1.0))


def looks_like_text(text: str) -> bool:
    """Whether a reading holds more than strokes: grids and bars read as ``_1 _ 一``.

    A plain number is text even if it is all ones.
    """
    if _NUMBER.fullmatch(text):
        return True
    return any(character.isalnum() for character in _STROKES.sub("", text))


def in_reading_order(lines: Iterable[OcrLine]) -> tuple[OcrLine, ...]:
    """Lines from top to bottom; those that share a row from left to right."""
    rows: list[list[OcrLine]] = []
    # Engines sort by the top edge, which tall letters and tilt upset; middles are steadier.
    for line in sorted(lines, key=lambda line: (line.box[1] + line.box[3], line.box[0])):
        if rows and _shares_row(rows[-1][-1], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return tuple(line for row in rows for line in sorted(row, key=lambda line: line.box[0]))


def _shares_row(above: OcrLine, line: OcrLine) -> bool:
    """Whether each line's middle lies within the other's height."""
    middle, other = (above.box[1] + above.box[3]) / 2, (line.box[1] + line.box[3]) / 2
    return above.box[1] <= other <= above.box[3] and line.box[1] <= middle <= line.box[3]
