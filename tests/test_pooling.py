"""Token pooling: budget, modality, seconds, determinism, and what it costs in score."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library_values import MODALITY_LISTS, SEEDS, clip_vectors, query_vectors, unit

from clamr_rag.encoder.pooling import PoolingMethod, pool
from clamr_rag.scoring import token_max
from clamr_rag.types import FloatArray, Modality, MultiVector

METHODS: list[PoolingMethod] = ["hierarchical", "shared", "kmeans"]
ALL = pytest.mark.parametrize("method", METHODS)
LONG_LISTS = st.lists(st.integers(0, 5), min_size=1, max_size=60)


def speech(*vectors: list[float], seconds: list[float]) -> MultiVector:
    rows = np.array(vectors, np.float32)
    modalities = np.full(len(rows), Modality.ASR, np.uint8)
    return MultiVector(unit(rows), modalities, np.array(seconds, np.float32))


def around(directions: FloatArray, copies: int, seed: int) -> MultiVector:
    """Rows that lie close around a few directions."""
    noise = np.random.default_rng(seed).standard_normal((len(directions) * copies, 16)) * 0.01
    rows = unit(np.repeat(directions, copies, axis=0) + noise.astype(np.float32))
    n = len(rows)
    return MultiVector(rows, np.full(n, 1, np.uint8), np.arange(n, dtype=np.float32))


@ALL
def test_alike_rows_become_their_mean_at_the_second_of_their_medoid(method: PoolingMethod) -> None:
    clip = speech([1, 0.1], [1, 0], [1, -0.1], [0, 1], seconds=[5, 6, 7, 8])
    pooled = pool(clip, 2, method)
    assert pooled.vectors == pytest.approx(np.array([[1, 0], [0, 1]]), abs=1e-6)
    assert pooled.seconds.tolist() == [6, 8]
    assert pooled.modalities.tolist() == [Modality.ASR, Modality.ASR]


@ALL
def test_the_second_is_of_the_nearest_row_that_has_one(method: PoolingMethod) -> None:
    """The chapter's title has no second, the words beside it do: evidence keeps its moment."""
    clip = speech([1, 0.1], [1, 0], [1, -0.2], [0, 1], seconds=[5, np.nan, 7, np.nan])
    pooled = pool(clip, 2, method)
    assert pooled.seconds[0] == 5
    assert np.isnan(pooled.seconds[1]), "a group of undated rows stays undated"


