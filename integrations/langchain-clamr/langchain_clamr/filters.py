"""Filters on a clip's metadata, in the operator notation that LangChain's vector stores share.

``{"start_s": {"$gte": 600}, "title": "Review"}`` means both; ``$and``, ``$or``, ``$not`` combine.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clamr_rag.errors import UsageError

from langchain_clamr.documents import Scalar

Facts = Mapping[str, Scalar]
Matches = Callable[[Facts], bool]

NUMBERS = frozenset({"start_s", "end_s"})
TEXTS = frozenset({"clip_id", "video_id", "title", "timecode", "video_path", "modalities"})

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$contains": operator.contains,
    "$in": lambda value, wanted: value in wanted,
    "$nin": lambda value, wanted: value not in wanted,
}
_LISTS = frozenset({"$in", "$nin"})


def compile_filter(conditions: Mapping[str, Any]) -> Matches:
    """Returns what decides whether a clip passes; an empty filter passes all.

    Raises:
        UsageError: An unknown key or operator, or a value of the wrong kind.
    """
    if not isinstance(conditions, Mapping):
        raise UsageError(f"got filter {conditions!r}", allowed='a dict, e.g. {"title": "Review"}')
    return _all([_condition(key, wanted) for key, wanted in conditions.items()])


def _condition(key: str, wanted: Any) -> Matches:
    if key in ("$and", "$or"):
        if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
            raise UsageError(f"got {key} {wanted!r} in a filter", allowed="a list of filters")
        parts = [compile_filter(part) for part in wanted]
        return _all(parts) if key == "$and" else _any(parts)
    if key == "$not":
        inner = compile_filter(wanted)
        return lambda facts: not inner(facts)
    if key not in NUMBERS | TEXTS:
        known = ", ".join(sorted(NUMBERS | TEXTS))
        raise UsageError(f"got filter key {key!r}", allowed=f"{known}, $and, $or, $not")
    if not isinstance(wanted, Mapping):
        wanted = {"$eq": wanted}
    return _all([_comparison(key, name, value) for name, value in wanted.items()])


def _comparison(key: str, name: str, wanted: Any) -> Matches:
    if name not in _COMPARE or (name == "$contains" and key in NUMBERS):
        names = [known for known in _COMPARE if known != "$contains" or key in TEXTS]
        raise UsageError(f"got operator {name!r} on {key}", allowed=", ".join(names))
    values = [wanted]
    if name in _LISTS:
        if not isinstance(wanted, (list, tuple, set, frozenset)):
            raise UsageError(f"got {name} {wanted!r} on {key}", allowed="a list")
        values = list(wanted)
    kind: Any = (int, float) if key in NUMBERS else str
    for value in values:
        if not isinstance(value, kind) or isinstance(value, bool):
            allowed = "a number" if key in NUMBERS else "text"
            raise UsageError(f"got {value!r} for {key} in a filter", allowed=allowed)
    compare = _COMPARE[name]
    return lambda facts: compare(facts[key], wanted)


def _all(parts: Sequence[Matches]) -> Matches:
    return lambda facts: all(part(facts) for part in parts)


def _any(parts: Sequence[Matches]) -> Matches:
    return lambda facts: any(part(facts) for part in parts)
