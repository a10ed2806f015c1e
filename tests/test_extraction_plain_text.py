"""Readable text out of names, descriptions and dates by strangers."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.extraction.plain_text import (
    clean,
    day_of,
    readable_stem,
    sentences,
    timed_titles,
)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  two \t words\n", "two words"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("bell\x07 and \x1b[31mred", "bell and [31mred"),
        ("line\u2028separator", "line separator"),
        ("e\u0301", "é"),
        ("數據 🙂", "數據 🙂"),
        ("", ""),
    ],
)
def test_clean(text: str, plain: str) -> None:
    assert clean(text) == plain


def test_long_lines_are_cut_at_a_word() -> None:
    assert clean("word " * 20, 20) == "word word word…"
    assert clean("x" * 50, 20) == "x" * 19 + "…"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_clean_gives_one_short_line_without_control_characters(text: str) -> None:
    plain = clean(text)
    assert len(plain) <= 300
    assert plain.splitlines() in ([], [plain])
    assert not {unicodedata.category(c) for c in plain} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert clean(plain) == plain


def test_sentences_follow_lines_and_full_stops() -> None:
    text = (
        "We measure 4.2 s. Then what?\nSecond line\n\nhttps://example.org/x\n---\nSee www.a.b here"
    )
    assert sentences(text) == [
        "We measure 4.2 s.",
        "Then what?",
        "Second line",
        "See www.a.b here",
    ]


@pytest.mark.parametrize(
    ("line", "seconds", "title"),
    [
        ("12:31 Results", 751.0, "Results"),
        ("[00:05:00] - Q&A", 300.0, "Q&A"),
        ("(1:02:03) The end", 3723.0, "The end"),
        ("0:00 Intro", 0.0, "Intro"),
        ("• 3:07 – Setup: part 1", 187.0, "Setup: part 1"),
        ("01:00 | Agenda", 60.0, "Agenda"),
        ("2:00 - 3:30 Method", 120.0, "Method"),
        ("Conclusion - 59:59", 3599.0, "Conclusion"),
        ("Thanks (1:00:00)", 3600.0, "Thanks"),
        ("90:00 Long minutes", 5400.0, "Long minutes"),
        ("5:00 2024 in numbers", 300.0, "2024 in numbers"),
        ("12:31结果", 751.0, "结果"),
    ],
)
def test_lines_with_a_time_are_chapters(line: str, seconds: float, title: str) -> None:
    assert timed_titles(line) == ([(seconds, title)], "")


@pytest.mark.parametrize(
    "line",
    [
        "The score was 3:2 after extra time",
        "12:31",
        "1:99 Not a time",
        "Recorded 2024-01-31T10:15:00Z at noon",
        "Ratio 16:9 is used throughout the talk",
        "00:00:00:00 frame code",
        "",
    ],
)
def test_other_lines_stay(line: str) -> None:
    assert timed_titles(line) == ([], line)


def test_times_are_sorted_and_the_rest_keeps_its_lines() -> None:
    text = "About this talk\n10:00 Later\n0:00 First\n\nSubscribe"
    assert timed_titles(text) == (
        [(0.0, "First"), (600.0, "Later")],
        "About this talk\n\nSubscribe",
    )


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20240131", "2024-01-31"),
        ("2024-01-31T10:00:00.000000Z", "2024-01-31"),
        ("2024-01", "2024-01"),
        ("2024", "2024"),
        ("1970-01-01T00:00:00Z", None),
        ("19040101", None),
        ("last spring", "last spring"),
        ("", None),
        (None, None),
    ],
)
def test_days(text: str | None, day: str | None) -> None:
    assert day_of(text) == day


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        ("quarterly_review-2024", "quarterly review-2024"),
        ("The.Long.Talk.1080p.WEB-DL.x264", "The Long Talk"),
        ("A talk [dQw4w9WgXcQ]", "A talk"),
        ("talk (2024)", "talk (2024)"),
        ("1080p", "1080p"),
        ("Vorlesung_03_Übersicht", "Vorlesung 03 Übersicht"),
        ("...", "..."),
    ],
)
def test_file_names_become_words(stem: str, words: str) -> None:
    assert readable_stem(stem) == words


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_nothing_a_stranger_writes_breaks_it(text: str) -> None:
    timed, rest = timed_titles(text)
    assert all(seconds >= 0 and title for seconds, title in timed)
    assert all(sentence == clean(sentence) for sentence in sentences(rest))
    readable_stem(text)
    day_of(text)
