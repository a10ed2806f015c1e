"""Reading the screen over time: when it looks, and how long each line is said to be there."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from clamr_rag.config import OcrOptions
from clamr_rag.extraction import WHOLE_PICTURE, Box, TextRecognizer
from clamr_rag.extraction.fake import ScriptedRecognizer
from clamr_rag.extraction.line_merging import merge_lines
from clamr_rag.extraction.ocr import RapidOcrRecognizer
from clamr_rag.extraction.screen import ScreenReader
from clamr_rag.types import ByteArray, Frame, OcrLine

WIDTH, HEIGHT = 640, 360
ROWS = {"title": 0.12, "first": 0.35, "second": 0.55, "third": 0.75}
"""Middle of each row of text, as a share of the height."""

Page = Mapping[str, str]


def draw(page: Page, paper: int = 250) -> ByteArray:
    image = Image.new("RGB", (WIDTH, HEIGHT), (paper, paper, paper))
    ink = 20 if paper > 128 else 235
    for row, text in page.items():
        place = (WIDTH * 0.1, HEIGHT * ROWS[row])
        font = ImageFont.load_default(22)
        ImageDraw.Draw(image).text(place, text, fill=(ink, ink, ink), font=font, anchor="lm")
    return np.asarray(image)


def scripted(pages: Sequence[Page]) -> ScriptedRecognizer:
    """Reads each drawn page without a slip."""

    def line(row: str, text: str) -> OcrLine:
        right = 0.1 + ImageFont.load_default(22).getlength(text) / WIDTH
        box = (0.1, ROWS[row] - 0.03, right, ROWS[row] + 0.03)
        return OcrLine(text, 0.0, 0.0, box, 0.9)

    return ScriptedRecognizer(
        {
            float(second): [line(row, text) for row, text in page.items()]
            for second, page in enumerate(pages)
        }
    )


def read(
    pictures: Iterable[ByteArray], recognizer: TextRecognizer, start_seconds: float = 0.0
) -> tuple[OcrLine, ...]:
    reader = ScreenReader(recognizer)
    for number, pixels in enumerate(pictures):
        reader.see(Frame(start_seconds + number, pixels))
    return reader.lines()


def read_pages(pages: Sequence[Page]) -> tuple[dict[str, tuple[float, float]], ScriptedRecognizer]:
    """First and last second of every text, and the recogniser with its looks."""
    recognizer = scripted(pages)
    lines = read([draw(page) for page in pages], recognizer)
    times = {line.text: (line.first_seconds, line.last_seconds) for line in lines}
    assert len(times) == len(lines), "a text was given as two lines"
    return times, recognizer


def held(page: Page, seconds: int) -> list[Page]:
    return [page] * seconds


def test_a_slide_is_read_once_and_its_lines_last_as_long_as_it() -> None:
    slides = [{"title": f"Slide {n}", "first": f"Words of {n}"} for n in range(3)]
    times, recognizer = read_pages([page for slide in slides for page in held(slide, 20)])
    assert times == {
        text: (n * 20.0, n * 20.0 + 19.0)
        for n in range(3)
        for text in (f"Slide {n}", f"Words of {n}")
    }
    assert 3 <= len(recognizer.looks) <= 6


def test_a_blank_screen_is_never_read() -> None:
    _, recognizer = read_pages(held({}, 30))
    assert recognizer.looks == []


def test_one_digit_is_seen_and_nothing_else_is_read_again() -> None:
    before, after = ({"title": "The title", "third": f"Score: {n}"} for n in (3, 4))
    times, recognizer = read_pages([*held(before, 10), *held(after, 10)])
    assert times == {"The title": (0.0, 19.0), "Score: 3": (0.0, 9.0), "Score: 4": (10.0, 19.0)}
    late = [region for second, region in recognizer.looks if second > 9]
    assert len(late) == 1
    assert late[0][1] > 0.5, "only the lower part of the picture"


def test_points_that_appear_one_by_one_keep_their_own_first_second() -> None:
    rows = ("title", "first", "second", "third")
    pages = [
        page
        for number in range(1, 5)
        for page in held({row: f"Text of {row}" for row in rows[:number]}, 5)
    ]
    times, _ = read_pages(pages)
    assert times == {f"Text of {row}": (n * 5.0, 19.0) for n, row in enumerate(rows)}


def test_a_typed_line_is_one_line_with_its_whole_text() -> None:
    text = "def load_every_video(path):"
    pages = [{"first": text[: 3 + n]} for n in range(len(text) - 2)] + held({"first": text}, 3)
    times, _ = read_pages(pages)
    assert list(times) == [text]
    assert times[text][0] <= 3.0


def test_a_line_that_comes_back_is_two_lines() -> None:
    pages = [*held({"title": "Agenda"}, 5), *held({"title": "Details"}, 10)]
    recognizer = scripted([*pages, *held({"title": "Agenda"}, 5)])
    lines = read([draw(page) for page in [*pages, *held({"title": "Agenda"}, 5)]], recognizer)
    assert [(line.text, line.first_seconds) for line in lines] == [
        ("Agenda", 0.0),
        ("Details", 5.0),
        ("Agenda", 15.0),
    ]


def test_a_fade_costs_no_look_at_every_frame() -> None:
    one, other = draw({"title": "Before the fade"}), draw({"first": "After the fade"})
    mixed = [((one * (4.0 - n) + other * n) / 4).astype(np.uint8) for n in (1, 2, 3)]
    pages = [*held({"title": "Before the fade"}, 8), *held({"first": "After the fade"}, 11)]
    recognizer = scripted(pages)
    lines = read([one] * 8 + mixed + [other] * 8, recognizer)
    assert {line.text for line in lines} == {"Before the fade", "After the fade"}
    assert len(recognizer.looks) <= 6


def moving_corner(num_frames: int) -> list[ByteArray]:
    """Restless detail of strong contrast, as a speaker's picture has."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 255, (num_frames, 20, 30, 3), dtype=np.uint8)
    return [block.repeat(4, axis=0).repeat(4, axis=1) for block in blocks]


