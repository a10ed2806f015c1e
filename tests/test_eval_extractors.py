"""Every rule against the trap table of eval-protocols 5.0.3, cell by cell, and its quirks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.extractors import RULES, extract, find_rule
from eval.extractors.cgbench import clue_intervals, names_gold

A_TO_D, A_TO_N = "ABCD", "ABCDEFGHIJKLMN"
TWELVE_WORDS = "the person walks over the bridge and then looks at the river"
DROPPED = "dropped"
GUESSED = "guessed"

COLUMNS = (
    ("mcq-lmms-eval@75571cf", A_TO_D),
    ("mcq-lmms-eval@75571cf", A_TO_N),
    ("videomme-vlmevalkit@e8e78f0", A_TO_D),
    ("videomme-v2-official", A_TO_D),
    ("longvideobench-lmms-eval@75571cf", A_TO_D),
    ("egoschema-lmms-eval@75571cf", A_TO_D),
    ("videommmu-vlmevalkit@e8e78f0", A_TO_D),
    ("can-infer-vlmevalkit@e8e78f0", A_TO_D),
)
R, X = GUESSED, None
TRAPS: dict[str, tuple[str | None, ...]] = {
    # reply: E2 A-D, E2 A-N, E1 VLMEvalKit, E1 v2, E1 LVB, E3, E4, E5
    "C": ("C", "C", "C", "C", "C", "C", "C", "C"),
    "(C)": ("C", "C", "C", "C", "C", "C", "C", "C"),
    "C.": ("C", "C", "C", "C", "C", "C", "C", "C"),
    "c": (X, X, X, X, R, R, X, X),
    "C) The cat": ("C", "C", "C", "C", "C", R, X, "C"),
    "Answer: C": ("C", "C", "C", "C", "A", "C", "C", "C"),
    "Final Answer: C": ("C", "C", "C", "C", "A", "C", "C", "C"),
    "Best answer: C": ("C", "C", "B", "C", "C", "C", "C", "C"),
    "Best option: (C)": ("C", "C", "B", "C", "C", "C", "C", "C"),
    "Based on the video, the answer is C.": ("C", "C", "B", "B", "B", "C", "C", "C"),
    "A man is shown, so the answer is C.": ("A", "A", "A", "A", "A", "A", "C", "C"),
    "I choose C": ("C", "I", "C", "C", "C", "C", "C", "C"),
    "I think it is C.": ("C", "I", "C", "C", "C", "C", "C", "C"),
    "The answer is C because A and B are wrong": ("B", "B", "C", "C", "C", "C", "B", "C"),
    "The answer is B. Option C is not shown and D is never seen.": (
        *("D", "D", "B", "B", "B", "B", "B", "B"),
    ),
    "A and B are wrong; C is right.": ("A", "A", "A", "A", "A", "A", "C", X),
    "**C**": ("C", "C", "C", "C", "C", R, X, "C"),
    "<answer>C</answer>": ("C", "C", "C", "C", "C", R, X, X),
    "Cannot be determined": ("C", "C", "C", "C", "C", R, X, X),
    "I cannot determine the answer from the frames": (X, "I", X, X, R, R, X, X),
    TWELVE_WORDS: (X, X, X, X, R, R, X, X),
    "": (X, X, X, X, R, R, DROPPED, X),
    "D. A book": ("D", "D", "D", "D", "D", "D", "D", X),
}
CELLS = [
    pytest.param(reply, name, letters, cell, id=f"{name}-{len(letters)}-{reply[:40] or 'empty'}")
    for reply, cells in TRAPS.items()
    for (name, letters), cell in zip(COLUMNS, cells, strict=True)
]


def test_the_table_is_whole() -> None:
    assert len(CELLS) == 23 * 8


@pytest.mark.parametrize(("reply", "name", "letters", "cell"), CELLS)
def test_trap(reply: str, name: str, letters: str, cell: str | None) -> None:
    picked = extract(name, reply, letters)
    rule = find_rule(name)
    if cell == GUESSED:
        assert picked is None
        assert rule.guesses
    elif cell == DROPPED:
        assert picked is None
        assert rule.drops(reply, picked)
    else:
        assert picked == cell
        assert picked is not None or not rule.guesses


STRICT = {
    **dict.fromkeys(("C", "(C)", "C.", "**C**", "<answer>C</answer>", r"\boxed{C}"), "C"),
    **dict.fromkeys(("Answer: C", "Final Answer: C", "Best answer: C", "Best option: (C)"), "C"),
    "c": "C",
    "The answer is C because A and B are wrong": "C",
    "The answer is B. Option C is not shown and D is never seen.": "B",
    **dict.fromkeys(("C) The cat", "D. A book", "I choose C", "I think it is C."), None),
    **dict.fromkeys(("Cannot be determined", TWELVE_WORDS, ""), None),
    "Based on the video, the answer is C.": None,
    "A man is shown, so the answer is C.": None,
    "A and B are wrong; C is right.": None,
    "I cannot determine the answer from the frames": None,
    "Answer: A\nAnswer: B": None,
}


@pytest.mark.parametrize(("reply", "letter"), STRICT.items(), ids=repr)
@pytest.mark.parametrize("letters", [A_TO_D, A_TO_N])
def test_the_strict_rule_reads_only_what_is_said_plainly(
    reply: str, letter: str | None, letters: str
) -> None:
    assert extract("strict", reply, letters) == letter


def test_strict_reads_the_same_of_every_trap() -> None:
    assert set(TRAPS) - set(STRICT) == set()


def test_strict_knows_the_texts_of_the_options() -> None:
    choices = ["A cup", "A pen", "A bag", "A book"]
    assert extract("strict", "D. A book", A_TO_D, choices) == "D"
    assert extract("strict", "D. A cup", A_TO_D, choices) is None


def test_the_official_list_of_videomme_has_no_answer_label() -> None:
    assert extract("videomme-official", "Answer: C") == "A"
    assert extract("videomme-vlmevalkit@e8e78f0", "Answer: C") == "C"
    for reply in ("Best answer: C", "Best option: (C)"):
        assert extract("videomme-official", reply) == "B"
    assert extract("videomme-official", "The best answer is D") == "D"


def test_lead_in_phrases_are_case_sensitive() -> None:
    assert extract("videomme-v2-official", "Best answer: C") == "C"
    assert extract("videomme-v2-official", "BEST answer: C") == "B"


def test_first_capital_rules_keep_the_letters_of_their_source() -> None:
    assert extract("videomme-v2-official", "H", letters="ABCD") == "H"
    assert extract("longvideobench-lmms-eval@75571cf", "E", letters="ABCD") == "E"
    assert extract("videomme-official", "E", letters="ABCDE") is None


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("x (A) then B. end here", "A"),  # parentheses before the dot, though the dot is later
        ("x A. then B: end here", "A"),  # dot before colon
        ("x A: then B) end here", "A"),  # colon before parenthesis
        ("x A) then B end here", "A"),  # parenthesis before space
        ("x (A) then (B) end here", "B"),  # of one format the later
        ("we saw A, B. It ends with D", "D"),
        ("(A)? 정답은 B 입니다", "B"),
        ("so Dogs", "D"),  # any capital, as a last resort
        ("(A) or BAD", "A"),  # the end of a word is no letter at the end
        ("(A) or D.,", "D"),  # marks are taken off one kind after the other, commas first
        ("(A) or D,.", "A"),
    ],
)
def test_lmms_eval_ranks_formats(reply: str, letter: str) -> None:
    assert extract("mcq-lmms-eval@75571cf", reply) == letter


def test_a_word_that_starts_with_a_letter_is_no_leading_letter() -> None:
    assert extract("mcq-lmms-eval@75571cf", "Dogs (B) here") == "B"
    assert extract("mcq-lmms-eval@75571cf", "D-ogs (B) here") == "D"


def test_egoschema_takes_the_earliest_of_the_last_places() -> None:
    assert extract("egoschema-lmms-eval@75571cf", "(A) or (B), then (A)") == "B"


def test_egoschema_matches_texts_of_options_only_in_longer_replies() -> None:
    choices = ["a cup", "the red book"]
    rule = "egoschema-lmms-eval@75571cf"
    assert extract(rule, "he holds up the Red Book today", "AB", choices) == "B"
    assert extract(rule, "this is the red book", "AB", choices) is None


def test_videommmu_reads_what_follows_the_last_answer_label() -> None:
    rule = "videommmu-vlmevalkit@e8e78f0"
    assert extract(rule, "Answer: A. No. Answer: D") == "D"
    assert extract(rule, "It is B. or (C)") == "B"  # the dot comes first, whatever stands later
    assert extract(rule, "(B) and then D: yes") == "D"
    assert extract(rule, "not A. but C. here") == "C"
    choices = ["a cup", "the red book"]
    assert extract(rule, "a cup lies beside the red book there", "AB", choices) == "B"


def test_videommmu_keeps_its_colon_letters_behind_dotted_ones() -> None:
    assert extract("videommmu-vlmevalkit@e8e78f0", "so B. is near, and A: is last of all") == "B"


def test_videommmu_drops_failed_calls_only() -> None:
    rule = find_rule("videommmu-vlmevalkit@e8e78f0")
    assert rule.drops("API Error", None)
    assert not rule.drops("no idea", None)


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B one two three four", None),  # four words follow: not near the end
        ("B one two three", "B"),
        ("The correct answer is **d**, not A or B", "D"),
        ("the answer is because A and B", "B"),  # no end of word is asked for
        ("Cannot determine the answer: B", None),
        ("Failed to obtain answer via API. B", None),
        ("Z", None),
    ],
)
def test_can_infer(reply: str, letter: str | None) -> None:
    assert extract("can-infer-vlmevalkit@e8e78f0", reply) == letter


def test_can_infer_needs_exactly_one_text_and_a_short_reply() -> None:
    rule, choices = "can-infer-vlmevalkit@e8e78f0", ["red cup", "blue pen"]
    assert extract(rule, "surely the Blue Pen", "AB", choices) == "B"
    assert extract(rule, "red cup and blue pen", "AB", choices) is None
    assert extract(rule, "surely the blue pen that she held up", "AB", choices) is None
    choices = ["Failed to obtain answer via API", "Z"]
    assert extract(rule, "Failed to obtain answer via API.", "AB", choices) == "A"
    assert extract(rule, "Z", "AB", choices) is None  # a refusal, before any text is looked at


@pytest.mark.parametrize(
    ("reply", "letter"),
    [("C", "C"), (" C) The cat", "C"), ("(C)", None), ("C.", None), ("The cat", None), ("", None)],
)
def test_mlvu(reply: str, letter: str | None) -> None:
    assert extract("mlvu-official", reply) == letter


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("(C) The cat", "C"),
        ("I say (C", "C"),
        ("C. The cat", "C"),
        ("C) or (D)", "C"),
        ("The answer is C", None),  # "T" is compared with the gold letter
        ("", None),
    ],
)
def test_lvbench(reply: str, letter: str | None) -> None:
    assert extract("lvbench-official", reply) == letter


def test_every_rule_says_where_it_comes_from() -> None:
    for name, rule in RULES.items():
        assert rule.name == name
        assert rule.source
        assert (rule.commit == "") == (name == "strict")
        assert name.partition("@")[2] in ("", rule.commit)


def test_an_unknown_rule_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"got rule 'official'; allowed: strict, videomme-off"):
        extract("official", "C")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ABCDE abcz().:*,\n'answer is", max_size=60), st.sampled_from(list(RULES)))
def test_a_rule_picks_an_option_or_nothing_and_never_guesses(reply: str, name: str) -> None:
    picked = extract(name, reply, "ABCDE", ["a cat", "z", "bb", "is", "ans"])
    assert picked is None or picked in "ABCDE"
    assert extract(name, reply, "ABCDE", ["a cat", "z", "bb", "is", "ans"]) == picked


def test_cgbench_takes_one_of_two_letters_for_right() -> None:
    assert names_gold("A or C", "C") is True
    assert names_gold("A or C", "B") is False
    assert names_gold("no idea", "C") is None


def test_cgbench_reads_fenced_json_before_letters() -> None:
    assert names_gold('I doubt A. ```json\n{"result": "C"}\n```', "A") is False
    assert names_gold('```json\n{"result": C}\n```', "C") is True
    assert names_gold("```json\nbroken\n``` A", "A") is True


@pytest.mark.parametrize(
    ("reply", "intervals"),
    [
        ('```json\n{"result": [[0.1, 0.2]]}\n```', ((10.0, 20.0),)),
        ('```json\n{"result": [10, 20]}\n```', ((10.0, 20.0),)),
        ('```json\n{"result": [[0.5, 1]]}\n```', ((50.0, 100.0),)),
        ('```json\n{"result": [[0.5, 1], [3, 4]]}\n```', ((0.5, 1.0), (3.0, 4.0))),
        ("00:15-00:25", ((0.0, 15.0), (0.0, 25.0))),
        ("from 3 to 4.5, then 7", ((3.0, 4.5),)),
        ('```json\n{"result": [[1, 2, 3]]}\n```', ((1.0, 2.0),)),  # numbers of the text
        ('```json\n{"result": "3 to 4"}\n```', None),
        ("at the start", None),
        ("at 7", None),
    ],
)
def test_cgbench_intervals(reply: str, intervals: tuple[tuple[float, float], ...] | None) -> None:
    read = clue_intervals(reply, duration_seconds=100.0)
    assert read == intervals
