"""Subtitle tracks and files: plain words, the video's clock, nothing said twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import Plan, Subtitles, make_video

from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError, MediaLimitError
from clamr_rag.media import read_sidecar_subtitles, read_subtitle_track
from clamr_rag.media.child.plain import plain_text
from clamr_rag.media.cues import tidy_cues
from clamr_rag.types import Cue

CUES = [
    (0.2, 1.0, "Welcome to the <b>lecture</b>."),
    (1.0, 1.8, "Churn fell,\nas Ada says."),
    (2.5, 3.0, "数据 – naïve & “quoted”, with, commas"),
]
PLAIN = [
    (0.2, 1.0, "Welcome to the lecture."),
    (1.0, 1.8, "Churn fell,\nas Ada says."),
    (2.5, 3.0, "数据 – naïve & “quoted”, with, commas"),
]


def triples(cues: tuple[Cue, ...]) -> list[tuple[float, float, str]]:
    return [(round(c.start_seconds, 2), round(c.stop_seconds, 2), c.text) for c in cues]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "subrip"), ("a.mkv", "ass"), ("a.mp4", "mov_text"), ("a.webm", "webvtt")],
)
@pytest.mark.parametrize("has_video", [True, False])
def test_embedded_track(tmp_path: Path, name: str, codec: str, has_video: bool) -> None:
    raw = (
        CUES
        if codec in ("subrip", "webvtt")
        else [(a, b, t.replace("<b>", "").replace("</b>", "")) for a, b, t in CUES]
    )
    if codec == "ass":
        raw = [(a, b, t.replace("\n", r"\N")) for a, b, t in raw]
    plan = Plan(
        codec="vp9" if name.endswith("webm") else "h264",
        frame_seconds=Plan.frame_seconds if has_video else (),
        subtitles=(Subtitles(codec, raw),),
    )
    video = make_video(tmp_path / name, plan)
    assert triples(read_subtitle_track(video.path, 0)) == PLAIN


def test_second_track_and_wrong_tracks(tmp_path: Path) -> None:
    tracks = (Subtitles("subrip", CUES), Subtitles("subrip", [(0.5, 1.0, "Zweite")], "ger"))
    path = make_video(tmp_path / "a.mkv", Plan(subtitles=tracks)).path
    assert [cue.text for cue in read_subtitle_track(path, 1)] == ["Zweite"]
    for wrong in (2, -1):
        with pytest.raises(MediaError, match=rf"no subtitle track {wrong}.*0 to 1"):
            read_subtitle_track(path, wrong)


def test_a_file_without_subtitles(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="it has none"):
        read_subtitle_track(make_video(tmp_path / "a.mp4").path, 0)


def test_embedded_cues_are_on_the_videos_clock(tmp_path: Path) -> None:
    plan = Plan(subtitles=(Subtitles("subrip", CUES),), muxer_options={"output_ts_offset": "100"})
    path = make_video(tmp_path / "a.mkv", plan).path
    assert triples(read_subtitle_track(path, 0)) == PLAIN


def test_embedded_cues_are_limited(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", Plan(subtitles=(Subtitles("subrip", CUES),))).path
    with pytest.raises(MediaLimitError, match="too many subtitle cues"):
        read_subtitle_track(path, 0, MediaOptions(max_cues=2))


SRT = """1
00:00:01,000 --> 00:00:02,500
Hello <i>there</i>, {\\an8}you.

2
00:00:03,000 --> 00:00:04,000
A &lt;b&gt; is no tag &amp; 3 < 4
"""
VTT = """WEBVTT - a title

NOTE no words of a speaker

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.500 align:start position:0%
<v Ada>Hello <c.red>there</c>, you.

00:03.000 --> 00:04.000
A &lt;b&gt; is no tag &amp; 3 < 4
"""
ASS = r"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,not shown
Dialogue: 0,0:00:01.00,0:00:02.50,Default,Ada,0,0,0,,{\b1}Hello{\b0} there,\hyou.
Dialogue: 0,0:00:02.00,0:00:02.50,Default,Ada,0,0,0,,{\p1}m 0 0 l 100 0 100 100{\p0}
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,A <b> is no tag & 3 < 4
"""


