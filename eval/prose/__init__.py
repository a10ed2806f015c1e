"""Plain prose paragraphs and people's questions about them: text that no encoder was trained on.

``test.jsonl`` holds a paragraph a line: 40 topics of five, which share their vocabulary, each with
one or two questions that it alone answers. Everything was written for this test, names and figures
in it are made up, and nothing in `eval` or `clamr_rag` trains on it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from clamr_rag.errors import UsageError

TEST_FILE = Path(__file__).with_name("test.jsonl")

Wording = Literal["shared", "paraphrase"]
WORDINGS: tuple[Wording, ...] = get_args(Wording)


@dataclass(frozen=True, slots=True)
class Question:
    """A question that one paragraph answers."""

    question_id: str
    text: str
    wording: Wording
    """``shared``: with words of the paragraph; ``paraphrase``: with hardly any of them."""
    paragraph_id: str
    """The paragraph that answers it."""
    topic: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of prose."""

    paragraph_id: str
    topic: str
    text: str


@dataclass(frozen=True, slots=True)
class Prose:
    """A set of paragraphs and of questions about them."""

    paragraphs: tuple[Paragraph, ...]
    questions: tuple[Question, ...]
    sha256: str
    """Of the file: names the version that a figure was measured on."""


def read_prose(path: Path = TEST_FILE) -> Prose:
    """Reads a set.

    Raises:
        UsageError: The file is missing or empty, a line is not as it should be, or an id or a
            paragraph comes twice.
    """
    if not path.is_file():
        raise UsageError(f"got {path}, which is no file", allowed="a .jsonl file of paragraphs")
    payload = path.read_bytes()
    paragraphs, questions = [], []
    for number, line in enumerate(payload.decode("utf-8").splitlines(), start=1):
        paragraph, asked = _read_line(line, f"{path}:{number}")
        paragraphs.append(paragraph)
        questions += asked
    _refuse_repeats([paragraph.paragraph_id for paragraph in paragraphs], path)
    _refuse_repeats([" ".join(paragraph.text.split()) for paragraph in paragraphs], path)
    _refuse_repeats([question.question_id for question in questions], path)
    if not questions:
        raise UsageError(f"got no questions in {path}", allowed="at least one")
    return Prose(tuple(paragraphs), tuple(questions), hashlib.sha256(payload).hexdigest())


def _read_line(line: str, place: str) -> tuple[Paragraph, list[Question]]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"{place} is not JSON: {error}") from error
    paragraph_id, topic, text = (_words(row, name, place) for name in _PARAGRAPH_WORDS)
    asked = row.get("questions")
    if not isinstance(asked, list):
        raise UsageError(f"got questions {asked!r} in {place}", allowed="a list")
    return Paragraph(paragraph_id, topic, text), [
        _question(question, paragraph_id, topic, place) for question in asked
    ]


_PARAGRAPH_WORDS = ("paragraph_id", "topic", "text")


def _question(row: Any, paragraph_id: str, topic: str, place: str) -> Question:
    question_id, text = _words(row, "question_id", place), _words(row, "text", place)
    wording = row.get("wording")
    if wording not in WORDINGS:
        raise UsageError(f"got wording {wording!r} in {place}", allowed=", ".join(WORDINGS))
    return Question(question_id, text, wording, paragraph_id, topic)


def _words(row: Any, name: str, place: str) -> str:
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"got {name} {value!r} in {place}", allowed="words")
    return value


def _refuse_repeats(values: list[str], path: Path) -> None:
    value, count = Counter(values).most_common(1)[0] if values else ("", 0)
    if count > 1:
        raise UsageError(f"got {value[:60]!r} {count} times in {path}", allowed="once")
