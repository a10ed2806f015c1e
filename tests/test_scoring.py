"""Late-interaction scores: worked by hand, laws, fast against plain, and the released code's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library_values import DIM, MODALITY_LISTS, SEEDS, clip_vectors, query_vectors
from safetensors.numpy import load_file

from clamr_rag import scoring
from clamr_rag.scoring import (
    PackedVectors,
    attribute,
    modality_max,
    modality_scores,
    packed_modality_max,
    packed_modality_scores,
    packed_token_max,
    quantise,
    released,
    token_max,
)
from clamr_rag.types import Modality, MultiVector

GOLDEN = Path(__file__).parent / "golden" / "scores_case_a.safetensors"
CLIPS = st.lists(MODALITY_LISTS, min_size=1, max_size=9)
NUM_TOKENS = st.integers(1, 7)


def rows(*vectors: list[float], modalities: list[int], seconds: float = np.nan) -> MultiVector:
    n = len(vectors)
    return MultiVector(
        np.array(vectors, np.float32).reshape(n, 2),
        np.array(modalities, np.uint8),
        np.full(n, seconds, np.float32),
    )


def make(clips: list[list[int]], seed: int) -> list[MultiVector]:
    return [clip_vectors(modalities, seed + n) for n, modalities in enumerate(clips)]


# --- by hand

QUERY = rows([1, 0], [0, 1], modalities=[0, 0])
EAST_FRAME_NORTH_SPEECH = rows([1, 0], [0, 1], modalities=[Modality.VIDEO, Modality.ASR])
BOTH_SPEECH = rows([0.8, 0.6], [0.6, 0.8], modalities=[Modality.ASR, Modality.ASR])


def test_token_max_may_take_every_token_from_another_modality() -> None:
    assert token_max(QUERY, [EAST_FRAME_NORTH_SPEECH, BOTH_SPEECH]) == pytest.approx([1.0, 0.8])


def test_modality_max_takes_all_tokens_from_one_modality() -> None:
    assert modality_max(QUERY, [EAST_FRAME_NORTH_SPEECH, BOTH_SPEECH]) == pytest.approx([0.5, 0.8])


def test_modality_scores_tell_every_modality_and_minus_infinity_where_there_is_none() -> None:
    inf = np.inf
    expected = [[-inf, 0.5, -inf, 0.5, -inf, -inf], [-inf, -inf, -inf, 0.8, -inf, -inf]]
    found = modality_scores(QUERY, [EAST_FRAME_NORTH_SPEECH, BOTH_SPEECH])
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array(expected))


def test_a_clip_of_template_rows_only_scores_minus_infinity() -> None:
    template = rows([1, 0], modalities=[Modality.OTHER])
    nothing = rows(modalities=[])
    for score in (token_max, modality_max):
        assert np.isneginf(score(QUERY, [template, nothing])).all()
    assert np.isneginf(modality_scores(QUERY, [template, nothing])).all()


def test_a_clip_against_the_query_scores_below_zero() -> None:
    """A zero row in its place would score 0: padding must not be one."""
    assert token_max(QUERY, [rows([-1, 0], modalities=[1])]) == pytest.approx([-0.5])


def test_no_clips_give_no_scores() -> None:
    assert token_max(QUERY, []).shape == (0,)
    assert modality_scores(QUERY, []).shape == (0, 6)


@pytest.mark.parametrize("score", [token_max, modality_max, modality_scores])
def test_a_query_without_tokens_or_of_another_width_is_refused(score: object) -> None:
    assert callable(score)
    with pytest.raises(ValueError, match="at least one token"):
        score(rows(modalities=[]), [BOTH_SPEECH])
    with pytest.raises(ValueError, match="16 and 2"):
        score(query_vectors(1, 0), [BOTH_SPEECH])


# --- laws


@given(CLIPS, NUM_TOKENS, SEEDS)
@settings(max_examples=60, deadline=None)
def test_scores_are_the_formulas(clips: list[list[int]], num_tokens: int, seed: int) -> None:
    """Against loops over tokens, rows and modalities, as the formulas are written."""
    query, vectors = query_vectors(num_tokens, seed), make(clips, seed)
    for clip, by_token, by_modality in zip(
        vectors, token_max(query, vectors), modality_max(query, vectors), strict=True
    ):
        best: dict[int, list[float]] = {}
        for q in query.vectors:
            for modality in {int(m) for m in clip.modalities} - {0}:
                dots = [
                    float(np.dot(q.astype(float), d.astype(float)))
                    for d, m in zip(clip.vectors, clip.modalities, strict=True)
                    if m == modality
                ]
                best.setdefault(modality, []).append(max(dots))
        sums = [sum(maxima) for maxima in best.values()]
        assert by_modality == pytest.approx(max(sums, default=-np.inf) / num_tokens, abs=1e-6)
        token_sum = sum(max(column) for column in zip(*best.values(), strict=True))
        expected = token_sum / num_tokens if best else -np.inf
        assert by_token == pytest.approx(expected, abs=1e-6)


@given(MODALITY_LISTS, NUM_TOKENS, SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_and_of_tokens_does_not_matter(
    modalities: list[int], num_tokens: int, seed: int
) -> None:
    query, clip = query_vectors(num_tokens, seed), clip_vectors(modalities, seed + 1)
    shuffle = np.random.default_rng(seed).permutation
    order, tokens = shuffle(len(clip)), shuffle(num_tokens)
    other = MultiVector(clip.vectors[order], clip.modalities[order], clip.seconds[order])
    turned = MultiVector(query.vectors[tokens], query.modalities, query.seconds)
    assert modality_scores(turned, [other]) == pytest.approx(modality_scores(query, [clip]))
    assert token_max(turned, [other]) == pytest.approx(token_max(query, [clip]))


@given(MODALITY_LISTS, NUM_TOKENS, st.integers(1, 9), SEEDS)
@settings(max_examples=40, deadline=None)
def test_padding_and_template_rows_change_nothing(
    modalities: list[int], num_tokens: int, num_added: int, seed: int
) -> None:
    query, clip = query_vectors(num_tokens, seed), clip_vectors(modalities, seed + 1)
    added = np.concatenate([np.zeros((1, DIM), np.float32), query.vectors])[:num_added]
    padded = MultiVector(
        np.concatenate([added, clip.vectors]),
        np.concatenate([np.zeros(len(added), np.uint8), clip.modalities]),
        np.concatenate([np.zeros(len(added), np.float32), clip.seconds]),
    )
    assert np.array_equal(modality_scores(query, [padded]), modality_scores(query, [clip]))
    assert np.array_equal(token_max(query, [padded]), token_max(query, [clip]))


@given(CLIPS, SEEDS)
@settings(max_examples=40, deadline=None)
def test_modality_max_is_the_best_modality_and_never_above_token_max(
    clips: list[list[int]], seed: int
) -> None:
    query, vectors = query_vectors(4, seed), make(clips, seed)
    best = modality_max(query, vectors)
    assert np.array_equal(best, modality_scores(query, vectors).max(axis=1))
    assert (best <= token_max(query, vectors) + 1e-6).all()


def rounded_to_bfloat16(rows: np.ndarray) -> np.ndarray:
    """The nearest numbers with 8 bits of mantissa, ties to even, as float32."""
    bits = rows.astype(np.float32).view(np.uint32)
    odd = (bits >> 16) & 1
    rounded: np.ndarray = ((bits + 0x7FFF + odd) & np.uint32(0xFFFF0000)).view(np.float32)
    return rounded


@pytest.mark.parametrize(
    ("rounded", "unit_roundoff"),
    [(lambda rows: rows.astype(np.float16).astype(np.float32), 2.0**-11),
     (rounded_to_bfloat16, 2.0**-8)],
    ids=["float16", "bfloat16"],
)  # fmt: skip
@given(clips=CLIPS, num_tokens=NUM_TOKENS, seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_rows_of_fewer_bits_move_no_score_by_more_than_their_rounding(
    rounded: Callable[[np.ndarray], np.ndarray],
    unit_roundoff: float,
    clips: list[list[int]],
    num_tokens: int,
    seed: int,
) -> None:
    """A product of unit rows moves by 2 u + u^2 at most (Cauchy-Schwarz), and so does every maximum
    and every mean of such products; float16 numbers near 0 round by 2^-25 beside."""
    query, vectors = query_vectors(num_tokens, seed), make(clips, seed)

    def few_bits(exact: MultiVector) -> MultiVector:
        return MultiVector(rounded(exact.vectors), exact.modalities, exact.seconds)

    bound = 2 * unit_roundoff + unit_roundoff**2 + 2 * DIM * 2.0**-25 + 1e-6
    coarse_query, coarse = few_bits(query), [few_bits(clip) for clip in vectors]
    packed = PackedVectors.from_multi_vectors(coarse, dim=DIM)
    for score, twin in (
        (token_max, packed_token_max),
        (modality_max, packed_modality_max),
        (modality_scores, packed_modality_scores),
    ):
        exact = score(query, vectors)
        assert score(coarse_query, coarse) == pytest.approx(exact, abs=bound)
        assert twin(coarse_query, packed) == pytest.approx(exact, abs=bound)


@given(CLIPS, NUM_TOKENS, SEEDS, st.data())
@settings(max_examples=40, deadline=None)
def test_a_clips_score_does_not_hang_on_the_clips_beside_it(
    clips: list[list[int]], num_tokens: int, seed: int, data: st.DataObject
) -> None:
    query, vectors = query_vectors(num_tokens, seed), make(clips, seed)
    order = data.draw(st.permutations(range(len(vectors))))
    for score in (token_max, modality_max, modality_scores):
        together = score(query, vectors)
        alone = np.concatenate([score(query, [clip]) for clip in vectors])
        assert np.array_equal(together, alone)
        assert np.array_equal(score(query, [vectors[n] for n in order]), together[order])


# --- fast against plain


@given(CLIPS, NUM_TOKENS, SEEDS, st.integers(1, 40))
@settings(max_examples=80, deadline=None)
def test_the_blocked_twins_equal_the_reference_at_any_block_size(
    clips: list[list[int]], num_tokens: int, seed: int, block_rows: int
) -> None:
    query, vectors = query_vectors(num_tokens, seed), make(clips, seed)
    packed = PackedVectors.from_multi_vectors(vectors, dim=DIM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "BLOCK_ROWS", block_rows)
        by_modality = packed_modality_scores(query, packed)
        by_token = packed_token_max(query, packed)
        best = packed_modality_max(query, packed)
    assert by_modality == pytest.approx(modality_scores(query, vectors), abs=1e-6)
    assert by_token == pytest.approx(token_max(query, vectors), abs=1e-6)
    assert best == pytest.approx(modality_max(query, vectors), abs=1e-6)


@given(CLIPS, SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_int8_twins_equal_the_reference_on_the_rounded_rows(
    clips: list[list[int]], seed: int
) -> None:
    query, vectors = query_vectors(5, seed), make(clips, seed)
    packed = PackedVectors.from_multi_vectors(vectors, dim=DIM, quantised=True)
    assert packed.rows.dtype == np.int8
    rounded = []
    for clip in vectors:
        codes, scales = quantise(clip.vectors)
        decoded = codes * scales[:, None].astype(np.float32)
        rounded.append(MultiVector(decoded, clip.modalities, clip.seconds))
    found = packed_modality_scores(query, packed)
    assert found == pytest.approx(modality_scores(query, rounded), abs=1e-6)
    assert found == pytest.approx(modality_scores(query, vectors), abs=0.01)


@given(CLIPS, SEEDS, st.data())
@settings(max_examples=40, deadline=None)
def test_a_range_of_packed_clips_scores_like_the_clips(
    clips: list[list[int]], seed: int, data: st.DataObject
) -> None:
    query, vectors = query_vectors(3, seed), make(clips, seed)
    first = data.draw(st.integers(0, len(clips)))
    stop = data.draw(st.integers(first, len(clips)))
    packed = PackedVectors.from_multi_vectors(vectors, dim=DIM).clips(first, stop)
    expected = modality_scores(query, vectors[first:stop])
    assert packed_modality_scores(query, packed) == pytest.approx(expected, abs=1e-6)


@given(CLIPS, CLIPS, SEEDS, st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_joined_packs_score_like_all_their_clips(
    first: list[list[int]], second: list[list[int]], seed: int, one: bool, other: bool
) -> None:
    query, vectors = query_vectors(3, seed), make(first + second, seed)
    parts = (vectors[: len(first)], one), (vectors[len(first) :], other)
    joined = PackedVectors.concatenate(
        [PackedVectors.from_multi_vectors(part, dim=DIM, quantised=q) for part, q in parts]
    )
    assert (joined.scales is not None) == (one and other)
    found = packed_modality_scores(query, joined)
    assert found == pytest.approx(modality_scores(query, vectors), abs=0.01)
    for number, clip in enumerate(vectors):
        back = joined.multi_vector(number)
        kept = clip.modalities != Modality.OTHER
        assert back.modalities.tolist() == sorted(clip.modalities[kept].tolist())


@given(st.integers(1, 40), SEEDS)
@settings(max_examples=40, deadline=None)
def test_int8_keeps_length_and_direction(num_rows: int, seed: int) -> None:
    original = clip_vectors([1] * num_rows, seed, dim=128).vectors * 3
    codes, scales = quantise(original)
    decoded = codes * scales[:, None]
    norms = np.linalg.norm(original, axis=1)
    assert np.linalg.norm(decoded, axis=1) == pytest.approx(norms, rel=1e-5)
    cosines = (decoded * original).sum(axis=1) / norms**2
    assert cosines.min() > 0.9999


def test_int8_of_a_zero_row_is_zero() -> None:
    codes, scales = quantise(np.zeros((1, 4), np.float32))
    assert not codes.any()
    assert not scales.any()


# --- evidence


def test_attribution_names_row_modality_and_second() -> None:
    clip = MultiVector(
        np.array([[1, 0], [0.6, 0.8], [1, 0], [0, -1]], np.float32),
        np.array([0, 3, 1, 2], np.uint8),
        np.array([1, 7.5, np.nan, 3], np.float32),
    )
    frame, speech = attribute(QUERY, clip)
    assert (frame.query_row, frame.row, frame.modality, frame.seconds) == (0, 2, 1, None)
    assert (speech.query_row, speech.row, speech.modality, speech.seconds) == (1, 1, 3, 7.5)
    assert (frame.similarity, speech.similarity) == pytest.approx((1.0, 0.8))


def test_attribution_within_one_modality() -> None:
    clip = rows([1, 0], [0.6, 0.8], modalities=[Modality.VIDEO, Modality.ASR], seconds=4.0)
    winners = attribute(QUERY, clip, modality=Modality.ASR)
    assert [winner.row for winner in winners] == [1, 1]
    assert attribute(QUERY, clip, modality=Modality.OCR) == ()


@given(MODALITY_LISTS, NUM_TOKENS, SEEDS)
@settings(max_examples=40, deadline=None)
def test_attributed_similarities_add_up_to_the_score(
    modalities: list[int], num_tokens: int, seed: int
) -> None:
    query, clip = query_vectors(num_tokens, seed), clip_vectors(modalities, seed + 1)
    winners = attribute(query, clip)
    assert len(winners) == (num_tokens if set(modalities) - {0} else 0)
    if winners:
        mean = np.mean([winner.similarity for winner in winners])
        assert token_max(query, [clip])[0] == pytest.approx(mean, abs=1e-6)
    for winner in winners:
        assert winner.modality == clip.modalities[winner.row] != Modality.OTHER


# --- the released code's numbers


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """Embeddings and scores of the authors' code: ../shared/parity/case_a, copied."""
    return load_file(GOLDEN)