def test_a_speaker_in_the_corner_is_read_seldom_and_disturbs_no_line() -> None:
    pages = [*held({"title": "Slide one"}, 30), *held({"title": "Slide two"}, 30)]
    recognizer = scripted(pages)
    pictures = [draw(page).copy() for page in pages]
    for pixels, corner in zip(pictures, moving_corner(60), strict=True):
        pixels[-80:, -120:] = corner
    lines = read(pictures, recognizer)
    assert [(x.text, x.first_seconds, x.last_seconds) for x in lines] == [
        ("Slide one", 0.0, 29.0),
        ("Slide two", 30.0, 59.0),
    ]
    assert len(recognizer.looks) <= 2 + 60 / 8 + 2


def test_text_on_a_moving_picture_is_read_within_some_seconds() -> None:
    random = np.random.default_rng(2)
    caption = draw({"third": "Breaking news"}, paper=0)
    pages: list[Page] = [*held({}, 10), *held({"third": "Breaking news"}, 30)]
    pictures = []
    for number in range(40):
        film = random.integers(0, 160, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        pixels = film.repeat(8, axis=0).repeat(8, axis=1)
        pictures.append(np.maximum(pixels, caption) if number >= 10 else pixels)
    (line,) = read(pictures, scripted(pages))
    assert 10.0 <= line.first_seconds <= 20.0
    assert line.last_seconds >= 32.0


def with_pointer(pixels: ByteArray, x: int, y: int) -> ByteArray:
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).polygon([(x, y), (x, y + 9), (x + 6, y + 6)], fill=(0, 0, 0))
    return np.asarray(image)


