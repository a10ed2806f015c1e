"""Sound windows: mono, 16 kHz, without loss, and on the video's clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_files import Plan, child_processes, make_video

from clamr_rag.errors import MediaError, UsageError
from clamr_rag.media import iter_audio, probe

RATE = 16_000


def whole_sound(path: Path, **options: float) -> npt.NDArray[np.float32]:
    windows = list(iter_audio(path, window_seconds=3600, **options))  # type: ignore[arg-type]
    return np.concatenate([w.samples for w in windows])


def loudness(samples: npt.NDArray[np.float32], start: float, stop: float) -> float:
    """Root mean square between two seconds; 0.35 for our tone."""
    part = samples[round(start * RATE) : round(stop * RATE)]
    return float(np.sqrt(np.mean(np.square(part)))) if len(part) else 0.0


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.ts", "a.wav"])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_tone_comes_out_of_every_container(tmp_path: Path, name: str, layout: str) -> None:
    has_video = not name.endswith(".wav")
    plan = Plan(
        codec="vp9" if name.endswith("webm") else "h264",
        frame_seconds=Plan.frame_seconds if has_video else (),
        tone_seconds=2.0,
        tone_layout=layout,
    )
    samples = whole_sound(make_video(tmp_path / name, plan).path)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(2 * RATE, abs=RATE * 0.05)
    assert loudness(samples, 0.1, 1.9) == pytest.approx(0.354, abs=0.03)
    spectrum = np.abs(np.fft.rfft(samples[:RATE]))
    assert int(spectrum.argmax()) == pytest.approx(440, abs=1)


def test_windows_follow_each_other_without_loss(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", Plan(tone_seconds=2.0)).path
    windows = list(iter_audio(path, window_seconds=0.3))
    assert [w.start_seconds for w in windows] == pytest.approx(
        [n * 0.3 for n in range(len(windows))]
    )
    assert {len(w.samples) for w in windows[:-1]} == {4800}
    np.testing.assert_array_equal(np.concatenate([w.samples for w in windows]), whole_sound(path))


@pytest.fixture(scope="module")
def long_tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    plan = Plan(tone_seconds=12.0, tone_lost_seconds=(5.0, 6.0))
    return make_video(folder / "a.mkv", plan).path


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(start=st.floats(0, 11.9).map(lambda second: round(second, 2)))
def test_a_sought_start_gives_the_same_samples(long_tone: Path, start: float) -> None:
    windows = list(iter_audio(long_tone, window_seconds=3600, start_seconds=start))
    assert windows[0].start_seconds == pytest.approx(start)
    expected = whole_sound(long_tone)[round(start * RATE) :]
    assert len(windows[0].samples) == pytest.approx(len(expected), abs=800)
    length = min(len(windows[0].samples), len(expected))
    for second in np.arange(0, length / RATE - 0.2, 0.1):
        ours = loudness(windows[0].samples, second, second + 0.1)
        assert ours == pytest.approx(loudness(expected, second, second + 0.1), abs=0.12)


def test_a_gap_in_time_becomes_silence(long_tone: Path) -> None:
    samples = whole_sound(long_tone)
    assert len(samples) == pytest.approx(12 * RATE, abs=800)
    assert loudness(samples, 4.0, 4.9) > 0.3
    assert loudness(samples, 5.1, 5.9) < 0.01
    assert loudness(samples, 6.1, 11.9) > 0.3


def test_a_gap_of_many_windows_is_filled(long_tone: Path) -> None:
    windows = list(iter_audio(long_tone, window_seconds=0.1, start_seconds=4.0))
    assert [w.start_seconds for w in windows] == pytest.approx(
        [4 + n * 0.1 for n in range(len(windows))]
    )
    silent = [w.start_seconds for w in windows if np.abs(w.samples).max() < 0.01]
    assert silent == pytest.approx([5.1 + n * 0.1 for n in range(len(silent))], abs=0.06)
    assert len(silent) >= 8


def test_sound_that_starts_late_is_led_by_silence(tmp_path: Path) -> None:
    plan = Plan(tone_seconds=1.0, tone_offset_seconds=1.0)
    samples = whole_sound(make_video(tmp_path / "a.mkv", plan).path)
    assert loudness(samples, 0.0, 0.95) < 0.01
    assert loudness(samples, 1.05, 1.95) > 0.3


def test_sound_before_the_video_is_on_the_same_clock(tmp_path: Path) -> None:
    late = tuple(3.0 + n * 0.08 for n in range(25))
    plan = Plan(frame_seconds=late, tone_seconds=1.0)
    path = make_video(tmp_path / "a.mkv", plan).path
    samples = whole_sound(path)
    assert loudness(samples, 0.05, 0.95) > 0.3
    assert len(samples) == pytest.approx(RATE, abs=800)


@pytest.mark.parametrize("offset", ["3600", "95442.5"])
def test_start_offset_is_taken_away(tmp_path: Path, offset: str) -> None:
    plan = Plan(
        tone_seconds=1.5, tone_offset_seconds=0.5, muxer_options={"output_ts_offset": offset}
    )
    samples = whole_sound(make_video(tmp_path / "a.ts", plan).path)
    assert loudness(samples, 0.0, 0.42) < 0.01
    assert loudness(samples, 0.58, 1.9) > 0.3


def test_damage_keeps_the_clock(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", Plan(frame_seconds=(), tone_seconds=10.0)).path
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    samples = whole_sound(path)
    assert len(samples) == pytest.approx(10 * RATE, abs=1600)
    assert loudness(samples, 8.0, 9.9) > 0.3


def test_start_after_the_end_gives_nothing(long_tone: Path) -> None:
    assert list(iter_audio(long_tone, window_seconds=5, start_seconds=100)) == []


def test_track_is_chosen_or_refused(long_tone: Path) -> None:
    (default,) = iter_audio(long_tone, window_seconds=60)
    (chosen,) = iter_audio(long_tone, window_seconds=60, track=0)
    np.testing.assert_array_equal(default.samples, chosen.samples)
    with pytest.raises(MediaError, match=r"no sound track 1.*allowed: 0 to 0"):
        list(iter_audio(long_tone, window_seconds=60, track=1))


def test_no_sound_is_an_error_in_words(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4").path
    with pytest.raises(MediaError, match="no sound track"):
        list(iter_audio(path, window_seconds=60))


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_seconds": 0},
        {"window_seconds": -1},
        {"window_seconds": float("nan")},
        {"window_seconds": 1e9},
        {"window_seconds": 1, "start_seconds": -1},
        {"window_seconds": 1, "start_seconds": float("inf")},
    ],
)
def test_unusable_windows_are_refused(long_tone: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="_seconds"):
        iter_audio(long_tone, **wrong)  # type: ignore[arg-type]


def test_closing_early_ends_the_child(long_tone: Path) -> None:
    windows = iter_audio(long_tone, window_seconds=0.01)
    next(windows)
    (child,) = child_processes()
    windows.close()
    assert not child.is_running()


def test_length_agrees_with_probe(long_tone: Path) -> None:
    info = probe(long_tone)
    assert len(whole_sound(long_tone)) / RATE == pytest.approx(info.duration_seconds, abs=0.1)
