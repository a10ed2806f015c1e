"""Whether words bear out a sentence, and what this check cannot see."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.answering.sentences import SENTENCE_END, sentence_spans, without_list_sign
from clamr_rag.answering.support import (
    ENOUGH_WORDS,
    overlap,
    share_of,
    telling,
    without_true_times,
)
from clamr_rag.types import TimeSpan


def borne_out(sentence: str, *evidence: str, question: str = "") -> bool:
    return share_of(sentence, evidence, question) >= ENOUGH_WORDS


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("Revenue was $4.2M.", "Q3 results: revenue $4.2M (+18 %)"),
        ("Churn fell because of the new onboarding.", "Churn fell, mostly due to new onboarding."),
        ("There were 1000 jars.", "Yield: 1,000 jars"),
        ("There were 1,000 jars.", "Yield: 1000 jars"),
        ("There were 1’000 jars.", "Yield: 1.000 jars"),
        ("There were 1,250,000 jars.", "Yield: 1250000 jars"),
        ("It cost 4.20 euros.", "Preis: 4,2 euros"),
        ("It cost 1,250.50 euros.", "1.250,5 euros"),
        ("There are four offices.", "We run 4 offices."),
        ("There are 4 offices.", "We run four offices."),
        ("There are 42 offices.", "We run forty-two offices."),
        ("There are 1 offices.", "We run one office."),
        ("It took 205 days.", "It took two hundred and five days."),
        ("It took 4200 days.", "It took four thousand two hundred days."),
        ("In Q3 revenue rose.", "In the third quarter revenue rose."),
        ("In the 3rd quarter revenue rose.", "In the third quarter revenue rose."),
        ("Revenue was 4.2 million.", "revenue $4.2M"),
        ("The two reasons: price and onboarding.", "The price. And then the onboarding."),
        ("CAFÉ Überall opened.", "cafe uberall opened"),
        ("Ｌａｇｏｓ ４２", "Lagos 42"),
        ("٤٢ مكتب", "42 مكتب"),
        ("收入增长了百分之十八", "第三季度收入增长百分之十八"),
        ("हिन्दी में घोषणा हुई", "आज हिन्दी में घोषणा हुई थी"),
        ("สำนักงานใหม่ในลากอส", "เปิดสำนักงานใหม่ในลากอสปีหน้า"),
        ("라고스 사무실 개설", "내년에 라고스 사무실 개설"),
    ],
)
def test_what_the_evidence_says(sentence: str, evidence: str) -> None:
    assert borne_out(sentence, evidence)


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("Revenue was $42M.", "Q3 results: revenue $4.2M (+18 %)"),
        ("Revenue was $4.2M.", "Q3 results: revenue $42M"),
        ("There were 100 jars.", "Yield: 1,000 jars"),
        ("It cost 42 euros.", "Preis: 4,2 euros"),
        ("There are 5 offices.", "We run four offices."),
        ("There are five offices.", "We run four offices."),
        ("There are 40 offices.", "We run forty-two offices."),
        ("There are 6 offices.", "one two three offices"),
        ("Revenue rose by 18 % in 2031.", "Revenue rose by 18 %"),
        ("The factory in Zwiesel burned down.", "Churn fell because of the new onboarding."),
        ("公司在东京开设办事处", "第三季度收入增长百分之十八"),
        ("हिन्दी में घोषणा हुई", "बिक्री बढ़ी और ग्राहक लौटे"),
        ("Yes.", "Churn fell because of the new onboarding."),
        ("", "Churn fell."),
        ("Churn fell.", ""),
    ],
)
def test_what_it_does_not_say(sentence: str, evidence: str) -> None:
    assert not borne_out(sentence, evidence)


def test_nothing_bears_out_without_evidence() -> None:
    assert share_of("Churn fell.", []) == 0.0
    assert overlap("", "Churn fell.") == 0.0


def test_who_repeats_the_question_has_said_nothing_yet() -> None:
    question = "Who announced the revenue of the third quarter?"
    evidence = "Kirsten Oduya announced the revenue of the third quarter."
    assert borne_out("Kirsten Oduya announced the revenue.", evidence, question=question)
    assert not borne_out(
        "Alice Smith announced the revenue of the third quarter.", evidence, question=question
    )
    assert borne_out("Alice Smith announced the revenue of the third quarter.", evidence), (
        "without the question her name is two words of six"
    )


def test_a_bare_yes_rests_on_the_words_of_the_question() -> None:
    assert borne_out("Yes.", "Churn fell in autumn.", question="Did churn fall in autumn?")
    assert not borne_out("Yes.", "An office opens.", question="Did churn fall in autumn?")


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("Churn did not fall.", "Churn did fall."),
        ("The factory bought the office.", "The office bought the factory."),
        ("18 offices, 4.2 percent.", "18 percent, 4.2 offices"),
        ("There were 3125 jars.", "The share is 3.125 of all jars"),
    ],
)
def test_known_limits_a_false_relation_of_true_words_passes(sentence: str, evidence: str) -> None:
    assert borne_out(sentence, evidence)


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        ("At 12:31 she says so.", "At   she says so."),
        ("At 00:12:31.50 she says so.", "At   she says so."),
        ("At 12:10 she says so.", "At   she says so."),
        ("At 12:59 she says so.", "At 12:59 she says so."),
        ("At 1:12:31 she says so.", "At 1:12:31 she says so."),
        ("A ratio of 16:9", "A ratio of 16:9"),
        ("12:31:15:00", "12:31:15:00"),
    ],
)
def test_times_are_held_against_the_clips_that_are_cited(sentence: str, left: str) -> None:
    spans = [TimeSpan(5, 9), TimeSpan(731, 752)]
    assert without_true_times(sentence, spans) == left


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_a_text_bears_out_itself(text: str) -> None:
    assert share_of(text, [text]) == (1.0 if telling(text).words else 0.0)
    assert overlap(text, text) == (1.0 if telling(text).words else 0.0)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 999_999))
def test_a_number_has_one_form(number: int) -> None:
    written = telling(f"{number:,} jars").figures
    assert written == telling(f"{number} jars").figures == {str(number)}
    assert telling(f"{number}.50 jars").figures == telling(f"{number},5 jars").figures


# --- sentences


@pytest.mark.parametrize(
    ("answer", "sentences"),
    [
        ("One [1]. Two [2].", ["One [1].", "Two [2]."]),
        ("One. [1] Two. [2]", ["One. [1]", "Two. [2]"]),
        ("One.[1] Two![2][3] Three", ["One.[1]", "Two![2][3]", "Three"]),
        ("It rose by 4.2 % to 1.000 jars. Then it fell.",
         ["It rose by 4.2 % to 1.000 jars.", "Then it fell."]),
        ("Dr. Smith of St. Paul met Prof. J. Okonkwo. He left.",
         ["Dr. Smith of St. Paul met Prof. J. Okonkwo.", "He left."]),
        ("It cost approx. 5 euros, cf. Fig. 3, i.e. little. Good.",
         ["It cost approx. 5 euros, cf. Fig. 3, i.e. little.", "Good."]),
        ("Glass, sugar etc. became dear. Why?", ["Glass, sugar etc. became dear.", "Why?"]),
        ("She said “It fell.” He agreed.", ["She said “It fell.”", "He agreed."]),
        ("收入增长了。[1]员工离职！[2]", ["收入增长了。[1]", "员工离职！[2]"]),
        ("1. Churn fell [1]\n2. Revenue rose [2]", ["1. Churn fell [1]", "2. Revenue rose [2]"]),
        ("- One\n\n* Two. Three", ["- One", "* Two.", "Three"]),
        ("  spaces  \n\n", ["spaces"]),
        ("Wait... what? Yes", ["Wait... what?", "Yes"]),
        ("", []),
    ],
)  # fmt: skip
def test_where_the_sentences_of_an_answer_end(answer: str, sentences: list[str]) -> None:
    assert [answer[start:stop] for start, stop in sentence_spans(answer)] == sentences


def test_the_sign_of_a_list_item_is_no_claim() -> None:
    assert without_list_sign("2. Revenue rose") == "Revenue rose"
    assert without_list_sign("- Revenue rose") == "Revenue rose"
    assert without_list_sign("2.5 rose") == "2.5 rose"


def test_chinese_speech_ends_its_sentences_without_spaces() -> None:
    assert len(SENTENCE_END.findall("收入增长了。员工离职！为什么？")) == 3


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('aB1 .!?。[]\n-…"x'), max_size=60))
def test_sentences_hold_every_word_once_and_in_order(answer: str) -> None:
    spans = list(sentence_spans(answer))
    held = "".join("".join(answer[start:stop].split()) for start, stop in spans)
    assert held == "".join(answer.split())
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
