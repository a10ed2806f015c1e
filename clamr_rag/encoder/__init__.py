"""Encoders: a clip's modalities read jointly into one multi-vector, and a question into another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clamr_rag.config import EMBEDDED_ENCODERS, EncoderOptions
from clamr_rag.encoder.clip_reading import FramesWanted
from clamr_rag.errors import UsageError
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

    @property
    def running_on(self) -> str:
        """Where and how it computes, e.g. ``"cuda:0, bfloat16, attention sdpa"``.

        The option ``attention`` governs the language model only; vision and sound towers always
        run sdpa. An encoder without that choice names device and number format only.
        """
        ...

    @property
    def frames_wanted(self) -> FramesWanted:
        """How many frames of a clip it wants, and how large."""
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


def load_encoder(
    name: str = "mini",
    *,
    adapter: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    options: EncoderOptions | None = None,
) -> Encoder:
    """Loads an encoder.

    Args:
        name: ``"mini"``, ``"mini-vl"``; ``"clamr"``, ``"clamr-omni"``; or a folder or hub id of a
            checkpoint, ``owner/name@commit`` to pin it.
        adapter: Folder or hub id of a LoRA adapter on top of a checkpoint.
        device: A torch device, or ``"auto"``.
        dtype: A torch dtype's name, or ``"auto"``.
        options: Token and frame caps; the defaults where None.

    Raises:
        ModelMissingError: The weights are not on this machine.
        UsageError: An option that the encoder cannot honour.
    """
    options = options or EncoderOptions()
    if name in EMBEDDED_ENCODERS:
        if adapter is not None:
            raise UsageError(f"got adapter {adapter!r} for {name}", allowed="no adapter")
        from clamr_rag.encoder.mini import load_mini

        return load_mini(options, name=name, device=device, dtype=dtype)
    from clamr_rag.encoder.qwen import load_qwen_encoder

    return load_qwen_encoder(name, adapter=adapter, device=device, dtype=dtype, options=options)
