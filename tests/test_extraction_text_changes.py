"""The change test: one digit is seen, what a codec does is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from clamr_rag.extraction.text_changes import cell_shape, changed_cells, copy_cells, detail_map
from clamr_rag.types import ByteArray


def page(
    text: str, size: int = 22, ink: int = 30, paper: int = 250, shape: tuple[int, int] = (720, 1280)
) -> ByteArray:
    image = Image.new("RGB", shape[::-1], (paper, paper, paper))
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text((300, 300), text, fill=(ink, ink, ink), font=font)
    return np.asarray(image)


def num_changed(one: ByteArray, other: ByteArray) -> int:
    return int(changed_cells(detail_map(one), detail_map(other)).sum())


def as_jpeg(pixels: ByteArray, quality: int) -> ByteArray:
    _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(packed, cv2.IMREAD_COLOR).astype(np.uint8)


@pytest.mark.parametrize("digits", [("3", "8"), ("1", "7"), ("0", "6"), ("5", "6")])
@pytest.mark.parametrize("size", [18, 22, 48])
@pytest.mark.parametrize(("ink", "paper"), [(30, 250), (230, 20), (120, 250)])
def test_one_other_digit_is_a_change(
    digits: tuple[str, str], size: int, ink: int, paper: int
) -> None:
    one, other = (page(f"Total: {digit}0 %", size, ink, paper) for digit in digits)
    assert num_changed(one, other) >= 1


def test_one_other_digit_changes_only_its_own_place() -> None:
    changed = changed_cells(detail_map(page("Total: 3")), detail_map(page("Total: 8")))
    rows, columns = np.nonzero(changed)
    assert set(rows) <= {9, 10}
    assert set(columns) <= {10, 11, 12}


@pytest.mark.parametrize("qualities", [(95, 40), (80, 60), (60, 40)])
def test_compression_is_no_change(qualities: tuple[int, int]) -> None:
    text = page("A line of text and 12,345 numbers", 26)
    assert num_changed(*(as_jpeg(text, quality) for quality in qualities)) == 0


def test_noise_of_a_camera_is_no_change() -> None:
    random = np.random.default_rng(0)
    one, other = (
        np.clip(page("Some text") + random.normal(0, 6, (720, 1280, 3)), 0, 255).astype(np.uint8)
        for _ in range(2)
    )
    assert num_changed(one, other) == 0


def test_light_and_soft_shadows_are_no_change() -> None:
    text = page("Some text", paper=200)
    darker = (text * 0.9).astype(np.uint8)
    shadow = np.linspace(0, 40, 1280)[None, :, None]
    assert num_changed(text, darker) == 0
    assert num_changed(text, (text - np.minimum(text, shadow)).astype(np.uint8)) == 0


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (900, 2), (90, 160), (1080, 1920)])
def test_every_size_has_a_grid_of_whole_cells(shape: tuple[int, int]) -> None:
    detail = detail_map(np.zeros((*shape, 3), np.uint8))
    rows, columns = cell_shape(detail)
    assert columns == 40
    assert rows >= 1
    assert detail.shape == (rows * 16, 640)
    assert changed_cells(detail, detail).shape == (rows, columns)


def test_maps_of_other_sizes_have_changed_everywhere() -> None:
    wide, narrow = detail_map(page("a")), detail_map(page("a", shape=(720, 960)))
    assert changed_cells(wide, narrow).all()


def test_copied_cells_no_longer_differ_and_others_do() -> None:
    one, other = detail_map(page("Left and right")), detail_map(page("Some other words", 40))
    changed = changed_cells(one, other)
    some = changed.copy()
    some[:, 11:] = False
    target = other.copy()
    copy_cells(one, target, some)
    assert np.array_equal(changed_cells(one, target), changed & ~some)
