"""Files made to harm: every one ends in a value or in one `MediaError` line."""

from __future__ import annotations

import http.server
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import psutil
import pytest
from media_files import Plan, Subtitles, child_processes, make_video, read_number

from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError, MediaLimitError
from clamr_rag.media import (
    iter_audio,
    iter_frames,
    probe,
    read_sidecar_subtitles,
    read_subtitle_track,
)

SECRET = "canary-7c1f"


def read_everything(path: Path | str, options: MediaOptions | None = None) -> None:
    """Does all that the program does with a video file."""
    info = probe(path, options)
    if info.video is not None:
        for _ in iter_frames(path, itertools.count(), options):
            pass
    for _ in iter_audio(path, window_seconds=30, options=options) if info.audio_tracks else ():
        pass
    for track in info.subtitle_tracks:
        if track.is_text:
            read_subtitle_track(path, track.index, options)


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    yield
    assert child_processes() == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "srt", "mp3"])
@pytest.mark.parametrize(
    "content",
    [b"just a letter to a friend\n" * 40, b"\x00" * 5000, b"\xff" * 5000, b"PK\x03\x04zip", b"G"],
    ids=["text", "zeros", "ones", "zip", "one byte"],
)
def test_what_is_no_video_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(MediaError, match="can be read"):
        read_everything(path)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(random.Random(0).randbytes(100_000))
    with pytest.raises(MediaError):
        read_everything(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "ts"])
def test_cut_anywhere(tmp_path: Path, suffix: str) -> None:
    plan = Plan(codec="vp9" if suffix == "webm" else "h264", tone_seconds=2.0)
    content = make_video(tmp_path / f"whole.{suffix}", plan).path.read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for share in (0.001, 0.01, 0.1, 0.5, 0.9, 0.99):
        path.write_bytes(content[: max(1, int(len(content) * share))])
        _only_media_errors(path)


def _only_media_errors(path: Path) -> str:
    """Reads a file; any other exception than `MediaError` fails the test that asked."""
    try:
        read_everything(path)
    except MediaError as error:
        words = str(error)
        assert "\n" not in words
        return words
    return ""


def mutated(content: bytes, seed: int) -> bytes:
    """Returns one seeded mutant: flipped bits, overwritten, cut, doubled, or lost bytes."""
    dice = random.Random(seed)
    mutant = bytearray(content)
    for _ in range(dice.choice([1, 3, 10, 50])):
        # Headers are worth more than pictures: half of the hits go to the first and last 2 kB.
        span = dice.choice([(0, 2000), (len(mutant) - 2000, len(mutant)), (0, len(mutant))])
        place = dice.randrange(max(0, span[0]), max(1, min(span[1], len(mutant))))
        kind = dice.randrange(5)
        if kind == 0:
            mutant[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            mutant[place : place + 4] = dice.choice([b"\xff" * 4, bytes(4), dice.randbytes(4)])
        elif kind == 2:
            del mutant[place : place + dice.randrange(1, 200)]
        elif kind == 3:
            mutant[place:place] = mutant[place : place + dice.randrange(1, 200)]
        else:
            mutant[place : place + 64] = dice.randbytes(64)
    return bytes(mutant)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("mp4", "h264"),
        ("mkv", "hevc"),
        ("webm", "vp9"),
        ("avi", "mpeg4"),
        ("ts", "h264"),
        ("mp4", "av1"),
    ],
)
def test_mutants_raise_only_media_errors(tmp_path: Path, suffix: str, codec: str) -> None:
    texts = {"mp4": ("mov_text",), "mkv": ("subrip",)}.get(suffix, ())
    plan = Plan(
        codec=codec,
        frame_seconds=Plan.frame_seconds[:10],
        tone_seconds=0.8,
        subtitles=[Subtitles(name, [(0.1, 0.5, "Hello")]) for name in texts],
        chapters=((0.0, 0.4, "One"),),
        tags={"title": "Mutant"},
    )
    content = make_video(tmp_path / f"whole.{suffix}", plan).path.read_bytes()
    path = tmp_path / f"mutant.{suffix}"
    for seed in range(12):
        path.write_bytes(mutated(content, seed))
        started = time.monotonic()
        words = _only_media_errors(path)
        assert time.monotonic() - started < 40, f"seed {seed}: {words}"


