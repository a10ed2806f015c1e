"""Files, folders and libraries as nobody wishes them, each met by a real process.

Whatever comes: one line, the promised exit code, no trace, no hang, nothing lost, no foreign file
read.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runs import Run, clamr
from conftest import Talk
from library_values import SMALL, add_video, clip_vectors, video

from clamr_rag import VideoLibrary
from clamr_rag.index.store import FILE_NAME, Store

PATIENCE_SECONDS = 60
"""The longest that bad input may take; on a machine that is busy, too."""

_BOMB = """
import sys
from fractions import Fraction
import av
with av.open(sys.argv[1], "w") as container:
    stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast", "crf": "51"})
    stream.width = stream.height = 16000
    stream.pix_fmt, stream.thread_count = "yuv420p", 1
    frame = av.VideoFrame(16000, 16000, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.pts, frame.time_base = 0, Fraction(1, 1)
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
"""

Maker = Callable[[Path, Path], Path]
"""Makes one bad file in a folder; a good video may serve as material."""


def _empty(folder: Path, good: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def _text(folder: Path, good: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("This is not a video.\n" * 1000)
    return path


def _folder(folder: Path, good: Path) -> Path:
    path = folder / "folder.mp4"
    path.mkdir()
    return path


def _fifo(folder: Path, good: Path) -> Path:
    path = folder / "fifo.mp4"
    os.mkfifo(path)
    return path


def _device(folder: Path, good: Path) -> Path:
    return Path("/dev/zero")


def _truncated(folder: Path, good: Path) -> Path:
    """Cut before the index that an mp4 has at its end."""
    path = folder / "truncated.mp4"
    content = good.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def _hls(folder: Path, good: Path) -> Path:
    path = folder / "playlist.m3u8"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:30\n#EXTINF:24,\n{good}\n#EXT-X-ENDLIST\n")
    return path


def _hls_as_mp4(folder: Path, good: Path) -> Path:
    return _hls(folder, good).rename(folder / "playlist.mp4")


def _concat_script(folder: Path, good: Path) -> Path:
    path = folder / "script.mp4"
    path.write_text(f"ffconcat version 1.0\nfile '{good}'\n")
    return path


def _link_to_nothing(folder: Path, good: Path) -> Path:
    path = folder / "link.mp4"
    path.symlink_to(folder / "nothing.mp4")
    return path


def _bomb(folder: Path, good: Path) -> Path:
    path = folder / "bomb.mp4"
    subprocess.run([sys.executable, "-c", _BOMB, path], check=True, capture_output=True)
    return path


MAKERS: dict[str, Maker] = {
    "empty": _empty,
    "text": _text,
    "folder": _folder,
    "fifo": _fifo,
    "device": _device,
    "truncated": _truncated,
    "hls": _hls,
    "hls-as-mp4": _hls_as_mp4,
    "concat-script": _concat_script,
    "dangling-link": _link_to_nothing,
    "bomb": _bomb,
}


@pytest.fixture(scope="module")
def bad_files(talk: Talk, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each kind; those that name another file name the good talk."""
    root = tmp_path_factory.mktemp("bad")
    made = {}
    for kind, make in MAKERS.items():
        (root / kind).mkdir()
        made[kind] = make(root / kind, talk.video)
    return made


def check_refused(run: Run, code: int) -> None:
    """One line, the code, no trace, nothing on stdout."""
    assert run.code == code, run.err
    assert run.out == ""
    assert len(run.err.splitlines()) == 1, run.err
    assert run.err.startswith("error: ")


# --- files


@pytest.mark.parametrize("kind", MAKERS)
def test_a_bad_file_is_one_line_and_code_4(
    kind: str, bad_files: dict[str, Path], tmp_path: Path
) -> None:
    told = clamr("info", bad_files[kind], home=tmp_path, timeout_seconds=PATIENCE_SECONDS)
    check_refused(told, 4)


def test_a_batch_keeps_the_good_one_and_reads_no_foreign_file(
    talk: Talk, bad_files: dict[str, Path], tmp_path: Path
) -> None:
    """All of them in one run, with a good video among them; the talk itself is not named."""
    good = tmp_path / "good.mkv"
    _remux(talk.video, good)
    names = [
        "concat:" + str(talk.video), "subfile,,start,0,end,9999999,,:" + str(talk.video),
        "async:" + str(talk.video), "file:" + str(talk.video), "http://127.0.0.1:9/x.mp4",
        "-i", "%d.mp4", "no\nsuch.mp4", "x" * 300,
    ]  # fmt: skip
    told = clamr(
        "--library", "library", "index", "--json", "--ocr", "none", "--",
        *bad_files.values(), *names, good,
        home=tmp_path, timeout_seconds=5 * PATIENCE_SECONDS,
    )  # fmt: skip
    assert told.code == 3, told.err
    *bad, last = told.json["videos"]
    assert last["status"] == "indexed"
    assert len(bad) == len(MAKERS) + len(names)
    assert {video["status"] for video in bad} == {"failed"}
    assert all(video["error"] for video in bad)
    assert len(told.errors) == len(bad)
    assert "Traceback" not in told.err
    with VideoLibrary.open(tmp_path / "library", create=False) as library:
        indexed = [r for r in library.videos() if r.status == "indexed"]
        assert [record.video.path for record in indexed] == [str(good)]
        for record in library.videos():
            if record.status != "indexed":
                assert not library.store.clips(record.video.video_id)


def _remux(source: Path, target: Path) -> None:
    """Copies the pictures of a video into another container: other bytes, no speech."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


def test_a_plain_file_with_the_name_of_a_url_is_read_as_a_file(talk: Talk, tmp_path: Path) -> None:
    odd = tmp_path / "concat:a|b.mp4"
    shutil.copy(talk.video, odd)
    told = clamr("info", odd.name, home=tmp_path)
    assert told.code == 0, told.err
    assert "h264 640x360" in told.out


def test_hostile_names_of_good_files_are_shown_harmlessly(talk: Talk, tmp_path: Path) -> None:
    names = (b"\xff\xfe.mp4", "\u202egnp.mp4".encode(), b"a\x1b[2J\nb.mp4")
    paths = [tmp_path / os.fsdecode(name) for name in names]
    library = shutil.copytree(talk.library, tmp_path / "library")
    for path in paths:
        shutil.copy(talk.video, path)
        told = clamr("--library", library, "info", path, home=tmp_path)
        assert told.code == 0, told.err
        assert not set(told.out + told.err) & set("\x1b\u202e")
    told = clamr("--library", library, "index", *paths, home=tmp_path)
    assert told.code == 0, told.err
    assert not set(told.out + told.err) & set("\x1b\u202e")
    assert len(told.out.splitlines()) == len(names)
    listed = clamr("--library", library, "ls", "--json", home=tmp_path)
    assert [video["path"] for video in listed.json["videos"]] == [str(paths[-1])]
    assert len(clamr("--library", library, "ls", home=tmp_path).out.splitlines()) == 1


# --- rights


def _without_override() -> None:
    """Takes from root the right to read what its owner may not; anyone else never had it."""
    libc = ctypes.CDLL(None, use_errno=True)
    cap_dac_override, cap_dac_read_search, pr_capbset_drop = 1, 2, 24
    for capability in (cap_dac_override, cap_dac_read_search):
        libc.prctl(pr_capbset_drop, capability, 0, 0, 0)


@pytest.fixture
def obeys_permissions(tmp_path: Path) -> None:
    """Skips where even the lesser root may read everything."""
    probe = tmp_path / "probe"
    probe.touch(mode=0o000)
    done = subprocess.run(
        ["cat", probe], preexec_fn=_without_override, capture_output=True, check=False
    )
    if done.returncode == 0:
        pytest.skip("this user may read everything, whatever the file says")


@pytest.mark.usefixtures("obeys_permissions")
def test_a_file_without_permission(talk: Talk, tmp_path: Path) -> None:
    path = tmp_path / "private.mp4"
    shutil.copy(talk.video, path)
    path.chmod(0o000)
    told = clamr("info", path, home=tmp_path, prepare=_without_override)
    check_refused(told, 4)
    assert "permission denied" in told.err
    path.chmod(0o600)
    closed = tmp_path / "closed"
    closed.mkdir()
    shutil.move(path, closed / "private.mp4")
    closed.chmod(0o000)
    try:
        told = clamr(
            "ask", closed / "private.mp4", "Why?", home=tmp_path, prepare=_without_override
        )
    finally:
        closed.chmod(0o700)
    check_refused(told, 4)


@pytest.mark.usefixtures("obeys_permissions")
def test_a_library_that_may_not_be_written(talk: Talk, tmp_path: Path) -> None:
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o500)
    told = clamr("--library", sealed / "library", "index", talk.video, home=tmp_path,
                 prepare=_without_override)  # fmt: skip
    check_refused(told, 8)


# --- disk


def test_a_full_disk_is_code_9_and_the_next_run_goes_on(talk: Talk, tmp_path: Path) -> None:
    """No file may grow beyond what an empty library already takes: a disk that is full."""
    VideoLibrary.open(tmp_path / "library").close()
    size_bytes = max(file.stat().st_size for file in (tmp_path / "library").iterdir())

    def small_disk() -> None:
        limit = size_bytes + 16_384
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    arguments = ("--library", "library", "index", "--ocr", "none", talk.video)
    told = clamr(*arguments, home=tmp_path, prepare=small_disk)
    assert told.code == 9, told.err
    assert len(told.errors) == 1
    assert "no space left" in told.errors[0]
    assert "Traceback" not in told.err
    assert clamr("--library", "library", "verify", home=tmp_path).code == 0
    again = clamr(*arguments, "--json", home=tmp_path)
    assert again.code == 0, again.err
    assert again.json["videos"][0]["status"] in ("indexed", "resumed")


# --- libraries


def test_two_processes_on_one_library(talk: Talk, tmp_path: Path) -> None:
    """While one writes, another one may not, but may ask."""
    library = shutil.copytree(talk.library, tmp_path / "library")
    with Store.open(library) as store, store.writing():
        told = clamr("--library", library, "index", "--force", talk.video, home=tmp_path)
        check_refused(told, 7)
        assert f"process {os.getpid()}" in told.err
        assert clamr("--library", library, "rm", "-y", "talk.mp4", home=tmp_path).code == 7
        assert clamr("--library", library, "search", "revenue", home=tmp_path).code == 0
    assert clamr("--library", library, "ls", "--json", home=tmp_path).json["videos"]


def test_a_library_of_another_encoder(talk: Talk, tmp_path: Path) -> None:
    with Store.open(tmp_path / "library") as store:
        store.claim_encoder("clamr-omni", "clamr-omni:1")
        add_video(store, video("a"), [clip_vectors(SMALL, 1)])
    for command in (("index", talk.video), ("ask", "Why did churn fall?")):
        told = clamr("--library", "library", *command, home=tmp_path)
        check_refused(told, 8)
        assert "mini" in told.err
        assert "clamr-omni" in told.err


def test_a_library_of_a_later_version_is_left_alone(talk: Talk, tmp_path: Path) -> None:
    library = Path(shutil.copytree(talk.library, tmp_path / "library"))
    with sqlite3.connect(library / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = (library / FILE_NAME).read_bytes()
    for command in (["ls"], ["ask", "Why did churn fall?"], ["index", talk.video], ["verify"]):
        check_refused(clamr("--library", library, *command, home=tmp_path), 8)
    assert (library / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("damage", ["foreign", "empty", "cut", "zeroed"])
def test_a_damaged_library(damage: str, talk: Talk, tmp_path: Path) -> None:
    library = Path(shutil.copytree(talk.library, tmp_path / "library"))
    file = library / FILE_NAME
    content = file.read_bytes()
    file.write_bytes(
        {
            "foreign": b"This is no library.\n" * 1000,
            "empty": b"",
            "cut": content[: len(content) // 2],
            "zeroed": content[:8192] + bytes(len(content) - 8192),
        }[damage]
    )
    told = clamr("--library", library, "verify", home=tmp_path)
    assert told.code == 8, told.err
    assert "Traceback" not in told.err
    asked = clamr("--library", library, "search", "revenue", home=tmp_path)
    check_refused(asked, 8)


def test_a_flipped_byte_is_found_and_never_searched(talk: Talk, tmp_path: Path) -> None:
    library = Path(shutil.copytree(talk.library, tmp_path / "library"))
    with sqlite3.connect(library / FILE_NAME) as connection:
        ((blob,),) = connection.execute("SELECT blob FROM vector LIMIT 1").fetchall()
        changed = blob[:-1] + bytes([blob[-1] ^ 1])
        connection.execute("UPDATE vector SET blob = ? WHERE blob = ?", (changed, blob))
    connection.close()
    told = clamr("--library", library, "verify", home=tmp_path)
    assert told.code == 8
    assert told.out
    check_refused(clamr("--library", library, "search", "revenue", home=tmp_path), 8)


# --- questions and models


@pytest.mark.parametrize("question", ["", "   ", "\n\t"])
def test_a_blank_question(question: str, talk: Talk, tmp_path: Path) -> None:
    check_refused(clamr("--library", talk.library, "ask", question, home=tmp_path), 2)


@pytest.mark.parametrize(
    "flags", [["--speech", "asr"], ["--encoder", "clamr"], ["--encoder", "/no/such/folder"]]
)
def test_a_model_that_is_not_here(flags: list[str], talk: Talk, tmp_path: Path) -> None:
    told = clamr("index", "--offline", *flags, "--ocr", "none", talk.video, home=tmp_path)
    assert told.code == 6, told.err
    assert len(told.errors) == 1
    assert "Traceback" not in told.err


def test_a_killed_run_leaves_a_library_that_opens(talk: Talk, tmp_path: Path) -> None:
    """SIGTERM is no Ctrl-C: nothing is tidied up, and nothing has to be."""
    from cli_runs import start

    process = start(
        ["--library", "library", "index", talk.video, "--progress", "json"],
        tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    with process.stderr:
        process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGTERM
    assert clamr("--library", "library", "verify", home=tmp_path).code == 0
