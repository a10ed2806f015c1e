"""Looking at a file from outside: what is refused before anything is opened, and content keys."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from clamr_rag.errors import MediaError
from clamr_rag.media import checked_video_path, content_key, full_hash


def test_a_regular_file_is_returned_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert checked_video_path("a.mp4") == tmp_path / "a.mp4"
    assert checked_video_path(Path("./a.mp4")) == tmp_path / "a.mp4"


def test_a_link_to_a_file_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    assert checked_video_path(tmp_path / "link.mp4") == tmp_path / "link.mp4"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("pipe", "is a named pipe"),
        ("socket", "is a socket"),
        ("device", "is a device"),
        ("empty", "is empty"),
        ("dangling", "no such file"),
        ("loop", "not a usable path"),
        ("nul", "not a usable path"),
        ("long", "not a usable path"),
        ("below a file", "not a usable path"),
    ],
)
def test_everything_else_is_refused_at_once(tmp_path: Path, kind: str, words: str) -> None:
    path: Path | str = tmp_path / "a.mp4"
    if kind == "folder":
        Path(path).mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "device":
        path = "/dev/zero"
    elif kind == "empty":
        Path(path).touch()
    elif kind == "dangling":
        Path(path).symlink_to(tmp_path / "gone.mp4")
    elif kind == "loop":
        Path(path).symlink_to(path)
    elif kind == "nul":
        path = f"{tmp_path}/a\0b.mp4"
    elif kind == "long":
        path = tmp_path / ("a" * 300)
    elif kind == "below a file":
        Path(path).write_bytes(b"x")
        path = tmp_path / "a.mp4" / "b.mp4"
    for look in (checked_video_path, content_key, full_hash):
        with pytest.raises(MediaError, match=words) as caught:
            look(path)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(MediaError, match="permission denied"):
        checked_video_path(path)


def test_proc_files_are_refused() -> None:
    with pytest.raises(MediaError, match="is empty"):
        checked_video_path("/proc/self/environ")


@pytest.mark.parametrize("size", [1, 1000, (1 << 20) + 1, (3 << 20) + 7, 10 << 20])
def test_a_copy_has_the_same_key(tmp_path: Path, size: int) -> None:
    content = os.urandom(1000) * (size // 1000 + 1)
    one, two = tmp_path / "one.mp4", tmp_path / "two.mkv"
    one.write_bytes(content[:size])
    time.sleep(0.01)
    two.write_bytes(content[:size])
    assert content_key(one) == content_key(two)
    assert full_hash(one) == full_hash(two)
    assert len(content_key(one)) == len(full_hash(one)) == 64


@pytest.mark.parametrize("place", [0, 5 << 20, (10 << 20) - 1])
def test_a_change_at_start_middle_or_end_is_seen(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.mp4"
    content = bytearray(10 << 20)
    path.write_bytes(content)
    before = content_key(path), full_hash(path)
    content[place] = 1
    path.write_bytes(content)
    assert content_key(path) != before[0]
    assert full_hash(path) != before[1]


@pytest.mark.parametrize(("size_mib", "is_seen"), [(64, True), (200, False)])
def test_every_byte_of_a_smaller_file_counts(tmp_path: Path, size_mib: int, is_seen: bool) -> None:
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        file.truncate(size_mib << 20)
    before = content_key(path), full_hash(path)
    with path.open("r+b") as file:
        file.seek(2 << 20)
        file.write(b"1")
    assert (content_key(path) != before[0]) is is_seen
    assert full_hash(path) != before[1]


def test_a_download_that_goes_on_is_another_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    before = content_key(path)
    with path.open("r+b") as file:
        file.seek(100 << 20)
        file.write(b"1" * (20 << 20))
    assert content_key(path) != before


def test_a_longer_file_has_another_key(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(bytes(4 << 20))
    two.write_bytes(bytes((4 << 20) + 1))
    assert content_key(one) != content_key(two)
