"""Which option a reply picks: one strict rule, and the traps in which other rules fall."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.answering.letters import picked_letter

CHOICES = ("the old price", "the new onboarding", "A book", "Lagos")


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        # as told
        ("Answer: B", "B"),
        ("Churn fell after the onboarding [1].\nAnswer: B", "B"),
        ("Answer: B [1]", "B"),
        ("Answer: B [1][2].", "B"),
        # other dress
        ("answer: b", "B"),
        ("ANSWER: B", "B"),
        ("Final answer: C", "C"),
        ("Best answer: C", "C"),
        ("Best option: (C)", "C"),
        ("Correct answer: A", "A"),
        ("**Answer:** B", "B"),
        ("**Answer: B**", "B"),
        ("### Answer: C", "C"),
        ("> Answer: C", "C"),
        ("Answer: (B)", "B"),
        ("Answer: [B]", "B"),
        ('Answer: "B"', "B"),
        ("Answer: B!", "B"),
        ("Answer:\nC", "C"),
        ("Answer A", "A"),
        ("Option B", "B"),
        ("The answer is D.", "D"),
        ("The correct answer is: D", "D"),
        ("<answer>C</answer>", "C"),
        ("\\boxed{C}", "C"),
        ("$\\boxed{C}$", "C"),
        ("Answer：Ｂ", "B"),
        ("Antwort: B", "B"),
        ("Réponse : B", "B"),
        ("答案：C", "C"),
        # with its text or a reason
        ("Answer: B) the new onboarding", "B"),
        ("Answer: B. the new onboarding", "B"),
        ("Answer: A - the old price", "A"),
        ("Answer: C, because it is shown", "C"),
        ("The answer is C because A and B are wrong", "C"),
        ("The answer is B. Option C is not shown and D is never seen.", "B"),
        # nothing but the letter
        ("A", "A"),
        ("c", "C"),
        ("(c)", "C"),
        ("(B)", "B"),
        ("**C**", "C"),
        ("B [1]", "B"),
        ("Ｂ", "B"),
        ("D:", "D"),
        ("B\nbecause it was said", "B"),
        ("it was\nB", "B"),
        # the letter with exactly its own text
        ("C) A book", "C"),
        ("C. a book.", "C"),
        ("**D)** Lagos", "D"),
        # twice the same
        ("Answer: A\nso\nAnswer: A", "A"),
    ],
)
def test_a_letter_that_is_named(reply: str, letter: str) -> None:
    assert picked_letter(reply, "ABCD", CHOICES) == letter


@pytest.mark.parametrize(
    "reply",
    [
        # prose in which a letter is a word
        "Answer: A dog", "A dog is shown", "A man is shown, so the answer is C.",
        "The answer is a dog.", "I choose C", "I think it is C.", "Cannot be determined",
        "Answer: Cannot be determined",
        "Based on the video, the answer is C.", "Option A is wrong",
        "Answer is A option", "Answer: I think B",
        # another text than the option's
        "D. Trump is shown", "A. Smith said so", "C. another book",
        # two letters
        "Answer: A or B", "Answer: A, B", "Answer: A/B", "Answer: A and B", "Answer: A & B",
        "Answer: A) x or B) y", "Answer: A - B", "Answer: both A and B", "Answer: AB",
        "Answer: A B", "Answer: B and nothing else", "A and B are wrong; C is right.",
        "Answer: A\nAnswer: B", "A\nbecause\nB", "Answer: A or B\nAnswer: A",
        # no option's letter
        "Answer: Z", "Answer: E", "E", "Answer: 2", "Answer: B2", "Answer: N/A",
        # none at all
        "", "   \n", "Answer:", "Answer: none", "Answer: not A", "The answer is not D",
        "Answer: D?", "NOT IN THE VIDEO", "Answer: NOT IN THE VIDEO", "the new onboarding",
    ],
)  # fmt: skip
def test_a_reply_that_names_none(reply: str) -> None:
    assert picked_letter(reply, "ABCD", CHOICES) is None


def test_an_initial_and_an_option_differ_by_the_options_text() -> None:
    assert picked_letter("D. Lagos", "ABCD", CHOICES) == "D"
    assert picked_letter("D. Lagos", "ABCD") is None, "without the texts nobody can tell"


def test_the_letters_are_those_of_the_choices() -> None:
    assert picked_letter("Answer: E", "ABCDE") == "E"
    assert picked_letter("Answer: Z", "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "Z"


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ABCDabcd .:)(*[]1\nanswer"), max_size=40))
def test_what_is_picked_is_an_option_and_stands_in_the_reply(reply: str) -> None:
    letter = picked_letter(reply, "ABC", ("x", "y", "z"))
    assert letter is None or (letter in "ABC" and letter in reply.upper())


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.sampled_from("ABCD"))
def test_a_reply_that_ends_as_told_is_understood(prose: str, letter: str) -> None:
    named = picked_letter(prose, "ABCD", CHOICES)
    reply = f"{prose}\nAnswer: {letter}"
    assert picked_letter(reply, "ABCD", CHOICES) in ({letter} if named is None else {letter, None})
