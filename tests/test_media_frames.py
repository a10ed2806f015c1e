"""Frames at wanted seconds: every picture says its number, so time can be held against truth."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_files import MadeVideo, Plan, child_processes, make_video, numbered_picture, read_number

from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError, MediaLimitError, UsageError
from clamr_rag.media import iter_frames, probe
from clamr_rag.media.process import DecoderProcess

Made = Callable[[str, Plan], MadeVideo]

COMBINATIONS = [
    (suffix, codec)
    for suffix, codecs in {
        "mp4": ("h264", "hevc", "vp9", "av1", "mpeg4"),
        "mkv": ("h264", "hevc", "vp9", "av1", "mpeg4"),
        "webm": ("vp9", "av1"),
        "avi": ("h264", "mpeg4"),
        "ts": ("h264", "hevc", "mpeg4"),
    }.items()
    for codec in codecs
]
REGULAR = tuple(n * 0.08 for n in range(25))
IRREGULAR = (0.0, 0.04, 0.08, 0.5, 0.6, 0.61, 1.3, 1.34, 2.0, 2.9)
LONG = tuple(n * 0.2 for n in range(300))
NEGATIVE = {"output_ts_offset": "-1.5", "avoid_negative_ts": "disabled"}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Makes a video once for all tests that want the same."""
    folder = tmp_path_factory.mktemp("frames")
    videos: dict[str, MadeVideo] = {}

    def make(suffix: str, plan: Plan) -> MadeVideo:
        key = f"{suffix} {plan}"
        if key not in videos:
            videos[key] = make_video(folder / f"{len(videos)}.{suffix}", plan)
        return videos[key]

    return make


def numbers_at(video: MadeVideo, seconds: list[float] | tuple[float, ...]) -> list[int]:
    return [read_number(frame.pixels) for frame in iter_frames(video.path, seconds)]


def worst_time_error(video: MadeVideo) -> float:
    """Seconds by which a frame's time and the time of its picture differ at most."""
    frames = list(iter_frames(video.path, video.frame_seconds))
    assert [read_number(f.pixels) for f in frames] == list(range(len(video.frame_seconds)))
    return max(abs(f.seconds - video.frame_seconds[read_number(f.pixels)]) for f in frames)


@pytest.mark.parametrize(("suffix", "codec"), COMBINATIONS)
class TestEveryContainerAndCodec:
    """One contract for all: what is wanted is what is shown, at its own time."""

    def test_every_frame_bears_its_time(self, made: Made, suffix: str, codec: str) -> None:
        assert worst_time_error(made(suffix, Plan(codec=codec, tone_seconds=2.0))) < 0.011

    def test_wanted_seconds_get_the_frame_on_display(
        self, made: Made, suffix: str, codec: str
    ) -> None:
        video = made(suffix, Plan(codec=codec, tone_seconds=2.0))
        wanted = [0.0, 0.07, 0.09, 0.5, 0.501, 1.0, 1.0, 1.93]
        assert numbers_at(video, wanted) == [video.number_at(second) for second in wanted]

    def test_far_seconds_are_found_by_seeking(self, made: Made, suffix: str, codec: str) -> None:
        video = made(suffix, Plan(codec=codec, frame_seconds=LONG, gop_size=25))
        wanted = [0.0, 26.3, 27.0, 59.0]
        assert numbers_at(video, wanted) == [video.number_at(second) for second in wanted]

    def test_probe_agrees(self, made: Made, suffix: str, codec: str) -> None:
        info = probe(made(suffix, Plan(codec=codec, tone_seconds=2.0)).path)
        assert info.video is not None
        assert (info.video.codec, info.video.width, info.video.height) == (codec, 160, 120)
        assert info.duration_seconds == pytest.approx(2.0, abs=0.06)


