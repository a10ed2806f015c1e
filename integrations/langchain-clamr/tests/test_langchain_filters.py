from __future__ import annotations

from typing import Any

import pytest
from clamr_rag.errors import UsageError
from hypothesis import given, settings
from hypothesis import strategies as st
from test_langchain_documents import VIDEO, found

from langchain_clamr.documents import clip_facts
from langchain_clamr.filters import NUMBERS, TEXTS, compile_filter

FACTS: dict[str, Any] = {
    "clip_id": "ab-00001",
    "video_id": "ab",
    "title": "Review",
    "start_s": 12.0,
    "end_s": 24.0,
    "modalities": "ocr,speech",
}


@pytest.mark.parametrize(
    ("conditions", "passes"),
    [
        ({}, True),
        ({"title": "Review"}, True),
        ({"title": "review"}, False),
        ({"title": {"$ne": "Review"}}, False),
        ({"start_s": {"$gte": 12}}, True),
        ({"start_s": {"$gt": 12}}, False),
        ({"start_s": {"$gte": 5, "$lt": 12}}, False),
        ({"end_s": {"$lte": 24, "$gt": 20}}, True),
        ({"video_id": {"$in": ["ab", "cd"]}}, True),
        ({"video_id": {"$in": []}}, False),
        ({"video_id": {"$nin": ["ab"]}}, False),
        ({"modalities": {"$contains": "speech"}}, True),
        ({"modalities": {"$contains": "metadata"}}, False),
        ({"title": "Review", "start_s": 11}, False),
        ({"$or": [{"title": "Other"}, {"start_s": 12}]}, True),
        ({"$and": [{"title": "Review"}, {"$not": {"start_s": 12}}]}, False),
        ({"$not": {"title": "Other"}}, True),
    ],
)
def test_conditions(conditions: dict[str, Any], passes: bool) -> None:
    assert compile_filter(conditions)(FACTS) is passes


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"score": 1}, "got filter key 'score'"),
        ({"start_s": "12"}, "got '12' for start_s"),
        ({"start_s": True}, "got True for start_s"),
        ({"title": 3}, "got 3 for title"),
        ({"title": ["Review"]}, "got .* for title"),
        ({"title": {"$regex": "R"}}, r"got operator '\$regex' on title"),
        ({"start_s": {"$contains": 1}}, r"got operator '\$contains' on start_s"),
        ({"video_id": {"$in": "ab"}}, r"got \$in 'ab' on video_id; allowed: a list"),
        ({"$or": {"title": "Review"}}, r"got \$or"),
        ({"$or": []}, r"got \$or"),
        ({"$or": ["title"]}, "got filter 'title'"),
        ({"$not": "title"}, "got filter 'title'"),
        ({"title": None}, "got None for title"),
    ],
)
def test_what_cannot_be_meant_is_an_error(conditions: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        compile_filter(conditions)


def test_every_key_that_may_be_named_is_there_and_of_its_kind() -> None:
    facts = clip_facts(found().clip, VIDEO)
    assert set(facts) == NUMBERS | TEXTS
    assert all(isinstance(facts[key], (int, float)) for key in NUMBERS)
    assert all(isinstance(facts[key], str) for key in TEXTS)


SIMPLE = st.sampled_from(
    [{"title": "Review"}, {"title": "Other"}, {"start_s": {"$gt": 12}}, {"end_s": {"$lte": 24}}]
)


@settings(max_examples=50, deadline=None)
@given(SIMPLE, SIMPLE)
def test_de_morgan(a: dict[str, Any], b: dict[str, Any]) -> None:
    neither = compile_filter({"$not": {"$or": [a, b]}})
    both_not = compile_filter({"$and": [{"$not": a}, {"$not": b}]})
    assert neither(FACTS) is both_not(FACTS)
