"""How fast a library is searched, against the plain reference: ``python -m eval.bench_search``.

Random clips that are alike within a video, as real ones are. The plain reference scores clip by
clip what the library stores; its time per clip does not depend on their number.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clamr_rag.config import SearchOptions
from clamr_rag.index import ClipIndex
from clamr_rag.index.chroma import ChromaIndex
from clamr_rag.index.exact import ExactIndex
from clamr_rag.index.store import Store
from clamr_rag.scoring import modality_max
from clamr_rag.types import Clip, FloatArray, MultiVector, TimeSpan, Video

Floats = npt.NDArray[np.floating]

CLIPS_PER_VIDEO = 200
REFERENCE_CLIPS = 1000
TOP_K = 10


@dataclass(frozen=True, slots=True)
class Size:
    """What is searched."""

    num_clips: int
    rows_per_clip: int
    dim: int
    query_tokens: int
    num_queries: int


def main() -> None:
    """Builds a library in a temporary folder and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=64, help="token vectors per clip")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=24, help="query tokens")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--chroma", action="store_true", help="time and recall of candidates too")
    chosen = parser.parse_args()
    size = Size(chosen.clips, chosen.rows, chosen.dim, chosen.tokens, chosen.queries)
    with tempfile.TemporaryDirectory() as folder, Store.open(folder) as store:
        _fill(store, size)
        _compare(store, size, with_chroma=chosen.chroma)


def _compare(store: Store, size: Size, *, with_chroma: bool) -> None:
    print(f"{size}")
    exact = ExactIndex(store)
    _, read_seconds = _timed(exact.refresh)
    queries = list(_queries(store, size))
    exact_ms = _median_ms(exact, queries)
    sample = [vectors for _, vectors in _first(store.iter_vectors(), REFERENCE_CLIPS)]
    _, sample_seconds = _timed(lambda: modality_max(queries[0], sample))
    plain_ms = sample_seconds / len(sample) * size.num_clips * 1000
    size_mb = store.path.stat().st_size / 1e6
    print(f"file {size_mb:.0f} MB, read and checked in {read_seconds:.2f} s")
    print(f"exact search    {exact_ms:8.1f} ms (median of {len(queries)})")
    print(f"plain reference {plain_ms:8.1f} ms (from {len(sample)} clips)")
    print(f"ratio           {plain_ms / exact_ms:8.1f}")
    if with_chroma:
        _compare_chroma(store, exact, queries)


def _compare_chroma(store: Store, exact: ExactIndex, queries: list[MultiVector]) -> None:
    for num_candidates in (1000, 3000):
        options = SearchOptions(candidates="chroma", num_candidates=num_candidates)
        index = ChromaIndex(store, options)
        _, open_seconds = _timed(index.refresh)
        found = wanted = 0
        for query in queries:
            truth = {hit.clip_id for hit in exact.search(query, top_k=TOP_K)}
            found += len(truth & {hit.clip_id for hit in index.search(query, top_k=TOP_K)})
            wanted += len(truth)
        print(
            f"chroma, {num_candidates} candidates: {_median_ms(index, queries):.1f} ms, "
            f"recall@{TOP_K} {found / wanted:.3f}, made or opened in {open_seconds:.1f} s"
        )
        index.close()


def _timed(work: Callable[[], object]) -> tuple[object, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _median_ms(index: ClipIndex, queries: list[MultiVector]) -> float:
    index.search(queries[0], top_k=TOP_K)
    times = [_timed(lambda query=query: index.search(query, top_k=TOP_K))[1] for query in queries]  # type: ignore[misc]
    return statistics.median(times) * 1000


def _first(
    pairs: Iterator[tuple[str, MultiVector]], number: int
) -> Iterator[tuple[str, MultiVector]]:
    for _, pair in zip(range(number), pairs, strict=False):
        yield pair


# --- random libraries


def _fill(store: Store, size: Size) -> None:
    random = np.random.default_rng(0)
    for first in range(0, size.num_clips, CLIPS_PER_VIDEO):
        video = Video(f"{first:016x}", f"/{first}.mp4", f"{first}", 3600.0, 1)
        num_clips = min(CLIPS_PER_VIDEO, size.num_clips - first)
        clips = [
            Clip(f"{video.video_id}-{n:05d}", video.video_id, n, TimeSpan(18.0 * n, 18.0 * n + 18))
            for n in range(num_clips)
        ]
        topic = random.standard_normal(size.dim)
        with store.writing():
            store.begin_video(video, "bench")
            store.plan_clips(video.video_id, clips)
            pairs = [(clip.clip_id, _clip_vectors(random, topic, size)) for clip in clips]
            store.put_vectors(video.video_id, pairs)
            store.finish_video(video.video_id)


def _clip_vectors(random: np.random.Generator, topic: Floats, size: Size) -> MultiVector:
    noise = random.standard_normal((size.rows_per_clip, size.dim)) * 1.5
    modalities = np.sort(random.choice([1, 2, 3, 4], size.rows_per_clip, p=[0.5, 0.2, 0.2, 0.1]))
    return MultiVector(
        _unit(topic + random.standard_normal(size.dim) + noise),
        modalities.astype(np.uint8),
        np.zeros(size.rows_per_clip, np.float32),
    )


def _queries(store: Store, size: Size) -> Iterator[MultiVector]:
    """Half broad (rows all over a clip), half needles (a few rows of one modality), with noise."""
    random = np.random.default_rng(1)
    videos = store.searchable()
    for number in range(size.num_queries):
        record = videos[int(random.integers(len(videos)))]
        clip = f"{record.video.video_id}-{int(random.integers(record.num_clips)):05d}"
        vectors = store.vectors(clip)
        kept = np.arange(len(vectors))
        if number % 2:
            kept = np.flatnonzero(vectors.modalities == vectors.modalities[-1])[:3]
        rows = vectors.vectors[random.choice(kept, size.query_tokens)]
        noise = random.standard_normal(rows.shape) / np.sqrt(size.dim)
        zeros = np.zeros(size.query_tokens)
        yield MultiVector(_unit(rows + noise), zeros.astype(np.uint8), zeros.astype(np.float32))


def _unit(rows: Floats) -> FloatArray:
    unit: FloatArray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


if __name__ == "__main__":
    main()
