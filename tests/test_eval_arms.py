"""The retrievers under comparison: each against scores that are worked out another way."""

from __future__ import annotations

import math
import sqlite3
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from arm_values import ALL, ListPool, WordEncoder, read_of, scores_of
from conftest import Talk
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag import VideoLibrary
from clamr_rag.encoder import load_encoder
from clamr_rag.encoder.pooling import pool as pool_rows
from clamr_rag.errors import UsageError
from clamr_rag.scoring import modality_max, modality_scores, token_max
from clamr_rag.types import TEXT_MODALITIES, Modality
from eval.arms import (
    ARM_NAMES,
    ArmParts,
    ArmQuery,
    BlankedPool,
    EncodingCache,
    ReducedPool,
    ShuffledPool,
    make_arm,
)
from eval.arms.late import mean_of_modalities, mean_of_standard_scores
from eval.arms.library_pool import LibraryPool
from eval.arms.pools import MovedPool, moved, only
from eval.arms.ranking import RankFusion
from eval.arms.router import Router, RouterArm, learn_router, train_examples
from eval.arms.texts import Bm25Arm, DenseArm, all_texts
from eval.sentences import Sentences
from eval.synthetic.lexicon import read_lexicon

POOL = ListPool(
    read_of(10, asr="a red boat sails", ocr="prices of coal", description="harbour news"),
    read_of(20, asr="coal is dug", ocr="a red barn", description="mining news"),
    read_of(30, ocr="prices of fish"),
    read_of(40),
    read_of(asr="a red boat sinks", description="harbour news"),
    read_of(),
)
NUMBERS = {clip.clip_id: number for number, clip in enumerate(POOL.clips)}


def parts(**options: object) -> ArmParts:
    return ArmParts(WordEncoder(context=0.3), **options)  # type: ignore[arg-type]


def ranked(name: str, query: ArmQuery, top_k: int | None = None) -> list[str]:
    arm = make_arm(name, parts())
    arm.index(POOL)
    return [found.clip_id for found in arm.rank(query, top_k)]


# -- pools -------------------------------------------------------------------------------------


def test_only_keeps_what_is_named() -> None:
    read = only(next(POOL.read([0], ALL)), [Modality.ASR])
    assert (read.asr, read.ocr, read.description) == ("a red boat sails", None, None)
    assert not read.frames
    assert len(only(next(POOL.read([0], ALL)), [Modality.VIDEO]).frames) == 1


def test_a_reduced_pool_has_nothing_left_of_a_modality() -> None:
    pool = ReducedPool(POOL, [Modality.ASR, Modality.VIDEO])
    assert all(clip.texts.asr is None for clip in pool.clips)
    assert pool.clips[0].texts.ocr == "prices of coal"
    assert all(not read.frames and read.asr is None for read in pool.read(range(6), ALL))
    assert pool.fingerprint != POOL.fingerprint


def test_what_is_taken_away_is_not_even_read() -> None:
    inner = ListPool(read_of(1))
    list(ReducedPool(inner, [Modality.VIDEO]).read([0], ALL))
    assert Modality.VIDEO not in inner.asked[0][1]


def test_moved_frames_are_the_same_further_right_and_down() -> None:
    plain, further = (list(pool.read(range(6), ALL)) for pool in (POOL, MovedPool(POOL, 0.5)))
    assert [read.asr for read in further] == [read.asr for read in plain]
    for own, other in zip(plain, further, strict=True):
        for before, after in zip(own.frames, other.frames, strict=True):
            right = round(before.shape[1] / 2)
            down = round(before.shape[1] / 4)
            assert right > down > 0
            assert np.array_equal(after[down:, right:], before[:-down, :-right])
            assert not after[:down].any()
            assert not after[:, :right].any()
    assert (
        len({pool.fingerprint for pool in (POOL, MovedPool(POOL, 0.1), MovedPool(POOL, 0.2))}) == 3
    )


