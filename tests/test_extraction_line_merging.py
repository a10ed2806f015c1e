"""Which readings are one line, and joining lines over time and over the borders of parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.extraction.line_merging import (
    covers,
    grows_from,
    join_gaps,
    merge_lines,
    merged,
    same_place,
    same_text,
)
from clamr_rag.types import OcrLine

BOX = (0.1, 0.1, 0.5, 0.15)


def line(
    text: str,
    first: float,
    last: float,
    box: tuple[float, float, float, float] = BOX,
    confidence: float = 0.9,
) -> OcrLine:
    return OcrLine(text, first, last, box, confidence)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Quarterly results", "Quarterly results"),
        ("Quarterly results", "quarterly  results."),
        ("Quarterly results", "Quarteriy results"),
        ("on boarding", "onboarding"),
        ("Revenue: 4.2", "Revenue; 4,2"),
        ("数据 结果", "数据结果"),
        ("***", "***"),
    ],
)
def test_the_same_text_with_slips(one: str, other: str) -> None:
    assert same_text(one, other)
    assert same_text(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Score: 3", "Score: 4"),
        ("Revenue 4.2 million", "Revenue 4.3 million"),
        ("Option A is best", "Option B is best"),
        ("The cat", "The car"),
        ("Monday", "Sunday"),
        ("increase", "decrease"),
        ("Part one", "Part two"),
        ("***", "---"),
        ("one two three", "one three"),
    ],
)
def test_other_texts(one: str, other: str) -> None:
    assert not same_text(one, other)
    assert not same_text(other, one)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (BOX, True),
        ((0.11, 0.11, 0.52, 0.16), True),
        ((0.1, 0.1, 0.9, 0.15), True),
        ((0.1, 0.2, 0.5, 0.25), False),
        ((0.55, 0.1, 0.9, 0.15), False),
    ],
)
def test_the_same_place(other: tuple[float, float, float, float], same: bool) -> None:
    assert same_place(BOX, other) is same
    assert same_place(other, BOX) is same


def test_a_box_covers_most_of_a_smaller_one_but_not_the_other_way() -> None:
    assert covers(BOX, (0.2, 0.11, 0.3, 0.14))
    assert not covers((0.2, 0.11, 0.3, 0.14), BOX)
    assert not covers(BOX, (0.6, 0.6, 0.7, 0.7))


@pytest.mark.parametrize(
    ("short", "long", "grows"),
    [
        ("def load", "def load(path):", True),
        ("Results of the", "Results of the quarter", True),
        ("Count: 1", "Count: 12", False),
        ("Count", "Count: 12", True),
        ("Results", "Results", False),
        ("load(path", "load(path):", True),
        ("Results", "Outlook and results", False),
        ("...", "anything", False),
    ],
)
def test_a_line_that_is_typed_on(short: str, long: str, grows: bool) -> None:
    assert grows_from(line(short, 0, 1), line(long, 2, 3)) is grows


def test_a_line_elsewhere_has_not_grown() -> None:
    elsewhere = line("def load(path):", 2, 3, box=(0.1, 0.5, 0.5, 0.55))
    assert not grows_from(line("def load", 0, 1), elsewhere)


def test_merging_keeps_the_surer_text_and_both_times() -> None:
    one = line("Quarteriy results", 0, 5, confidence=0.7)
    other = line("Quarterly results", 6, 9, box=(0.1, 0.1, 0.51, 0.15), confidence=0.95)
    assert merged(one, other) == replace(other, first_seconds=0)
    assert merged(other, one) == replace(other, first_seconds=0)


def test_merging_keeps_the_longer_of_two_that_grow_however_sure() -> None:
    cut = line("from here to the", 0, 5, confidence=0.99)
    whole = line("from here to there", 6, 9, confidence=0.9)
    assert merged(cut, whole).text == "from here to there"
    assert merged(whole, cut).text == "from here to there"


def test_a_line_over_a_border_becomes_one() -> None:
    parts = (
        (line("Title", 290, 299.5), line("Other", 200, 250)),
        (line("Title", 300.5, 320), line("Later", 310, 315)),
    )
    assert merge_lines(parts) == (
        line("Other", 200, 250),
        line("Title", 290, 320),
        line("Later", 310, 315),
    )


def test_a_line_over_many_borders_becomes_one() -> None:
    parts = [(line("Footer", n * 300.0, n * 300.0 + 299),) for n in range(12)]
    assert merge_lines(parts) == (line("Footer", 0, 3599),)


def test_a_line_that_comes_back_later_stays_two() -> None:
    parts = ((line("Title", 0, 100),), (line("Title", 310, 320),))
    assert merge_lines(parts) == (*parts[0], *parts[1])


def test_the_longest_gap_follows_the_sampling() -> None:
    parts = ((line("Title", 0, 290),), (line("Title", 300, 320),))
    assert len(merge_lines(parts)) == 2
    assert merge_lines(parts, gap_seconds=25.0) == (line("Title", 0, 320),)


def test_two_equal_lines_on_one_screen_stay_two() -> None:
    lines = (line("yes", 0, 9), line("yes", 0, 9, box=(0.1, 0.5, 0.5, 0.55)))
    assert join_gaps(lines) == lines


def test_no_parts_have_no_lines() -> None:
    assert merge_lines(()) == ()
    assert merge_lines(((), ())) == ()


lines_strategy = st.lists(
    st.builds(
        lambda text, first, length, row: line(
            text, first, first + length, box=(0.1, row / 10, 0.5, row / 10 + 0.05)
        ),
        st.sampled_from(["Title", "Score: 1", "Score: 2", "Footer text", "x"]),
        st.integers(0, 60).map(float),
        st.integers(0, 30).map(float),
        st.integers(0, 8),
    ),
    max_size=15,
).map(tuple)


@settings(max_examples=100, deadline=None)
@given(lines_strategy)
def test_joining_twice_changes_nothing_more_and_loses_no_shown_second(
    lines: tuple[OcrLine, ...],
) -> None:
    joined = join_gaps(lines)
    assert join_gaps(joined) == joined
    for before in lines:
        assert any(
            after.text == before.text
            and after.first_seconds <= before.first_seconds
            and before.last_seconds <= after.last_seconds
            for after in joined
        )
    assert [one.first_seconds for one in joined] == sorted(one.first_seconds for one in joined)
