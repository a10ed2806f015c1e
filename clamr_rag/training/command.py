"""Training options from a command line; every flag is a field of the options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from clamr_rag.errors import UsageError
from clamr_rag.training.jsonl import first_fault
from clamr_rag.training.options import TrainOptions

_WITHOUT_EFFECT = {"encoder.seeded_projection"}
"""A base without projection always gets one in training."""


def options_of(arguments: Sequence[str]) -> TrainOptions:
    """Reads options, nested ones as ``--encoder.max-frames 24``.

    Raises:
        UsageError: A value that is not allowed; names the flag.
    """
    parser = argparse.ArgumentParser(
        prog="python -m clamr_rag.training.train",
        description="Modality-aware contrastive training. Defaults are those of the paper.",
        allow_abbrev=False,
    )
    for path, field in _fields(TrainOptions):
        if path not in _WITHOUT_EFFECT:
            _add_flag(parser, path, field)
    values: dict[str, Any] = {}
    for name, value in vars(parser.parse_args(arguments)).items():
        *outer, last = name.split(".")
        place = values
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    try:
        return TrainOptions.model_validate(values)
    except ValidationError as error:
        raise UsageError(first_fault(error), hint="see --help") from None


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _add_flag(parser: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    flag = f"--{name.replace('_', '-')}"
    told = (field.description or "").replace("%", "%%")
    if not field.is_required():
        told += f" [{field.default}]"
    # Values stay text here: pydantic turns them into numbers and says what is wrong with them.
    kind: dict[str, Any] = {"metavar": _shown_kind(field.annotation)}
    if field.annotation is bool:
        kind = {"action": argparse.BooleanOptionalAction}
    parser.add_argument(
        flag,
        dest=name,
        required=field.is_required(),
        default=argparse.SUPPRESS,
        help=told,
        **kind,
    )


def _shown_kind(annotation: Any) -> str:
    """The words to choose from, or the type of a value."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if not kinds:
        return str(annotation.__name__).upper()
    if isinstance(kinds[0], str):
        return "|".join(kinds)
    return " or ".join(_shown_kind(kind) for kind in kinds)
