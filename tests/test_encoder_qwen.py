"""The Qwen encoders on tiny checkpoints of the real classes, judged by transformers itself."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder import load_encoder
from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.patches import pixel_values
from clamr_rag.encoder.processing import TokenSequence
from clamr_rag.encoder.qwen import QwenEncoder, load_qwen_encoder
from clamr_rag.errors import OutOfMemoryError, UsageError
from clamr_rag.types import ClipInput, Modality, MultiVector
from tests.qwen_checkpoints import mixed_clips, save_omni, save_vl


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small run slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["vl", "omni"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, its name says of which family."""
    path = tmp_path_factory.mktemp("checkpoint") / str(request.param)
    (save_vl if request.param == "vl" else save_omni)(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> QwenEncoder:
    return load_qwen_encoder(str(folder), device="cpu")


@pytest.fixture(scope="module")
def clips(folder: Path) -> list[ClipInput]:
    return mixed_clips(8, sound=folder.name == "omni")


def load(folder: Path, **changes: Any) -> QwenEncoder:
    return load_qwen_encoder(str(folder), device="cpu", options=EncoderOptions(**changes))


def far(left: Sequence[MultiVector], right: Sequence[MultiVector]) -> float:
    """Largest difference of any number."""
    assert [len(clip) for clip in left] == [len(clip) for clip in right]
    return max(
        float(np.abs(a.vectors - b.vectors).max(initial=0))
        for a, b in zip(left, right, strict=True)
    )


# --- against transformers


def by_transformers(folder: Path, sequence: TokenSequence) -> np.ndarray:
    """Unit vectors of one sequence through the complete generating model of transformers."""
    from transformers import (
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5OmniThinkerForConditionalGeneration,
    )

    omni = folder.name == "omni"
    family: Any = (
        Qwen2_5OmniThinkerForConditionalGeneration if omni else Qwen2_5_VLForConditionalGeneration
    )
    model = family.from_pretrained(folder)
    inputs: dict[str, Any] = {
        "input_ids": torch.from_numpy(sequence.ids)[None],
        "attention_mask": torch.ones(1, len(sequence), dtype=torch.long),
        "position_ids": torch.from_numpy(sequence.positions)[:, None],
    }
    if sequence.frames:
        inputs["pixel_values_videos"] = pixel_values(torch.from_numpy(sequence.frames.values))
        inputs["video_grid_thw"] = torch.tensor([sequence.frames.grid])
    if sequence.mel is not None:
        inputs["input_features"] = torch.from_numpy(sequence.mel)[None]
        inputs["feature_attention_mask"] = torch.ones(1, sequence.mel.shape[1], dtype=torch.long)
    with torch.inference_mode():
        hidden = model(**inputs, output_hidden_states=True).hidden_states[-1][0]
    weights = load_file(folder / "model.safetensors")
    rows = torch.nn.functional.linear(
        hidden, weights["custom_text_proj.weight"], weights["custom_text_proj.bias"]
    )
    return np.asarray(torch.nn.functional.normalize(rows, dim=-1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", [0, 4, 7])
def test_vectors_are_those_of_transformers(
    folder: Path, encoder: QwenEncoder, clips: list[ClipInput], number: int
) -> None:
    sequence = encoder.processor.clip(clips[number])
    ours = encoder.encode_clips([clips[number]], keep_other=True)[0]
    np.testing.assert_allclose(ours.vectors, by_transformers(folder, sequence), atol=1e-5)


# --- laws


@pytest.mark.parametrize("batch_clips", [1, 3, 8])
def test_a_batch_is_its_clips_one_by_one(
    encoder: QwenEncoder, clips: list[ClipInput], batch_clips: int
) -> None:
    alone = [encoder.encode_clips([clip])[0] for clip in clips]
    encoder.batch_clips = batch_clips
    assert far(encoder.encode_clips(clips), alone) < 1e-5


def test_order_does_not_matter(encoder: QwenEncoder, clips: list[ClipInput]) -> None:
    order = np.random.default_rng(0).permutation(len(clips))
    straight = encoder.encode_clips(clips)
    shuffled = encoder.encode_clips([clips[i] for i in order])
    assert far(shuffled, [straight[i] for i in order]) < 1e-5


@pytest.mark.parametrize(
    ("left_out", "change"),
    [
        (Modality.VIDEO, {"frames": (), "frame_seconds": ()}),
        (Modality.OCR, {"ocr": None}),
        (Modality.ASR, {"asr": None}),
        (Modality.DESCRIPTION, {"description": None}),
        (Modality.AUDIO, {"audio": None}),
    ],
)
def test_a_missing_modality_has_no_rows_and_changes_no_neighbour(
    encoder: QwenEncoder, clips: list[ClipInput], left_out: Modality, change: dict[str, Any]
) -> None:
    full = clips[7]
    assert full.frames
    assert full.ocr
    poor = replace(full, **change)
    together = encoder.encode_clips([poor, *clips])
    assert left_out not in together[0].modalities
    assert far(together[:1], encoder.encode_clips([poor])) < 1e-5
    assert far(together[1:], encoder.encode_clips(clips)) < 1e-5


def test_modalities_are_read_jointly(encoder: QwenEncoder, clips: list[ClipInput]) -> None:
    clip = clips[7]
    other = replace(clip, ocr="something else altogether")
    before, after = encoder.encode_clips([clip, other])
    speech = [v.vectors[v.modalities == Modality.ASR] for v in (before, after)]
    # Speech stands behind the screen text, so it sees it; frames stand before and do not.
    assert np.abs(speech[0] - speech[1]).max() > 1e-3
    frames = [v.vectors[v.modalities == Modality.VIDEO] for v in (before, after)]
    np.testing.assert_allclose(frames[0], frames[1], atol=1e-5)


def test_a_clip_without_anything_has_no_rows(encoder: QwenEncoder, clips: list[ClipInput]) -> None:
    assert encoder.encode_clips([]) == []
    empty, full = encoder.encode_clips([ClipInput(), clips[7]], keep_other=True)
    assert empty.vectors.shape == (0, encoder.dim)
    assert len(full)


def test_template_tokens_are_kept_only_on_request(
    encoder: QwenEncoder, clips: list[ClipInput]
) -> None:
    all_rows = encoder.encode_clips(clips, keep_other=True)
    for kept, rows in zip(encoder.encode_clips(clips), all_rows, strict=True):
        wanted = rows.modalities != Modality.OTHER
        assert not wanted.all()
        np.testing.assert_array_equal(kept.modalities, rows.modalities[wanted])
        np.testing.assert_allclose(kept.vectors, rows.vectors[wanted], atol=1e-6)


def test_rows_are_unit_vectors(encoder: QwenEncoder, clips: list[ClipInput]) -> None:
    for rows in (*encoder.encode_clips(clips), encoder.encode_query("a baker")):
        np.testing.assert_allclose(np.linalg.norm(rows.vectors, axis=1), 1.0, atol=1e-5)
        assert rows.vectors.dtype == np.float32


def test_what_it_reads(folder: Path, encoder: QwenEncoder, clips: list[ClipInput]) -> None:
    seen = {m for clip in encoder.encode_clips(clips) for m in clip.modalities.tolist()}
    assert encoder.reads == seen
    assert (Modality.AUDIO in encoder.reads) == (folder.name == "omni")


def test_a_query_keeps_its_words(encoder: QwenEncoder) -> None:
    query = encoder.encode_query("Which slide?")
    assert "".join(query.tokens) == "Query: Which slide?" + "<|endoftext|>" * 10
    assert not query.modalities.any()
    assert np.isnan(query.seconds).all()


def test_a_blank_query_is_refused(encoder: QwenEncoder) -> None:
    with pytest.raises(UsageError, match="blank"):
        encoder.encode_query(" \n")


def test_vectors_that_are_not_finite_are_an_error(folder: Path, clips: list[ClipInput]) -> None:
    encoder = load(folder)
    encoder.backbone.projection.weight.data[0, 0] = float("inf")
    with pytest.raises(UsageError, match="not finite"):
        encoder.encode_clips(clips[:1])


# --- options


def test_attention_kernels_agree(folder: Path, clips: list[ClipInput]) -> None:
    fast, slow = (load(folder, attention=kernel) for kernel in ("sdpa", "eager"))
    assert far(fast.encode_clips(clips), slow.encode_clips(clips)) < 1e-5


def test_bfloat16_turns_no_token_far(
    folder: Path, encoder: QwenEncoder, clips: list[ClipInput]
) -> None:
    rounded = load_qwen_encoder(str(folder), device="cpu", dtype="bfloat16")
    pairs = zip(rounded.encode_clips(clips), encoder.encode_clips(clips), strict=True)
    assert min(float((a.vectors * b.vectors).sum(axis=1).min()) for a, b in pairs) >= 0.999


def test_true_frame_times_move_the_frames(folder: Path, clips: list[ClipInput]) -> None:
    slow = replace(clips[7], frames=clips[4].frames, frame_seconds=(0.0, 1.0, 8.0, 9.0))
    steady, true = (
        load(folder, true_frame_times=switch).processor.clip(slow).positions[0]
        for switch in (False, True)
    )
    assert true.max() > steady.max()


def test_the_released_omni_message_has_no_role(folder: Path, clips: list[ClipInput]) -> None:
    if folder.name == "vl":
        with pytest.raises(UsageError, match="no Omni model"):
            load(folder, released_omni_message=True)
        return
    usual, released = (load(folder, released_omni_message=switch) for switch in (False, True))
    longer, shorter = (e.processor.clip(clips[7]) for e in (usual, released))
    role = len(longer) - len(shorter)
    text = "".join(released.processor.token_texts(shorter))
    assert role > 0
    assert "<|im_start|>\nVideo: <|vision_bos|>" in text
    assert "<|im_start|>user\nVideo: " in "".join(usual.processor.token_texts(longer))
    assert usual.fingerprint != released.fingerprint


def test_only_a_model_that_hears_takes_a_cap_of_sound(folder: Path) -> None:
    if folder.name == "vl":
        with pytest.raises(UsageError, match=r"got max_audio_seconds .* no Omni model"):
            load(folder, max_audio_seconds=2.0)
        return
    clip = ClipInput(audio=np.ones(16_000 * 4, np.float32), audio_start_seconds=0.0)
    [short] = load(folder, max_audio_seconds=2.0).encode_clips([clip])
    [long] = load(folder).encode_clips([clip])
    assert 0 < len(short) < len(long)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dtype": "int8"}, "got dtype"),
        ({"options": EncoderOptions(attention="flash_attention_2")}, "flash"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    folder: Path, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        load_qwen_encoder(str(folder), **{"device": "cpu", **arguments})


@pytest.mark.parametrize("name", ["no such thing", "meta", "cpu:3", "hpu", "cuda:63"])
@pytest.mark.parametrize("encoder_name", ["mini", "checkpoint"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(
    folder: Path, name: str, encoder_name: str
) -> None:
    checkpoint = "mini" if encoder_name == "mini" else str(folder)
    with pytest.raises(UsageError, match=rf"got device '{name}'") as caught:
        load_encoder(checkpoint, device=name)
    here = caught.value.allowed.split(", ")
    assert here[:2] == ["auto", "cpu"]
    for device in here:
        load_encoder("mini", device=device)


@pytest.mark.parametrize(
    ("name", "is_here"),
    [
        ("cuda", torch.cuda.is_available()),
        ("mps", torch.backends.mps.is_available()),
        ("xpu", torch.xpu.is_available()),
    ],
)
def test_an_absent_accelerator_is_refused(folder: Path, name: str, is_here: bool) -> None:
    if is_here:
        assert load_encoder(str(folder), device=name).running_on.startswith(name)
        return
    with pytest.raises(UsageError, match=rf"got device '{name}', which cannot be used here"):
        load_encoder(str(folder), device=name)


@pytest.mark.parametrize(
    ("dtype", "attention", "said"),
    [
        ("auto", "auto", "cpu, float32, attention sdpa"),
        ("bfloat16", "eager", "cpu, bfloat16, attention eager"),
    ],
)
def test_what_it_runs_on_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture, dtype: str, attention: Any, said: str
) -> None:
    options = EncoderOptions(attention=attention)
    with caplog.at_level(logging.INFO, "clamr_rag"):
        encoder = load_encoder(str(folder), device="cpu", dtype=dtype, options=options)
    assert encoder.running_on == said
    assert f"runs on {said}" in caplog.text


def test_mini_says_what_it_runs_on() -> None:
    assert load_encoder("mini", device="cpu").running_on == "cpu, float32"


# --- fingerprint


def test_the_fingerprint_names_what_changes_vectors(folder: Path, tmp_path: Path) -> None:
    base = load(folder).fingerprint
    assert load(folder, ocr_tokens=100).fingerprint != base
    assert load(folder, batch_clips=3, query_tokens=20, attention="eager").fingerprint == base
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    assert load(moved).fingerprint == base
    (save_vl if folder.name == "vl" else save_omni)(tmp_path / "other", seed=1)
    assert load(tmp_path / "other").fingerprint != base


def test_load_encoder_leads_here(folder: Path) -> None:
    assert isinstance(load_encoder(str(folder), device="cpu"), QwenEncoder)


# --- memory


class Crowded:
    """A backbone with room for so many sequences at a time."""

    def __init__(self, backbone: Backbone, room: int) -> None:
        self._backbone = backbone
        self._room = room
        self.sizes: list[int] = []
        self.error: Exception = torch.OutOfMemoryError("CUDA out of memory")

    def __call__(self, sequences: Sequence[TokenSequence]) -> torch.Tensor:
        self.sizes.append(len(sequences))
        if len(sequences) > self._room:
            raise self.error
        vectors: torch.Tensor = self._backbone(sequences)
        return vectors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)


@pytest.fixture
def crowd(folder: Path) -> Callable[[int], tuple[QwenEncoder, Crowded]]:
    def make(room: int) -> tuple[QwenEncoder, Crowded]:
        encoder = load(folder)
        crowded = Crowded(encoder.backbone, room)
        encoder.backbone = crowded  # type: ignore[assignment]
        return encoder, crowded

    return make


def test_lack_of_memory_halves_the_batch_and_says_so(
    crowd: Callable[[int], tuple[QwenEncoder, Crowded]],
    encoder: QwenEncoder,
    clips: list[ClipInput],
    caplog: pytest.LogCaptureFixture,
) -> None:
    small, crowded = crowd(2)
    assert far(small.encode_clips(clips), encoder.encode_clips(clips)) < 1e-5
    # It learns: after two failures nothing larger than what fitted is tried again.
    assert crowded.sizes == [8, 4, 2, 2, 2, 2]
    assert "out of memory with 8 clips at a time, going on with 4" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate "
                     "memory: you tried to allocate 9 bytes. Error code 12"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)  # fmt: skip
def test_every_way_of_saying_that_memory_ran_out_halves_the_batch(
    crowd: Callable[[int], tuple[QwenEncoder, Crowded]],
    encoder: QwenEncoder,
    clips: list[ClipInput],
    error: Exception,
) -> None:
    small, crowded = crowd(3)
    crowded.error = error
    # An empty clip among them counts as one of the batch, and is none of the backbone's.
    mixed = [*clips[:3], ClipInput(), *clips[3:7]]
    assert far(small.encode_clips(mixed), encoder.encode_clips(mixed)) < 1e-5
    assert max(crowded.sizes[2:]) <= 3


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_weights_that_do_not_fit_are_told_as_lack_of_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Backbone, "to", full)
    with pytest.raises(OutOfMemoryError, match="do not fit on cpu as float32") as caught:
        load(folder)
    assert caught.value.exit_code == 10


def test_a_clip_that_never_fits_is_an_error(
    crowd: Callable[[int], tuple[QwenEncoder, Crowded]], clips: list[ClipInput]
) -> None:
    with pytest.raises(OutOfMemoryError, match="one clip of") as caught:
        crowd(0)[0].encode_clips(clips)
    assert caught.value.exit_code == 10


def test_other_errors_are_not_taken_for_lack_of_memory(
    crowd: Callable[[int], tuple[QwenEncoder, Crowded]], clips: list[ClipInput]
) -> None:
    encoder, crowded = crowd(8)
    crowded._backbone = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        encoder.encode_clips(clips)


# --- what is imported

_RUN = """
import sys
for name in ("torchvision", "qwen_vl_utils", "qwen_omni_utils", "peft"):
    sys.modules[name] = None  # as if it were not installed: to import it is an error
from clamr_rag.encoder import load_encoder
from tests.qwen_checkpoints import mixed_clips
for folder in sys.argv[1:]:
    encoder = load_encoder(folder, device="cpu")
    assert len(encoder.encode_clips(mixed_clips(5, sound=True))) == 5
    encoder.encode_query("a baker")
"""


def test_works_where_torchvision_and_qwen_vl_utils_cannot_be_imported(tmp_path: Path) -> None:
    save_vl(tmp_path / "vl")
    save_omni(tmp_path / "omni")
    command = [sys.executable, "-c", _RUN, str(tmp_path / "vl"), str(tmp_path / "omni")]
    root = Path(__file__).parents[1]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
