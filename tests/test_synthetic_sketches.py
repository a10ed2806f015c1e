"""Things are drawn as ever unless warped; sketches and warps look like things of their colour."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image, ImageDraw

from eval.synthetic import sketches
from eval.synthetic.lexicon import Color
from eval.synthetic.pens import BentPen, Pen, draw_bend, make_pen
from eval.synthetic.pictures import frames_of
from eval.synthetic.shapes import FAMILIES, thing
from eval.synthetic.sketch_sheet import draw_sheet
from eval.synthetic.sketches import NUM_CODED, num_forms, training_forms
from eval.synthetic.staging import Kind
from eval.synthetic.world import make_world

RED: Color = (214, 48, 40)
SKETCHES = [(f, form) for f in FAMILIES for form in range(NUM_CODED, num_forms(f))]
TRAINED = [(f, form) for f in FAMILIES for form in training_forms(f)]

# Of the code before there were warps and sketches: one hash per form, over two colours and sizes.
_UNWARPED = {
    "vessel": "3afcfd8b82c8 455a1266a52c 222b73731cc2 f991497637e3 886d901a42af",
    "dwelling": "77bf0167592b e9613f96f02f 3831863a68c4 1d809888a5e5 9697941c1454",
    "tree": "a10b49467f8a 063b37d348b8 23f88659252b 2887ce38a5ea f275ed0021af",
    "vehicle": "aeef44ef71af de0e0b75b4bd 47aee969898c a64f8c463a94 12c978709c90",
    "bird": "0c9b246a8c7c 0bc5c4e51ac4 2175717454ef 37e49af4f47e 4e191982d13c",
    "fish": "14041aa27314 80450281a03d b69a747b7abd 14fa0c75a97e 06325568821d",
    "flower": "b18e32133903 6e7ba3617330 da3749b1406c ccfe753d203e e82795c5a473",
    "cup": "0e963d1adcf6 98ef90157623 08c1dad14891 68ab602f422f 9f3632ea062a",
    "hat": "fb0397ef8fd2 a455e0820e48 4dd209d6f26e 49e41522bade f61eddd08b33",
    "ball": "e8c1e8054c8d b2a177195cff 9c9fb2aa87af 2acd03080cdf e27e26367a44",
    "ring": "9594f4143913 2c652653e250 8e3a0aac7d05 fbd8aa62f6e2 f0f07253f74a",
    "box": "6389a008e47e 470015923edc 8e68a184449a 594ae7f29a8c 18189a40c978",
    "lamp": "325578f0e30d 6f9e064436c5 2be8c2862079 60bad4db9aac 60bad4db9aac",
    "umbrella": "e79978e84d8c e79978e84d8c e79978e84d8c c1a2f0a86353 c1a2f0a86353",
    "book": "fca0076857d7 38cd0183f58d 0a7adbe07251 2b3beb244f4e e8fd36c32bbc",
    "chair": "c0445ba70fee e8375bd86ae7 96eadd8e824a f9d5587d948b 58d65dcc974d",
    "flag": "ce720074fb16 ce720074fb16 afbd5c711d3f 9935df2013dd 9935df2013dd",
    "bottle": "7827c86f8f62 7827c86f8f62 d9eec109fe29 42aa901679e1 42aa901679e1",
    "star": "8d14689ea88b 8d14689ea88b 8d14689ea88b 8d14689ea88b 8d14689ea88b",
    "arrow": "0fd5e8297603 0fd5e8297603 0fd5e8297603 0fd5e8297603 0fd5e8297603",
}


def pixels(family: str, form: int, warp: int = 0, side: int = 60) -> np.ndarray:
    """Of a red thing: int ``(side, side, 4)``."""
    return np.asarray(thing(family, form, RED, side, warp)).astype(int)


def on_grey(drawn: np.ndarray) -> np.ndarray:
    """The thing as it is seen: ``(side, side, 3)``."""
    opaque = drawn[..., 3:] / 255
    return drawn[..., :3] * opaque + 230 * (1 - opaque)


def own_share(drawn: np.ndarray) -> float:
    """How much of what is drawn is in the thing's colour or a shade of it."""
    pen = make_pen(ImageDraw.Draw(Image.new("RGB", (1, 1))), 1, RED, 0, may_mirror=True)
    is_own = np.zeros(drawn.shape[:2], dtype=bool)
    for shade in (pen.fill, pen.dim, pen.light):
        is_own |= np.abs(drawn[..., :3] - shade).max(-1) < 40
    is_drawn = drawn[..., 3] > 128
    return float((is_own & is_drawn).sum() / is_drawn.sum())


