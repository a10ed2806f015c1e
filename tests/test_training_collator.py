"""Batches are what the encoder reads at search, and free of the released collator's traps."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_files import Plan, make_video, read_number
from PIL import Image

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.processing import TokenSequence
from clamr_rag.encoder.qwen import QwenEncoder
from clamr_rag.errors import MediaError, UsageError
from clamr_rag.training.collator import Batch, Collator, batches_ahead
from clamr_rag.training.data import TrainingPair, open_pairs
from clamr_rag.training.reading import read_clip
from clamr_rag.types import ClipInput, Modality, TimeSpan
from tests.qwen_checkpoints import load, save_omni, save_vl
from tests.training_pairs import draw, write_pairs

VIDEO, OCR, ASR, DESCRIPTION = (
    Modality.VIDEO, Modality.OCR, Modality.ASR, Modality.DESCRIPTION,
)  # fmt: skip
OPTIONS = EncoderOptions()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> QwenEncoder:
    folder = tmp_path_factory.mktemp("checkpoint") / "vl"
    save_vl(folder)
    return load(folder)


@pytest.fixture
def collator(encoder: QwenEncoder) -> Collator:
    return Collator(encoder.processor, encoder.reads, OPTIONS, seed=3)


def pair(**changes: Any) -> TrainingPair:
    plain = TrainingPair("p.jsonl line 1", ("the river",), OCR, "v0", ocr="banks")
    return replace(plain, **changes)


def classes(sequence: TokenSequence) -> set[int]:
    return set(sequence.modalities.tolist()) - {0}


def same(left: TokenSequence, right: TokenSequence) -> bool:
    arrays = all(
        np.array_equal(getattr(left, name), getattr(right, name), equal_nan=name == "seconds")
        for name in ("ids", "modalities", "seconds", "positions")
    )
    if left.frames is None or right.frames is None:
        return arrays and left.frames is right.frames
    return arrays and np.array_equal(left.frames.values, right.frames.values)


# --- what is read


def test_a_batch_is_what_the_encoder_reads(
    collator: Collator, encoder: QwenEncoder, tmp_path: Path
) -> None:
    paths = tuple(draw(tmp_path / f"{n}.png", n) for n in range(3))
    batch = collator([pair(frames=paths, asr="bread"), pair(video_id="v1", gold=ASR)])
    pixels = tuple(np.asarray(Image.open(path)) for path in paths)
    clip = ClipInput(frames=pixels, frame_seconds=(0.0, 1.0, 2.0), ocr="banks", asr="bread")
    assert same(batch.clips[0], encoder.processor.clip(clip))
    assert same(batch.clips[1], encoder.processor.clip(ClipInput(ocr="banks")))
    assert same(batch.queries[0], encoder.processor.query("the river"))
    assert batch.gold.tolist() == [OCR, ASR]


def test_a_missing_modality_does_not_shift_the_others(collator: Collator) -> None:
    """The released collator crashes on some, and renumbers the rest where all rows lack one."""
    batch = collator(
        [
            pair(ocr=None, asr="bread", description="interview"),
            pair(ocr=None, asr=None, description="interview"),
        ]
    )
    assert [classes(clip) for clip in batch.clips] == [{ASR, DESCRIPTION}, {DESCRIPTION}]


def test_a_blank_text_is_a_missing_one(collator: Collator, encoder: QwenEncoder) -> None:
    blank = collator.clip(pair(asr="  \n", description=""))
    assert same(blank, encoder.processor.clip(ClipInput(ocr="banks")))
    assert classes(blank) == {OCR}


def test_texts_are_cut_as_at_search(encoder: QwenEncoder) -> None:
    options = EncoderOptions(ocr_tokens=12)
    short = load_with(encoder, options).clip(pair(ocr="river " * 300))
    assert 0 < int((short.modalities == OCR).sum()) <= 14
    long = load_with(encoder, OPTIONS).clip(pair(ocr="river " * 300))
    assert int((long.modalities == OCR).sum()) > 200


def load_with(encoder: QwenEncoder, options: EncoderOptions) -> Collator:
    from clamr_rag.encoder.processing import ClipProcessor

    processor = ClipProcessor(encoder.processor._tokenizer, encoder.processor._tokens, options)
    return Collator(processor, encoder.reads, options)


def test_only_pictures_that_are_picked_are_opened(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{n}.png", n) for n in range(12)]
    paths[1].write_bytes(b"no picture")
    options = EncoderOptions(max_frames=3)
    read = read_clip(pair(frames=tuple(paths)), {VIDEO}, options)
    assert read.frame_seconds == (0.0, 6.0, 11.0)
    with pytest.raises(UsageError, match=r"p\.jsonl line 1: .*1\.png cannot be read as a picture"):
        read_clip(pair(frames=tuple(paths)), {VIDEO}, EncoderOptions(max_frames=12))


def test_a_picture_is_turned_upright_and_made_rgb(tmp_path: Path) -> None:
    sideways = Image.new("RGB", (60, 30), "red")
    exif = sideways.getexif()
    exif[0x0112] = 6
    sideways.save(tmp_path / "turned.jpg", exif=exif)
    Image.new("LA", (40, 50)).save(tmp_path / "gray.png")
    names = ("turned.jpg", "gray.png")
    frames = read_clip(pair(frames=tuple(tmp_path / n for n in names)), {VIDEO}, OPTIONS).frames
    assert [frame.shape for frame in frames] == [(60, 30, 3), (50, 40, 3)]


def test_frames_of_a_video_are_those_of_its_span(tmp_path: Path) -> None:
    made = make_video(tmp_path / "v.mp4")
    options = EncoderOptions(max_frames=4)
    part = read_clip(pair(video=made.path, span=TimeSpan(0.4, 1.2)), {VIDEO}, options)
    assert [read_number(frame) for frame in part.frames] == [
        made.number_at(second) for second in (0.5, 0.7, 0.9, 1.1)
    ]
    whole = read_clip(pair(video=made.path), {VIDEO}, options)
    assert [read_number(frame) for frame in whole.frames] == [
        made.number_at(second) for second in (0.25, 0.75, 1.25, 1.75)
    ]
    assert whole.audio is None


def test_sound_is_read_where_the_encoder_hears(tmp_path: Path) -> None:
    loud = make_video(tmp_path / "loud.mp4", Plan(tone_seconds=2.0)).path
    mute = make_video(tmp_path / "mute.mp4").path
    heard = read_clip(pair(video=loud, span=TimeSpan(0.5, 1.5)), {VIDEO, Modality.AUDIO}, OPTIONS)
    assert heard.audio is not None
    assert len(heard.audio) == 16_000
    assert np.abs(heard.audio).max() > 0.05
    assert read_clip(pair(video=loud), {VIDEO}, OPTIONS).audio is None
    assert read_clip(pair(video=mute), {VIDEO, Modality.AUDIO}, OPTIONS).audio is None
    save_omni(tmp_path / "omni")
    omni = load(tmp_path / "omni")
    sequence = Collator(omni.processor, omni.reads, OPTIONS).clip(pair(video=loud))
    assert classes(sequence) == {VIDEO, OCR, Modality.AUDIO}


# --- what is refused


def test_a_clip_of_nothing_is_told_by_its_row(collator: Collator) -> None:
    with pytest.raises(UsageError, match=r"p\.jsonl line 1: a clip without any modality"):
        collator([pair(ocr=" ")])


def test_files_that_cannot_be_read_are_told_by_their_row(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match=r"p\.jsonl line 1: .*v\.mp4"):
        read_clip(pair(video=tmp_path / "v.mp4"), {VIDEO}, OPTIONS)
    with pytest.raises(MediaError, match=r"p\.jsonl line 1: .*absent\.mp4.*no such file"):
        read_clip(pair(video=tmp_path / "absent.mp4", span=TimeSpan(0, 1)), {VIDEO}, OPTIONS)
    with pytest.raises(UsageError, match=r"p\.jsonl line 1: .*absent\.jpg cannot be read"):
        read_clip(pair(frames=(tmp_path / "absent.jpg",)), {VIDEO}, OPTIONS)


def test_a_span_past_the_end_of_the_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4").path
    with pytest.raises(UsageError, match=r"line 1: .*v\.mp4 has no picture in TimeSpan"):
        read_clip(pair(video=path, span=TimeSpan(50, 60)), {VIDEO}, OPTIONS)


def test_true_times_need_times(tmp_path: Path) -> None:
    frames = (draw(tmp_path / "1.png", 1),)
    options = EncoderOptions(true_frame_times=True)
    timed = read_clip(pair(frames=frames, frame_seconds=(4.5,)), {VIDEO}, options)
    assert timed.frame_seconds == (4.5,)
    with pytest.raises(UsageError, match="got true_frame_times and no frame_seconds"):
        read_clip(pair(frames=frames), {VIDEO}, options)


# --- batches


def test_clips_of_one_video_are_marked(collator: Collator) -> None:
    batch = collator([pair(), pair(video_id="v1"), pair(ocr="other words")])
    assert batch.same_video.tolist() == [
        [True, False, True], [False, True, False], [True, False, True],
    ]  # fmt: skip


def test_one_wording_is_drawn_by_step(collator: Collator, encoder: QwenEncoder) -> None:
    words = ("a river", "the banks", "some bread")
    several = pair(queries=words)
    drawn = [collator.query(several, step) for step in range(30)]
    found = {words.index(w) for d in drawn for w in words if same(d, encoder.processor.query(w))}
    assert found == {0, 1, 2}
    assert all(same(a, collator.query(several, step)) for step, a in enumerate(drawn))


def test_batches_come_in_order_and_one_ahead(collator: Collator, tmp_path: Path) -> None:
    pairs = open_pairs(write_pairs(tmp_path), split="")
    asked: list[int] = []
    lock = threading.Lock()

    class Watched:
        def __len__(self) -> int:
            return len(pairs)

        def __getitem__(self, row: int) -> TrainingPair:
            with lock:
                asked.append(row)
            return pairs[row]

    steps = [(step, np.array([2 * step, 2 * step + 1])) for step in range(4)]
    batches = batches_ahead(Watched(), iter(steps), collator, num_threads=2)
    for step, rows in steps:
        batch = next(batches)
        assert max(asked) <= rows[1] + 2
        expected = collator([pairs[int(row)] for row in rows], step)
        assert all(map(same, batch.clips + batch.queries, expected.clips + expected.queries))
        assert batch.gold.tolist() == expected.gold.tolist()
        assert np.array_equal(batch.same_video, np.eye(2, dtype=bool))
    assert list(batches) == []


def test_a_bad_row_stops_at_its_batch(collator: Collator, tmp_path: Path) -> None:
    path = write_pairs(tmp_path, 4)
    lines = path.read_text().splitlines()
    lines[3] = "{"
    path.write_text("\n".join(lines))
    steps = [(0, np.array([0, 1])), (1, np.array([2, 3]))]
    batches = batches_ahead(open_pairs(path, split=""), iter(steps), collator, num_threads=2)
    assert isinstance(next(batches), Batch)
    with pytest.raises(UsageError, match=r"pairs\.jsonl line 4: Invalid JSON"):
        next(batches)