def test_frames_move_in_all_directions() -> None:
    frames = np.random.default_rng(0).integers(1, 255, (2, 5, 7, 3), np.uint8)
    back = moved(moved(frames, (2, -1)), (-2, 1))
    assert np.array_equal(back[:, 1:, :-2], frames[:, 1:, :-2])
    assert not back[:, 0].any()
    assert not back[:, :, -2:].any()
    assert np.array_equal(moved(frames, (0, 0)), frames)


def test_blank_frames_are_as_many_and_all_alike() -> None:
    plain, blank = (list(pool.read(range(6), ALL)) for pool in (POOL, BlankedPool(POOL)))
    assert [len(read.frames) for read in blank] == [len(read.frames) for read in plain]
    frames = [frame for read in blank for frame in read.frames]
    assert all(np.array_equal(frame, frames[0]) for frame in frames)
    assert [read.asr for read in blank] == [read.asr for read in plain]


@given(st.integers(2, 40), st.integers(0, 5))
def test_nobody_keeps_its_frames_when_they_are_shuffled(count: int, seed: int) -> None:
    givers = ShuffledPool(ListPool(*[read_of(1)] * count), seed).givers
    assert sorted(givers) == list(range(count))
    assert all(giver != number for number, giver in enumerate(givers))


def test_shuffled_frames_are_another_clips_and_texts_its_own() -> None:
    pool = ShuffledPool(POOL, seed=3)
    for number, read in zip((2, 0, 1), pool.read((2, 0, 1), ALL), strict=True):
        own, giver = (next(POOL.read([n], ALL)) for n in (number, pool.givers[number]))
        assert read.ocr == own.ocr
        assert [int(f[0, 0, 0]) for f in read.frames] == [int(f[0, 0, 0]) for f in giver.frames]


def test_every_change_has_a_fingerprint_of_its_own() -> None:
    pools = [POOL, BlankedPool(POOL), ShuffledPool(POOL, 0), ShuffledPool(POOL, 1)]
    pools += [ReducedPool(POOL, [m]) for m in sorted(ALL)]
    assert len({pool.fingerprint for pool in pools}) == len(pools)


# -- encodings ---------------------------------------------------------------------------------


def test_clips_are_encoded_once_and_stay_in_order() -> None:
    encoder, cache = WordEncoder(), EncodingCache(batch_clips=2)
    encoded = cache.clips(encoder, POOL, ALL)
    for clip, vectors in zip(POOL.read(range(6), ALL), encoded.vectors, strict=True):
        (alone,) = WordEncoder().encode_clips([clip])
        assert np.array_equal(vectors.vectors, alone.vectors)
    assert encoder.batches == [2, 2, 2]
    assert cache.clips(encoder, POOL, ALL) is encoded
    assert encoder.batches == [2, 2, 2]


def test_separate_is_every_modality_alone() -> None:
    encoder = WordEncoder(context=0.5)
    apart = EncodingCache().separate(encoder, POOL, ALL).vectors[0]
    together = EncodingCache().clips(encoder, POOL, ALL).vectors[0]
    assert sorted(apart.modalities) == sorted(together.modalities)
    (speech,) = encoder.encode_clips([read_of(asr="a red boat sails")])
    assert np.allclose(apart.vectors[apart.modalities == Modality.ASR], speech.vectors)
    assert not np.allclose(together.vectors[together.modalities == Modality.ASR], speech.vectors)


def test_one_modality_reads_no_frames_of_others() -> None:
    pool = ListPool(read_of(5, asr="said"))
    EncodingCache().clips(WordEncoder(), pool, [Modality.ASR])
    assert pool.asked == [((0,), frozenset({Modality.ASR}))]


