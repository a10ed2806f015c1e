"""Encoders: a clip's modalities read jointly into one multi-vector, and a question into another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clamr_rag.types import ClipInput, Modality, MultiVector


class Encoder(Protocol):
    """Turns clips and questions into multi-vectors of one space."""

    @property
    def name(self) -> str:
        """As said in the output, e.g. ``"mini"``."""
        ...

    @property
    def fingerprint(self) -> str:
        """Name, weights and options in one string: vectors of different ones never mix."""
        ...

    @property
    def dim(self) -> int:
        """Width of a vector."""
        ...

    @property
    def reads(self) -> frozenset[Modality]:
        """The modalities it understands; others are ignored, and the output says so."""
        ...

    def encode_query(self, text: str) -> MultiVector:
        """Returns one row per query token that takes part in scoring, with ``tokens`` set.

        Raises:
            UsageError: The text is blank.
        """
        ...

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        """Encodes a batch jointly, one multi-vector per clip, in order.

        Args:
            clips: May be empty; a clip without any modality gives a multi-vector of no rows.
            keep_other: Keep template tokens too, in sequence order.
        """
        ...
