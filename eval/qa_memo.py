"""An encoder that remembers texts: the same passages are read for one question after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from clamr_rag.encoder import Encoder
from clamr_rag.encoder.clip_reading import FramesWanted
from clamr_rag.types import ClipInput, Modality, MultiVector

_MOST_TEXTS = 30_000
"""Some 200 MB of vectors."""


class MemoEncoder:
    """Encodes each text alone and remembers it.

    Alone, so that what a question gets depends on no question before it: a batch is padded to its
    longest text, which changes the last bits.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Remembers nothing yet."""
        self._encoder = encoder
        self._query = lru_cache(_MOST_TEXTS)(encoder.encode_query)
        self._text = lru_cache(_MOST_TEXTS)(self._encode_text)

    @property
    def name(self) -> str:
        """The encoder's."""
        return self._encoder.name

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self._encoder.fingerprint

    @property
    def dim(self) -> int:
        """The encoder's."""
        return self._encoder.dim

    @property
    def reads(self) -> frozenset[Modality]:
        """The encoder's."""
        return self._encoder.reads

    @property
    def running_on(self) -> str:
        """The encoder's."""
        return self._encoder.running_on

    @property
    def frames_wanted(self) -> FramesWanted:
        """The encoder's."""
        return self._encoder.frames_wanted

    def encode_query(self, text: str) -> MultiVector:
        """See `Encoder.encode_query`."""
        return self._query(text)

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        """See `Encoder.encode_clips`; only plain texts are remembered."""
        if keep_other or not all(map(_is_plain, clips)):
            return self._encoder.encode_clips(clips, keep_other=keep_other)
        return [self._text(clip.ocr, clip.asr, clip.description) for clip in clips]

    def _encode_text(
        self, ocr: str | None, asr: str | None, description: str | None
    ) -> MultiVector:
        clip = ClipInput(ocr=ocr, asr=asr, description=description)
        [vectors] = self._encoder.encode_clips([clip])
        return vectors


def _is_plain(clip: ClipInput) -> bool:
    """Whether there is nothing but text, of no known second."""
    return not clip.frames and clip.audio is None and not clip.text_marks
