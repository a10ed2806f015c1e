"""Shot cuts on drawn frames, one a second: what must be found and what must not."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from clamr_rag.segmentation.shots import ShotFinder
from clamr_rag.types import ByteArray, Frame

WIDTH, HEIGHT = 640, 360
WORDS = (
    "revenue churn onboarding quarter model encoder retrieval video frame caption modality "
    "attention loss training data result figure table baseline method query token vector"
).split()


def noisy(pixels: ByteArray, seed: int, strength: float = 2.0) -> ByteArray:
    noise = np.random.default_rng(seed).normal(0, strength, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def slide(number: int, num_points: int | None = None) -> ByteArray:
    """A white page with a title and some points; each number has other words."""
    words = np.random.default_rng(100 + number)
    image = Image.new("RGB", (WIDTH, HEIGHT), (252, 252, 252))
    draw = ImageDraw.Draw(image)
    title = " ".join(words.choice(WORDS, 4)).title()
    draw.text((30, 20), title, fill=(20, 20, 60), font=ImageFont.load_default(22))
    for row in range(int(words.integers(4, 8)) if num_points is None else num_points):
        text = "- " + " ".join(words.choice(WORDS, 6))
        draw.text((45, 75 + row * 29), text, fill=(30, 30, 30), font=ImageFont.load_default(13))
    return np.asarray(image)


def landscape(seed: int, width: int = WIDTH, brightness: float = 1.0) -> ByteArray:
    """Soft coloured texture without letters."""
    random = np.random.default_rng(seed)
    layers = [
        cv2.resize(random.random((HEIGHT // size, width // size, 3)), (width, HEIGHT))
        for size in (8, 32, 90)
    ]
    return np.clip(sum(layers) / 3 * 255 * brightness, 0, 255).astype(np.uint8)


def panned(seed: int, num_frames: int, step: int, brightness: float = 1.0) -> list[ByteArray]:
    whole = landscape(seed, WIDTH + step * num_frames, brightness)
    return [whole[:, n * step : n * step + WIDTH] for n in range(num_frames)]


def talking_head(num_frames: int, seed: int = 3, brightness: float = 0.8) -> list[ByteArray]:
    """A face that sways and speaks before a still background."""
    random = np.random.default_rng(seed)
    background = landscape(seed, brightness=brightness)
    frames = []
    for number in range(num_frames):
        pixels = background.copy()
        x, y = WIDTH // 2 + int(random.normal(0, 12)), HEIGHT // 2 + int(random.normal(0, 6))
        cv2.ellipse(pixels, (x, y), (70, 95), 0, 0, 360, (200, 160, 140), -1)
        for side in (-25, 25):
            cv2.ellipse(pixels, (x + side, y - 20), (10, 6), 0, 0, 360, (20, 20, 20), -1)
        mouth = 4 + int(random.integers(0, 14))
        cv2.ellipse(pixels, (x, y + 40), (25, mouth), 0, 0, 360, (120, 30, 30), -1)
        frames.append(noisy(pixels, number, 3.0))
    return frames


def cuts(frames: list[ByteArray], start_seconds: float = 0.0) -> tuple[float, ...]:
    finder = ShotFinder()
    for number, pixels in enumerate(frames):
        finder.see(Frame(start_seconds + number, pixels))
    return finder.cuts()


def held(pixels: ByteArray, num_frames: int) -> list[ByteArray]:
    return [noisy(pixels, seed, 1.0) for seed in range(num_frames)]


def faded(one: ByteArray, other: ByteArray) -> list[ByteArray]:
    """Two seconds down to black, two up again."""
    down = [(one * share).astype(np.uint8) for share in (0.66, 0.33, 0.0)]
    return down + [(other * share).astype(np.uint8) for share in (0.33, 0.66)]


@pytest.mark.parametrize("dark", [False, True])
def test_every_change_of_slide_is_a_cut(dark: bool) -> None:
    frames = [pixels for number in range(4) for pixels in held(slide(number), 8)]
    if dark:
        frames = [255 - pixels for pixels in frames]
    assert cuts(frames) == (8.0, 16.0, 24.0)


def test_hard_cuts_between_moving_pictures() -> None:
    frames = (
        panned(1, 8, 40, brightness=0.6)
        + panned(2, 8, 20, brightness=1.2)
        + panned(3, 8, 60, brightness=0.8)
    )
    assert cuts(frames) == (8.0, 16.0)


@pytest.mark.parametrize("step", [4, 20, 80])
def test_a_moving_camera_is_no_cut(step: int) -> None:
    assert cuts(panned(4, 25, step)) == ()


def test_a_slow_zoom_is_no_cut() -> None:
    whole = cv2.resize(landscape(7), (2 * WIDTH, 2 * HEIGHT))
    frames = [
        cv2.resize(whole[n * 6 : -n * 6 or None, n * 10 : -n * 10 or None], (WIDTH, HEIGHT))
        for n in range(25)
    ]
    assert cuts(frames) == ()


def test_a_talking_head_is_no_cut() -> None:
    assert cuts(talking_head(30)) == ()


def test_a_change_of_speaker_is_a_cut() -> None:
    assert cuts(talking_head(10, 3, brightness=0.8) + talking_head(10, 8, brightness=0.5)) == (
        10.0,
    )


def test_a_change_of_slide_beside_a_talking_head_is_a_cut() -> None:
    heads = [cv2.resize(head, (160, 90)) for head in talking_head(20)]
    frames = [slide(number // 10).copy() for number in range(20)]
    for pixels, head in zip(frames, heads, strict=True):
        pixels[-90:, -160:] = head
    assert cuts(frames) == (10.0,)


def test_a_fade_is_one_or_two_cuts_within_it() -> None:
    frames = held(landscape(21), 8) + faded(landscape(21), landscape(22)) + held(landscape(22), 8)
    found = cuts(frames)
    assert 1 <= len(found) <= 2
    assert all(8.0 <= second <= 13.0 for second in found)


def test_a_dissolve_of_slides_is_one_cut() -> None:
    one, other = slide(1), slide(2)
    half = ((one.astype(int) + other) // 2).astype(np.uint8)
    (cut,) = cuts([*held(one, 8), half, *held(other, 8)])
    assert cut in (8.0, 9.0)


def test_a_new_point_on_a_slide_is_no_new_shot() -> None:
    frames = [pixels for points in (2, 3, 4) for pixels in held(slide(1, points), 6)]
    assert cuts(frames) == ()


def test_cuts_bear_the_true_times_of_frames() -> None:
    finder = ShotFinder()
    seconds = [600.0 + number * 1.04 for number in range(16)]
    for number, second in enumerate(seconds):
        finder.see(Frame(second, noisy(slide(number // 8), number)))
    assert finder.cuts() == (seconds[8],)


def test_a_cut_at_the_second_and_at_the_last_frame_is_found() -> None:
    frames = [slide(1), *held(slide(2), 8), slide(3)]
    assert cuts(frames) == (1.0, 9.0)


def test_runs_that_overlap_by_a_frame_find_what_a_whole_run_does() -> None:
    frames = [pixels for number in range(4) for pixels in held(slide(number), 8)]
    whole = cuts(frames)
    for border in (8, 12):
        parts = cuts(frames[:border]) + cuts(frames[border - 1 :], start_seconds=border - 1)
        assert parts == whole


@pytest.mark.parametrize("num_frames", [0, 1, 2])
def test_short_runs_have_no_cuts(num_frames: int) -> None:
    assert cuts(held(slide(1), num_frames)) == ()


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 900, 3), (900, 2, 3), (17, 33, 3)])
def test_odd_sizes_are_read(shape: tuple[int, int, int]) -> None:
    frames = [np.zeros(shape, np.uint8)] * 5 + [np.full(shape, 255, np.uint8)] * 5
    assert cuts(frames) == (5.0,)


def test_cuts_are_never_closer_than_two_seconds() -> None:
    flicker = [slide(number % 5) for number in range(40)]
    assert all(later - earlier > 2.0 for earlier, later in pairwise(cuts(flicker)))


def test_asking_twice_gives_the_same() -> None:
    finder = ShotFinder()
    for number in range(16):
        finder.see(Frame(float(number), slide(number // 8)))
    assert finder.cuts() == finder.cuts() == (8.0,)
