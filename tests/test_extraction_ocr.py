"""One contract for every recogniser, and what is peculiar to each engine."""

from __future__ import annotations

import logging
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from clamr_rag.config import OcrOptions
from clamr_rag.errors import ExtractionError, ModelMissingError, UsageError
from clamr_rag.extraction import WHOLE_PICTURE, TextRecognizer
from clamr_rag.extraction.fake import ScriptedRecognizer
from clamr_rag.extraction.ocr import (
    EasyOcrRecognizer,
    RapidOcrRecognizer,
    in_reading_order,
    looks_like_text,
    make_recognizer,
)
from clamr_rag.types import ByteArray, Frame, OcrLine

LINES = (
    ("Quarterly results", 0.15),
    ("Revenue 4.2 million", 0.5),
    ("Churn fell to 3 percent", 0.8),
)
"""Text and the middle of its height on the drawn page."""


def page(width: int = 640, height: int = 360) -> ByteArray:
    image = Image.new("RGB", (width, height), (250, 250, 250))
    draw = ImageDraw.Draw(image)
    for text, middle in LINES:
        place = (width * 0.1, height * middle)
        font = ImageFont.load_default(height / 14)
        draw.text(place, text, fill=(20, 20, 20), font=font, anchor="lm")
    return np.asarray(image)


class StubReader:
    """easyocr.Reader as its source has it: `readtext` gives (four corners, text, confidence).

    The package cannot be installed beside a CPU torch (torchvision), so its side is declared here.
    """

    weights_are_here: ClassVar[bool] = True
    made_with: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        lang_list: list[str],
        gpu: bool = True,
        download_enabled: bool = True,
        verbose: bool = True,
    ) -> None:
        StubReader.made_with = {"lang_list": lang_list, "download_enabled": download_enabled}
        if not StubReader.weights_are_here and not download_enabled:
            raise FileNotFoundError("Missing /root/.EasyOCR/model/craft.pth and downloads disabled")

    def readtext(
        self, image: ByteArray, canvas_size: int = 2560
    ) -> list[tuple[list[list[np.int32]], str, np.float64]]:
        """Finds blocks of dark rows and calls them by the drawn page's lines, from the top."""
        found: list[tuple[list[list[np.int32]], str, np.float64]] = []
        dark = image.mean(axis=2) < 128
        rows = np.flatnonzero(dark.any(axis=1))
        for block in np.split(rows, np.flatnonzero(np.diff(rows) > 10) + 1):
            if not len(block):
                continue
            columns = np.flatnonzero(dark[block].any(axis=0))
            text = LINES[len(found)][0]
            left, right = columns[[0, -1]].astype(np.int32)
            top, bottom = block[[0, -1]].astype(np.int32)
            corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
            found.append((corners, text, np.float64(0.9)))
        return found


def scripted() -> ScriptedRecognizer:
    lines = [
        OcrLine(text, 0.0, 0.0, (0.1, middle - 0.04, 0.6, middle + 0.04), 0.9)
        for text, middle in LINES
    ]
    return ScriptedRecognizer({0.0: lines})


@pytest.fixture
def easyocr_stub(monkeypatch: pytest.MonkeyPatch) -> type[StubReader]:
    module = types.ModuleType("easyocr")
    module.Reader = StubReader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "easyocr", module)
    monkeypatch.setattr(StubReader, "weights_are_here", True)
    return StubReader


@pytest.fixture(scope="module")
def rapidocr() -> RapidOcrRecognizer:
    return RapidOcrRecognizer(OcrOptions(), threads=1)


@pytest.fixture(params=["rapidocr", "easyocr", "script"])
def recognizer(request: pytest.FixtureRequest) -> TextRecognizer:
    makers: dict[str, Callable[[], TextRecognizer]] = {
        "rapidocr": lambda: request.getfixturevalue("rapidocr"),
        "easyocr": lambda: (
            request.getfixturevalue("easyocr_stub") and EasyOcrRecognizer(OcrOptions(ocr="easyocr"))
        ),
        "script": scripted,
    }
    return makers[request.param]()


