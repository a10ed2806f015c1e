"""The released code's numbers: shared/parity holds what the authors' code computed."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder import load_encoder
from clamr_rag.encoder.patches import pixel_values
from clamr_rag.encoder.qwen import QwenEncoder
from clamr_rag.scoring import Scorer, modality_max, modality_scores, released, token_max
from clamr_rag.types import ClipInput

PARITY = Path(__file__).parents[2] / "shared" / "parity"
CASES = sorted(path.name for path in PARITY.glob("case_*"))
pytestmark = pytest.mark.skipif(not CASES, reason=f"no parity cases in {PARITY}")
NUM_CLIPS = 4
RELEASED_ROWS = 768


@dataclass(frozen=True)
class Case:
    folder: Path
    options: EncoderOptions
    clips: list[ClipInput]
    queries: list[str]
    expected: dict[str, Any]

    @property
    def adapter(self) -> str | None:
        folder = self.folder / "adapter"
        return str(folder) if folder.is_dir() else None

    def load(
        self, folder: Path | None = None, *, device: str = "cpu", dtype: str = "float32"
    ) -> QwenEncoder:
        encoder = load_encoder(
            str(folder or self.folder / "checkpoint"),
            adapter=self.adapter,
            device=device,
            dtype=dtype,
            options=self.options,
        )
        assert isinstance(encoder, QwenEncoder)
        return encoder


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    folder = PARITY / request.param
    description = json.loads((folder / "case.json").read_text())
    caps = description["max_lengths"]
    clips = [
        ClipInput(
            frames=tuple(np.asarray(Image.open(folder / name)) for name in clip["images"]),
            frame_seconds=tuple(float(i) for i in range(len(clip["images"]))),
            **{key: clip[key] for key in ("ocr", "asr", "description")},
        )
        for clip in description["clips"]
    ]
    return Case(
        folder=folder,
        options=EncoderOptions(
            **{f"{name}_tokens": caps[name] for name in ("query", "ocr", "asr", "description")}
        ),
        clips=clips,
        queries=[clip["query"] for clip in description["clips"]],
        expected=load_file(folder / "expected.safetensors"),
    )


@pytest.fixture(scope="module")
def encoder(case: Case) -> QwenEncoder:
    return case.load()


@pytest.mark.parametrize("number", range(NUM_CLIPS))
def test_a_clip_is_the_released_sequence(case: Case, encoder: QwenEncoder, number: int) -> None:
    sequence = encoder.processor.clip(case.clips[number])
    expected = case.expected
    assert sequence.ids.tolist() == expected[f"clip{number}_input_ids"].tolist()
    assert sequence.modalities.tolist() == expected[f"clip{number}_modality_ids"].tolist()
    assert sequence.frames is not None
    assert list(sequence.frames.grid) == expected[f"clip{number}_video_grid_thw"].tolist()


@pytest.mark.parametrize("number", range(NUM_CLIPS))
def test_a_query_is_the_released_sequence(case: Case, encoder: QwenEncoder, number: int) -> None:
    sequence = encoder.processor.query(case.queries[number])
    assert sequence.ids.tolist() == case.expected[f"query{number}_input_ids"].tolist()


def test_the_pixels_are_those_of_the_released_processor(case: Case, encoder: QwenEncoder) -> None:
    frames = encoder.processor.clip(case.clips[0]).frames
    assert frames is not None
    pixels = pixel_values(torch.from_numpy(frames.values)).numpy()
    np.testing.assert_allclose(pixels, case.expected["clip0_pixel_values_videos"], atol=1e-6)


@pytest.mark.parametrize("batch_clips", [1, 3, 4])
def test_the_vectors_are_the_released_ones(
    case: Case, encoder: QwenEncoder, batch_clips: int
) -> None:
    encoder.batch_clips = batch_clips
    for number, clip in enumerate(encoder.encode_clips(case.clips, keep_other=True)):
        expected = case.expected[f"clip{number}_embeddings"]
        np.testing.assert_allclose(clip.vectors, expected, atol=1e-5)
    for number, text in enumerate(case.queries):
        expected = case.expected[f"query{number}_embeddings"]
        np.testing.assert_allclose(encoder.encode_query(text).vectors, expected, atol=1e-5)


def test_the_scores_are_the_expected_ones(case: Case, encoder: QwenEncoder) -> None:
    clips = encoder.encode_clips(case.clips)
    for number, text in enumerate(case.queries):
        query = encoder.encode_query(text)
        by_modality = modality_scores(query, clips)[:, 1:5] * len(query)
        expected = case.expected["unpadded_per_modality"][number]
        np.testing.assert_allclose(by_modality, expected[:, 1:], atol=1e-4)
        best = modality_max(query, clips) * len(query)
        np.testing.assert_allclose(best, case.expected["unpadded_modality_max"][number], atol=1e-4)


def test_token_max_with_the_template_in_it_is_the_expected_one(
    case: Case, encoder: QwenEncoder
) -> None:
    # The stored unpadded_token_max lets template tokens win, unlike what its README says of it;
    # one clip at a time has no padding.
    clips = encoder.encode_clips(case.clips, keep_other=True)
    for number, text in enumerate(case.queries):
        query = encoder.encode_query(text)
        scores = np.concatenate([released(query, [clip], "token_max") for clip in clips])
        expected = case.expected["unpadded_token_max"][number]
        np.testing.assert_allclose(scores * len(query), expected, atol=1e-4)
        assert (token_max(query, clips) <= scores + 1e-6).all()


@pytest.mark.parametrize("scorer", ["token_max", "modality_max"])
def test_the_released_padded_scores_come_out(
    case: Case, encoder: QwenEncoder, scorer: Scorer
) -> None:
    clips = encoder.encode_clips(case.clips, keep_other=True)
    rows = [
        released(encoder.encode_query(text), clips, scorer, padded_rows=RELEASED_ROWS)
        for text in case.queries
    ]
    expected = case.expected[f"reference_padded_{scorer}_norm1"]
    np.testing.assert_allclose(np.stack(rows), expected, atol=1e-4)


@pytest.mark.parametrize("processor_files", ["absent", "newer"])
def test_the_processor_files_do_not_matter(
    case: Case, tmp_path: Path, processor_files: str
) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        shutil.copy(case.folder / "checkpoint" / name, tmp_path / name)
    if processor_files == "newer":
        (tmp_path / "processor_config.json").write_text('{"video_processor": {"size": 1}}')
        (tmp_path / "chat_template.jinja").write_text("{{ unknown }}")
    clip = case.load(tmp_path).encode_clips(case.clips[:1], keep_other=True)[0]
    np.testing.assert_allclose(clip.vectors, case.expected["clip0_embeddings"], atol=1e-5)


def smallest_cosine(case: Case, encoder: QwenEncoder) -> float:
    """Over all tokens of the clips and queries, template included, against the released ones."""
    found = [clip.vectors for clip in encoder.encode_clips(case.clips, keep_other=True)]
    found += [encoder.encode_query(text).vectors for text in case.queries]
    names = [f"{kind}{n}_embeddings" for kind in ("clip", "query") for n in range(NUM_CLIPS)]
    expected = [case.expected[name] for name in names]
    return min(
        float((ours * theirs).sum(axis=1).min())
        for ours, theirs in zip(found, expected, strict=True)
    )


def test_bfloat16_turns_no_token_far(case: Case) -> None:
    assert smallest_cosine(case, case.load(dtype="bfloat16")) >= 0.999


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("batch_clips", [1, NUM_CLIPS])
def test_bfloat16_on_a_gpu_turns_no_token_far(case: Case, batch_clips: int) -> None:
    encoder = case.load(device="cuda", dtype="bfloat16")
    assert encoder.running_on.startswith("cuda")
    assert encoder.running_on.endswith("bfloat16, attention sdpa")
    encoder.batch_clips = batch_clips
    assert smallest_cosine(case, encoder) >= 0.999


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_float32_on_a_gpu_is_near_the_released_vectors(case: Case) -> None:
    encoder = case.load(device="cuda")
    for number, clip in enumerate(encoder.encode_clips(case.clips, keep_other=True)):
        # Kernels differ, and some round to TF32.
        expected = case.expected[f"clip{number}_embeddings"]
        np.testing.assert_allclose(clip.vectors, expected, atol=1e-3)
