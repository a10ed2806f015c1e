"""Citation marks in a reply, wherever it is cut into pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.answering.marks import CitationMarks

PIECES = st.lists(
    st.sampled_from(
        ["[", "]", "【", "】", "(", ")", "1", "2", "9", "12", ",", ";", "-", " ", "  ", "\n",
         "clip ", "clips ", "Clip 2", "c", " and ", "and", "word", ".",
         "[3]", "[1, 2]", "[9]", "!", "a[0]", "0", "［2］"]
    ),
    max_size=40,
)  # fmt: skip


def rewritten(*pieces: str, num_clips: int = 4) -> tuple[str, list[int], int]:
    marks = CitationMarks(num_clips)
    shown = "".join([*map(marks.feed, pieces), marks.finish()])
    return shown, marks.cited, marks.num_invented


@pytest.mark.parametrize(
    ("reply", "shown", "cited"),
    [
        ("It fell [3].", "It fell [1].", [3]),
        ("A [3]. B [1]. C [3].", "A [1]. B [2]. C [1].", [3, 1]),
        ("It fell [1, 2].", "It fell [1][2].", [1, 2]),
        ("It fell [2,1].", "It fell [1][2].", [2, 1]),
        ("It fell [2; 4].", "It fell [1][2].", [2, 4]),
        ("It fell [2 and 4].", "It fell [1][2].", [2, 4]),
        ("It fell [2, 3, and 4].", "It fell [1][2][3].", [2, 3, 4]),
        ("It fell [clip 3].", "It fell [1].", [3]),
        ("It fell [Clip 3, Clip 4].", "It fell [1][2].", [3, 4]),
        ("It fell [clips 3 & 4].", "It fell [1][2].", [3, 4]),
        ("It fell [#3].", "It fell [1].", [3]),
        ("It fell [2-4].", "It fell [1][2][3].", [2, 3, 4]),
        ("It fell [2–3].", "It fell [1][2].", [2, 3]),
        ("营收增长【4】。", "营收增长[1]。", [4]),
        ("It fell［２］.", "It fell[1].", [2]),
        ("It fell [1][3].", "It fell [1][2].", [1, 3]),
        ("It fell [1, 1].", "It fell [1].", [1]),
        ("It fell [ 2 ].", "It fell [1].", [2]),
        ("It fell [02].", "It fell [1].", [2]),
        ("[[3]]", "[[1]]", [3]),
    ],
)  # fmt: skip
def test_the_forms_of_a_citation(reply: str, shown: str, cited: list[int]) -> None:
    assert rewritten(reply) == (shown, cited, 0)


@pytest.mark.parametrize(
    ("reply", "shown", "cited"),
    [
        # A reader who is shown [1] would take the model's clip 1 for it.
        ("It fell [3], as clip 1 shows.", "It fell [1], as clip [2] shows.", [3, 1]),
        ("Clip 4: it fell.", "Clip [1]: it fell.", [4]),
        ("(see clip #2)", "(see clip [1])", [2]),
        ("Clips 2, 3 and 4 agree.", "Clips [1][2][3] agree.", [2, 3, 4]),
        ("In clips 2–3.", "In clips [1][2].", [2, 3]),
        ("It fell [clip 3 at 00:10].", "It fell [clip [1] at 00:10].", [3]),
        ("In clip 2 and 3 more", "In clip [1] and 3 more", [2]),
        ("clip 3(x)", "clip [1] (x)", [3]),
    ],
)
def test_clips_named_in_a_sentence_get_the_readers_numbers(
    reply: str, shown: str, cited: list[int]
) -> None:
    assert rewritten(reply) == rewritten(*reply) == (shown, cited, 0)


@pytest.mark.parametrize(
    "reply",
    ["clip 9 of the series", "clips 2 and 9", "clip 0", "a paperclip 2", "clip 2.5", "clip 3% off",
     "clip 2nd", "clip 2:30", "video-clip 2", "clip two"],
)  # fmt: skip
def test_other_words_about_clips_stay(reply: str) -> None:
    assert rewritten(reply) == rewritten(*reply) == (reply, [], 0)


@pytest.mark.parametrize(
    "reply",
    [
        "no marks at all", "[", "]", "[]", "[ ]", "[1", "1]", "[a]", "[sic]", "[?]", "[1.5]",
        "[1:30]", "[3-1]", "[-1]", "[1a]", "[clip]", "[clips]", "[and]", "[1\n]", "(1)", "{1}",
        "[12345]",
        "[1 2]", "[see 3]", "[the slide](http://x)", "[" + "1, " * 400 + "1]", "[" * 1000,
        "]" * 1000,
        "[" + "x" * 1000 + "]", " " * 1000 + "x",
    ],
)  # fmt: skip
def test_what_is_no_citation_stays_as_it_is(reply: str) -> None:
    assert rewritten(reply) == (reply, [], 0)


@pytest.mark.parametrize(
    ("reply", "shown", "cited", "num_invented"),
    [
        ("It fell [9].", "It fell.", [], 1),
        ("It fell [9] twice.", "It fell twice.", [], 1),
        ("It fell [0].", "It fell.", [], 1),
        ("It fell [9][1].", "It fell [1].", [1], 1),
        ("It fell [9, 2, 10].", "It fell [1].", [2], 2),
        ("It fell [3-9].", "It fell [1][2].", [3, 4], 1),
        ("It fell [5-9999].", "It fell.", [], 1),
        ("values[0] is first", "values is first", [], 1),
    ],
)
def test_clips_that_were_not_given_are_dropped_and_counted(
    reply: str, shown: str, cited: list[int], num_invented: int
) -> None:
    assert rewritten(reply) == (shown, cited, num_invented)


@pytest.mark.parametrize(
    "reply", ["[[9]1]", "[1[9]]", "[1 [9]]", "[[9][9]1]", "[1【9】2]", "[【9】1【9】]"]
)
def test_dropping_a_mark_makes_no_mark_of_what_surrounds_it(reply: str) -> None:
    shown, cited, _ = rewritten(reply)
    assert not re.search(r"\[\d+\]", shown)
    assert cited == []


@pytest.mark.parametrize("reply", ["【1】(http://x)", "[a]【9】(http://x)", "!【1】(http://x)"])
def test_a_mark_makes_no_link_of_what_follows(reply: str) -> None:
    for pieces in ([reply], list(reply)):
        assert "](" not in rewritten(*pieces)[0]


def test_text_is_shown_as_soon_as_it_can_be_no_mark() -> None:
    marks = CitationMarks(4)
    assert marks.feed("Churn fell [") == "Churn fell"
    assert marks.feed("2") == ""
    assert marks.feed("] and") == " [1] and"
    assert marks.feed(" [x") == " [x", "no mark begins so"
    assert marks.feed("[" + "1" * 200) != "", "nothing is held back for ever"


@settings(max_examples=300, deadline=None)
@given(PIECES)
def test_how_a_reply_is_cut_makes_no_difference(pieces: list[str]) -> None:
    whole = "".join(pieces)
    assert rewritten(*pieces) == rewritten(whole) == rewritten(*whole)


@settings(max_examples=300, deadline=None)
@given(PIECES, st.integers(1, 12))
def test_every_mark_shown_is_of_a_clip_that_was_given(pieces: list[str], num_clips: int) -> None:
    shown, cited, _ = rewritten(*pieces, num_clips=num_clips)
    marks = {int(number) for number in re.findall(r"\[(\d{1,4})\]", shown)}
    assert marks == set(range(1, len(cited) + 1))
    assert all(1 <= number <= num_clips for number in cited)
    assert len(set(cited)) == len(cited)
