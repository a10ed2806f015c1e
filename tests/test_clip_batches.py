"""Clips are put into batches of like length, the same ones however often a run was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import Plan, make_video
from qwen_checkpoints import save_vl

from clamr_rag.config import EncoderOptions, MediaOptions
from clamr_rag.encoder import load_encoder
from clamr_rag.encoder.clip_batches import (
    WINDOW_BATCHES,
    Window,
    in_time,
    keep_pending,
    plan_windows,
    rough_tokens,
)
from clamr_rag.encoder.clip_reading import (
    FramesWanted,
    frame_seconds,
    longest_side,
    read_clips,
)
from clamr_rag.encoder.inputs import clip_input
from clamr_rag.encoder.qwen import QwenEncoder
from clamr_rag.types import Clip, Cue, MetadataLine, Modality, OcrLine, TimeSpan

LETTERS = st.lists(st.integers(0, 3000), max_size=70)
SIZES = st.integers(1, 9)


def clip(number: int, letters: int, seconds: float = 20.0) -> Clip:
    span = TimeSpan(number * seconds, (number + 1) * seconds)
    cues = (Cue(span.start_seconds, span.stop_seconds, "word " * (letters // 5)),)
    return Clip(f"v-{number:05d}", "v", number, span, cues if letters >= 5 else ())


def clips_of(letters: Sequence[int]) -> list[Clip]:
    return [clip(number, count) for number, count in enumerate(letters)]


def padded(batches: Sequence[Sequence[Clip]], options: EncoderOptions) -> float:
    """Tokens of all batches when each clip is as long as the longest of its batch."""
    return sum(len(batch) * max(rough_tokens(clip, options) for clip in batch) for batch in batches)


@given(LETTERS, SIZES)
@settings(max_examples=60, deadline=None)
def test_every_clip_is_in_one_batch_of_its_part_of_the_video(
    letters: list[int], batch_clips: int
) -> None:
    options = EncoderOptions(batch_clips=batch_clips)
    clips = clips_of(letters)
    windows = plan_windows(clips, options)
    assert [clip for window in windows for clip in in_time(window)] == clips
    for window in windows:
        assert len(window) <= WINDOW_BATCHES
        assert all(len(batch) == batch_clips for batch in window[:-1])
        assert 0 < len(window[-1]) <= batch_clips
        lengths = [rough_tokens(clip, options) for batch in window for clip in batch]
        assert lengths == sorted(lengths, reverse=True)


@given(LETTERS, SIZES)
@settings(max_examples=60, deadline=None)
def test_full_windows_are_never_padded_more_than_in_order_of_time(
    letters: list[int], batch_clips: int
) -> None:
    options = EncoderOptions(batch_clips=batch_clips)
    whole = len(letters) // (WINDOW_BATCHES * batch_clips) * WINDOW_BATCHES * batch_clips
    clips = clips_of(letters[:whole])
    planned = [batch for window in plan_windows(clips, options) for batch in window]
    by_time = [clips[at : at + batch_clips] for at in range(0, whole, batch_clips)]
    assert padded(planned, options) <= padded(by_time, options) + 1e-6


@given(LETTERS, SIZES, st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_done_is_left_out_and_moves_nothing(
    letters: list[int], batch_clips: int, data: st.DataObject
) -> None:
    windows = plan_windows(clips_of(letters), EncoderOptions(batch_clips=batch_clips))
    for window in windows:
        done = data.draw(st.integers(0, len(window)))
        ids = {clip.clip_id for batch in window[done:] for clip in batch}
        assert keep_pending(window, ids) == window[done:]
    nothing: Window = ()
    assert all(keep_pending(window, set()) == nothing for window in windows)


def test_the_rough_length_counts_texts_up_to_their_caps_and_sound() -> None:
    options = EncoderOptions(asr_tokens=100, ocr_tokens=10, max_audio_seconds=30)
    assert rough_tokens(clip(0, 0), options) == 0
    # The line break of a cue is none: one cue is one line.
    assert rough_tokens(clip(0, 200), options) == pytest.approx(50, abs=1)
    assert rough_tokens(clip(0, 4000), options) == 100
    shown = OcrLine("x" * 400, 0.0, 1.0, (0.0, 0.0, 1.0, 1.0), 0.9)
    told = Clip("v-0", "v", 0, TimeSpan(0, 20), (), (shown,), (MetadataLine("y" * 40, "tags"),))
    assert rough_tokens(told, options) == 10 + 10
    assert rough_tokens(clip(0, 0, 20.0), options, hears=True) == 500
    assert rough_tokens(clip(0, 0, 90.0), options, hears=True) == 750


def test_frames_stand_in_the_middle_of_their_shares() -> None:
    assert frame_seconds(TimeSpan(10, 20), 5) == [11, 13, 15, 17, 19]


@pytest.mark.parametrize(
    ("max_pixels", "size"), [(224 * 224, (768, 216)), (1_000_000, (1280, 360))]
)
def test_frames_have_the_pixels_that_the_encoder_may_have(
    tmp_path: Path, max_pixels: int, size: tuple[int, int]
) -> None:
    plan = Plan(size=(1280, 360), frame_seconds=[0.0, 0.5, 1.0])
    video = make_video(tmp_path / "wide.mp4", plan).path
    options = EncoderOptions(max_pixels=max_pixels, max_frames=2)
    wanted = FramesWanted(options.max_frames, longest_side(options))
    [read] = read_clips(video, [clip(0, 0, 1.0)], {Modality.VIDEO}, wanted, MediaOptions())
    assert [frame.shape[1::-1] for frame in read.frames] == [size] * 2


@pytest.mark.filterwarnings("ignore")
def test_a_real_architecture_pads_less_by_this_plan(tmp_path: Path) -> None:
    """Tokens that the language model computes, padding included, for talk with pauses in it."""
    save_vl(tmp_path)
    encoder = load_encoder(str(tmp_path), options=EncoderOptions(batch_clips=4))
    assert isinstance(encoder, QwenEncoder)
    widths: list[int] = []

    def count(module: object, arguments: object, keywords: dict[str, torch.Tensor]) -> None:
        batch, longest = keywords["inputs_embeds"].shape[:2]
        widths.append(batch * longest)

    encoder.backbone.language_model.register_forward_pre_hook(count, with_kwargs=True)
    clips = clips_of([300, 40, 280, 0, 320, 60, 10, 500] * 2)

    def tokens(batches: Sequence[Sequence[Clip]]) -> tuple[int, int]:
        widths.clear()
        vectors = [
            vector
            for batch in batches
            for vector in encoder.encode_clips([clip_input(c) for c in batch], keep_other=True)
        ]
        return sum(widths), sum(len(vector) for vector in vectors)

    by_time, real = tokens([clips[at : at + 4] for at in range(0, len(clips), 4)])
    [window] = plan_windows(clips, EncoderOptions(batch_clips=4))
    planned, same = tokens(window)
    assert real == same
    assert planned - real < (by_time - real) / 2
