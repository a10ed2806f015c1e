"""The clips that arms search: their texts at hand, their pictures read when they are needed.

A pool can be changed to see what an arm lives on: a modality taken away, pictures blanked, or
pictures dealt out to other clips.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from clamr_rag.types import TEXT_MODALITIES, ByteArray, ClipInput, Modality, TimeSpan


@dataclass(frozen=True, slots=True, eq=False)
class PoolClip:
    """One clip of a pool."""

    clip_id: str
    video_id: str
    span: TimeSpan
    texts: ClipInput
    """What is said, written and told; without pictures and sound."""


class ClipPool(Protocol):
    """Clips that are searched together."""

    @property
    def clips(self) -> Sequence[PoolClip]:
        """In a fixed order."""
        ...

    @property
    def fingerprint(self) -> str:
        """Another one whenever an encoder might read something else."""
        ...

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """Reads some clips by their numbers, in that order.

        Args:
            numbers: Places in ``clips``.
            senses: VIDEO reads pictures, AUDIO reads sound; texts always come.
        """
        ...


def video_hours(clips: Iterable[PoolClip]) -> float:
    """Length of all clips together."""
    return sum(clip.span.duration_seconds for clip in clips) / 3600


def only(read: ClipInput, modalities: Collection[Modality]) -> ClipInput:
    """A clip reduced to some of its modalities."""
    ocr, asr, description = (
        read.text(modality) if modality in modalities else None for modality in TEXT_MODALITIES
    )
    looks, hears = Modality.VIDEO in modalities, Modality.AUDIO in modalities
    return ClipInput(
        frames=read.frames if looks else (),
        frame_seconds=read.frame_seconds if looks else (),
        ocr=ocr,
        asr=asr,
        description=description,
        audio=read.audio if hears else None,
        text_marks={m: marks for m, marks in read.text_marks.items() if m in modalities},
        audio_start_seconds=read.audio_start_seconds if hears else None,
    )


class ReducedPool:
    """A pool without some modalities: neither texts nor pictures of them are left."""

    def __init__(self, pool: ClipPool, without: Collection[Modality]) -> None:
        self._pool = pool
        self._kept = frozenset(Modality) - frozenset(without)
        self.fingerprint = digest(pool.fingerprint, "without", *sorted(m.name for m in without))

    @cached_property
    def clips(self) -> Sequence[PoolClip]:
        """The clips with what is left of their texts."""
        return tuple(replace(clip, texts=only(clip.texts, self._kept)) for clip in self._pool.clips)

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """See `ClipPool.read`; what is taken away is not read."""
        for read in self._pool.read(numbers, self._kept.intersection(senses)):
            yield only(read, self._kept)


class BlankedPool:
    """A pool whose pictures are as many and as large, and all of one grey."""

    _GREY = 127

    def __init__(self, pool: ClipPool) -> None:
        self._pool = pool
        self.fingerprint = digest(pool.fingerprint, "blank frames")

    @property
    def clips(self) -> Sequence[PoolClip]:
        """Unchanged."""
        return self._pool.clips

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """See `ClipPool.read`."""
        for read in self._pool.read(numbers, senses):
            yield replace(
                read, frames=tuple(np.full_like(frame, self._GREY) for frame in read.frames)
            )


def moved(frames: ByteArray, shift: tuple[int, int]) -> ByteArray:
    """Pictures ``(..., height, width, 3)`` moved by pixels right and down, black behind them."""
    out, (right, down) = np.zeros_like(frames), shift
    height, width = frames.shape[-3:-1]
    into = np.s_[..., max(0, down) : height + down, max(0, right) : width + right, :]
    of = np.s_[..., max(0, -down) : height - down, max(0, -right) : width - right, :]
    out[into] = frames[of]
    return out


class MovedPool:
    """A pool whose pictures are moved a little, as in a video that was cropped otherwise."""

    def __init__(self, pool: ClipPool, share: float) -> None:
        """Moves them right and, half as far, down.

        Args:
            pool: Of clips.
            share: How far to the right, as a share of a picture's width, below 1.
        """
        self._pool, self._share = pool, share
        self.fingerprint = digest(pool.fingerprint, f"moved frames {share}")

    @property
    def clips(self) -> Sequence[PoolClip]:
        """Unchanged."""
        return self._pool.clips

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """See `ClipPool.read`."""
        for read in self._pool.read(numbers, senses):
            yield replace(read, frames=tuple(map(self._moved, read.frames)))

    def _moved(self, frame: ByteArray) -> ByteArray:
        right = self._share * frame.shape[1]
        return moved(frame, (round(right), round(right / 2)))


class ShuffledPool:
    """A pool in which each clip has the pictures of another one."""

    def __init__(self, pool: ClipPool, seed: int = 0) -> None:
        self._pool = pool
        self.givers = _no_one_keeps(len(pool.clips), seed)
        """For each clip the one whose pictures it gets."""
        self.fingerprint = digest(pool.fingerprint, f"shuffled frames {seed}")

    @property
    def clips(self) -> Sequence[PoolClip]:
        """Unchanged."""
        return self._pool.clips

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """See `ClipPool.read`; the sound stays with its texts."""
        seen = {Modality.VIDEO}.intersection(senses)
        givers = [self.givers[number] for number in numbers]
        own = self._pool.read(numbers, frozenset(senses) - seen)
        for read, other in zip(own, self._pool.read(givers, seen), strict=True):
            yield replace(read, frames=other.frames, frame_seconds=other.frame_seconds)


def _no_one_keeps(count: int, seed: int) -> tuple[int, ...]:
    """A random cycle through all numbers: nobody keeps what it has, unless it is alone."""
    order = list(range(count))
    random.Random(f"shuffled frames {seed}").shuffle(order)
    givers = dict(zip(order, [*order[1:], *order[:1]], strict=True))
    return tuple(givers[number] for number in range(count))


def digest(*parts: str) -> str:
    """A short name of all parts together."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def texts_digest(clips: Iterable[PoolClip]) -> str:
    """A short name of the clips' ids, times and texts."""
    return digest(
        *(
            f"{clip.clip_id} {clip.video_id} {clip.span} "
            f"{[clip.texts.text(modality) for modality in TEXT_MODALITIES]!r}"
            for clip in clips
        )
    )
