"""Laws of the small parts: the sound's time line, the picture's geometry, chapters in order."""

from __future__ import annotations

import math
from array import array
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.media.child.container import decoder_threads
from clamr_rag.media.child.geometry import Geometry, checked_size
from clamr_rag.media.child.limits import RefusedError
from clamr_rag.media.child.sound import Timeline
from clamr_rag.media.probing import chapters_in_order

JITTER = 800


def drained(timeline: Timeline, window: int) -> array[float]:
    """Takes all samples window by window; checks that each starts where the last stopped."""
    samples, expected = array("f"), None
    while timeline.num_ready:
        first, part = timeline.take(min(window, timeline.num_ready))
        assert expected is None or first == expected
        expected = first + len(part)
        samples.extend(part)
    return samples


@settings(max_examples=200, deadline=None)
@given(
    blocks=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 3000)), min_size=1, max_size=8),
    start=st.integers(0, 8000),
    window=st.integers(1, 4000),
)
def test_a_block_stands_where_its_stamp_says(
    blocks: list[tuple[int, int]], start: int, window: int
) -> None:
    timeline = Timeline(start)
    truth: dict[int, float] = {}
    end, begun = start, False
    place = 0
    for number, (pause, length) in enumerate(blocks):
        place += pause
        timeline.place(place, array("f", [number + 1.0] * length))
        # A stamp that strays less than the jitter is no gap, once sound has begun.
        at = end if begun and abs(place - end) <= JITTER else place
        for sample in range(max(at, end), at + length):
            truth[sample] = number + 1.0
        begun = begun or at + length > end
        end = max(end, at + length) if at + length > end else max(end, at)
        place += length
    samples = drained(timeline, window)
    assert list(samples) == [truth.get(n, 0.0) for n in range(start, start + len(samples))]


@given(st.lists(st.integers(0, 2000), max_size=8), st.integers(1, 999))
def test_blocks_without_stamps_follow_each_other(lengths: list[int], window: int) -> None:
    timeline = Timeline(0)
    for number, length in enumerate(lengths):
        timeline.place(None, array("f", [number + 1.0] * length))
    expected = [n + 1.0 for n, length in enumerate(lengths) for _ in range(length)]
    assert list(drained(timeline, window)) == expected


sides = st.integers(1, 20_000)


@given(sides, sides, st.floats(1 / 8, 8), st.one_of(st.none(), st.integers(1, 5000)))
def test_a_picture_keeps_its_shape(
    width: int, height: int, aspect: float, max_side: int | None
) -> None:
    wide, high = Geometry((width, height), aspect, 0).scaled_size(max_side)
    assert wide >= 1
    assert high >= 1
    if max_side is not None:
        assert max(wide, high) <= max_side
    shown = width * aspect / height
    # Rounding to whole pixels is all that may change the shape, and no side is less than one.
    assert shown <= (wide + 1) / max(high - 1, 1e-9)
    assert shown >= (wide - 1) / (high + 1)


@given(sides, sides)
def test_square_pixels_without_a_limit_change_nothing(width: int, height: int) -> None:
    assert Geometry((width, height), 1.0, 0).scaled_size(None) == (width, height)


@pytest.mark.parametrize(
    ("rotation", "degrees"),
    [(0, 0), (90, 270), (-90, 90), (180, 180), (-180, 180), (1, 0), (-89, 90)],
)
def test_the_display_matrix_turns_against_the_clock(rotation: int, degrees: int) -> None:
    stream = SimpleNamespace(sample_aspect_ratio=None, width=4, height=2)
    frame = SimpleNamespace(rotation=rotation, width=4, height=2)
    geometry = Geometry.of(stream, frame)  # type: ignore[arg-type]
    assert geometry.clockwise_degrees == degrees
    assert geometry.upright_size == ((2, 4) if degrees in (90, 270) else (4, 2))


@pytest.mark.parametrize("aspect", [0.01, 100.0, 0.0])
def test_an_absurd_pixel_shape_is_not_believed(aspect: float) -> None:
    stream = SimpleNamespace(sample_aspect_ratio=aspect, width=4, height=2)
    assert Geometry.of(stream, None).upright_size == (4, 2)  # type: ignore[arg-type]


@given(st.integers(0, 50_000), st.integers(0, 50_000), st.integers(1, 10**9))
def test_sizes_are_refused_beyond_the_limit_only(width: int, height: int, limit: int) -> None:
    if 0 < width * height <= limit:
        checked_size(width, height, limit)
        return
    with pytest.raises(RefusedError) as caught:
        checked_size(width, height, limit)
    assert caught.value.limit
    assert str(limit) in caught.value.allowed


@given(st.integers(0, 10**9))
def test_large_pictures_get_few_threads(pixels: int) -> None:
    assert 1 <= decoder_threads(pixels) <= 8
    assert decoder_threads(pixels) * pixels <= 33_554_432 or decoder_threads(pixels) == 1


parts = st.lists(
    st.tuples(
        st.sampled_from(["Intro", " Churn ", "", " "]),
        st.floats(-50, 200),
        st.one_of(st.none(), st.floats(-50, 300)),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(parts, st.one_of(st.none(), st.floats(0, 150)))
def test_chapters_are_in_order_named_and_inside(
    given_parts: list[tuple[str, float, float | None]], duration: float | None
) -> None:
    chapters = chapters_in_order(given_parts, duration)
    starts = [chapter.span.start_seconds for chapter in chapters]
    assert starts == sorted(starts)
    assert all(chapter.title == chapter.title.strip() != "" for chapter in chapters)
    assert all(
        c.span.stop_seconds <= (math.inf if duration is None else duration) for c in chapters
    )
    named = [part for part in given_parts if part[0].strip()]
    inside = [part for part in named if duration is None or max(0.0, part[1]) <= duration]
    assert len(chapters) == len(inside)


def test_an_open_chapter_ends_where_the_next_starts() -> None:
    chapters = chapters_in_order([("B", 10.0, None), ("A", 0.0, None), ("C", 20.0, 25.0)], 60.0)
    assert [(c.title, c.span.stop_seconds) for c in chapters] == [("A", 10), ("B", 20), ("C", 25)]
    assert chapters_in_order([("A", 5.0, None)], 60.0)[0].span.stop_seconds == 60.0
