"""What a file holds: tracks, tags, chapters, and a length that no header can make up."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from media_files import Plan, Subtitles, make_video

from clamr_rag.errors import MediaError
from clamr_rag.media import AudioTrack, Chapter, probe
from clamr_rag.types import TimeSpan

CUES = [(0.2, 1.0, "Welcome to the lecture."), (1.0, 1.8, "Today: <i>churn</i> & more.")]


def test_all_tracks_are_listed(tmp_path: Path) -> None:
    plan = Plan(
        tone_seconds=2.0,
        subtitles=(Subtitles("subrip", CUES), Subtitles("ass", CUES, language="ger")),
    )
    info = probe(make_video(tmp_path / "Film.mkv", plan).path)
    assert info.format_name == "matroska,webm"
    assert info.size_bytes == (tmp_path / "Film.mkv").stat().st_size
    assert info.video is not None
    assert info.video.average_rate == pytest.approx(12.5, rel=0.01)
    assert info.audio_tracks == (AudioTrack(0, "aac", None, True),)
    assert [(t.index, t.codec, t.language, t.is_text) for t in info.subtitle_tracks] == [
        (0, "subrip", "en", True),
        (1, "ass", "de", True),
    ]


def test_tags_and_chapters(tmp_path: Path) -> None:
    plan = Plan(
        tags={"title": "Q3 review", "ARTIST": "Ada"},
        chapters=((0.0, 0.5, "Opening"), (0.5, 2.0, "Résumé 数据")),
    )
    info = probe(make_video(tmp_path / "Film.mkv", plan).path)
    assert (info.tags["title"], info.tags["artist"]) == ("Q3 review", "Ada")
    assert info.chapters == (
        Chapter("Opening", TimeSpan(0.0, 0.5)),
        Chapter("Résumé 数据", TimeSpan(0.5, 2.0)),
    )


def test_chapters_follow_the_videos_clock(tmp_path: Path) -> None:
    plan = Plan(chapters=((5.5, 6.5, "Half a second in"),), muxer_options={"output_ts_offset": "5"})
    info = probe(make_video(tmp_path / "Film.mp4", plan).path)
    (chapter,) = info.chapters
    assert chapter.span.start_seconds in (
        pytest.approx(0.5, abs=0.1),  # stored on the pictures' clock
        pytest.approx(1.0, abs=1.01),  # or cut to the length of the video
    )
    assert chapter.span.stop_seconds <= info.duration_seconds


@pytest.mark.parametrize(
    ("name", "plan", "has_video", "num_sounds", "num_texts"),
    [
        ("silent.mp4", Plan(), True, 0, 0),
        ("sound.mp4", Plan(frame_seconds=(), tone_seconds=1.5), False, 1, 0),
        ("sound.wav", Plan(frame_seconds=(), tone_seconds=1.5), False, 1, 0),
        ("texts.mkv", Plan(frame_seconds=(), subtitles=(Subtitles("subrip", CUES),)), False, 0, 1),
        (
            "texts.mp4",
            Plan(frame_seconds=(), subtitles=(Subtitles("mov_text", CUES),)),
            False,
            0,
            1,
        ),
    ],
)
def test_missing_lanes_are_no_error(
    tmp_path: Path, name: str, plan: Plan, has_video: bool, num_sounds: int, num_texts: int
) -> None:
    info = probe(make_video(tmp_path / name, plan).path)
    assert (info.video is not None) == has_video
    assert len(info.audio_tracks) == num_sounds
    assert len(info.subtitle_tracks) == num_texts
    assert 1.4 < info.duration_seconds < 2.1


@pytest.mark.parametrize("offset", ["-1.5", "-9"])
def test_length_without_time_stamps_is_counted(tmp_path: Path, offset: str) -> None:
    options = {"output_ts_offset": offset, "avoid_negative_ts": "disabled"}
    info = probe(make_video(tmp_path / "Film.mkv", Plan(muxer_options=options)).path)
    # Where stamps begin in the middle, the order of decoding blurs the count by some pictures.
    assert info.duration_seconds == pytest.approx(2.0, abs=0.2)


def test_longer_sound_makes_the_length(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "Film.mp4", Plan(tone_seconds=6.0)).path)
    assert info.duration_seconds == pytest.approx(6.0, abs=0.03)


def mkv_duration(content: bytes, claim: float) -> bytes:
    """Overwrites the Duration element (0x4489, 8-byte float)."""
    place = content.index(b"\x44\x89\x88") + 3
    return content[:place] + struct.pack(">d", claim) + content[place + 8 :]


def mp4_durations(content: bytes, claim: int) -> bytes:
    """Overwrites the duration of every mvhd, tkhd and mdhd box (version 0)."""
    changed = bytearray(content)
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        place = changed.find(box)
        while place >= 0:
            start = place + offset
            changed[start : start + 4] = struct.pack(">I", claim)
            place = changed.find(box, place + 4)
    return bytes(changed)


@pytest.mark.parametrize("claim", [0.0, 1.0, 1e15, float("nan"), float("inf"), -5.0, 60_000.0])
def test_a_lying_mkv_header_is_not_believed(tmp_path: Path, claim: float) -> None:
    video = make_video(tmp_path / "Film.mkv", Plan())
    video.path.write_bytes(mkv_duration(video.path.read_bytes(), claim))
    assert probe(video.path).duration_seconds == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("claim", [0, 1, 2**31 - 1, 2**32 - 1])
def test_a_lying_mp4_header_is_not_believed(tmp_path: Path, claim: int) -> None:
    video = make_video(tmp_path / "Film.mp4", Plan())
    video.path.write_bytes(mp4_durations(video.path.read_bytes(), claim))
    assert probe(video.path).duration_seconds == pytest.approx(2.0, abs=0.05)


def test_cut_off_file_has_the_length_of_what_is_left(tmp_path: Path) -> None:
    plan = Plan(
        frame_seconds=tuple(n * 0.2 for n in range(300)), muxer_options={"movflags": "faststart"}
    )
    video = make_video(tmp_path / "Film.mp4", plan)
    content = video.path.read_bytes()
    video.path.write_bytes(content[: len(content) * 7 // 10])
    assert 30 < probe(video.path).duration_seconds < 45


def test_spliced_stream_goes_on(tmp_path: Path) -> None:
    one = make_video(tmp_path / "one.ts", Plan(muxer_options={"output_ts_offset": "100"}))
    two = make_video(tmp_path / "two.ts", Plan())
    path = tmp_path / "both.ts"
    path.write_bytes(one.path.read_bytes() + two.path.read_bytes())
    assert probe(path).duration_seconds == pytest.approx(4.0, abs=0.25)


@pytest.mark.parametrize("codec", ["magicyuv", "png", "ffv1"])
def test_codecs_off_the_list_are_refused_by_name(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "Film.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 64
        stream.pix_fmt = {"magicyuv": "gbrp", "png": "rgb24", "ffv1": "yuv420p"}[codec]
        frame = av.VideoFrame(64, 64, stream.pix_fmt)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(MediaError, match=f"it holds video {codec}.*allowed: .*h264"):
        probe(path)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("libmp3lame", rate=44100, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in [*cover.encode(av.VideoFrame(64, 64, "yuvj420p")), *cover.encode(None)]:
            container.mux(packet)
        for number in range(20):
            frame = av.AudioFrame("fltp", "mono", 1152)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts = 44100, number * 1152
            for packet in sound.encode(frame):
                container.mux(packet)
        for packet in sound.encode(None):
            container.mux(packet)
    info = probe(path)
    assert info.video is None
    assert [track.codec for track in info.audio_tracks] == ["mp3"]


def test_tags_that_are_not_text_are_bounded(tmp_path: Path) -> None:
    plan = Plan(tags={"title": "ok", "comment": "x" * 100_000})
    video = make_video(tmp_path / "Film.mkv", plan)
    content = video.path.read_bytes().replace(b"TITLED\x87\x82ok", b"TITLED\x87\x82\xff\xfe")
    video.path.write_bytes(content)
    tags = probe(video.path).tags
    assert len(tags["comment"]) == 4000
    assert isinstance(tags["title"], str)


def test_real_file_of_nasa(nasa: Callable[[], Path]) -> None:
    info = probe(nasa())
    assert info.duration_seconds == pytest.approx(13.056, abs=0.001)
    assert info.video is not None
    assert (info.video.codec, info.video.width, info.video.height) == ("h264", 480, 270)
    assert [track.language for track in info.subtitle_tracks] == ["en", "en"]


@pytest.fixture
def nasa() -> Callable[[], Path]:
    def find() -> Path:
        path = Path(__file__).parents[2] / "shared" / "media" / "nasa.mp4"
        if not path.exists():
            pytest.skip(f"{path} is not here")
        return path

    return find
