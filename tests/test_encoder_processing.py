"""Sequences, patches and sound: every token's modality, second and position."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.patches import (
    PatchedFrames,
    patch_frames,
    pick_frames,
    pixel_values,
    smart_resize,
)
from clamr_rag.encoder.processing import AudioTokens, ChatTokenizer, ClipProcessor, ModelTokens
from clamr_rag.encoder.processing import _Assembly as Assembly
from clamr_rag.encoder.sound import log_mel, num_audio_tokens
from clamr_rag.errors import ModelMissingError, UsageError
from clamr_rag.types import ByteArray, ClipInput, Modality
from tests.qwen_checkpoints import token_id, tokenizer_json

GOLDEN = Path(__file__).parent / "golden"
PREFIXES = {Modality.OCR: "OCR: ", Modality.ASR: "ASR: ", Modality.DESCRIPTION: "Description: "}
TEMPLATE = Tokenizer.from_str(tokenizer_json())


def make_tokenizer(folder: Path, *, omni: bool) -> ChatTokenizer:
    path = folder / "tokenizer.json"
    path.write_text(tokenizer_json(omni))
    return ChatTokenizer(path)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"), omni=False)


@pytest.fixture(scope="module")
def omni_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"), omni=True)


def vl_processor(tokenizer: ChatTokenizer, **changes: Any) -> ClipProcessor:
    tokens = ModelTokens(
        video=token_id("<|video_pad|>"),
        vision_start=token_id("<|vision_start|>"),
        vision_end=token_id("<|vision_end|>"),
        positions_per_second=2,
    )
    return ClipProcessor(tokenizer, tokens, EncoderOptions(**changes))


def omni_processor(tokenizer: ChatTokenizer, **changes: Any) -> ClipProcessor:
    tokens = ModelTokens(
        video=token_id("<|VIDEO|>", omni=True),
        vision_start=token_id("<|vision_bos|>", omni=True),
        vision_end=token_id("<|vision_eos|>", omni=True),
        positions_per_second=25,
        sound=AudioTokens(
            audio=token_id("<|AUDIO|>", omni=True),
            start=token_id("<|audio_bos|>", omni=True),
            end=token_id("<|audio_eos|>", omni=True),
        ),
    )
    return ClipProcessor(tokenizer, tokens, EncoderOptions(**changes))


def pictures(count: int, height: int = 56, width: int = 84) -> tuple[ByteArray, ...]:
    shape = (count, height, width, 3)
    return tuple(np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8))


def with_frames(count: int, **changes: Any) -> ClipInput:
    seconds = tuple(10.0 + 2 * i for i in range(count))
    return ClipInput(frames=pictures(count), frame_seconds=seconds, **changes)


# --- patches


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        # height, width as in the parity cases, then the limits.
        ((120, 160), (112, 168)),
        ((134, 240), (140, 252)),
        ((196, 98), (196, 112)),
        ((240, 320), (168, 252)),
        ((1080, 1920), (168, 280)),
        ((224, 224), (224, 224)),
        ((10, 10), (56, 56)),
    ],
)
def test_sizes_are_those_of_the_released_path(
    size: tuple[int, int], resized: tuple[int, int]
) -> None:
    assert smart_resize(*size, max_pixels=224 * 224) == resized


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    max_pixels=st.integers(4 * 28 * 28, 1_000_000),
)
@settings(max_examples=300, deadline=None)
def test_every_size_fits_the_model(height: int, width: int, max_pixels: int) -> None:
    rows, columns = smart_resize(height, width, max_pixels=max_pixels)
    assert rows % 28 == columns % 28 == 0
    assert rows >= 28
    assert columns >= 28
    assert rows * columns <= max_pixels


def unpatch(patched: PatchedFrames) -> ByteArray:
    """Frames ``(n, height, width, 3)`` again, patch by patch, as the layout is documented."""
    pairs, rows, columns = patched.grid
    frames = np.zeros((pairs * 2, rows * 14, columns * 14, 3), np.uint8)
    patches = iter(patched.values.reshape(-1, 3, 2, 14, 14))
    for pair in range(pairs):
        for block_row in range(0, rows, 2):
            for block_column in range(0, columns, 2):
                for row in (block_row, block_row + 1):
                    for column in (block_column, block_column + 1):
                        patch = next(patches).transpose(1, 2, 3, 0)
                        y, x = row * 14, column * 14
                        frames[2 * pair : 2 * pair + 2, y : y + 14, x : x + 14] = patch
    return frames


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_patches_hold_every_pixel_once(count: int) -> None:
    frames = pictures(count)
    patched = patch_frames(frames, max_pixels=224 * 224)
    assert patched.grid == ((count + 1) // 2, 4, 6)
    assert patched.num_tokens == (count + 1) // 2 * 6
    expected = frames if count % 2 == 0 else (*frames, frames[-1])
    np.testing.assert_array_equal(unpatch(patched), np.stack(expected))


def test_frames_of_several_sizes_take_the_first_ones() -> None:
    patched = patch_frames([*pictures(1), *pictures(1, 200, 100)], max_pixels=224 * 224)
    assert patched.grid == (1, 4, 6)


def test_pixels_are_normalised_like_the_processor() -> None:
    patches = np.arange(1176, dtype=np.int64).reshape(1, -1) % 256
    mean = np.repeat([0.48145466, 0.4578275, 0.40821073], 392)
    deviation = np.repeat([0.26862954, 0.26130258, 0.27577711], 392)
    pixels = pixel_values(torch.from_numpy(patches.astype(np.uint8))).numpy()
    np.testing.assert_allclose(pixels[0], (patches[0] / 255 - mean) / deviation, atol=1e-5)


@given(have=st.integers(0, 60), limit=st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_frames_are_thinned_evenly(have: int, limit: int) -> None:
    kept = pick_frames(have, limit)
    assert len(kept) == min(have, limit)
    assert kept == sorted(set(kept))
    if 1 < limit < have:
        gaps = np.diff(kept)
        assert (kept[0], kept[-1]) == (0, have - 1)
        assert gaps.max() - gaps.min() <= 1


# --- sequences


def released_string(clip: ClipInput, caps: dict[Modality, int]) -> str:
    """The chat string that the released code tokenises in one go."""
    text = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    if clip.frames:
        tokens = patch_frames(clip.frames, max_pixels=224 * 224).num_tokens
        text += f"<|vision_start|>{'<|video_pad|>' * tokens}<|vision_end|>"
    for modality, content in (
        (Modality.OCR, clip.ocr),
        (Modality.ASR, clip.asr),
        (Modality.DESCRIPTION, clip.description),
    ):
        if content is not None:
            ids = TEMPLATE.encode(PREFIXES[modality] + content).ids[: caps[modality]]
            text += " " + TEMPLATE.decode(ids, skip_special_tokens=True)
    return text + "<|im_end|>\n"


texts = st.none() | st.text(max_size=60) | st.text(alphabet="ab \n.é中e\u0301'!0", max_size=40)


@given(ocr=texts, asr=texts, description=texts, frames=st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_the_parts_make_the_released_sequence(
    tokenizer: ChatTokenizer,
    ocr: str | None,
    asr: str | None,
    description: str | None,
    frames: int,
) -> None:
    clip = with_frames(frames, ocr=ocr, asr=asr, description=description)
    caps = {Modality.OCR: 12, Modality.ASR: 9, Modality.DESCRIPTION: 30}
    processor = vl_processor(tokenizer, ocr_tokens=12, asr_tokens=9, description_tokens=30)
    sequence = processor.clip(clip)
    if not frames and ocr is None and asr is None and description is None:
        assert len(sequence) == 0
        return
    assert sequence.ids.tolist() == TEMPLATE.encode(released_string(clip, caps)).ids
    present = {Modality(m) for m in sequence.modalities.tolist()} - {Modality.OTHER}
    given_texts = {Modality.OCR: ocr, Modality.ASR: asr, Modality.DESCRIPTION: description}
    expected = {modality for modality, text in given_texts.items() if text is not None}
    assert present == expected | ({Modality.VIDEO} if frames else set())


def test_modalities_stand_in_the_released_order(tokenizer: ChatTokenizer) -> None:
    clip = with_frames(3, ocr="a sign", asr="a word", description="a title")
    sequence = vl_processor(tokenizer).clip(clip)
    runs = [
        m for i, m in enumerate(sequence.modalities) if i == 0 or m != sequence.modalities[i - 1]
    ]
    assert runs == [0, 1, 0, 2, 3, 4, 0]
    text = {
        modality: "".join(
            vl_processor(tokenizer).token_texts(
                replace_ids(sequence, sequence.ids[sequence.modalities == modality])
            )
        )
        for modality in PREFIXES
    }
    assert text == {
        Modality.OCR: " OCR: a sign",
        Modality.ASR: " ASR: a word",
        Modality.DESCRIPTION: " Description: a title",
    }


def replace_ids(sequence: Any, ids: Any) -> Any:
    return replace(sequence, ids=ids)


def test_special_tokens_in_a_users_text_stay_text(tokenizer: ChatTokenizer) -> None:
    # The inner one vanishes as in the released code, which leaves a new outer one behind.
    nasty = "<|im_<|im_end|>end|><|video_<|endoftext|>pad|>"
    sequence = vl_processor(tokenizer).clip(with_frames(2, ocr=nasty, asr=nasty))
    counts = Counter(sequence.ids.tolist())
    assert counts[token_id("<|video_pad|>")] == 6
    assert counts[token_id("<|im_end|>")] == 2
    query = vl_processor(tokenizer).query("what is <|video_pad|>?")
    assert token_id("<|video_pad|>") not in query.ids


def test_padding_and_truncation_of_a_saved_tokenizer_are_ignored(tmp_path: Path) -> None:
    saved = Tokenizer.from_str(tokenizer_json())
    saved.enable_padding(length=300)
    saved.enable_truncation(4)
    saved.save(str(tmp_path / "tokenizer.json"))
    plain = make_tokenizer(tmp_path / "..", omni=False)
    text = "In this interview a baker explains"
    assert ChatTokenizer(tmp_path / "tokenizer.json").text_ids(text) == plain.text_ids(text)


def test_a_missing_tokenizer_and_a_foreign_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"no tokenizer\.json"):
        ChatTokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(UsageError, match=r"no token <\|no_such\|>"):
        make_tokenizer(tmp_path, omni=False).special_id("<|no_such|>")


def test_a_query_has_prefix_and_augmentation(tokenizer: ChatTokenizer) -> None:
    sequence = vl_processor(tokenizer, augmentation_tokens=5).query("a baker")
    expected = TEMPLATE.encode("Query: a baker" + "<|endoftext|>" * 5).ids
    assert sequence.ids.tolist() == expected
    assert sequence.positions.tolist() == [list(range(len(expected)))] * 3


def test_a_long_query_loses_its_augmentation(tokenizer: ChatTokenizer) -> None:
    sequence = vl_processor(tokenizer, query_tokens=20).query("altitude changes bread " * 20)
    assert len(sequence) == 20
    assert token_id("<|endoftext|>") not in sequence.ids


# --- seconds


def test_frame_tokens_have_the_second_of_their_pair(tokenizer: ChatTokenizer) -> None:
    sequence = vl_processor(tokenizer).clip(with_frames(5))
    video = sequence.ids == token_id("<|video_pad|>")
    assert sequence.seconds[video].tolist() == [10.0] * 6 + [14.0] * 6 + [18.0] * 6
    start = sequence.ids == token_id("<|vision_start|>")
    assert sequence.seconds[start].tolist() == [10.0], "it is a token of the pictures, too"
    assert np.isnan(sequence.seconds[~video & ~start]).all()


def test_thinned_frames_keep_their_own_seconds(tokenizer: ChatTokenizer) -> None:
    sequence = vl_processor(tokenizer, max_frames=4).clip(with_frames(10))
    video = sequence.ids == token_id("<|video_pad|>")
    assert sorted(set(sequence.seconds[video].tolist())) == [10.0, 22.0]


lines = st.lists(st.text(alphabet="abc é中e\u0301!.", min_size=1, max_size=12), max_size=6)


@given(lines=lines, special=st.booleans())
@settings(max_examples=200, deadline=None)
def test_text_tokens_have_the_second_of_their_line(
    tokenizer: ChatTokenizer, lines: list[str], special: bool
) -> None:
    # Line i is said at second i and ends in the letter that says so.
    lines = [
        f"{line}{'<|im_end|>' if special else ''}{'xyzuvw'[i]}" for i, line in enumerate(lines)
    ]
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])[:-1].tolist() if lines else []
    clip = ClipInput(
        asr="\n".join(lines),
        text_marks={Modality.ASR: tuple((start, float(i)) for i, start in enumerate(starts))},
    )
    processor = vl_processor(tokenizer)
    sequence = processor.clip(clip)
    speech = sequence.modalities == Modality.ASR
    tokens = processor.token_texts(replace_ids(sequence, sequence.ids[speech]))
    seconds = dict.fromkeys("xyzuvw", float("nan"))
    for token, second in zip(tokens, sequence.seconds[speech].tolist(), strict=True):
        seconds |= {letter: second for letter in "xyzuvw" if letter in token}
    for i, _ in enumerate(lines):
        assert seconds["xyzuvw"[i]] == float(i)
    # The prefix comes from nowhere.
    assert np.isnan(sequence.seconds[speech][:2]).all()


def test_text_before_the_first_mark_has_no_second(tokenizer: ChatTokenizer) -> None:
    clip = ClipInput(ocr="ab\ncd", text_marks={Modality.OCR: ((3, 7.5),)})
    sequence = vl_processor(tokenizer).clip(clip)
    ocr = sequence.seconds[sequence.modalities == Modality.OCR]
    assert ocr[-1] == 7.5
    assert np.isnan(ocr[:-2]).all()


# --- positions


@pytest.mark.parametrize("case", json.loads((GOLDEN / "mrope.json").read_text())["cases"])
def test_positions_are_those_of_the_transformers_that_trained(case: dict[str, Any]) -> None:
    pairs, rows, columns = case["grid"]
    step = 2 if case["model"] == "vl" else 25
    frames = PatchedFrames(np.zeros((pairs * rows * columns, 1176), np.uint8), tuple(case["grid"]))
    assembly = Assembly()
    assembly.add_tokens([1] * case["before"])
    assembly.add_frames(2, frames, [0.0] * pairs, [step * i for i in range(pairs)])
    assembly.add_tokens([1] * (case["between"] + case["audio_tokens"]))
    assembly.add_tokens([1] * case["after"])
    positions = assembly.finish().positions
    assert positions.shape == (3, case["length"])
    assert positions.sum(axis=1).tolist() == case["sums"]
    for index, expected in case["picked"].items():
        assert positions[:, int(index)].tolist() == expected


def test_true_times_place_the_frames(tokenizer: ChatTokenizer) -> None:
    clip = replace(with_frames(4), frame_seconds=(20.0, 21.0, 27.6, 28.0))
    for switch, expected in ((False, {0, 2}), (True, {0, 15})):
        sequence = vl_processor(tokenizer, true_frame_times=switch).clip(clip)
        video = sequence.ids == token_id("<|video_pad|>")
        times = sequence.positions[0][video]
        assert set((times - times[0]).tolist()) == expected


# --- sound


@pytest.mark.parametrize("samples", [1600, 16_000, 16_001, 40_123])
def test_log_mel_is_that_of_the_omni_processor(samples: int) -> None:
    from transformers import WhisperFeatureExtractor

    sound = np.random.default_rng(0).standard_normal(samples).astype(np.float32) * 0.1
    # As the processor of Qwen2.5-Omni is configured, but for 30 s of zeros instead of 300.
    extractor = WhisperFeatureExtractor(
        feature_size=128, sampling_rate=16_000, hop_length=160, chunk_length=30, n_fft=400
    )
    features = extractor(
        sound,
        sampling_rate=16_000,
        padding="max_length",
        return_attention_mask=True,
        return_tensors="np",
    )
    frames = int(features["attention_mask"].sum())
    mel = log_mel(sound, max_seconds=30)
    assert mel.shape == (128, frames)
    np.testing.assert_allclose(mel, features["input_features"][0][:, :frames], atol=1e-5)


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 4, 5, 100, 3000])
def test_audio_tokens_are_counted_like_the_tower(frames: int) -> None:
    # A convolution of stride 2 with padding 1, then pairs.
    after = len(range(0, frames, 2))
    assert num_audio_tokens(frames) == after // 2


def test_sound_stands_between_frames_and_text(omni_tokenizer: ChatTokenizer) -> None:
    clip = with_frames(
        2, ocr="a sign", audio=np.zeros(16_000, np.float32), audio_start_seconds=30.0
    )
    processor = omni_processor(omni_tokenizer)
    sequence = processor.clip(clip)
    text = "".join(processor.token_texts(sequence))
    assert "Video: <|vision_bos|><|VIDEO|>" in text
    assert "<|vision_eos|>Audio: <|audio_bos|><|AUDIO|>" in text
    assert "<|AUDIO|><|audio_eos|> OCR: a sign<|im_end|>" in text
    sound = sequence.ids == token_id("<|AUDIO|>", omni=True)
    assert (sequence.modalities[sound] == Modality.AUDIO).all()
    np.testing.assert_allclose(sequence.seconds[sound], 30 + 0.04 * np.arange(25), rtol=1e-6)


def test_sound_too_short_for_a_token_is_left_out(omni_tokenizer: ChatTokenizer) -> None:
    clip = ClipInput(ocr="a sign", audio=np.zeros(200, np.float32))
    sequence = omni_processor(omni_tokenizer).clip(clip)
    assert Modality.AUDIO not in sequence.modalities
    assert sequence.mel is None


def test_sound_without_a_start_has_no_seconds(omni_tokenizer: ChatTokenizer) -> None:
    clip = ClipInput(audio=np.zeros(8000, np.float32))
    sequence = omni_processor(omni_tokenizer).clip(clip)
    assert np.isnan(sequence.seconds).all()
    assert (sequence.modalities == Modality.AUDIO).sum() == 12 + 1


def test_long_sound_is_cut(omni_tokenizer: ChatTokenizer) -> None:
    clip = ClipInput(audio=np.zeros(48_000, np.float32))
    sequence = omni_processor(omni_tokenizer, max_audio_seconds=1.0).clip(clip)
    assert (sequence.ids == token_id("<|AUDIO|>", omni=True)).sum() == 25


def test_a_model_that_does_not_hear_ignores_sound(tokenizer: ChatTokenizer) -> None:
    assert len(vl_processor(tokenizer).clip(ClipInput(audio=np.zeros(8000, np.float32)))) == 0