def bent(warp: int, *, may_mirror: bool) -> BentPen:
    pen = make_pen(ImageDraw.Draw(Image.new("RGB", (99, 99))), 1, RED, warp, may_mirror=may_mirror)
    assert isinstance(pen, BentPen)
    return pen


@pytest.mark.skipif(PIL.__version__ != "13.0.0", reason="the hashes are of Pillow 13.0.0")
@pytest.mark.parametrize("family", FAMILIES)
def test_unwarped_things_are_drawn_as_before_there_were_warps(family: str) -> None:
    for form, expected in enumerate(_UNWARPED[family].split()):
        digest = hashlib.sha256()
        for colour in ((200, 40, 40), (40, 44, 50)):
            for side in (28, 67):
                digest.update(thing(family, form, colour, side).tobytes())
        assert digest.hexdigest()[:12] == expected, form


@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_ten_different_sketches_of_a_family(family: str) -> None:
    drawn = {pixels(family, form).tobytes() for form in range(NUM_CODED, num_forms(family))}
    assert len(drawn) == num_forms(family) - NUM_CODED >= 10


@pytest.mark.parametrize("family", FAMILIES)
def test_no_held_out_form_is_trained_on(family: str) -> None:
    forms = training_forms(family)
    assert not {2, 3, 4} & set(forms)
    assert {0, 1} <= set(forms)
    assert len(forms) == num_forms(family) - 3
    assert max(forms) == num_forms(family) - 1


@pytest.mark.parametrize("family", FAMILIES)
def test_no_sketch_is_a_held_out_drawing(family: str) -> None:
    held_out = [on_grey(pixels(family, form, side=40)) for form in (2, 3, 4)]
    for form in range(NUM_CODED, num_forms(family)):
        drawn = on_grey(pixels(family, form, side=40))
        for other in (drawn, drawn[:, ::-1]):
            assert all(np.abs(other - held).mean() > 8 for held in held_out), form


@pytest.mark.parametrize(("family", "form"), SKETCHES)
def test_a_sketch_is_mostly_in_the_things_colour(family: str, form: int) -> None:
    drawn = pixels(family, form)
    assert own_share(drawn) > 0.45
    assert (drawn[..., 3] > 128).mean() > 0.12


@pytest.mark.parametrize(("family", "form"), SKETCHES)
def test_a_sketch_keeps_within_its_square(family: str, form: int) -> None:
    shown = pixels(family, form, side=100)[..., 3] > 128
    columns, rows = shown.any(axis=0).nonzero()[0], shown.any(axis=1).nonzero()[0]
    assert max(np.ptp(columns), np.ptp(rows)) > 55
    # What went over the edge would be cut off straight, along much of the edge.
    for edge in (shown[0], shown[-1], shown[:, 0], shown[:, -1]):
        assert edge.mean() < 0.25


@pytest.mark.parametrize(("family", "form"), TRAINED)
def test_warps_are_determined_by_their_seed_and_differ(family: str, form: int) -> None:
    first, second = pixels(family, form, 1), pixels(family, form, 2)
    thing.cache_clear()
    assert np.array_equal(pixels(family, form, 1), first)
    plain = pixels(family, form)
    for one, other in ((first, second), (first, plain), (second, plain)):
        assert np.abs(one - other).mean() > 3


@pytest.mark.parametrize("warp", range(1, 6))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_warped_thing_is_whole_and_within_its_square(family: str, warp: int) -> None:
    for form in training_forms(family):
        drawn = pixels(family, form, warp, side=80)
        shown = drawn[..., 3] > 128
        assert 0.05 < shown.mean() < 0.97, form
        assert not shown[[0, -1]].any(), form
        assert not shown[:, [0, -1]].any(), form


