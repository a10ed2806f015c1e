"""What encoders made of clips and queries, computed once and shared by the arms that need it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from clamr_rag.encoder import Encoder
from clamr_rag.types import TEXT_MODALITIES, ClipInput, Modality, MultiVector
from eval.arms.pools import ClipPool, digest, only

T = TypeVar("T")
_WINDOW_BATCHES = 4
"""Batches whose clips are sorted by length, so that little of a batch is padding."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """All clips of a pool, as an encoder sees some of their modalities together."""

    vectors: tuple[MultiVector, ...]
    """One per clip, no rows where it has nothing to read."""
    seconds: float
    """Wall clock of the encoder alone, when it was computed."""


@dataclass(slots=True)
class Timer:
    """How long something takes, or would have taken had nothing been remembered."""

    seconds: float = 0.0
    remembered: dict[object, float] = field(default_factory=dict)
    """Seconds that each remembered part took when it was computed."""


class EncodingCache:
    """Remembers encodings by encoder, pool and modalities; in a folder, too, if there is one."""

    def __init__(self, folder: Path | None = None, *, batch_clips: int = 8) -> None:
        self._folder = folder
        self._batch_clips = batch_clips
        self._clips: dict[str, Encoded] = {}
        self._made: dict[object, tuple[Any, float]] = {}
        self._timer = Timer()

    def clips(self, encoder: Encoder, pool: ClipPool, modalities: Collection[Modality]) -> Encoded:
        """Encodes every clip of a pool, its modalities together, all others left out.

        Args:
            encoder: That reads them.
            pool: Of clips.
            modalities: Those that are read in one sequence.
        """
        names = sorted(modality.name for modality in modalities)
        key = digest(encoder.fingerprint, pool.fingerprint, *names)
        if key not in self._clips:
            path = self._folder / f"{key}.npz" if self._folder else None
            if path and path.is_file():
                self._clips[key] = _load(path)
            else:
                self._clips[key] = self._encode(encoder, pool, frozenset(modalities))
                if path:
                    _save(self._clips[key], path)
        return self._clips[key]

    def separate(
        self, encoder: Encoder, pool: ClipPool, modalities: Collection[Modality]
    ) -> Encoded:
        """Encodes each modality of every clip alone, and puts the vectors behind each other."""
        alone = [self.clips(encoder, pool, (modality,)) for modality in sorted(modalities)]
        of_clips = zip(*(encoded.vectors for encoded in alone), strict=True)
        joined = tuple(_joined(parts) for parts in of_clips)
        return Encoded(joined, sum(encoded.seconds for encoded in alone))

    def query(self, encoder: Encoder, text: str) -> MultiVector:
        """Encodes a query, or remembers it.

        Raises:
            UsageError: It is blank.
        """
        return self.once((encoder.fingerprint, text), lambda: encoder.encode_query(text))

    def once(self, key: object, compute: Callable[[], T]) -> T:
        """What was computed under a key, computed only the first time."""
        if key in self._made:
            made, seconds = self._made[key]
            self._timer.remembered[key] = seconds
            return made  # type: ignore[no-any-return]
        started = time.perf_counter()
        made = compute()
        self._made[key] = made, time.perf_counter() - started
        return made

    @contextmanager
    def timed(self) -> Iterator[Timer]:
        """Times a block as if nothing of a query had been remembered from before it."""
        before = set(self._made)
        self._timer = timer = Timer()
        started = time.perf_counter()
        yield timer
        seconds = time.perf_counter() - started
        old = [took for key, took in timer.remembered.items() if key in before]
        timer.seconds = seconds + sum(old)

    def _encode(self, encoder: Encoder, pool: ClipPool, modalities: frozenset[Modality]) -> Encoded:
        size, seconds = self._batch_clips, 0.0
        vectors: list[MultiVector] = []
        inputs = pool.read(range(len(pool.clips)), modalities)
        while window := [only(read, modalities) for read in islice(inputs, size * _WINDOW_BATCHES)]:
            order = sorted(range(len(window)), key=lambda number: -_num_letters(window[number]))
            started = time.perf_counter()
            found: dict[int, MultiVector] = {}
            for at in range(0, len(order), size):
                batch = order[at : at + size]
                encoded = encoder.encode_clips([window[number] for number in batch])
                found.update(zip(batch, encoded, strict=True))
            seconds += time.perf_counter() - started
            vectors += [found[number] for number in range(len(window))]
        return Encoded(tuple(vectors), seconds)


def _num_letters(read: ClipInput) -> int:
    return sum(len(read.text(modality) or "") for modality in TEXT_MODALITIES)


def _joined(parts: Sequence[MultiVector]) -> MultiVector:
    return MultiVector(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.modalities for part in parts]),
        np.concatenate([part.seconds for part in parts]),
    )


def _save(encoded: Encoded, path: Path) -> None:
    """Writes a file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    together = _joined(encoded.vectors)
    with unfinished.open("wb") as file:
        np.savez(
            file,
            vectors=together.vectors,
            modalities=together.modalities,
            seconds=together.seconds,
            counts=np.array([len(vectors) for vectors in encoded.vectors]),
            took=np.array(encoded.seconds),
        )
    unfinished.replace(path)


def _load(path: Path) -> Encoded:
    with np.load(path, allow_pickle=False) as file:
        stops = np.cumsum(file["counts"])[:-1]
        parts = (np.split(file[name], stops) for name in ("vectors", "modalities", "seconds"))
        vectors = tuple(MultiVector(*rows) for rows in zip(*parts, strict=True))
        return Encoded(vectors, float(file["took"]))