def golden_clips(golden: dict[str, np.ndarray]) -> list[MultiVector]:
    return [
        MultiVector(
            golden[f"clip{n}_embeddings"],
            golden[f"clip{n}_modality_ids"],
            np.zeros(len(golden[f"clip{n}_embeddings"]), np.float32),
        )
        for n in range(4)
    ]


def golden_query(golden: dict[str, np.ndarray], number: int) -> MultiVector:
    vectors = golden[f"query{number}_embeddings"]
    n = len(vectors)
    return MultiVector(vectors, np.zeros(n, np.uint8), np.zeros(n, np.float32))


@pytest.mark.parametrize("number", range(4))
def test_our_scores_of_the_released_embeddings(golden: dict[str, np.ndarray], number: int) -> None:
    query, clips = golden_query(golden, number), golden_clips(golden)
    n = len(query)
    assert modality_max(query, clips) * n == pytest.approx(
        golden["unpadded_modality_max"][number], abs=1e-4
    )
    expected = golden["unpadded_per_modality"][number]
    expected = np.where(expected > -1e3, expected, -np.inf)[:, 1:]
    assert (modality_scores(query, clips) * n)[:, 1:5] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("number", range(4))
def test_token_max_of_the_released_embeddings_with_the_template_in_it(
    golden: dict[str, np.ndarray], number: int
) -> None:
    """The stored ``unpadded_token_max`` lets template rows win, whatever its README says."""
    query, clips = golden_query(golden, number), golden_clips(golden)
    alone = np.concatenate([released(query, [clip], "token_max") for clip in clips])
    expected = golden["unpadded_token_max"][number]
    assert alone * len(query) == pytest.approx(expected, abs=1e-4)
    assert (token_max(query, clips) <= alone + 1e-6).all()
    everything = [
        MultiVector(clip.vectors, np.maximum(clip.modalities, 1), clip.seconds) for clip in clips
    ]
    assert token_max(query, everything) == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("scorer", ["token_max", "modality_max"])
@pytest.mark.parametrize("number", range(4))
def test_released_scores_of_padded_batches(
    golden: dict[str, np.ndarray], number: int, scorer: scoring.Scorer
) -> None:
    query, clips = golden_query(golden, number), golden_clips(golden)
    found = released(query, clips, scorer, padded_rows=768)
    per_token = golden[f"reference_padded_{scorer}_norm1"][number]
    assert found == pytest.approx(per_token, abs=1e-4)
    summed = golden[f"reference_padded_{scorer}_norm0"][number]
    assert found * len(query) == pytest.approx(summed, abs=1e-4)


def test_released_scores_count_padding_as_zero() -> None:
    against = rows([-1, 0], modalities=[1])
    assert released(QUERY, [against], "token_max") == pytest.approx([-0.5])
    assert released(QUERY, [against], "token_max", padded_rows=2) == pytest.approx([0.0])
    assert released(QUERY, [against], "modality_max", padded_rows=2) == pytest.approx([0.0])