@pytest.mark.parametrize(("name", "text"), [("a.srt", SRT), ("a.vtt", VTT), ("a.ass", ASS)])
def test_sidecar_formats(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    cues = triples(read_sidecar_subtitles(tmp_path / name))
    assert cues[0] == (1.0, 2.5, "Hello there, you.")
    assert cues[1][:2] == (3.0, 4.0)
    if name != "a.ass":
        assert cues[1][2] == "A <b> is no tag & 3 < 4"
    assert len(cues) == 2


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_sidecar_encodings(tmp_path: Path, encoding: str, newline: str) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nNaïve café über alles\n".replace("\n", newline)
    (tmp_path / "a.srt").write_bytes(text.encode(encoding))
    assert triples(read_sidecar_subtitles(tmp_path / "a.srt")) == [
        (1.0, 2.0, "Naïve café über alles")
    ]


def test_cues_are_sorted_and_repaired(tmp_path: Path) -> None:
    stamps = [("00:00:09,000", "00:00:08,000"), ("00:00:01,000", "00:00:02,000")]
    text = "".join(
        f"{number}\n{start} --> {stop}\nCue {number}\n\n"
        for number, (start, stop) in enumerate(stamps)
    )
    (tmp_path / "a.srt").write_text(text)
    assert triples(read_sidecar_subtitles(tmp_path / "a.srt")) == [
        (1.0, 2.0, "Cue 1"),
        (9.0, 9.5, "Cue 0"),
    ]


def test_roll_up_captions_say_each_line_once(tmp_path: Path) -> None:
    # As YouTube writes automatic captions: the line above stays, and every line comes twice.
    text = """WEBVTT
Kind: captions

00:00:00.000 --> 00:00:02.000 align:start position:0%
{blank}
so<00:00:00.500><c> today</c><00:00:01.000><c> we</c>

00:00:02.000 --> 00:00:02.010 align:start position:0%
so today we
{blank}

00:00:02.010 --> 00:00:04.000 align:start position:0%
so today we
look<00:00:02.500><c> at</c><00:00:03.000><c> churn</c>

00:00:04.000 --> 00:00:04.010 align:start position:0%
look at churn
{blank}

00:00:04.010 --> 00:00:06.000 align:start position:0%
look at churn
and<00:00:04.500><c> revenue</c>
""".replace("{blank}", " ")
    (tmp_path / "a.vtt").write_text(text)
    cues = read_sidecar_subtitles(tmp_path / "a.vtt")
    assert [cue.text for cue in cues] == ["so today we", "look at churn", "and revenue"]
    assert triples(cues)[1][0] == 2.01


@pytest.mark.parametrize(
    "content",
    [b"\x00\x01\x02\x03" * 50, b"%PDF-1.7 and so on", b"just some words\nin lines\n", b"\xff" * 99],
)
def test_what_is_no_subtitle_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.srt").write_bytes(content)
    with pytest.raises(MediaError, match="not subtitles that can be read"):
        read_sidecar_subtitles(tmp_path / "a.srt")


def test_sidecars_are_limited(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(SRT)
    with pytest.raises(MediaLimitError, match=r"too large.*allowed: 20 bytes"):
        read_sidecar_subtitles(tmp_path / "a.srt", MediaOptions(max_sidecar_bytes=20))
    with pytest.raises(MediaLimitError, match="too many subtitle cues"):
        read_sidecar_subtitles(tmp_path / "a.srt", MediaOptions(max_cues=1))


def test_many_cues_arrive_whole(tmp_path: Path) -> None:
    text = "".join(
        f"{n}\n00:{n // 60:02d}:{n % 60:02d},000 --> 00:{n // 60:02d}:{n % 60:02d},900\nCue {n}\n\n"
        for n in range(1777)
    )
    (tmp_path / "a.srt").write_text(text)
    cues = read_sidecar_subtitles(tmp_path / "a.srt")
    assert [cue.text for cue in cues] == [f"Cue {n}" for n in range(1777)]


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<font color='red'>Red</font> dot", "Red dot"),
        ("1 < 2 and 4 > 3, <3", "1 < 2 and 4 > 3, <3"),
        (r"one\Ntwo\nthree\hfour", "one\ntwo\nthree four"),
        (r"{\pos(1,2)}Sign {text}", "Sign"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "<script>alert(1)</script>"),
        ("<00:00:01.500>word<c.yellow.bg_blue>s</c>", "words"),
        ("<v.loud Esme O’Neal>Hi", "Hi"),
        ("  a \t b  \n\n  c ", "a b\nc"),
        ("nul\x00byte", "nulbyte"),
    ],
)
def test_plain_text(markup: str, words: str) -> None:
    assert plain_text(markup) == words


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("<>/{}\\&;abN .:0"), max_size=400))
def test_plain_text_takes_anything(markup: str) -> None:
    words = plain_text(markup)
    assert "\x00" not in words
    assert not any(line != " ".join(line.split()) for line in words.splitlines())


@pytest.mark.parametrize("bomb", ["<a " * 50_000, "{" * 200_000, "<" * 200_000, "&" * 200_000])
def test_plain_text_of_a_bomb_ends(bomb: str) -> None:
    assert len(plain_text(bomb)) <= len(bomb)


raw_cues = st.lists(
    st.tuples(
        st.one_of(st.floats(-10, 100), st.sampled_from([float("nan"), float("inf"), 1e300])),
        st.one_of(st.floats(-10, 100), st.sampled_from([float("nan"), float("-inf")])),
        st.sampled_from(["", "a", "b", "a\nb", "b\nc", "c", " a "]),
    ),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(raw_cues)
def test_tidy_cues_are_sorted_sane_and_lose_no_words(
    raw: list[tuple[float, float, str]],
) -> None:
    cues = tidy_cues(raw)
    assert [c.start_seconds for c in cues] == sorted(c.start_seconds for c in cues)
    assert all(c.text and 0 <= c.start_seconds <= c.stop_seconds < 1e7 for c in cues)
    usable = [
        text
        for start, stop, text in raw
        if -10 <= start <= 100 and -10 <= stop <= 100 and max(stop, start) >= 0
    ]
    said = {line for cue in cues for line in cue.text.splitlines()}
    assert said >= {line.strip() for text in usable for line in text.splitlines() if line.strip()}


def test_tidy_cues_keeps_what_is_really_said_again() -> None:
    cues = tidy_cues([(0, 1, "No."), (3, 4, "No."), (4, 5, "Yes.")])
    assert [cue.text for cue in cues] == ["No.", "No.", "Yes."]


def test_tidy_cues_joins_a_caption_that_is_shown_on() -> None:
    assert tidy_cues([(0, 1, "Wait"), (1.0, 2, "Wait"), (2.1, 3, "Wait")]) == (Cue(0, 3, "Wait"),)


def test_real_file_of_nasa() -> None:
    path = Path(__file__).parents[2] / "shared" / "media" / "nasa.mp4"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    cues = read_subtitle_track(path, 0)
    assert triples(cues)[0] == (
        0.21,
        4.26,
        "NAR: This is the optical and science segment of the Webb",
    )
    assert cues[2].text.startswith("at NASA’s Goddard Space Flight Center")