def test_contract_reads_a_page_from_top_to_bottom(recognizer: TextRecognizer) -> None:
    lines = recognizer.recognize(Frame(7.5, page()))
    assert [line.text for line in lines] == [text for text, _ in LINES]
    for line, (_, middle) in zip(lines, LINES, strict=True):
        assert line.first_seconds == line.last_seconds == 7.5
        assert line.box[1] < middle < line.box[3]
        assert 0.05 < line.box[0] < 0.15
        assert 0.5 < line.confidence <= 1.0


def test_contract_reads_only_the_region_and_places_it_in_the_picture(
    recognizer: TextRecognizer,
) -> None:
    whole = recognizer.recognize(Frame(0.0, page()))
    top = recognizer.recognize(Frame(0.0, page()), (0.0, 0.0, 1.0, 0.3))
    assert [line.text for line in top] == [LINES[0][0]]
    assert top[0].box == pytest.approx(whole[0].box, abs=0.02)


def test_contract_names_itself(recognizer: TextRecognizer) -> None:
    assert recognizer.name in {"rapidocr", "easyocr", "script"}


def test_rapidocr_finds_nothing_on_a_blank_picture(rapidocr: RapidOcrRecognizer) -> None:
    for grey in (0, 128, 255):
        assert rapidocr.recognize(Frame(0.0, np.full((180, 320, 3), grey, np.uint8))) == ()


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 700, 3), (700, 3, 3), (31, 33, 3)])
def test_rapidocr_takes_pictures_of_any_size(
    rapidocr: RapidOcrRecognizer, shape: tuple[int, int, int]
) -> None:
    assert rapidocr.recognize(Frame(0.0, np.full(shape, 90, np.uint8))) == ()


@pytest.mark.parametrize(
    "region", [(0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0), (0.5, 0.99, 0.51, 1.0)]
)
def test_rapidocr_takes_regions_of_any_size(
    rapidocr: RapidOcrRecognizer, region: tuple[float, float, float, float]
) -> None:
    assert rapidocr.recognize(Frame(0.0, page()), region) == ()