class _Canary(http.server.BaseHTTPRequestHandler):
    """Counts who calls."""

    hits: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.hits.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def canary() -> Iterator[str]:
    """The address of a server that must not be called."""
    _Canary.hits.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), _Canary) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
    assert _Canary.hits == []


def lures(secret: Path, address: str) -> dict[str, str]:
    """Playlists and scripts that make a naive reader open something else."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n"
    return {
        "hls": f"{hls}{secret}\n#EXT-X-ENDLIST\n",
        "hls http": f"{hls}{address}/a.ts\n#EXT-X-ENDLIST\n",
        "hls file": f"{hls}file://{secret}\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "concat http": f"ffconcat version 1.0\nfile '{address}/a.mp4'\n",
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT9S"><Period><AdaptationSet contentType="video">'
            f'<Representation id="1" bandwidth="1"><BaseURL>{address}/a.mp4</BaseURL>'
            "</Representation></AdaptationSet></Period></MPD>"
        ),
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "asx": f'<asx version="3.0"><entry><ref href="{address}/a.wmv"/></entry></asx>',
        "subtitle": f"1\n00:00:01,000 --> 00:00:02,000\n{address}\n",
        "metadata": f";FFMETADATA1\ntitle={secret}\n",
    }


@pytest.mark.parametrize("kind", list(lures(Path("x"), "y")))
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "mkv"])
def test_playlists_open_nothing(tmp_path: Path, canary: str, kind: str, suffix: str) -> None:
    secret = make_video(tmp_path / "secret.mp4", Plan(tags={"title": SECRET})).path
    path = tmp_path / f"lure.{suffix}"
    path.write_text(lures(secret, canary)[kind])
    with pytest.raises(MediaError, match="not a video that can be read"):
        read_everything(path)


@pytest.mark.parametrize(
    "name",
    [
        "concat:{secret}|{secret}",
        "subfile,,start,0,end,0,,:{secret}",
        "async:{secret}",
        "cache:{secret}",
        "crypto:{secret}",
        "file:{secret}",
        "data:video/mp4;base64,AAAA",
        "pipe:0",
        "fd:",
        "{canary}/a.mp4",
        "http:{canary}",
        "rtsp://127.0.0.1/a",
        "tcp://127.0.0.1:1",
        "-i",
        "",
    ],
)
def test_names_that_look_like_addresses_are_no_files(
    tmp_path: Path, canary: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = make_video(tmp_path / "secret.mp4").path
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaError, match=r"no such file|not a usable path|is a folder"):
        probe(name.format(secret=secret, canary=canary))


ODD_NAMES = [
    b"concat:a|b.mp4",
    b"http:x.mp4",
    b"subfile,,start,0,end,9,,:a.mp4",
    b"-i",
    b"--help.mp4",
    b"frame%d.mp4",
    b"%00%2e.mp4",
    b"new\nline\r\x1b[31m.mp4",
    b"quote'\"`$(id);&.mp4",
    "emoji 🎬 اللغة.mp4".encode(),
    b"not unicode \xff\xfe.mp4",
    b"trailing space .mp4 ",
    b"*?[a].mp4",
    b"\\back\\slash.mp4",
    b"a" * 251 + b".mp4",
    b"no suffix",
    b"wrong suffix.m3u8",
    b"image-001.png",
]


@pytest.fixture(scope="module")
def plain_film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("plain")
    return make_video(folder / "a.mp4", Plan(tone_seconds=1.0)).path.read_bytes()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_plain_files(
    tmp_path: Path, plain_film: bytes, name: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = os.fsdecode(name)
    Path(path).write_bytes(plain_film)
    for way in (path, tmp_path / path):
        assert probe(way).video is not None
        (frame,) = iter_frames(way, [1.0])
        assert read_number(frame.pixels) == 12


@pytest.mark.parametrize("name", [b"new\nline\x1b[31m.mp4", b"not unicode \xff.mp4"])
def test_errors_about_odd_names_are_one_printable_line(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"text")
    with pytest.raises(MediaError) as caught:
        probe(path)
    assert str(caught.value).isprintable()
    str(caught.value).encode("utf-8")


def picture_bomb(path: Path, side: int) -> Path:
    """Writes a few kilobytes that decode to ``side`` x ``side`` pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if side < 8000 else "mjpeg", rate=1)
        stream.width, stream.height = side, side
        stream.pix_fmt = "yuv420p" if side < 8000 else "yuvj420p"
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame(side, side, stream.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts = 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


BOMB_WORDS = r"too large .*67108864 pixels"


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_bomb(tmp_path_factory.mktemp("bomb") / "bomb.mkv", 16_000)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi"])
def test_picture_bomb_is_refused_by_its_size(bomb: Path, suffix: str) -> None:
    path = bomb.with_suffix(f".{suffix}")
    if path != bomb:
        with av.open(str(bomb)) as source, av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
    for read in (probe, lambda path: list(iter_frames(path, [0.0]))):
        started = time.monotonic()
        with pytest.raises(MediaLimitError, match=BOMB_WORDS):
            read(path)
        assert time.monotonic() - started < 30


def test_picture_bomb_meets_the_memory_limit(bomb: Path) -> None:
    # Allowed to be that large, it still may not take the machine.
    options = MediaOptions(max_pixels=10**9, memory_bytes=500 << 20)
    with pytest.raises(MediaLimitError, match=r"too much memory.*500 MB"):
        list(iter_frames(bomb, [0.0], options))


LARGEST_CHILD = """
import resource, sys
from clamr_rag.media import iter_frames
(frame,) = iter_frames(sys.argv[1], [0.0], max_side=100)
assert frame.pixels.shape == (100, 100, 3)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_memory_stays_under_the_limit(tmp_path: Path) -> None:
    """In a process of its own: this one has had other children, larger ones maybe."""
    path = picture_bomb(tmp_path / "large.mp4", 7000)
    told = subprocess.run(
        [sys.executable, "-c", LARGEST_CHILD, str(path)], capture_output=True, text=True, check=True
    )
    assert 0 < int(told.stdout) < 2 << 20  # in kB


def test_tag_and_chapter_floods_are_bounded(tmp_path: Path) -> None:
    plan = Plan(
        tags={f"tag{n}": "x" * 50 for n in range(3000)},
        chapters=[(n * 1e-3, (n + 1) * 1e-3, f"c{n}") for n in range(12_000)],
    )
    info = probe(make_video(tmp_path / "a.mkv", plan).path)
    assert len(info.tags) <= 200
    assert len(info.chapters) <= 10_000


@pytest.mark.parametrize(
    "line",
    ["<" * 1_000_000, "{" * 500_000, "{\\p1" * 200_000, "&" * 1_000_000, "<a " * 300_000, "\n" * 9],
)
def test_subtitle_bombs_end(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.srt"
    path.write_text(f"1\n00:00:01,000 --> 00:00:02,000\n{line}\n\n" + "2\n" * 10_000)
    started = time.monotonic()
    read_sidecar_subtitles(path)
    assert time.monotonic() - started < 30


PARENT = """
import itertools, sys
from clamr_rag.media import iter_frames
for frame in iter_frames(sys.argv[1], itertools.repeat(0.0)):
    print("frame", flush=True)
    {after}
"""


@pytest.mark.parametrize(
    "after",
    ["pass", "import time; time.sleep(1000)"],
    ids=["while it reads", "while the child waits"],
)
def test_killed_parent_leaves_no_child(tmp_path: Path, after: str) -> None:
    path = make_video(tmp_path / "a.mp4").path
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(after=after), str(path)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        children = psutil.Process(parent.pid).children()
        assert len(children) == 1
        parent.kill()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert (len(gone), alive) == (1, [])