HARD_CASES = {
    "irregular mp4": ("mp4", Plan(frame_seconds=IRREGULAR)),
    "irregular mkv": ("mkv", Plan(codec="vp9", frame_seconds=IRREGULAR)),
    "irregular ts": ("ts", Plan(codec="hevc", frame_seconds=IRREGULAR)),
    "starts at an hour": ("ts", Plan(muxer_options={"output_ts_offset": "3600"}, tone_seconds=2)),
    "clock wraps": ("ts", Plan(muxer_options={"output_ts_offset": "95442.7"}, tone_seconds=2)),
    "delayed mp4": ("mp4", Plan(muxer_options={"output_ts_offset": "5"})),
    "negative times": ("mkv", Plan(muxer_options=NEGATIVE)),
    "no times at all": (
        "mkv",
        Plan(codec="mpeg4", muxer_options={**NEGATIVE, "output_ts_offset": "-9"}),
    ),
    "no display times": ("avi", Plan(codec="h264", encoder_options={"bf": "3"})),
    "rotated 90": ("mp4", Plan(clockwise_degrees=90)),
    "rotated 180": ("mp4", Plan(clockwise_degrees=180)),
    "rotated 270": ("mkv", Plan(clockwise_degrees=270)),
    "odd size": ("mkv", Plan(size=(178, 134))),
    "one key frame": ("mp4", Plan(gop_size=1000)),
    "only key frames": ("mp4", Plan(gop_size=1)),
    "pyramid of B-frames": (
        "mp4",
        Plan(frame_seconds=LONG[:60], gop_size=40, encoder_options={"bf": "8", "preset": "fast"}),
    ),
    "open groups": (
        "ts",
        Plan(
            frame_seconds=LONG[:60],
            gop_size=12,
            encoder_options={"preset": "fast", "x264-params": "open-gop=1:bframes=3"},
        ),
    ),
}


@pytest.mark.parametrize("name", HARD_CASES)
def test_hard_case_times_are_within_a_frame(made: Made, name: str) -> None:
    suffix, plan = HARD_CASES[name]
    video = made(suffix, plan)
    gaps = np.diff(video.frame_seconds)
    assert worst_time_error(video) <= min(0.04, float(gaps.min()))


@pytest.mark.parametrize("name", HARD_CASES)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_wish_gets_what_is_on_display(made: Made, name: str, data: st.DataObject) -> None:
    suffix, plan = HARD_CASES[name]
    video = made(suffix, plan)
    last = video.frame_seconds[-1]
    # Not within a millisecond of a change of picture: containers round times to that.
    wishes = st.floats(0, last, allow_nan=False).map(lambda second: round(second, 3) + 0.0055)
    wanted = sorted(data.draw(st.lists(wishes, min_size=1, max_size=40)))
    assert numbers_at(video, wanted) == [video.number_at(second) for second in wanted]


@settings(max_examples=12, deadline=None)
@given(
    wanted=st.lists(st.integers(0, 598), max_size=12).map(
        lambda tenths: [t / 10 + 0.05 for t in sorted(tenths)]
    ),
    where=st.sampled_from([("mp4", "h264"), ("ts", "h264"), ("mkv", "vp9"), ("avi", "mpeg4")]),
)
def test_any_sparse_wish_over_a_long_video(
    made_long: Callable[[str, str], MadeVideo], wanted: list[float], where: tuple[str, str]
) -> None:
    video = made_long(*where)
    assert numbers_at(video, wanted) == [video.number_at(second) for second in wanted]


@pytest.fixture(scope="session")
def made_long(made: Made) -> Callable[[str, str], MadeVideo]:
    def make(suffix: str, codec: str) -> MadeVideo:
        return made(suffix, Plan(codec=codec, frame_seconds=LONG, gop_size=25))

    return make


def decoded_frames(video: MadeVideo, seconds: list[float]) -> int:
    """How many pictures the child decoded for a wish."""
    with DecoderProcess(
        "pictures",
        video.path,
        MediaOptions(),
        arguments={"max_side": None},
        max_payload_bytes=1 << 20,
    ) as child:
        child.tell(seconds)
        child.tell(None)
        return int(
            next(m.header["num_decoded_frames"] for m in child.messages() if not len(m.payload))
        )


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_sparse_wishes_decode_little(
    made_long: Callable[[str, str], MadeVideo], suffix: str
) -> None:
    video = made_long(suffix, "h264")
    assert decoded_frames(video, [float(n) for n in range(60)]) > 150
    assert decoded_frames(video, [5.0, 30.0, 55.0]) < 90