def test_a_folder_keeps_encodings_for_the_next_run(tmp_path: Path) -> None:
    first, second = WordEncoder(), WordEncoder()
    made = EncodingCache(tmp_path).clips(first, POOL, ALL)
    kept = EncodingCache(tmp_path).clips(second, POOL, ALL)
    assert not second.batches
    assert kept.seconds == made.seconds
    for a, b in zip(made.vectors, kept.vectors, strict=True):
        assert np.array_equal(a.vectors, b.vectors)
        assert np.array_equal(a.modalities, b.modalities)
        assert np.array_equal(a.seconds, b.seconds, equal_nan=True)
    EncodingCache(tmp_path).clips(WordEncoder(context=0.1), POOL, ALL)
    EncodingCache(tmp_path).clips(first, BlankedPool(POOL), ALL)
    EncodingCache(tmp_path).clips(first, POOL, [Modality.ASR])
    assert len(list(tmp_path.iterdir())) == 4


def test_a_remembered_query_counts_with_its_time_once() -> None:
    cache, took = EncodingCache(), []
    cache.once("slow", lambda: took.append(sum(range(300_000))))
    with cache.timed() as timer:
        for _ in range(3):
            cache.once("slow", lambda: pytest.fail("it is remembered"))
    first = timer.remembered["slow"]
    assert first <= timer.seconds < 3 * first
    with cache.timed() as fresh:
        cache.once("new", lambda: None)
    assert "slow" not in fresh.remembered


# -- late interaction --------------------------------------------------------------------------


def expected(scores: np.ndarray) -> dict[str, float]:
    ids = [clip.clip_id for clip in POOL.clips]
    return {clip: float(s) for clip, s in zip(ids, scores, strict=True) if math.isfinite(s)}


def check_scores(name: str, wanted: np.ndarray) -> None:
    arm = make_arm(name, parts())
    arm.index(POOL)
    found = scores_of(arm.rank(ArmQuery("red boat news grey30")))
    assert found == pytest.approx(expected(wanted), abs=1e-6)
    assert all(a >= b for a, b in pairwise(found.values()))


QUERY = WordEncoder().encode_query("red boat news grey30")
TOGETHER = EncodingCache().clips(WordEncoder(context=0.3), POOL, ALL).vectors
APART = EncodingCache().separate(WordEncoder(context=0.3), POOL, ALL).vectors


def test_joint_is_modality_max_of_all_modalities_read_together() -> None:
    check_scores("joint", modality_max(QUERY, TOGETHER))


def test_joint_token_max() -> None:
    check_scores("joint-token-max", token_max(QUERY, TOGETHER))


def test_max_is_modality_max_of_modalities_read_apart() -> None:
    check_scores("max", modality_max(QUERY, APART))


@pytest.mark.parametrize("modality", sorted(ALL))
def test_a_single_modality_is_scored_alone(modality: Modality) -> None:
    name = modality.name.lower()
    check_scores(name, modality_scores(QUERY, APART)[:, modality])
    check_scores(f"joint-{name}", modality_scores(QUERY, TOGETHER)[:, modality])


def test_mean_is_over_the_modalities_that_a_clip_has() -> None:
    apart = modality_scores(QUERY, APART)
    wanted = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else -np.inf
                       for row in apart])  # fmt: skip
    check_scores("mean", wanted)


def test_standard_scores_weigh_a_loud_modality_no_more() -> None:
    rng = np.random.default_rng(1)
    scores = np.full((20, 6), -np.inf, np.float32)
    scores[:, 1:4] = rng.normal(size=(20, 3))
    scores[3, 2] = -np.inf
    louder = scores.copy()
    louder[:, 2] = 5 * louder[:, 2] + 3
    assert np.allclose(mean_of_standard_scores(scores), mean_of_standard_scores(louder), atol=1e-5)
    assert not np.allclose(mean_of_modalities(scores), mean_of_modalities(louder), atol=1e-1)


def test_a_clip_without_anything_is_not_found() -> None:
    nothing = np.full((2, 6), -np.inf, np.float32)
    for fuse in (mean_of_modalities, mean_of_standard_scores):
        assert np.isneginf(fuse(nothing)).all()
    assert "c5" not in ranked("joint", ArmQuery("red"))


