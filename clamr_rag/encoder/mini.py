"""`mini` and `mini-vl`: joint late-interaction encoders for CPUs that come with ``pip install``.

All modalities of a clip stand in one sequence with full attention, so every token knows of the
others; each hidden state is projected to 128 dimensions and scaled to unit length (as ColBERT does,
Khattab & Zaharia 2020). `mini` reads texts with the published trunk and a projection of its leading
singular vectors (`eval/mini/fit_projection.py`). `mini-vl` reads frames, too: stem, head and
low-rank changes of the trunk are trained (`eval/mini/train.py`) on drawn pictures and on prose. It
sees shapes, colours, numbers, places and motion in drawings, and knows nothing of photographs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.clip_reading import FramesWanted
from clamr_rag.encoder.devices import choose_device, dtype_name
from clamr_rag.encoder.mini_network import DIM, MiniNetwork, MiniSequence
from clamr_rag.encoder.mini_reading import MiniReader
from clamr_rag.encoder.mini_weights import (
    PROJECTION,
    WEIGHTS,
    checksum,
    load_network,
    load_text_network,
)
from clamr_rag.encoder.minilm import WEIGHTS_SHA256
from clamr_rag.encoder.stem import NUM_FRAMES, WIDTH
from clamr_rag.errors import OutOfMemoryError, UsageError
from clamr_rag.types import TEXT_MODALITIES, ClipInput, Modality, MultiVector

_SEES = frozenset({Modality.VIDEO, *TEXT_MODALITIES})
_HONOURED = {"query_tokens", "ocr_tokens", "asr_tokens", "description_tokens", "batch_clips"}
"""Options that mean something to `mini`; another value of the others is refused."""


class MiniEncoder:
    """Encoder on the MiniLM trunk; see the module's docstring."""

    dim = DIM
    frames_wanted = FramesWanted(NUM_FRAMES, 2 * WIDTH)

    def __init__(self, name: str, network: MiniNetwork, reader: MiniReader, weights: str) -> None:
        self.name = name
        self.reads = _SEES if reader.looks else frozenset(TEXT_MODALITIES)
        self._network = network
        self._reader = reader
        self._weights = weights

    @property
    def running_on(self) -> str:
        """Device and number format, e.g. ``"cpu, float32"``; its attention is not a choice."""
        projection = self._network.projection
        return f"{projection.device}, {dtype_name(projection.dtype)}"

    @cached_property
    def fingerprint(self) -> str:
        """Trunk, our weights and the caps that shape a clip's vectors."""
        caps = "-".join(str(cap) for cap in self._reader.caps.values())
        return f"{self.name}/{WEIGHTS_SHA256[:8]}/{self._weights[:8]}/{caps}"

    def encode_query(self, text: str) -> MultiVector:
        """Encodes a question: a row for each piece of a word, none for punctuation.

        `mini` leaves out rows of stop words, too, which do take part in the attention; a question
        of nothing else keeps all its rows. Longer questions than ``query_tokens`` are cut.

        Raises:
            UsageError: The text is blank or has no character the tokenizer knows.
        """
        read = self._reader.query(text)
        rows = self._encode([read.sequence])[0][read.kept]
        return MultiVector(
            rows,
            np.zeros(len(rows), np.uint8),
            np.full(len(rows), np.nan, np.float32),
            tuple(text[start:stop] for start, stop in read.spans),
        )

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        """Encodes a batch of clips in one pass of the trunk, padded to its longest.

        Args:
            clips: `mini-vl` looks at four of a clip's frames, however many it has; `mini` at none.
                Sound is not read.
            keep_other: Keep the rows of ``[CLS]`` and ``[SEP]``, with modality OTHER.

        Returns:
            One multi-vector per clip; no rows for a clip without frames and texts.
        """
        sequences = [self._reader.clip(clip) for clip in clips]
        vectors = []
        for sequence, rows in zip(sequences, self._encode(sequences), strict=True):
            modalities = np.array(sequence.modalities, np.uint8)
            keep = np.full(len(rows), keep_other and bool(modalities.any()))
            keep |= modalities != Modality.OTHER
            seconds = np.array(sequence.seconds, np.float32)
            vectors.append(MultiVector(rows[keep], modalities[keep], seconds[keep]))
        return vectors

    @torch.inference_mode()
    def _encode(self, sequences: Sequence[MiniSequence]) -> list[np.ndarray]:
        """Returns unit rows ``(n, dim)`` per sequence, float32."""
        if not sequences:
            return []
        try:
            unit = self._network(sequences).cpu().numpy()
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate" not in str(error):
                raise
            longest = max(len(sequence.ids) for sequence in sequences)
            raise OutOfMemoryError(
                f"no memory to encode {len(sequences)} clips of {longest} tokens",
                hint="lower it with --set encoder.batch_clips=1",
            ) from error
        return [rows[: len(sequence.ids)] for rows, sequence in zip(unit, sequences, strict=True)]


def load_mini(
    options: EncoderOptions,
    *,
    name: str = "mini",
    device: str = "auto",
    dtype: str = "auto",
    weights: Path | None = None,
) -> MiniEncoder:
    """Loads an embedded encoder.

    Args:
        options: Token caps of the query and of each text modality, at most 510.
        name: One of `clamr_rag.config.EMBEDDED_ENCODERS`.
        device: A torch device; ``"auto"`` is the CPU, where they are fast enough.
        dtype: Only float32 (``"auto"`` or ``"float32"``).
        weights: Of `mini-vl`, others than the package's, as `eval.mini.train` writes them.

    Raises:
        ModelMissingError: Weights are missing or altered.
        UsageError: An option that it cannot honour.
    """
    if dtype not in ("auto", "float32"):
        raise UsageError(f"got dtype {dtype!r} for {name}", allowed="auto, float32")
    largest = max(
        options.query_tokens, options.ocr_tokens, options.asr_tokens, options.description_tokens
    )
    if largest > 510:
        raise UsageError(f"got a cap of {largest} tokens for {name}", allowed="up to 510")
    defaults = EncoderOptions()
    for option in sorted(EncoderOptions.model_fields.keys() - _HONOURED):
        if getattr(options, option) != getattr(defaults, option):
            raise UsageError(f"got {option} for {name}", allowed="only with the Qwen encoders")
    place = torch.device("cpu") if device == "auto" else choose_device(device)
    if name == "mini":
        network, file = load_text_network(), PROJECTION
    else:
        file = weights or WEIGHTS
        network = load_network(file)
    looks = name == "mini-vl"
    reader = MiniReader(options, looks=looks, all_words=looks)
    return MiniEncoder(name, network.to(place), reader, checksum(file))