def test_rapidocr_reads_columns_row_by_row(rapidocr: RapidOcrRecognizer) -> None:
    image = Image.new("RGB", (640, 200), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for row, (left, right) in enumerate([("Name", "Amount"), ("Alpha", "17"), ("Beta", "42")]):
        for column, text in ((40, left), (400, right)):
            place = (column, 30 + row * 55)
            draw.text(place, text, fill=(0, 0, 0), font=ImageFont.load_default(28))
    lines = rapidocr.recognize(Frame(0.0, np.asarray(image)))
    assert [line.text for line in lines] == ["Name", "Amount", "Alpha", "17", "Beta", "42"]


def test_rapidocr_drops_what_it_is_not_sure_of(rapidocr: RapidOcrRecognizer) -> None:
    image = Image.new("RGB", (640, 120), (128, 128, 128))
    font = ImageFont.load_default(11)
    ImageDraw.Draw(image).text((20, 50), "hardly legible words", fill=(134, 134, 134), font=font)
    frame = Frame(0.0, np.asarray(image))
    sure = RapidOcrRecognizer(OcrOptions(min_confidence=0.999), threads=1)
    unsure = RapidOcrRecognizer(OcrOptions(min_confidence=0.0), threads=1)
    assert len(sure.recognize(frame)) <= len(unsure.recognize(frame))
    assert all(line.confidence >= 0.999 for line in sure.recognize(Frame(0.0, page())))


def test_rapidocr_is_silent_and_leaves_logging_alone() -> None:
    script = (
        "import logging, numpy as np\n"
        "from clamr_rag.config import OcrOptions\n"
        "from clamr_rag.extraction.ocr import make_recognizer\n"
        "from clamr_rag.types import Frame\n"
        "make_recognizer(OcrOptions(), 1).recognize(Frame(0.0, np.zeros((64, 64, 3), np.uint8)))\n"
        "assert not logging.getLogger().handlers\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_rapidocr_gives_the_same_lines_again(rapidocr: RapidOcrRecognizer) -> None:
    assert rapidocr.recognize(Frame(1.0, page())) == rapidocr.recognize(Frame(1.0, page()))


def test_a_breakdown_of_rapidocr_is_an_error_and_not_a_blank_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rapidocr.inference_engine.onnxruntime import ONNXRuntimeError

    broken = RapidOcrRecognizer(OcrOptions(), threads=1)

    def engine(_: ByteArray) -> None:
        raise ONNXRuntimeError("out of\nmemory")

    monkeypatch.setattr(broken, "_engine", engine)
    with pytest.raises(ExtractionError, match=r"rapidocr broke down at 3\.000 s: out of memory"):
        broken.recognize(Frame(3.0, page()))


@pytest.mark.parametrize(
    "text", ["_1 _ 一", "|", "- - -", "l I", "...", "丨", "/", "•", "[ ]", "= ="]
)
def test_strokes_are_no_text(text: str) -> None:
    assert not looks_like_text(text)


@pytest.mark.parametrize(
    "text",
    ["1", "11", "11:11", "$1.1", "-1", "+1 %", "111,111", "A", "x = 1", "一月", "I am", "ll a"],
)
def test_short_text_and_numbers_are_text(text: str) -> None:
    assert looks_like_text(text)


def test_a_row_is_read_from_left_to_right_even_if_it_is_not_quite_level() -> None:
    def line(text: str, left: float, top: float) -> OcrLine:
        return OcrLine(text, 0.0, 0.0, (left, top, left + 0.2, top + 0.1), 1.0)

    lines = [line("d", 0.6, 0.49), line("b", 0.5, 0.1), line("a", 0.1, 0.12), line("c", 0.1, 0.5)]
    assert "".join(line.text for line in in_reading_order(lines)) == "abcd"


@pytest.mark.usefixtures("easyocr_stub")
def test_easyocr_drops_weak_and_lone_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = [[0, 0], [10, 0], [10, 10], [0, 10]]
    readings = [
        (corners, "weak", 0.3),
        (corners, "A", 0.8),
        (corners, "7", 0.97),
        (corners, "  two   words ", 0.6),
    ]
    monkeypatch.setattr(StubReader, "readtext", lambda *_, **__: readings)
    lines = EasyOcrRecognizer(OcrOptions(ocr="easyocr")).recognize(Frame(0.0, page()))
    assert {line.text for line in lines} == {"7", "two words"}


@pytest.mark.usefixtures("easyocr_stub")
def test_boxes_that_leave_the_picture_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = [[-9, -5], [700, -5], [700, 400], [-9, 400]]
    monkeypatch.setattr(StubReader, "readtext", lambda *_, **__: [(corners, "wide", 0.9)])
    (line,) = EasyOcrRecognizer(OcrOptions(ocr="easyocr")).recognize(Frame(0.0, page()))
    assert line.box == WHOLE_PICTURE


def test_easyocr_may_download_only_online(
    easyocr_stub: type[StubReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    for offline in (False, True):
        monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda now=offline: now)
        make_recognizer(OcrOptions(ocr="easyocr"))
        assert easyocr_stub.made_with["download_enabled"] is not offline


def test_missing_weights_of_easyocr_say_what_to_do(
    easyocr_stub: type[StubReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(easyocr_stub, "weights_are_here", False)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: True)
    with pytest.raises(ModelMissingError, match=r"craft\.pth.*--ocr rapidocr"):
        make_recognizer(OcrOptions(ocr="easyocr"))


def test_easyocr_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "easyocr", None)
    with pytest.raises(UsageError, match=r"pip install 'clamr-rag\[easyocr\]'"):
        make_recognizer(OcrOptions(ocr="easyocr"))


def test_no_ocr_is_no_recognizer() -> None:
    assert make_recognizer(OcrOptions(ocr="none")) is None


def test_the_default_engine_is_rapidocr() -> None:
    recognizer = make_recognizer(OcrOptions(), threads=1)
    assert recognizer is not None
    assert recognizer.name == "rapidocr"
    assert logging.getLogger("RapidOCR").level == logging.CRITICAL
