from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from clamr_rag.cli.demo_video import PARTS, chapters, cues, draw_van
from clamr_rag.cli.slide_video import (
    Look,
    Shot,
    Slide,
    draw_slide,
    gradient,
    slide_shots,
    still_shot,
    write_slide_video,
)
from clamr_rag.media import iter_frames, probe, read_subtitle_track
from clamr_rag.media.values import Chapter
from clamr_rag.types import Cue, TimeSpan

SIZE = (160, 120)


def plain(value: int) -> Image.Image:
    return Image.new("RGB", SIZE, (value, value, value))


def test_pictures_stand_at_their_times(tmp_path: Path) -> None:
    shots = (still_shot(2.0, plain(value)) for value in (20, 120, 220))
    length = write_slide_video(tmp_path / "a.mp4", shots, size=SIZE, fps=5)
    assert length == pytest.approx(6.0)
    assert probe(tmp_path / "a.mp4").duration_seconds == pytest.approx(6.0)
    seen = [f.pixels.mean() for f in iter_frames(tmp_path / "a.mp4", [0.5, 1.9, 2.1, 3.9, 5.5])]
    assert seen == pytest.approx([20, 20, 120, 120, 220], abs=4)


def test_a_moving_shot_is_drawn_anew_as_often_as_asked(tmp_path: Path) -> None:
    drawn: list[float] = []

    def draw(seconds: float) -> Image.Image:
        drawn.append(seconds)
        return plain(int(seconds * 50))

    shots = [Shot(2.0, draw, draws_per_second=2.0), Shot(1.0, draw), Shot(0.0, draw)]
    write_slide_video(tmp_path / "a.mp4", shots, size=SIZE, fps=10)
    assert drawn == pytest.approx([0.0, 0.5, 1.0, 1.5, 0.0])


def test_subtitles_chapters_and_tags_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    said = (Cue(0.5, 1.5, "Hello, world"), Cue(2.0, 3.75, "two\nlines"), Cue(3.8, 3.9, "ü 漢"))
    parts = (Chapter("One", TimeSpan(0, 2)), Chapter("Zwei", TimeSpan(2, 4)))
    tags = {"title": "A title", "artist": "Someone"}
    write_slide_video(
        path, [still_shot(4.0, plain(0))], size=SIZE, fps=5, subtitles=said,
        subtitle_language="ger", chapters=parts, tags=tags,
    )  # fmt: skip
    info = probe(path)
    assert read_subtitle_track(path, 0) == said
    assert info.subtitle_tracks[0].language == "de"
    assert info.chapters == parts
    assert tags.items() <= dict(info.tags).items()


def test_braces_are_no_style(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    cue = Cue(0.0, 1.0, r"a {\b1}bold{\b0} word")
    write_slide_video(path, [still_shot(1.0, plain(0))], size=SIZE, fps=5, subtitles=[cue])
    assert read_subtitle_track(path, 0)[0].text == r"a (\b1)bold(\b0) word"


def test_without_subtitles_there_is_no_track(tmp_path: Path) -> None:
    write_slide_video(tmp_path / "a.mp4", [still_shot(1.0, plain(0))], size=SIZE, fps=5)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_slides_are_drawn_one_at_a_time() -> None:
    """A long lecture is a generator: no slide is drawn before its turn."""
    taken: list[int] = []

    def slides() -> object:
        for number in range(1000):
            taken.append(number)
            yield Slide(f"Slide {number}")

    shots = slide_shots(slides(), 45.0, size=SIZE)  # type: ignore[arg-type]
    next(shots)
    assert taken == [0]


@pytest.mark.parametrize("size", [(1280, 720), (320, 240), (640, 1136)])
def test_a_slide_fits_its_picture_whatever_it_says(size: tuple[int, int]) -> None:
    slide = Slide("A very long title " * 6, tuple(f"Line {n} " * 12 for n in range(9)))
    picture = np.asarray(draw_slide(slide, size=size, look=Look(text=(255, 255, 255)), number=7))
    assert picture.shape == (size[1], size[0], 3)
    bright = (picture.min(axis=2) > 200).any(axis=0)
    edge = size[0] // 20
    assert bright.any()
    assert not bright[:edge].any()
    assert not bright[-edge:].any()


def test_a_gradient_runs_from_top_to_bottom() -> None:
    picture = np.asarray(gradient((4, 100), (0, 0, 0), (250, 100, 0))).astype(int)
    assert tuple(picture[0, 0]) == pytest.approx((0, 0, 0), abs=3)
    assert tuple(picture[-1, -1]) == pytest.approx((250, 100, 0), abs=3)
    assert (np.diff(picture[:, 0, 0]) >= 0).all()


def test_the_van_moves() -> None:
    first, second = (np.asarray(draw_van(seconds)) for seconds in (1.0, 1.5))
    assert first.shape == (720, 1280, 3)
    assert (first != second).mean() > 0.01


def test_the_parts_of_the_demo_follow_each_other() -> None:
    spans = [chapter.span for chapter in chapters()]
    assert all(a.stop_seconds == b.start_seconds for a, b in pairwise(spans))
    said = cues()
    assert all(a.stop_seconds < b.start_seconds for a, b in pairwise(said))
    assert len(said) == sum(len(part.sentences) for part in PARTS)
    assert 90 <= spans[-1].stop_seconds <= 120
