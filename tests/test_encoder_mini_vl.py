"""`mini-vl`: frames and texts in one sequence, with the weights that come with the package."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from clamr_rag import EncoderOptions, load_encoder
from clamr_rag.config import EMBEDDED_ENCODERS
from clamr_rag.encoder.mini import MiniEncoder, load_mini
from clamr_rag.encoder.mini_weights import WEIGHTS, how_made
from clamr_rag.encoder.stem import fitted
from clamr_rag.errors import UsageError
from clamr_rag.types import ByteArray, ClipInput, Modality
from eval.synthetic import clip_input, make_world

TALK = "churn fell because of the new onboarding\nwe shipped it in May"
SECONDS = (0.0, 1.0, 2.0, 3.0)


@lru_cache
def shared() -> MiniEncoder:
    return load_mini(EncoderOptions(), name="mini-vl")


@pytest.fixture
def vl() -> MiniEncoder:
    return shared()


def picture(seed: int, width: int = 64, height: int = 36) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def test_the_weights_fit_the_package_and_say_how_they_were_made() -> None:
    assert WEIGHTS.stat().st_size < 20_000_000
    made = how_made()
    assert made["command"].startswith("python -m eval.mini.train")
    assert {"plan", "data", "minutes", "machine", "torch"} <= made.keys()


def test_it_is_loaded_by_name_and_is_another_encoder_than_mini(vl: MiniEncoder) -> None:
    loaded, mini = (load_encoder(name) for name in reversed(EMBEDDED_ENCODERS))
    assert loaded.name == "mini-vl"
    assert loaded.fingerprint == vl.fingerprint != mini.fingerprint
    assert loaded.reads - mini.reads == {Modality.VIDEO}
    with pytest.raises(UsageError, match="adapter"):
        load_encoder("mini-vl", adapter="some/adapter")


def test_frames_become_tokens_with_their_seconds(vl: MiniEncoder) -> None:
    frames = tuple(picture(n) for n in range(4))
    [vectors] = vl.encode_clips([ClipInput(frames, (1.0, 2.0, 3.0, 4.0), asr=TALK)])
    seen = vectors.modalities == Modality.VIDEO
    assert vectors.seconds[seen].tolist() == [1.0] * 28 + [3.0] * 28
    assert seen[:56].all(), "frames come first"
    assert (vectors.modalities == Modality.ASR).sum() == 14
    assert vl.frames_wanted.count == 4
    np.testing.assert_allclose(np.linalg.norm(vectors.vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10])
def test_any_number_of_frames_is_seen_by_four(vl: MiniEncoder, count: int) -> None:
    frames = tuple(picture(n) for n in range(count))
    seconds = tuple(map(float, range(count)))
    chosen = [int((part + 0.5) * count / 4) for part in range(4)]
    [given] = vl.encode_clips([ClipInput(frames, seconds)])
    [four] = vl.encode_clips(
        [ClipInput(tuple(frames[n] for n in chosen), tuple(seconds[n] for n in chosen))]
    )
    np.testing.assert_array_equal(given.vectors, four.vectors)
    np.testing.assert_array_equal(given.seconds, four.seconds)


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (2, 1500), (224, 128), (641, 359)])
def test_a_picture_of_any_shape_is_seen_whole(size: tuple[int, int]) -> None:
    width, height = size
    four = fitted([np.full((height, width, 3), 255, np.uint8)])
    assert four.shape == (4, 128, 224, 3)
    lit = four[0].max(axis=-1) > 0
    rows, columns = np.nonzero(lit)
    assert lit.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1), "one rectangle on black"
    assert np.ptp(columns) + 1 == 224 or np.ptp(rows) + 1 == 128, "as large as fits"


def test_a_picture_changes_what_is_said_beside_it(vl: MiniEncoder) -> None:
    frames = tuple(picture(n) for n in range(4))
    clips = [ClipInput(asr=TALK), ClipInput(frames, SECONDS, asr=TALK)]
    alone, beside = (v.vectors[v.modalities == Modality.ASR] for v in vl.encode_clips(clips))
    assert np.abs(alone - beside).max() > 0.01


def test_clips_with_and_without_frames_in_one_batch_equal_one_by_one(vl: MiniEncoder) -> None:
    frames = tuple(picture(n, 320, 180) for n in range(4))
    clips = [
        ClipInput(asr=TALK),
        ClipInput(frames, SECONDS, ocr="Q3 results"),
        ClipInput(),
        ClipInput(frames[::-1], SECONDS),
    ]
    for clip, batched in zip(clips, vl.encode_clips(clips), strict=True):
        [alone] = vl.encode_clips([clip])
        np.testing.assert_array_equal(batched.modalities, alone.modalities)
        np.testing.assert_allclose(batched.vectors, alone.vectors, atol=1e-4)


def test_all_words_of_a_question_are_matched(vl: MiniEncoder) -> None:
    query = vl.encode_query("What did she say: the Q3 revenue?")
    assert query.tokens == ("What", "did", "she", "say", "the", "Q", "3", "revenue")
    assert vl.encode_query("?!").tokens == ("?", "!")


def test_a_picture_is_found_by_what_it_shows(vl: MiniEncoder) -> None:
    """Drawings of the held-out split, none of whose objects and words were trained on."""
    from eval.mini.evaluating import picture_ranks

    clips = make_world(31, 0.25, "test").clips[:40]
    inputs = [clip_input(clip) for clip in clips]
    seen = picture_ranks(vl, clips, inputs)
    grey = np.full((90, 160, 3), 128, np.uint8)
    blank = [ClipInput((grey,) * 4, SECONDS) for _ in inputs]
    assert np.mean(seen == 0) > 5 * np.mean(picture_ranks(vl, clips, blank) == 0) + 0.2