def test_unneeded_b_frames_are_not_decoded(made: Made) -> None:
    plan = Plan(frame_seconds=tuple(n * 0.04 for n in range(300)), gop_size=1000)
    assert decoded_frames(made("mp4", plan), [float(n) for n in range(12)]) < 230


def test_before_the_first_frame_the_first_is_shown(made: Made) -> None:
    late = tuple(3.0 + second for second in REGULAR)
    video = made("mkv", Plan(frame_seconds=late, tone_seconds=6.0))
    frames = list(iter_frames(video.path, [0.0, 2.0, 3.5]))
    assert [read_number(f.pixels) for f in frames] == [0, 0, 6]
    assert [f.seconds for f in frames] == pytest.approx([3.0, 3.0, 3.48], abs=0.01)


def test_last_frame_stands_while_sound_goes_on(made: Made) -> None:
    video = made("mp4", Plan(tone_seconds=6.0))
    frames = list(iter_frames(video.path, itertools.count()))
    assert [read_number(f.pixels) for f in frames] == [0, 12, 24, 24, 24, 24]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_wish_at_the_end_ends_the_iteration(made: Made, suffix: str) -> None:
    video = made(suffix, Plan())
    stop = probe(video.path).duration_seconds
    assert len(list(iter_frames(video.path, [0.0, stop - 0.01, stop, stop + 1]))) == 2


def test_no_wish_no_frame(made: Made) -> None:
    assert list(iter_frames(made("mp4", Plan()).path, [])) == []


def test_more_wishes_than_are_sent_ahead(made: Made) -> None:
    video = made("mp4", Plan())
    frames = list(iter_frames(video.path, (n / 500 for n in range(1000))))
    assert [read_number(f.pixels) for f in frames] == [
        video.number_at(n / 500) for n in range(1000)
    ]


@pytest.mark.parametrize("wanted", [[-1.0], [1.0, 0.5], [float("nan")], [float("inf")]])
def test_unusable_wishes_are_refused(made: Made, wanted: list[float]) -> None:
    with pytest.raises(UsageError, match="wanted second"):
        list(iter_frames(made("mp4", Plan()).path, wanted))


@pytest.mark.parametrize(
    ("size", "max_side", "shape"),
    [((320, 240), 160, (120, 160)), ((240, 320), 100, (100, 75)), ((160, 120), 500, (120, 160))],
)
def test_max_side_shrinks_but_never_enlarges(
    made: Made, size: tuple[int, int], max_side: int, shape: tuple[int, int]
) -> None:
    video = made("mp4", Plan(size=size))
    frames = list(iter_frames(video.path, [0.5, 1.0], max_side=max_side))
    assert [f.pixels.shape[:2] for f in frames] == [shape, shape]
    assert [read_number(f.pixels) for f in frames] == [6, 12]


def test_max_side_must_be_positive(made: Made) -> None:
    with pytest.raises(UsageError, match="max_side 0"):
        iter_frames(made("mp4", Plan()).path, [0.0], max_side=0)


def test_max_side_of_a_rotated_video(made: Made) -> None:
    video = made("mp4", Plan(size=(120, 160), clockwise_degrees=90))
    (frame,) = iter_frames(video.path, [1.0], max_side=80)
    assert frame.pixels.shape == (80, 60, 3)
    assert read_number(frame.pixels) == 12


@pytest.mark.parametrize(
    ("aspect", "shape"), [(Fraction(4, 3), (120, 213, 3)), (Fraction(1, 2), (240, 160, 3))]
)
def test_pixels_are_square(made: Made, aspect: Fraction, shape: tuple[int, ...]) -> None:
    video = made("mkv", Plan(pixel_aspect=aspect))
    (frame,) = iter_frames(video.path, [0.5])
    assert frame.pixels.shape == shape
    info = probe(video.path)
    assert info.video is not None
    assert (info.video.height, info.video.width) == shape[:2]


def test_rotation_is_told(made: Made) -> None:
    info = probe(made("mp4", Plan(clockwise_degrees=90, size=(120, 160))).path)
    assert info.video is not None
    assert info.video.rotation_degrees == 90
    assert (info.video.width, info.video.height) == (120, 160)


