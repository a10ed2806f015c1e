"""Pools of clips that are harder than the world's: with gaps, or with lines that are not true."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from clamr_rag.encoder.stem import fitted
from clamr_rag.types import TEXT_MODALITIES, ClipInput, Modality
from eval.arms.pools import ClipPool, PoolClip, digest, only

MODALITIES = (Modality.VIDEO, *TEXT_MODALITIES)


class DrawnPool:
    """A pool whose pictures are read once, fitted to the stem of `mini`, and kept (0.34 MB a clip).

    Fitting what is fitted changes nothing, so that the encoder sees what it would have seen.
    """

    def __init__(self, pool: ClipPool) -> None:
        self._pool = pool
        self.fingerprint = digest(pool.fingerprint, "fitted")

    @property
    def clips(self) -> Sequence[PoolClip]:
        """Unchanged."""
        return self._pool.clips

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """See `ClipPool.read`."""
        for number in numbers:
            kept = self._inputs[number]
            yield kept if Modality.VIDEO in senses else replace(kept, frames=(), frame_seconds=())

    @cached_property
    def sha256(self) -> str:
        """Of all that is read."""
        hashed = hashlib.sha256()
        for clip in self._inputs:
            hashed.update(repr([clip.text(m) for m in TEXT_MODALITIES]).encode())
            for frame in clip.frames:
                hashed.update(frame.tobytes())
        return hashed.hexdigest()

    @cached_property
    def _inputs(self) -> tuple[ClipInput, ...]:
        numbers = range(len(self._pool.clips))
        return tuple(
            replace(read, frames=tuple(fitted(read.frames)))
            for read in self._pool.read(numbers, MODALITIES)
        )


class GappyPool:
    """A pool in which each clip has some of its modalities only."""

    def __init__(self, pool: ClipPool, kept: Sequence[frozenset[Modality]]) -> None:
        """Takes the rest away.

        Args:
            pool: Of clips.
            kept: By number of the clip.
        """
        self._pool, self._kept = pool, tuple(kept)
        names = ("".join(sorted(m.name[0] for m in modalities)) for modalities in self._kept)
        self.fingerprint = digest(pool.fingerprint, "gaps", *names)

    @cached_property
    def clips(self) -> Sequence[PoolClip]:
        """With what is left of their texts."""
        return tuple(
            replace(clip, texts=only(clip.texts, kept))
            for clip, kept in zip(self._pool.clips, self._kept, strict=True)
        )

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """See `ClipPool.read`."""
        for number, read in zip(numbers, self._pool.read(numbers, senses), strict=True):
            yield only(read, self._kept[number])


def random_gaps(
    clips: Sequence[PoolClip], share: float, seed: int = 0
) -> tuple[frozenset[Modality], ...]:
    """What is kept of each clip if each of its modalities is lost by chance, but never the last.

    Args:
        clips: All of them have pictures.
        share: Chance of each modality to be lost.
        seed: Of the choice.
    """
    rng = random.Random(f"gaps {seed}")
    return tuple(_survivors(rng, modalities_of(clip), share) for clip in clips)


def modalities_of(clip: PoolClip) -> tuple[Modality, ...]:
    """Pictures, and the texts that a clip has."""
    return (Modality.VIDEO, *(m for m in TEXT_MODALITIES if clip.texts.text(m)))


def _survivors(rng: random.Random, there: Sequence[Modality], share: float) -> frozenset[Modality]:
    survivors = frozenset(modality for modality in there if rng.random() >= share)
    return survivors or frozenset({rng.choice(there)})


class LyingPool:
    """A pool in which a line that is not true of it stands in a text of each clip.

    It is said in clips of even numbers and written on the screen of the others, below what is said
    or written there anyway.
    """

    def __init__(self, pool: ClipPool, lines: Sequence[str]) -> None:
        """Plants the lines.

        Args:
            pool: Of clips.
            lines: One per clip.
        """
        self._pool, self._lines = pool, tuple(lines)
        self.fingerprint = digest(pool.fingerprint, "lines", *self._lines)

    @cached_property
    def clips(self) -> Sequence[PoolClip]:
        """With the lines in their texts."""
        return tuple(
            replace(clip, texts=self._told(number, clip.texts))
            for number, clip in enumerate(self._pool.clips)
        )

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """See `ClipPool.read`."""
        for number, read in zip(numbers, self._pool.read(numbers, senses), strict=True):
            yield self._told(number, read)

    def _told(self, number: int, read: ClipInput) -> ClipInput:
        line = self._lines[number]
        if number % 2:
            return replace(read, ocr="\n".join(filter(None, (read.ocr, line))))
        return replace(read, asr="\n".join(filter(None, (read.asr, line))))