def test_a_mouse_pointer_costs_a_look_at_its_place_only() -> None:
    page = {"title": "The title of the slide", "second": "A line of text"}
    pages = held(page, 20)
    recognizer = scripted(pages)
    places = [(400, 150), (500, 300), (300, 280), (560, 60)]
    pictures = [with_pointer(draw(page), *places[n // 5]) for n, page in enumerate(pages)]
    lines = read(pictures, recognizer)
    assert {(x.text, x.first_seconds, x.last_seconds) for x in lines} == {
        (text, 0.0, 19.0) for text in page.values()
    }
    later = [region for second, region in recognizer.looks if second > 4]
    assert later
    assert all(_area(region) < 0.25 for region in later)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


class Forgetful:
    """Misses a line in one look and reads another badly in the next."""

    name = "forgetful"

    def __init__(self) -> None:
        self.num_looks = 0

    def recognize(self, frame: Frame, region: Box = WHOLE_PICTURE) -> tuple[OcrLine, ...]:
        self.num_looks += 1
        text = {1: "Quarterly results", 2: "Quarteriy resuIts"}.get(self.num_looks, "")
        if not text:
            return ()
        now = frame.seconds
        confidence = 0.99 - self.num_looks / 10
        return (OcrLine(text, now, now, (0.1, 0.09, 0.45, 0.15), confidence),)


def test_a_bad_second_reading_does_not_split_a_line() -> None:
    one = draw({"title": "Quarterly results"})
    marked = one.copy()
    marked[30:36, 100:160] = 0
    (line,) = read([one] * 5 + [marked] * 5, Forgetful())
    assert (line.text, line.first_seconds, line.last_seconds) == ("Quarterly results", 0.0, 9.0)


def test_what_is_on_the_last_frame_is_read_even_if_it_had_no_time_to_settle() -> None:
    times, _ = read_pages([*held({"title": "One"}, 5), {"title": "The end"}])
    assert times == {"One": (0.0, 4.0), "The end": (5.0, 5.0)}


def test_one_frame_is_enough() -> None:
    times, _ = read_pages([{"title": "Only"}])
    assert times == {"Only": (0.0, 0.0)}


def test_no_frame_has_no_lines() -> None:
    assert ScreenReader(scripted([])).lines() == ()


def test_asking_twice_gives_the_same_and_reads_nothing_again() -> None:
    pages = held({"title": "Only"}, 3)
    recognizer = scripted(pages)
    reader = ScreenReader(recognizer)
    for number, page in enumerate(pages):
        reader.see(Frame(float(number), draw(page)))
    first = reader.lines()
    num_looks = len(recognizer.looks)
    assert reader.lines() == first
    assert len(recognizer.looks) == num_looks


def test_a_frame_that_stays_on_screen_keeps_its_lines_there() -> None:
    recognizer = scripted(held({"title": "Still"}, 10))
    reader = ScreenReader(recognizer)
    still = Frame(0.0, draw({"title": "Still"}))
    for second in range(10):
        reader.see(still, shown_at_seconds=float(second))
    (line,) = reader.lines()
    assert (line.first_seconds, line.last_seconds) == (0.0, 9.0)
    assert len(recognizer.looks) == 1


def test_parts_give_what_a_whole_run_gives() -> None:
    slides = [{"title": f"Slide {n}", "first": f"Words of {n}"} for n in range(3)]
    pages = [page for slide in slides for page in held(slide, 10)]
    pictures = [draw(page) for page in pages]
    whole = read(pictures, scripted(pages))
    for border in (10, 13, 15, 29):
        parts = (
            read(pictures[:border], scripted(pages)),
            read(pictures[border:], scripted(pages), start_seconds=border),
        )
        assert merge_lines(parts) == whole


def test_a_change_of_the_picture_size_starts_anew() -> None:
    wide = draw({"title": "Wide"})
    narrow = np.ascontiguousarray(wide[:, :480])
    recognizer = scripted(held({"title": "Wide"}, 6))
    lines = read([wide] * 3 + [narrow] * 3, recognizer)
    assert [(line.first_seconds, line.last_seconds) for line in lines] == [(0.0, 5.0)]
    assert [second for second, _ in recognizer.looks] == [1.0, 4.0]


@pytest.fixture(scope="module")
def rapidocr() -> RapidOcrRecognizer:
    return RapidOcrRecognizer(OcrOptions(), threads=1)


def encoded(pictures: Sequence[ByteArray], path: Path, codec: str, **options: str) -> list[Frame]:
    """The pictures as a video gives them back: one a second out of ten."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in itertools.chain.from_iterable([picture] * 10 for picture in pictures):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))[::10]
        return [Frame(float(n), f.to_ndarray(format="rgb24")) for n, f in enumerate(frames)]


@pytest.mark.parametrize(
    ("codec", "options", "late_seconds"),
    [
        ("libx264", {"crf": "28", "g": "20", "preset": "veryfast"}, 0.0),
        ("libx264", {"crf": "36", "g": "25", "preset": "veryfast"}, 0.0),
        # Its first frame after a change is so coarse that the next one counts as another.
        ("mpeg4", {"qscale": "5", "g": "12"}, 1.0),
    ],
)
def test_a_real_video_read_by_a_real_engine(
    rapidocr: RapidOcrRecognizer,
    tmp_path: Path,
    codec: str,
    options: dict[str, str],
    late_seconds: float,
) -> None:
    slides = [
        {"title": "Quarterly results", "first": "Revenue grew by 18 percent", "third": "Page 1"},
        {"title": "Quarterly results", "first": "Churn fell by 3 percent", "third": "Page 2"},
    ]
    pictures = [draw(slide) for slide in slides for _ in range(8)]
    looks: set[float] = set()

    class Counted:
        name = "counted"

        def recognize(self, frame: Frame, region: Box = WHOLE_PICTURE) -> tuple[OcrLine, ...]:
            looks.add(frame.seconds)
            return rapidocr.recognize(frame, region)

    reader = ScreenReader(Counted())
    for frame in encoded(pictures, tmp_path / "slides.mp4", codec, **options):
        reader.see(frame)
    lines = {line.text: line for line in reader.lines()}
    expected = {
        "Quarterly results": (0.0, 15.0),
        "Revenue grew by 18 percent": (0.0, 7.0),
        "Churn fell by 3 percent": (8.0, 15.0),
        "Page 1": (0.0, 7.0),
        "Page 2": (8.0, 15.0),
    }
    assert len(reader.lines()) == len(expected)
    for text, (first, last) in expected.items():
        assert first <= lines[text].first_seconds <= first + late_seconds
        assert lines[text].last_seconds == last
    assert len(looks) <= 10, "a codec's noise must not be read every second"