@pytest.mark.parametrize(("colorspace", "matrix"), [(1, "bt709"), (5, "bt601")])
def test_colours_follow_the_file(tmp_path: Path, colorspace: int, matrix: str) -> None:
    # Pure red in limited range: luma 63 in BT.709, 81 in BT.601; the wrong matrix shows orange.
    luma, cb, cr = {"bt709": (63, 102, 240), "bt601": (81, 90, 240)}[matrix]
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace = colorspace
        planes = [np.full((64, 64), luma), np.full((16, 64), cb), np.full((16, 64), cr)]
        picture = av.VideoFrame.from_ndarray(np.concatenate(planes).astype(np.uint8), "yuv420p")
        for packet in [*stream.encode(picture), *stream.encode(None)]:
            container.mux(packet)
    (frame,) = iter_frames(path, [0.0])
    np.testing.assert_allclose(frame.pixels[32, 32], [255, 0, 0], atol=6)


def test_frames_are_own_writable_arrays(made: Made) -> None:
    first, second = iter_frames(made("mp4", Plan()).path, [0.0, 0.01])
    first.pixels[:] = 0
    np.testing.assert_allclose(second.pixels, numbered_picture(0, (160, 120)), atol=40)


def test_closing_early_ends_the_child(made: Made) -> None:
    frames = iter_frames(made("mp4", Plan()).path, itertools.repeat(0.0))
    next(frames)
    children = child_processes()
    assert len(children) == 1
    frames.close()
    assert not children[0].is_running()


def test_nothing_starts_before_the_first_frame_is_asked_for(made: Made) -> None:
    frames = iter_frames(made("mp4", Plan()).path, [0.0])
    assert child_processes() == []
    frames.close()


def test_damaged_packets_are_passed_over(
    made: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = made("ts", Plan(codec="hevc", frame_seconds=LONG[:100], gop_size=10))
    content = bytearray(video.path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path = tmp_path / "damaged.ts"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        frames = list(iter_frames(path, itertools.count()))
    readable = 0
    for frame in frames:
        try:
            readable += read_number(frame.pixels) == video.number_at(frame.seconds)
        except ValueError:
            continue
    assert len(frames) == 20
    assert readable >= 12


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_cut_off_file_gives_what_is_there(made: Made, tmp_path: Path, suffix: str) -> None:
    codec = "mpeg4" if suffix == "avi" else "h264"
    video = made(suffix, Plan(codec=codec, frame_seconds=LONG[:100], gop_size=10))
    content = video.path.read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[: len(content) * 6 // 10])
    stop = probe(path).duration_seconds
    frames = list(iter_frames(path, itertools.count()))
    assert 9.0 < stop < 14.0
    assert len(frames) == int(np.ceil(stop))
    assert [read_number(f.pixels) for f in frames[:-1]] == [
        video.number_at(f.seconds) for f in frames[:-1]
    ]


def test_cut_off_index_is_an_error(made: Made, tmp_path: Path) -> None:
    content = made("mp4", Plan()).path.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(MediaError, match="not a video that can be read"):
        list(iter_frames(path, [0.0]))


def test_file_without_pictures_is_an_error(made: Made) -> None:
    video = made("mp4", Plan(frame_seconds=(), tone_seconds=1.0))
    with pytest.raises(MediaError, match="no picture track"):
        list(iter_frames(video.path, [0.0]))


def test_too_many_pixels_are_refused(made: Made) -> None:
    with pytest.raises(MediaLimitError, match=r"too large \(160x120\).*19199"):
        list(iter_frames(made("mp4", Plan()).path, [0.0], MediaOptions(max_pixels=19_199)))


def test_real_file_of_nasa() -> None:
    path = Path(__file__).parents[2] / "shared" / "media" / "nasa.mp4"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    frames = list(iter_frames(path, itertools.count()))
    assert len(frames) == 14
    assert all(0 <= n - frame.seconds < 0.034 for n, frame in enumerate(frames))
    assert {frame.pixels.shape for frame in frames} == {(270, 480, 3)}
