"""Words to cues: sentences, pauses, long sentences, loops."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.extraction.phrases import cut_into_cues, without_loops
from clamr_rag.types import Word


def spoken(text: str, start: float = 0.0, seconds_per_word: float = 0.5) -> list[Word]:
    """Words one after another, each with the space before it, as Whisper gives them."""
    return [
        Word(start + n * seconds_per_word, start + (n + 1) * seconds_per_word, f" {word}")
        for n, word in enumerate(text.split())
    ]


def texts(words: list[Word]) -> list[str]:
    return [cue.text for cue in cut_into_cues(words)]


def test_every_sentence_is_a_cue_with_its_own_times() -> None:
    one, two = cut_into_cues(spoken("Revenue grew. Why did it? "))
    assert (one.text, one.start_seconds, one.stop_seconds) == ("Revenue grew.", 0.0, 1.0)
    assert (two.text, two.start_seconds, two.stop_seconds) == ("Why did it?", 1.0, 2.5)
    assert [word.text for word in two.words] == ["Why", "did", "it?"]


def test_quotes_and_other_scripts_end_sentences() -> None:
    assert texts(spoken('He said "no." Then 是的。 And on')) == [
        'He said "no."',
        "Then 是的。",
        "And on",
    ]


def test_numbers_do_not_end_sentences() -> None:
    assert texts(spoken("It grew by 4.2 percent in v1.5 today")) == [
        "It grew by 4.2 percent in v1.5 today"
    ]


def test_a_pause_begins_a_new_cue() -> None:
    words = spoken("so what now", 0.0) + spoken("well then", 4.0)
    assert texts(words) == ["so what now", "well then"]


def test_a_long_sentence_is_cut_after_a_comma() -> None:
    words = spoken("one two three, four five six seven eight nine, ten eleven", 0.0, 1.0)
    assert texts(words) == ["one two three, four five six seven eight nine,", "ten eleven"]


def test_a_long_sentence_without_a_comma_is_cut_anyway() -> None:
    cues = cut_into_cues(spoken("word " * 55))
    assert [len(cue.words) for cue in cues] == [20, 20, 15]


def test_languages_without_spaces_get_none() -> None:
    words = [Word(0.0, 1.0, "数据"), Word(1.0, 2.0, "结果"), Word(2.0, 3.0, "。")]
    assert texts(words) == ["数据结果。"]


def test_noise_is_no_speech() -> None:
    assert texts([Word(0, 1, " ♪"), Word(3, 4, "..."), Word(6, 7, "\ufffd")]) == []


def test_no_words_have_no_cues() -> None:
    assert cut_into_cues([]) == ()


def test_loops_are_cut_to_one() -> None:
    def left(text: str) -> str:
        return "".join(word.text for word in without_loops(spoken(text))).strip()

    assert left("so the the the the end") == "so the end"
    assert left("Thank you. Thank you. thank you! Thank you. Bye.") == "Thank you. Bye."
    assert left("we go on and we go on and we go on and stop") == "we go on and stop"


def test_what_people_say_twice_stays() -> None:
    words = spoken("no, no, it is very very good")
    assert without_loops(words) == tuple(words)


def test_a_loop_keeps_the_time_of_its_first_turn() -> None:
    kept = without_loops(spoken("a b c a b c a b c d"))
    assert [(word.text, word.start_seconds) for word in kept] == [
        (" a", 0.0),
        (" b", 0.5),
        (" c", 1.0),
        (" d", 4.5),
    ]


words_strategy = st.lists(
    st.tuples(
        st.sampled_from([" yes", " no.", " so,", " 42", "好", " why?"]),
        st.integers(0, 24).map(lambda eighths: eighths / 8),
        st.integers(0, 16).map(lambda eighths: eighths / 8),
    ),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(words_strategy)
def test_cues_hold_every_word_in_order_and_are_short(parts: list[tuple[str, float, float]]) -> None:
    words, now = [], 0.0
    for text, pause, length in parts:
        words.append(Word(now + pause, now + pause + length, text))
        now += pause + length
    cues = cut_into_cues(words)
    assert [word.text for cue in cues for word in cue.words] == [
        word.text.strip() for word in words
    ]
    assert all(one.stop_seconds <= two.start_seconds for one, two in pairwise(cues))
    assert all(cue.stop_seconds - cue.start_seconds <= 10.0 for cue in cues)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_removing_loops_only_removes_and_ends(letters: list[str]) -> None:
    words = spoken(" ".join(letters))
    kept = without_loops(words)
    remaining = iter(words)
    assert all(word in remaining for word in kept), "a subsequence"
    assert set(kept) <= set(words)
    assert {word.text for word in kept} == {word.text for word in words}
