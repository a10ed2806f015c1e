"""The raw figures: where each row put the clip that each query is about, and how weights were made.

One JSON file. Intervals can be computed anew from it without any encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from clamr_rag.errors import UsageError
from clamr_rag.scoring import IndexArray
from clamr_rag.types import FloatArray, Modality
from eval.record_lines import Frozen, first_fault, write_whole
from eval.synthetic.questions import NAMES

VERSION = 1
"""Changes with everything that changes a figure of the same weights and clips."""
CUTOFF = 10
"""Places that are told apart: all that nDCG@10, R@1 and R@5 need."""
TIE = 1e-6
"""Scores that differ by no more are equal: the same vectors from another batch differ less."""
Role = Literal["modality_max", "token_max", "separate"]
"""What the weights were trained with: scores of all modalities together by either scorer, or
(a control) modalities encoded apart."""
ROLES: tuple[Role, ...] = get_args(Role)
_BEYOND, _NOT_ASKED = "-", "."
_LETTERS: dict[Modality | None, str] = {None: ".", **{m: name[0] for m, name in NAMES.items()}}
_BY_LETTER = {letter: modality for modality, letter in _LETTERS.items()}


class Row(Frozen):
    """How one way of ranking did, a sign per query."""

    places: str
    """``0`` (first) to ``9``, ``-`` beyond, ``.`` not asked."""
    named: str = ""
    """Modality by which the first clip was found: ``v``, ``a``, ``o``, ``d``, or ``.`` for none;
    empty where the way cannot tell."""

    @property
    def asked(self) -> npt.NDArray[np.bool_]:
        """Which queries were put, ``(Q,)``."""
        return np.array([sign != _NOT_ASKED for sign in self.places], np.bool_)

    @property
    def ranks(self) -> IndexArray:
        """Places ``(Q,)``, `CUTOFF` for beyond and for what was not asked."""
        return np.array([int(s) if s.isdecimal() else CUTOFF for s in self.places], np.int64)

    @property
    def modalities(self) -> tuple[Modality | None, ...]:
        """By which the first clip was found, one per query."""
        return tuple(_BY_LETTER[sign] for sign in self.named)


class Run(Frozen):
    """All rows of one file of weights."""

    role: Role
    seed: int
    file: str
    sha256: str
    told: dict[str, str]
    """How the weights were made, in their own words."""
    subject_sha256: str
    """Of the clips and queries, as the encoder read them."""
    commit: str
    """Of the code that measured."""
    seconds: float
    """Of the evaluation."""
    vectors: dict[str, float]
    """Mean number of a clip's vectors by budget: "all", "64", …"""
    rows: dict[str, Row]


class Figures(Frozen):
    """Everything that the tables are made of."""

    version: int = VERSION
    subject: str
    kinds: tuple[str, ...]
    """Of each query."""
    modalities: tuple[str, ...]
    """What each query is about, as letters of `Row.named`."""
    gold: tuple[int, ...]
    """Number of the clip of each query."""
    num_clips: int
    rows: dict[str, Row] = Field(default_factory=dict)
    """Of ways that have no weights of ours."""
    routed: str = ""
    """Which modality the router names for each query."""
    runs: tuple[Run, ...] = ()

    def run(self, role: Role, seed: int) -> Run | None:
        """The run of these weights, if there is one."""
        return next((r for r in self.runs if (r.role, r.seed) == (role, seed)), None)

    def with_run(self, run: Run) -> Figures:
        """These and another run, instead of an older one of its role and seed."""
        others = [r for r in self.runs if (r.role, r.seed) != (run.role, run.seed)]
        ordered = sorted([*others, run], key=lambda r: (ROLES.index(r.role), r.seed))
        return self.model_copy(update={"runs": tuple(ordered)})


def row_of(
    scores: FloatArray,
    wanted: IndexArray,
    named: Sequence[Modality | None] = (),
    asked: npt.NDArray[np.bool_] | None = None,
) -> Row:
    """Where the wanted clips stand; equal scores count against them.

    Args:
        scores: ``(Q, C)``; -inf for what is not found.
        wanted: Clip of each query, ``(Q,)``.
        named: By which modality the first clip was found, one per query, or nothing.
        asked: Queries that are put, ``(Q,)``; None for all.
    """
    own = np.take_along_axis(scores, wanted[:, None], axis=1)
    ahead = (scores >= own - TIE).sum(axis=1) - 1
    signs = [str(place) if place < CUTOFF else _BEYOND for place in ahead.tolist()]
    # -inf equals -inf only: what is not found is behind everything that is, and beyond.
    lost = np.isneginf(own[:, 0])
    asked = np.ones(len(signs), np.bool_) if asked is None else asked
    places = "".join(
        _NOT_ASKED if not put else _BEYOND if gone else sign
        for sign, gone, put in zip(signs, lost, asked, strict=True)
    )
    return Row(places=places, named=letters(named))


def letters(modalities: Sequence[Modality | None]) -> str:
    """A letter each."""
    return "".join(_LETTERS[modality] for modality in modalities)


def read_figures(path: Path) -> Figures:
    """Reads a file of figures.

    Raises:
        UsageError: It is none, or one of another version.
    """
    try:
        found = Figures.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise UsageError(
            f"{path} holds no figures: {first_fault(error)}", hint="take another --out"
        ) from None
    if found.version != VERSION:
        raise UsageError(
            f"{path} has figures of version {found.version}",
            allowed=str(VERSION),
            hint="take another --out, or remove the file to measure anew",
        )
    return found


def write_figures(figures: Figures, path: Path) -> None:
    """Writes the file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, figures.model_dump_json(indent=1) + "\n")