@ALL
@given(LONG_LISTS, SEEDS, st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_no_second_is_lost_where_its_group_has_one(
    method: PoolingMethod, modalities: list[int], seed: int, num_vectors: int
) -> None:
    clip = clip_vectors(modalities, seed)
    dated = MultiVector(clip.vectors, clip.modalities, np.arange(len(clip), dtype=np.float32))
    assert np.isfinite(pool(dated, num_vectors, method).seconds).all()
    half = np.where(np.arange(len(clip)) % 2 == 0, clip.seconds, np.nan).astype(np.float32)
    undated = MultiVector(clip.vectors, clip.modalities, np.full(len(clip), np.nan, np.float32))
    assert np.isnan(pool(undated, num_vectors, method).seconds).all()
    pooled = pool(MultiVector(clip.vectors, clip.modalities, half), num_vectors, method)
    for modality in set(pooled.modalities.tolist()):
        known = np.isfinite(half[clip.modalities == modality]).sum()
        undated_rows = np.isnan(half[clip.modalities == modality]).sum()
        assert np.isnan(pooled.seconds[pooled.modalities == modality]).sum() <= undated_rows
        assert np.isfinite(pooled.seconds[pooled.modalities == modality]).sum() <= known


@ALL
@given(MODALITY_LISTS, SEEDS, st.sampled_from([0, 24, 64]))
@settings(max_examples=30, deadline=None)
def test_few_rows_stay_as_they_are(
    method: PoolingMethod, modalities: list[int], seed: int, num_vectors: int
) -> None:
    clip = clip_vectors(modalities, seed)
    kept = clip.modalities != Modality.OTHER
    pooled = pool(clip, num_vectors, method)
    assert np.array_equal(pooled.vectors, clip.vectors[kept])
    assert np.array_equal(pooled.modalities, clip.modalities[kept])
    assert np.array_equal(pooled.seconds, clip.seconds[kept], equal_nan=True)


@ALL
@given(LONG_LISTS, SEEDS, st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_laws_of_pooled_rows(
    method: PoolingMethod, modalities: list[int], seed: int, num_vectors: int
) -> None:
    clip = clip_vectors(modalities, seed)
    present = set(modalities) - {Modality.OTHER}
    num_rows = sum(modality != Modality.OTHER for modality in modalities)
    pooled = pool(clip, num_vectors, method)
    # As many as asked for, but one for each modality that is there.
    assert len(pooled) == min(num_rows, max(num_vectors, len(present)))
    assert set(pooled.modalities.tolist()) == present
    assert np.linalg.norm(pooled.vectors, axis=1) == pytest.approx(np.ones(len(pooled)), abs=1e-5)
    for modality, seconds in zip(pooled.modalities, pooled.seconds, strict=True):
        source = clip.seconds[clip.modalities == modality]
        assert (np.isnan(seconds) and np.isnan(source).any()) or seconds in source


@pytest.mark.parametrize("method", ["hierarchical", "kmeans"])
@given(LONG_LISTS, SEEDS, st.integers(4, 20))
@settings(max_examples=30, deadline=None)
def test_the_budget_is_shared_in_proportion(
    method: PoolingMethod, modalities: list[int], seed: int, num_vectors: int
) -> None:
    pooled = pool(clip_vectors(modalities, seed), num_vectors, method)
    rows = np.bincount([m for m in modalities if m], minlength=6)
    shares = np.bincount(pooled.modalities, minlength=6)
    # Whoever has more rows does not get fewer vectors, and nobody more than it has rows.
    for one in range(1, 6):
        assert shares[one] <= rows[one]
        for other in range(1, 6):
            if rows[one] > rows[other] > 0:
                assert shares[one] >= shares[other]


def test_a_shared_budget_goes_to_the_modality_whose_rows_differ() -> None:
    """Grey patches are one thing however many they are; words are not."""
    patches = around(np.eye(16, dtype=np.float32)[:1], 40, seed=2)
    words = clip_vectors([Modality.ASR] * 9, 4)
    clip = MultiVector(
        np.concatenate([patches.vectors, words.vectors]),
        np.concatenate([patches.modalities, words.modalities]),
        np.concatenate([patches.seconds, words.seconds]),
    )
    kept = {method: pool(clip, 10, method) for method in METHODS}
    assert (kept["shared"].modalities == Modality.ASR).sum() == 9
    assert (kept["hierarchical"].modalities == Modality.ASR).sum() == 2


@given(LONG_LISTS, SEEDS, st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_a_shared_budget_merges_what_loses_least(
    modalities: list[int], seed: int, num_vectors: int
) -> None:
    """Within every modality its groups are those of its own clustering: only the shares differ."""
    clip = clip_vectors(modalities, seed)
    shared = pool(clip, num_vectors, "shared")
    for modality in set(shared.modalities.tolist()):
        own = clip.modalities == modality
        alone = MultiVector(clip.vectors[own], clip.modalities[own], clip.seconds[own])
        mine = shared.vectors[shared.modalities == modality]
        expected = pool(alone, len(mine), "hierarchical").vectors
        assert np.array_equal(np.unique(mine, axis=0), np.unique(expected, axis=0))


@ALL
@given(LONG_LISTS, SEEDS)
@settings(max_examples=20, deadline=None)
def test_pooling_again_gives_the_same(
    method: PoolingMethod, modalities: list[int], seed: int
) -> None:
    first, second = (pool(clip_vectors(modalities, seed), 6, method) for _ in range(2))
    assert np.array_equal(first.vectors, second.vectors)
    assert np.array_equal(first.seconds, second.seconds, equal_nan=True)


def test_another_process_gives_the_same() -> None:
    """The same clips in a resumed run: nothing may hang on hash seeds or on memory."""
    code = (
        "import zlib; from library_values import clip_vectors;"
        "from clamr_rag.encoder.pooling import pool;"
        "p = pool(clip_vectors([1, 2, 3, 3, 3] * 30, 7, 128), 20);"
        "print(zlib.crc32(p.vectors.tobytes()), zlib.crc32(p.seconds.tobytes()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={"PYTHONPATH": "tests:.", "PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@ALL
def test_well_parted_groups_are_found(method: PoolingMethod) -> None:
    directions = np.eye(16, dtype=np.float32)[:7]
    pooled = pool(around(directions, 9, seed=3), 7, method)
    assert (pooled.vectors @ directions.T).max(axis=0).min() > 0.999


@ALL
def test_equal_and_opposite_rows_are_no_trouble(method: PoolingMethod) -> None:
    same = speech(*[[1.0, 0.0]] * 8, seconds=list(range(8)))
    assert pool(same, 3, method).vectors == pytest.approx(np.array([[1, 0]] * 3))
    opposite = speech([1, 0], [-1, 0], seconds=[0, 1])
    assert np.abs(pool(opposite, 1, method).vectors) == pytest.approx(np.array([[1, 0]]))


@ALL
def test_a_clip_without_rows(method: PoolingMethod) -> None:
    assert pool(clip_vectors([], 1), 64, method).vectors.shape == (0, 16)
    assert pool(clip_vectors([0, 0], 1), 1, method).vectors.shape == (0, 16)


@ALL
def test_a_word_is_still_found_after_pooling_a_talkative_clip(method: PoolingMethod) -> None:
    """300 rows in 40 groups pooled to 64: a query row copied from the clip keeps its match."""
    random = np.random.default_rng(5)
    directions = unit(random.standard_normal((40, 16)).astype(np.float32))
    clip = around(directions, 8, seed=6)
    query = MultiVector(clip.vectors[[4, 100]], np.zeros(2, np.uint8), np.zeros(2, np.float32))
    assert token_max(query, [pool(clip, 64, method)])[0] > 0.99
    unrelated = query_vectors(2, 9)
    assert token_max(unrelated, [pool(clip, 64, method)])[0] < 0.95
