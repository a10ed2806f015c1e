"""Random multi-vectors and small libraries for the tests of scoring and of the index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from clamr_rag.index.codec import CodecName
from clamr_rag.index.store import Store
from clamr_rag.types import (
    Clip,
    Cue,
    FloatArray,
    MetadataLine,
    Modality,
    MultiVector,
    OcrLine,
    TimeSpan,
    Video,
    Word,
)

DIM = 16
SEEDS = st.integers(0, 2**32 - 1)
MODALITY_LISTS = st.lists(st.integers(0, 5), max_size=24)
"""Modalities of the rows of one clip; OTHER and missing ones included."""


def unit(rows: FloatArray) -> FloatArray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clip_vectors(modalities: Sequence[int], seed: int, dim: int = DIM) -> MultiVector:
    """Random unit rows of the given modalities; every third row has no second."""
    random = np.random.default_rng(seed)
    seconds = np.where(np.arange(len(modalities)) % 3 == 2, np.nan, np.arange(len(modalities)))
    return MultiVector(
        unit(random.standard_normal((len(modalities), dim))),
        np.array(modalities, np.uint8),
        seconds.astype(np.float32),
    )


def query_vectors(num_tokens: int, seed: int, dim: int = DIM) -> MultiVector:
    query = clip_vectors([Modality.OTHER] * num_tokens, seed, dim)
    tokens = tuple(f"word{number}" for number in range(num_tokens))
    return MultiVector(query.vectors, query.modalities, query.seconds, tokens)


def video(name: str) -> Video:
    """A video whose id is the name's letters, repeated to the length of a content key."""
    return Video((name * 64)[:64], f"/films/{name}.mp4", f"The {name}", 600.0, 1234)


def clips_of(owner: Video, num_clips: int) -> tuple[Clip, ...]:
    """Clips of 20 s with all kinds of text in them."""
    return tuple(_clip(owner, number) for number in range(num_clips))


def _clip(owner: Video, number: int) -> Clip:
    start = 20.0 * number
    return Clip(
        clip_id=f"{owner.video_id}-{number:05d}",
        video_id=owner.video_id,
        number=number,
        span=TimeSpan(start, start + 20.0),
        cues=(
            Cue(start + 0.1, start + 1 / 3, f"spoken{number} Überraschung"),
            Cue(start + 5, start + 6, "two words", (Word(start + 5, start + 5.5, "two"),)),
        ),
        ocr_lines=(
            OcrLine(f"shown{number} 第三季", start, start + 7, (0.1, 0.2, 1 / 3, 0.4), 0.9),
        ),
        metadata=(
            MetadataLine("Title: town hall", "tags"),
            MetadataLine(f"Chapter: part{number}", "chapters", TimeSpan(start, start + 100)),
        ),
    )


def add_video(
    store: Store,
    owner: Video,
    vectors: Sequence[MultiVector],
    *,
    options: str = "options",
    codec: CodecName = "int8",
) -> None:
    """Brings a video with one clip per multi-vector into the library."""
    clips = clips_of(owner, len(vectors))
    store.begin_video(owner, options)
    store.plan_clips(owner.video_id, clips)
    pairs = [
        (clip.clip_id, clip_vectors) for clip, clip_vectors in zip(clips, vectors, strict=True)
    ]
    store.put_vectors(owner.video_id, pairs, codec=codec)
    store.finish_video(owner.video_id)


SMALL = [1, 1, 2, 3, 3, 4, 0]
"""Modalities of each clip of `small_library`."""


def small_library(folder: Path, names: str = "abc", clips_each: int = 5, dim: int = DIM) -> Store:
    """A library of videos with random vectors: clip n of video s has seed 100 s + n."""
    store = Store.open(folder)
    store.claim_encoder("mini", "mini:1")
    for seed, name in enumerate(names):
        vectors = [clip_vectors(SMALL, 100 * seed + n, dim) for n in range(clips_each)]
        add_video(store, video(name), vectors)
    return store