def test_the_modality_that_won_is_named() -> None:
    arm = make_arm("joint", parts())
    arm.index(POOL)
    for query, clip, modality in (
        ("red boat sails", "c0", Modality.ASR),
        ("red barn", "c1", Modality.OCR),
        ("grey40", "c3", Modality.VIDEO),
        ("mining", "c1", Modality.DESCRIPTION),
    ):
        best = arm.rank(ArmQuery(query), 1)[0]
        assert (best.clip_id, best.modality) == (clip, modality)


def test_a_budget_is_shared_by_the_modalities_as_the_product_does() -> None:
    arm = make_arm("joint", parts(vectors_per_clip=4))
    cost = arm.index(POOL)
    pooled = [pool_rows(vectors, 4) for vectors in TOGETHER]
    found = scores_of(arm.rank(ArmQuery("red boat news grey30")))
    assert found == pytest.approx(expected(modality_max(QUERY, pooled)), abs=1e-6)
    assert cost.num_bytes < make_arm("joint", parts()).index(POOL).num_bytes


def test_costs_are_told_per_hour_of_video() -> None:
    cost = make_arm("joint", parts()).index(POOL)
    assert cost.video_hours == pytest.approx(60 / 3600)
    assert cost.bytes_per_hour == pytest.approx(cost.num_bytes * 60)
    assert cost.num_clips == 6


# -- what holds for every arm ------------------------------------------------------------------


def all_arms() -> list[str]:
    # These need weights, or an encoder that hears.
    return [name for name in ARM_NAMES if name not in ("mini", "clamr", "router")
            and "audio" not in name]  # fmt: skip


@pytest.mark.parametrize("name", all_arms())
def test_every_arm_ranks_as_its_protocol_says(name: str) -> None:
    query = ArmQuery("red boat news", relevant={"c4": 1, "c0": 2}, modality=Modality.ASR)
    whole = ranked(name, query)
    assert len(set(whole)) == len(whole)
    if name != "uniform":
        assert ranked(name, query, 2) == whole[:2]
    within = ranked(name, ArmQuery(query.text, "v0", query.relevant, query.modality))
    if name != "oracle":
        assert set(within) <= {"c0", "c1"}


@pytest.mark.parametrize("name", ["joint", "bm25", "dense", "mean", "rrf"])
def test_a_blank_query_is_refused(name: str) -> None:
    arm = make_arm(name, parts())
    arm.index(POOL)
    with pytest.raises(UsageError, match="blank"):
        arm.rank(ArmQuery("  "))


@pytest.mark.parametrize("name", ["joint", "bm25", "dense", "rrf", "uniform", "oracle"])
def test_an_arm_forgets_its_old_pool(name: str) -> None:
    arm = make_arm(name, parts())
    arm.index(POOL)
    arm.index(ListPool(read_of(asr="red boat news")))
    found = arm.rank(ArmQuery("red boat news", relevant={"c0": 1}))
    assert [each.clip_id for each in found] == ["c0"]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="bm26"):
        make_arm("bm26", parts())


@pytest.mark.parametrize("name", ["video", "joint-video", "audio"])
def test_a_modality_that_is_not_read_is_refused(name: str) -> None:
    blind = ArmParts(WordEncoder(reads=frozenset(TEXT_MODALITIES)))
    with pytest.raises(UsageError, match="does not read"):
        make_arm(name, blind)


def test_mini_goes_through_the_packages_encoder() -> None:
    arm = make_arm("mini", ArmParts())
    arm.index(POOL)
    assert arm.rank(ArmQuery("where is coal dug?"), 1)[0].clip_id == "c1"
    assert load_encoder("mini").fingerprint in arm.details


# -- fusion by rank ----------------------------------------------------------------------------