def is_mirrored(pen: BentPen) -> bool:
    (a, b), (c, d) = pen.bend.across, pen.bend.down
    return a * d - b * c < 0


def test_half_of_the_warps_mirror_but_none_of_an_arrow() -> None:
    mirrored = [is_mirrored(bent(warp, may_mirror=True)) for warp in range(1, 401)]
    assert 0.4 < np.mean(mirrored) < 0.6
    assert not any(is_mirrored(bent(warp, may_mirror=False)) for warp in range(1, 401))


def test_a_warped_arrow_points_to_the_right() -> None:
    for warp in range(1, 101):
        columns = (pixels("arrow", 0, warp)[..., 3] > 128).sum(axis=0)
        used = columns.nonzero()[0]
        middle = (used[0] + used[-1]) / 2
        # The head is where it is widest.
        assert columns.argmax() > middle, warp


def test_a_warp_stretches_and_turns_within_its_bounds() -> None:
    rng = random.Random(0)
    for _ in range(300):
        bend = draw_bend(rng, may_mirror=True)
        (a, b), (c, d) = bend.across, bend.down
        assert 0.74 < np.hypot(a, c) < 1.26
        assert abs(np.degrees(np.arctan(c / a))) < 8.01
        assert 0.56 < abs(a * d - b * c) < 1.57
        assert 0 <= bend.outline <= 1.6


def test_a_pen_without_a_warp_is_plain_and_a_dark_thing_has_pale_ink() -> None:
    draw = ImageDraw.Draw(Image.new("RGB", (9, 9)))
    plain = make_pen(draw, 1, (30, 30, 30), 0, may_mirror=True)
    assert type(plain) is Pen
    for warp in range(20):
        assert min(make_pen(draw, 1, (30, 30, 30), warp, may_mirror=True).ink) > 100
        assert max(make_pen(draw, 1, RED, warp, may_mirror=True).ink) < 100


def test_a_bent_ring_and_a_bent_frame_are_closed_and_hollow() -> None:
    for family in ("ring", "box"):
        for warp in range(1, 30):
            shown = pixels(family, 0, warp, side=64)[..., 3] > 128
            ground = Image.fromarray(np.pad(~shown, 1, constant_values=True).astype(np.uint8))
            ImageDraw.floodfill(ground, (0, 0), 2)
            assert (np.asarray(ground) == 1).sum() > 100, (family, warp)


def test_a_warp_of_a_kind_is_seen_in_its_pictures() -> None:
    clip = next(iter(make_world(1, hours=0.05).clips))
    warped = replace(clip, staging=replace(clip.staging, kind=replace(clip.staging.kind, warp=7)))
    size = (160, 90)
    assert Kind("ball", "ball", "balls", 0).warp == 0
    assert np.array_equal(frames_of(clip, 2, size), frames_of(clip, 2, size))
    assert not np.array_equal(frames_of(clip, 2, size), frames_of(warped, 2, size))


@pytest.mark.parametrize(
    "line", ["wiggle fill 1 2 3 4", "ellipse fill 1 2 3", "polygon fill 1 2 3"]
)
def test_a_part_that_is_no_part_is_refused(line: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        sketches._parsed(line)


def test_a_rounded_part_goes_through_its_points() -> None:
    points = [(10.0, 10.0), (90.0, 20.0), (80.0, 90.0), (20.0, 70.0)]
    part = sketches._parsed("blob fill 10 10 90 20 80 90 20 70")
    assert set(points) <= set(part.points)
    curve = sketches._parsed("curve ink 4 10 10 90 20 80 90 20 70")
    assert set(points) <= set(curve.points)
    assert curve.points[0] == points[0]
    assert curve.points[-1] == points[-1]
    assert curve.width == 4


def test_every_family_has_sketches_in_the_file_and_no_other() -> None:
    assert set(sketches._sketches()) == set(FAMILIES)


def test_the_sheet_shows_a_row_of_drawings_per_family(tmp_path: Path) -> None:
    sheet = draw_sheet(("star", "arrow"), 20)
    columns = max(len(training_forms("star")), len(training_forms("arrow")))
    assert sheet.size == (columns * 24, 48)
    assert sheet.tobytes() != draw_sheet(("star", "arrow"), 20, warps=5).tobytes()
