"""`mini`: a joint late-interaction encoder for CPUs whose weights come with ``pip install``.

On-screen text, speech and metadata of a clip stand in one sequence with full attention, so every
token knows of the other modalities; each hidden state is projected to 128 dimensions and scaled
to unit length (as ColBERT does, Khattab & Zaharia 2020). The projection is orthogonal: the leading
singular vectors of the trunk's hidden states (`eval/fit_mini_projection.py`), not yet trained.
`mini` does not read frames yet.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.clip_reading import FramesWanted
from clamr_rag.encoder.devices import choose_device, dtype_name
from clamr_rag.encoder.minilm import WEIGHTS_SHA256, MiniLM, load_minilm, model_folder
from clamr_rag.errors import OutOfMemoryError, UsageError
from clamr_rag.types import TEXT_MODALITIES, ClipInput, Modality, MultiVector

PROJECTION = Path(__file__).with_name("mini_projection.safetensors")
_CLS, _SEP, _PAD = 101, 102, 0
_HONOURED = {"query_tokens", "ocr_tokens", "asr_tokens", "description_tokens", "batch_clips"}
"""Options that mean something to an encoder of texts; another value of the others is refused."""

# Words that a question asks with, not for: function words, light verbs, and talk about the video
# itself. They match everything and say nothing of the moment.
_STOP_WORDS = frozenset(
    """a about an and are as at be been being but by can could did do does doing for from had has
    have he her his how i if in into is it its many may me might much must my no not of on or
    our s she should so t than that the their them then there these they this those to us very
    was we were what when where which who whom whose why will with would you your
    came come find found gave get give go goes got happen happened happens keep kept made make
    take taken took use used went
    clip describe described explain explained lecture mention mentioned mentions say says said
    show shown shows speaker talk talked talks tell tells told video
    """.split()
)


@dataclass(frozen=True, slots=True)
class Sequence512:
    """One clip as the trunk reads it: parallel lists of ``n`` entries."""

    ids: list[int]
    positions: list[int]
    modalities: list[int]
    seconds: list[float]


class MiniEncoder:
    """Encoder of text modalities on the MiniLM trunk; see the module's docstring."""

    name = "mini"
    reads = frozenset(TEXT_MODALITIES)

    def __init__(
        self, trunk: MiniLM, projection: torch.Tensor, tokenizer: Tokenizer, options: EncoderOptions
    ) -> None:
        self._trunk = trunk
        self._projection = projection
        self._tokenizer = tokenizer
        self._caps = {
            Modality.OCR: options.ocr_tokens,
            Modality.ASR: options.asr_tokens,
            Modality.DESCRIPTION: options.description_tokens,
        }
        self._query_tokens = options.query_tokens

    @property
    def dim(self) -> int:
        """Width of a vector: 128."""
        return int(self._projection.shape[1])

    @property
    def running_on(self) -> str:
        """Device and number format, e.g. ``"cpu, float32"``; its attention is not a choice."""
        return f"{self._projection.device}, {dtype_name(self._projection.dtype)}"

    @cached_property
    def fingerprint(self) -> str:
        """Trunk, projection and the caps that shape a clip's vectors."""
        projection = hashlib.sha256(self._projection.cpu().numpy().tobytes()).hexdigest()
        caps = "-".join(str(cap) for cap in self._caps.values())
        return f"mini/{WEIGHTS_SHA256[:8]}/{projection[:8]}/{caps}"

    frames_wanted = FramesWanted(4, 448)

    def encode_query(self, text: str) -> MultiVector:
        """Encodes a question; rows of stop words and punctuation are left out.

        They do take part in the attention. A question of nothing else keeps all its rows. Longer
        questions than ``query_tokens`` are cut.

        Raises:
            UsageError: The text is blank or has no character the tokenizer knows.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids, offsets = encoding.ids[: self._query_tokens], encoding.offsets
        if not ids:
            raise UsageError(f"got a blank question {text!r}", hint="ask something in words")
        words = [text[start:stop] for start, stop in offsets[: len(ids)]]
        kept = [i for i, word in enumerate(encoding.tokens[: len(ids)]) if _has_content(word)]
        kept = kept or list(range(len(ids)))
        sequence = Sequence512(
            [_CLS, *ids, _SEP], list(range(len(ids) + 2)), [0] * (len(ids) + 2), []
        )
        rows = self._encode([sequence])[0][1:-1][kept]
        return MultiVector(
            rows,
            np.zeros(len(rows), np.uint8),
            np.full(len(rows), np.nan, np.float32),
            tuple(words[i] for i in kept),
        )

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        """Encodes a batch of clips in one pass of the trunk, padded to its longest.

        Args:
            clips: Their frames and sound are not read.
            keep_other: Keep the rows of ``[CLS]`` and ``[SEP]``, with modality OTHER.

        Returns:
            One multi-vector per clip; no rows for a clip without text.
        """
        sequences = [self._sequence(clip) for clip in clips]
        vectors = []
        for sequence, rows in zip(sequences, self._encode(sequences), strict=True):
            modalities = np.array(sequence.modalities, np.uint8)
            has_text = bool(modalities.any())
            keep = np.full(len(rows), has_text) if keep_other else modalities != Modality.OTHER
            seconds = np.array(sequence.seconds, np.float32)
            vectors.append(MultiVector(rows[keep], modalities[keep], seconds[keep]))
        return vectors

    def _sequence(self, clip: ClipInput) -> Sequence512:
        """Lays the clip's texts behind each other: ``[CLS] ocr [SEP] asr [SEP] description [SEP]``.

        Positions start anew with each modality, so that every one may use its whole cap within
        the 512 positions of the trunk.
        """
        sequence = Sequence512([_CLS], [0], [Modality.OTHER], [float("nan")])
        for modality in TEXT_MODALITIES:
            text = clip.text(modality)
            if text is None:
                continue
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            ids = encoding.ids[: self._caps[modality]]
            marks = clip.text_marks.get(modality, ())
            sequence.ids.extend([*ids, _SEP])
            sequence.positions.extend(range(1, len(ids) + 2))
            sequence.modalities.extend([*[int(modality)] * len(ids), Modality.OTHER])
            starts = [start for start, _ in encoding.offsets[: len(ids)]]
            sequence.seconds.extend([*(_second_at(start, marks) for start in starts), float("nan")])
        return sequence

    @torch.inference_mode()
    def _encode(self, sequences: Sequence[Sequence512]) -> list[np.ndarray]:
        """Returns unit rows ``(n, dim)`` per sequence, float32."""
        if not sequences:
            return []
        longest = max(len(sequence.ids) for sequence in sequences)
        ids = torch.full((len(sequences), longest), _PAD)
        positions = torch.zeros_like(ids)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
            positions[row, : len(sequence.ids)] = torch.tensor(sequence.positions)
            mask[row, : len(sequence.ids)] = True
        device = self._projection.device
        try:
            hidden = self._trunk(ids.to(device), positions.to(device), mask.to(device))
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate" not in str(error):
                raise
            raise OutOfMemoryError(
                f"no memory to encode {len(sequences)} clips of {longest} tokens",
                hint="lower it with --set encoder.batch_clips=1",
            ) from error
        unit = torch.nn.functional.normalize(hidden @ self._projection, dim=-1).cpu().numpy()
        return [rows[: len(sequence.ids)] for rows, sequence in zip(unit, sequences, strict=True)]


def load_mini(options: EncoderOptions, *, device: str = "auto", dtype: str = "auto") -> MiniEncoder:
    """Loads the embedded encoder.

    Args:
        options: Token caps of the query and of each text modality, at most 510.
        device: A torch device; ``"auto"`` is the CPU, where `mini` is fast enough.
        dtype: Only float32 (``"auto"`` or ``"float32"``).

    Raises:
        ModelMissingError: The trunk's weights are missing or altered.
        UsageError: An option that `mini` cannot honour.
    """
    if dtype not in ("auto", "float32"):
        raise UsageError(f"got dtype {dtype!r} for mini", allowed="auto, float32")
    largest = max(
        options.query_tokens, options.ocr_tokens, options.asr_tokens, options.description_tokens
    )
    if largest > 510:
        raise UsageError(f"got a cap of {largest} tokens for mini", allowed="up to 510")
    defaults = EncoderOptions()
    for name in sorted(EncoderOptions.model_fields.keys() - _HONOURED):
        if getattr(options, name) != getattr(defaults, name):
            raise UsageError(f"got {name} for mini", allowed="only with the Qwen encoders")
    place = torch.device("cpu") if device == "auto" else choose_device(device)
    projection = load_file(PROJECTION)["projection"].to(place)
    trunk = load_minilm().to(place)
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    # The published tokenizer pads and cuts at 128 tokens; caps are ours to set.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return MiniEncoder(trunk, projection, tokenizer, options)


def _has_content(piece: str) -> bool:
    """Whether a word piece says what is asked for."""
    return any(c.isalnum() for c in piece) and piece not in _STOP_WORDS


def _second_at(offset: int, marks: tuple[tuple[int, float], ...]) -> float:
    """Second of the last mark at or before a character offset, NaN before the first."""
    index = bisect_right(marks, offset, key=lambda mark: mark[0]) - 1
    return marks[index][1] if index >= 0 else float("nan")