def test_reciprocal_ranks_by_hand() -> None:
    shared = parts()
    arms = [make_arm(name, shared) for name in ("asr", "ocr")]
    fused = RankFusion("both", arms)
    fused.index(POOL)
    query = ArmQuery("a red boat sinks")
    by_hand: dict[str, float] = {}
    for arm in arms:
        for rank, found in enumerate(arm.rank(query), 1):
            by_hand[found.clip_id] = by_hand.get(found.clip_id, 0) + 1 / (60 + rank)
    found = fused.rank(query)
    assert scores_of(found) == pytest.approx(by_hand)
    speech_only = next(each for each in found if each.clip_id == "c4")
    assert speech_only.modality == Modality.ASR


def test_fusing_an_arm_with_itself_changes_no_rank() -> None:
    arm = make_arm("joint", parts())
    fused = RankFusion("twice", [arm, arm])
    fused.index(POOL)
    query = ArmQuery("red boat news")
    assert [f.clip_id for f in fused.rank(query)] == [f.clip_id for f in arm.rank(query)]


# -- words and sentences -----------------------------------------------------------------------


def test_bm25_reads_all_texts_and_their_stems() -> None:
    assert ranked("bm25", ArmQuery("harbours"))[:2] == ["c4", "c0"]
    assert set(ranked("bm25", ArmQuery("nothing-of-this"))) == {"c0", "c2"}
    assert ranked("bm25", ArmQuery("zebra")) == []


def test_bm25_by_hand() -> None:
    texts = ["apple pear", "apple apple plum fig", "plum", "fig fig fig", "kiwi"]
    pool = ListPool(*(read_of(asr=text) for text in texts))
    arm = Bm25Arm()
    arm.index(pool)
    lengths = [len(text.split()) for text in texts]
    mean = sum(lengths) / len(lengths)
    idf = math.log((5 - 2 + 0.5) / (2 + 0.5))
    wanted = {}
    for number, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        count = text.split().count("apple")
        if count:
            wanted[f"c{number}"] = idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / mean))
    assert scores_of(arm.rank(ArmQuery("Apple apple?"))) == pytest.approx(wanted, rel=1e-5)


@given(st.text(alphabet='"()*^:-+ANDORNEARabc \n', max_size=30))
@settings(max_examples=60, deadline=None)
def test_no_query_is_read_as_an_operator(text: str) -> None:
    arm = Bm25Arm()
    arm.index(POOL)
    try:
        arm.rank(ArmQuery(text))
    except UsageError:
        assert not any(c.isalnum() for c in text)
    except sqlite3.OperationalError as error:  # pragma: no cover
        pytest.fail(f"{text!r}: {error}")


def test_sentence_vectors_are_unit_and_padding_changes_nothing() -> None:
    sentences = Sentences()
    texts = ["a boat", "the price of coal rose because the mines were closed for the winter", ""]
    together = sentences.encode(texts)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for text, row in zip(texts, together, strict=True):
        assert np.allclose(sentences.encode([text])[0], row, atol=1e-5)


def test_dense_finds_meaning_without_shared_words() -> None:
    arm = DenseArm(Sentences(), EncodingCache())
    arm.index(POOL)
    assert arm.rank(ArmQuery("a ship goes under water"), 1)[0].clip_id == "c4"
    assert {found.clip_id for found in arm.rank(ArmQuery("ship"))} == {"c0", "c1", "c2", "c4"}


def test_all_texts_leave_out_what_is_missing() -> None:
    assert all_texts(POOL.clips[0]) == "prices of coal\na red boat sails\nharbour news"
    assert all_texts(POOL.clips[5]) == ""


# -- router ------------------------------------------------------------------------------------

EXAMPLES = [
    ("the speaker says the price", Modality.ASR),
    ("somebody talks about the harbour", Modality.ASR),
    ("the slide shows the price", Modality.OCR),
    ("text on screen about the harbour", Modality.OCR),
    ("picture of a red boat", Modality.VIDEO),
    ("you can see two yellow geese", Modality.VIDEO),
]


def test_a_router_learns_its_examples() -> None:
    sentences = Sentences()
    router = learn_router(sentences, EXAMPLES)
    for text, modality in EXAMPLES:
        order = router.order(sentences.encode([text])[0])
        assert order[0] == modality
        assert sorted(order) == [Modality.VIDEO, Modality.OCR, Modality.ASR]
    with pytest.raises(ValueError, match="no examples"):
        learn_router(sentences, [])


