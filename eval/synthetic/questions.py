"""A question with its gold answer, and the file that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter, ValidationError

from clamr_rag.errors import UsageError
from clamr_rag.types import Modality
from eval.synthetic.facts import TEXT_NAMES

Kind = Literal["fact", "rival", "picture", "near-duplicate", "chart", "two", "absent"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LETTERS = "ABCD"
NAMES: dict[Modality, str] = {Modality.VIDEO: "video", **TEXT_NAMES}


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its gold answer; everything a line of ``questions.jsonl`` holds."""

    id: str
    split: str
    kind: Kind
    modalities: tuple[str, ...]
    """Which hold the answer: "video", "asr", "ocr", "description"; for a question about two,
    first the one that finds the clip, then the one that answers. Of something absent: which
    would."""
    question: str
    query: str
    """The same as a search."""
    choices: tuple[str, ...]
    """Four, in order of their letters."""
    answer: str | None
    """The right letter; None where nothing answers the question."""
    answer_text: str
    """Empty where nothing answers it."""
    video: str | None
    """Name of the file that holds the answer; None where none does."""
    spans: tuple[tuple[float, float], ...]
    """Seconds of the video that answer, half-open."""
    clip_ids: tuple[str, ...]
    """The clips of these spans."""
    near_duplicate_ids: tuple[str, ...] = ()
    """Clips whose picture differs from the gold clip's in one or two details."""
    rival_ids: tuple[str, ...] = ()
    """Clips that tell the same of the same subject otherwise, in another modality."""

    def __post_init__(self) -> None:
        told = self.choices[LETTERS.index(self.answer)] if self.answer else ""
        if told != self.answer_text:
            raise ValueError(f"answer {self.answer!r} is {told!r}, not {self.answer_text!r}")


def write_questions(questions: Iterable[Question], path: Path) -> None:
    """Writes one JSON object per line, in order."""
    lines = (json.dumps(asdict(question), ensure_ascii=False) + "\n" for question in questions)
    path.write_text("".join(lines), encoding="utf-8")


def read_questions(folder: str | Path) -> tuple[Question, ...]:
    """Reads the questions of a rendered world.

    Raises:
        UsageError: There is no ``questions.jsonl``, or a line of it is no question.
    """
    path = Path(folder) / "questions.jsonl"
    if not path.is_file():
        raise UsageError(
            f"no questions.jsonl in {str(folder)!r}",
            hint="make one: python -m eval.synthetic make --hours 1 --seed 7 --out DIR",
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(_question(line, path, number) for number, line in enumerate(lines, start=1))


def _question(line: str, path: Path, number: int) -> Question:
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the line"
        raise UsageError(
            f"{path}, line {number} is no question: {place}: {first['msg']}",
            hint="make the world anew",
        ) from error


_ADAPTER = TypeAdapter(Question)
