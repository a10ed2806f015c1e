"""Clips, pools and an encoder whose scores can be worked out by hand, for tests of arms."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clamr_rag.encoder.clip_reading import FramesWanted
from clamr_rag.errors import UsageError
from clamr_rag.types import TEXT_MODALITIES, ClipInput, Modality, MultiVector, TimeSpan
from eval.arms import PoolClip
from eval.arms.pools import texts_digest

DIM = 64
ALL = frozenset({*TEXT_MODALITIES, Modality.VIDEO})
FOUR_FRAMES = FramesWanted(4, 448)


def word_vector(word: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
    row = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return row / np.linalg.norm(row)


@dataclass
class WordEncoder:
    """One vector per word; a frame of grey ``k`` is the word ``grey<k>``.

    With ``context`` above 0 every vector leans towards the mean of its sequence, so that reading
    modalities together is another thing than reading them apart.
    """

    reads: frozenset[Modality] = ALL
    context: float = 0.0
    name: str = "words"
    dim: int = DIM
    running_on: str = "cpu"
    frames_wanted: FramesWanted = FOUR_FRAMES
    batches: list[int] = field(default_factory=list)
    """Clips of each call."""
    queries: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return f"words/{self.context}/{sorted(self.reads)}"

    def encode_query(self, text: str) -> MultiVector:
        self.queries.append(text)
        words = text.split()
        if not words:
            raise UsageError("got a blank query")
        rows = np.stack([word_vector(word) for word in words])
        count = len(words)
        nowhere = np.full(count, np.nan, np.float32)
        return MultiVector(rows, np.zeros(count, np.uint8), nowhere, tuple(words))

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        self.batches.append(len(clips))
        return [self._encoded(clip) for clip in clips]

    def _encoded(self, clip: ClipInput) -> MultiVector:
        words = [(m, w) for m in TEXT_MODALITIES for w in (clip.text(m) or "").split()]
        words += [(Modality.VIDEO, f"grey{int(frame[0, 0, 0])}") for frame in clip.frames]
        words = [(modality, word) for modality, word in words if modality in self.reads]
        rows = np.array([word_vector(word) for _, word in words], np.float32).reshape(-1, DIM)
        if len(rows):
            rows = rows + self.context * rows.mean(axis=0)
            rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        modalities = np.array([modality for modality, _ in words], np.uint8)
        return MultiVector(rows, modalities, np.full(len(rows), np.nan, np.float32))


def read_of(grey: int | None = None, **texts: str) -> ClipInput:
    frames = () if grey is None else (np.full((4, 6, 3), grey, np.uint8),)
    return ClipInput(frames=frames, frame_seconds=(1.0,) * len(frames), **texts)


class ListPool:
    """Clips of ten seconds each, two to a video, given by what is read of them."""

    def __init__(self, *inputs: ClipInput) -> None:
        self._inputs = inputs
        self.asked: list[tuple[tuple[int, ...], frozenset[Modality]]] = []

    @property
    def clips(self) -> Sequence[PoolClip]:
        return tuple(
            PoolClip(
                f"c{number}",
                f"v{number // 2}",
                TimeSpan(10 * (number % 2), 10 * (number % 2) + 10),
                ClipInput(ocr=read.ocr, asr=read.asr, description=read.description),
            )
            for number, read in enumerate(self._inputs)
        )

    @property
    def fingerprint(self) -> str:
        greys = [[int(frame[0, 0, 0]) for frame in read.frames] for read in self._inputs]
        return f"{texts_digest(self.clips)} {greys}"

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        self.asked.append((tuple(numbers), frozenset(senses)))
        for number in numbers:
            read = self._inputs[number]
            looks = Modality.VIDEO in senses
            yield ClipInput(
                frames=read.frames if looks else (),
                frame_seconds=read.frame_seconds if looks else (),
                ocr=read.ocr,
                asr=read.asr,
                description=read.description,
            )


def scores_of(found: Sequence[object]) -> Mapping[str, float]:
    return {each.clip_id: each.score for each in found}  # type: ignore[attr-defined]