def test_a_router_searches_one_modality_and_says_which() -> None:
    shared, sentences = parts(), Sentences()
    cache = EncodingCache()
    arm = RouterArm(learn_router(sentences, EXAMPLES), sentences, cache, shared.singles())
    cost = arm.index(POOL)
    singles = [make_arm(m.name.lower(), parts()).index(POOL) for m in sorted(ALL)]
    assert cost.num_bytes == sum(single.num_bytes for single in singles)
    query = ArmQuery("the speaker says the price")
    found = arm.rank(query)
    speech = make_arm("asr", parts())
    speech.index(POOL)
    assert scores_of(found) == scores_of(speech.rank(query))
    assert {each.modality for each in found} == {Modality.ASR}


def test_a_router_passes_over_what_the_encoder_does_not_read() -> None:
    weights = np.zeros((384, 2), np.float32)
    router = Router((Modality.VIDEO, Modality.ASR), weights, np.array([1, 0], np.float32))
    speech = ArmParts(WordEncoder(reads=frozenset({Modality.ASR})))
    arm = RouterArm(router, Sentences(), EncodingCache(), speech.singles())
    assert arm.route(ArmQuery("picture of a boat")) == Modality.ASR


def test_the_gold_router_takes_the_querys_word_for_it() -> None:
    arm = make_arm("router-gold", parts())
    arm.index(POOL)
    found = arm.rank(ArmQuery("a red boat", modality=Modality.OCR))
    assert {each.modality for each in found} == {Modality.OCR}
    assert arm.rank(ArmQuery("a red boat")) == []


def test_the_router_learns_of_the_train_split_only() -> None:
    examples = train_examples()
    assert {modality for _, modality in examples} == {*TEXT_MODALITIES, Modality.VIDEO}
    held_out = {hint.split("{")[0] for name in ("dev", "test")
                for hints in read_lexicon(name).hints.values() for hint in hints}  # fmt: skip
    starts = tuple(start for start in held_out if len(start) > 8)
    assert starts
    assert not any(text.startswith(starts) for text, _ in examples)


# -- arms that do not look at the query --------------------------------------------------------


def test_uniform_takes_the_middles_of_equal_parts() -> None:
    pool = ListPool(*(read_of(asr=str(n)) for n in range(10)))
    arm = make_arm("uniform", parts())
    arm.index(pool)
    assert [f.clip_id for f in arm.rank(ArmQuery("x"), 2)] == ["c2", "c7"]
    assert [f.clip_id for f in arm.rank(ArmQuery("x"), 99)] == [f"c{n}" for n in range(10)]
    assert [f.clip_id for f in arm.rank(ArmQuery("x", video_id="v3"), 1)] == ["c7"]


def test_the_oracle_ranks_by_grade_and_knows_only_the_pool() -> None:
    query = ArmQuery("x", relevant={"c4": 1, "c1": 3, "elsewhere": 9, "c0": 0})
    assert ranked("oracle", query) == ["c1", "c4"]
    assert ranked("none", query) == []


# -- real files --------------------------------------------------------------------------------


def test_joint_mini_over_a_library_finds_what_its_search_finds(talk: Talk) -> None:
    with VideoLibrary.open(talk.library) as library:
        pool = LibraryPool(library, [record.video.video_id for record in library.videos()])
        arm = make_arm("mini", ArmParts(library.encoder, vectors_per_clip=64))
        arm.index(pool)
        question = "Why did churn fall?"
        found = arm.rank(ArmQuery(question))
        searched = library.search(question, top_k=10)
    assert [each.clip_id for each in found] == [hit.clip.clip_id for hit in searched]
    # The library stores int8.
    assert [f.score for f in found] == pytest.approx([h.score for h in searched], abs=0.01)
    assert found[0].modality == searched[0].best_modality == Modality.ASR
