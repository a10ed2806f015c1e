"""The border between parent and child: hostile words, silence, death, limits, imports."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import child_processes, make_video

from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError, MediaLimitError
from clamr_rag.media import iter_audio, iter_frames, probe, process, read_subtitle_track
from clamr_rag.media.process import DecoderProcess
from clamr_rag.media.wire import PREFIX, packed, unpacked_header

PREAMBLE = """
import json, os, signal, sys, time
sys.path[:] = sys.argv[1:]
from clamr_rag.media.wire import packed, PREFIX
sys.stdin.buffer.readline()
def send(header, payload=b"", size=None):
    sys.stdout.buffer.write(packed(header, len(payload) if size is None else size) + payload)
    sys.stdout.buffer.flush()
"""


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_video(tmp_path / "Film.mp4").path


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    yield
    assert child_processes() == []


def impostor(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Puts other code in the place of the decoder child."""
    monkeypatch.setattr(process, "_BOOT", PREAMBLE + code)


@pytest.mark.parametrize(
    "code",
    [
        "sys.stdout.buffer.write(b'x' * 100)",
        "sys.stdout.buffer.write(PREFIX.pack(1 << 31, 0))",
        "sys.stdout.buffer.write(PREFIX.pack(4, 0) + b'nope')",
        "sys.stdout.buffer.write(PREFIX.pack(2, 0) + b'[]')",
        "sys.stdout.buffer.write(PREFIX.pack(400000, 0) + b'[' * 400000)",
        "send({'kind': 'frame'})",
        "send({'kind': 'frame', 'seconds': 0, 'width': 2, 'height': 2, 'turns': 0}, b'x' * 11)",
        "send({'kind': 'frame', 'seconds': 'x', 'width': 1, 'height': 1, 'turns': 0}, b'xxx')",
        "send({'kind': 'frame', 'seconds': -1, 'width': 1, 'height': 1, 'turns': 0}, b'xxx')",
        "send({'kind': 'frame', 'seconds': 0, 'width': -1, 'height': 1, 'turns': 0}, b'xxx')",
        "send({'kind': 'frame', 'seconds': 0, 'width': 1, 'height': 1, 'turns': None}, b'xxx')",
        "send({'kind': 'frame'}, size=1 << 62)",
    ],
)
def test_an_unusable_message_is_an_error(
    film: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    impostor(monkeypatch, code)
    with pytest.raises(MediaError, match="the decoder sent an unusable message"):
        list(iter_frames(film, [0.0]))


@pytest.mark.parametrize(
    "header",
    [
        {"kind": "info"},
        {"kind": "info", "format_name": "x", "duration_seconds": -1},
        {"kind": "cues", "cues": [["a", 1, "x"]]},
        {"kind": "cues", "cues": 7},
        {"kind": "cues", "cues": [[1, 2]]},
    ],
)
def test_an_unusable_answer_is_an_error(
    film: Path, monkeypatch: pytest.MonkeyPatch, header: dict[str, object]
) -> None:
    impostor(monkeypatch, f"send({header!r})")
    with pytest.raises(MediaError, match="unusable message"):
        read_subtitle_track(film, 0) if header["kind"] == "cues" else probe(film)


def test_sound_that_is_not_a_number_is_silenced(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import struct\n"
        "values = struct.pack('4f', float('nan'), float('inf'), -9.0, 0.25)\n"
        "send({'kind': 'sound', 'first_sample': 0}, values)\nsend({'kind': 'end'})"
    )
    impostor(monkeypatch, code)
    (window,) = iter_audio(film, window_seconds=1)
    assert window.samples.tolist() == [0.0, 1.0, -1.0, 0.25]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sys.exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os.abort()", "SIGABRT"),
        (
            "raise UnicodeDecodeError('utf-8', b'x', 0, 1, 'bad tag')",
            "UnicodeDecodeError: .*bad tag",
        ),
        ("send({'kind': 'alive'}); sys.exit(4)", "exit code 4"),
        ("sys.stdout.buffer.write(b'1234')", "exit code 0"),
    ],
)
def test_a_dead_child_is_an_error_with_its_last_words(
    film: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    impostor(monkeypatch, code)
    with pytest.raises(MediaError, match=rf"the decoder died: {words}"):
        probe(film)


@pytest.mark.parametrize(
    "code",
    [
        "time.sleep(1000)",
        "send({'kind': 'alive'}); time.sleep(1000)",
        "sys.stdout.buffer.write(b'12'); sys.stdout.flush(); time.sleep(1000)",
    ],
)
def test_a_silent_child_is_given_up(film: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    impostor(monkeypatch, code)
    with pytest.raises(MediaLimitError, match=r"no progress for 0\.3 s"):
        probe(film, MediaOptions(stall_seconds=0.3))


def test_signs_of_life_keep_a_slow_child(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor(
        monkeypatch,
        "for _ in range(8):\n  send({'kind': 'alive'}); time.sleep(0.1)\nsend({'kind': 'end'})",
    )
    assert list(iter_frames(film, [0.0], MediaOptions(stall_seconds=0.6))) == []


def test_a_chatty_child_does_not_block(
    film: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    impostor(
        monkeypatch,
        "for _ in range(3000):\n"
        "  try: os.write(2, b'complaint ' * 100 + b'\\n')\n"
        "  except BlockingIOError: pass\n"
        "send({'kind': 'end'})",
    )
    with caplog.at_level(logging.DEBUG, logger="clamr_rag.media.process"):
        assert list(iter_frames(film, [0.0])) == []
    assert "complaint" in caplog.text


ENDLESS = """
while True:
    send({'kind': 'frame', 'seconds': 0, 'width': 1, 'height': 1, 'turns': 0}, b'xxx')
"""


def test_more_frames_than_wishes_are_an_error(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor(monkeypatch, ENDLESS)
    with pytest.raises(MediaError, match="a frame that nobody asked for"):
        list(iter_frames(film, [0.0]))


def test_a_child_that_does_not_listen_blocks_nobody(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impostor(monkeypatch, ENDLESS)
    with pytest.raises(MediaError, match="the decoder does not listen"):
        list(iter_frames(film, itertools.count()))


def test_a_child_that_ignores_the_request_is_ended(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impostor(monkeypatch, "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)")
    with DecoderProcess("probe", film, MediaOptions()) as child:
        child.close()
        child.close()


def test_a_child_that_hangs_up_and_lives_on_is_ended(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_EXIT_SECONDS", 0.2)
    impostor(monkeypatch, "os.close(1); time.sleep(1000)")
    with pytest.raises(MediaError, match="the decoder hung up"):
        probe(film)


def test_ctrl_c_at_the_terminal_does_not_reach_the_child(film: Path) -> None:
    frames = iter_frames(film, itertools.repeat(0.0))
    next(frames)
    (child,) = child_processes()
    assert os.getpgid(child.pid) != os.getpgid(0)
    frames.close()


CONFINED = """
import os, resource, sys
sys.path[:] = sys.argv[1:]
from clamr_rag.media.child.limits import apply_limits
apply_limits(700 << 20)
found = {}
try:
    with open("FILE", "wb") as file:
        file.write(b"x")
    found["write"] = True
except OSError as error:
    found["write"] = type(error).__name__
try:
    bytearray(1 << 30)
    found["memory"] = True
except MemoryError:
    found["memory"] = "MemoryError"
found["core"] = resource.getrlimit(resource.RLIMIT_CORE)
try:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))
    found["raise"] = os.geteuid() == 0 and "root"
except (ValueError, OSError):
    found["raise"] = "refused"
found["network"] = os.readlink("/proc/self/ns/net") if os.path.exists("/proc/self/ns/net") else ""
import json
print(json.dumps(found))
"""


def test_the_child_is_confined(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + CONFINED.replace(
        "FILE", str(tmp_path / "written")
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, *sys.path], capture_output=True, text=True, check=True
    )
    found = json.loads(answer.stdout)
    assert found["write"] == "OSError"
    assert (tmp_path / "written").stat().st_size == 0
    assert found["memory"] == "MemoryError"
    assert found["core"] == [0, 0]
    # No more is promised of the network than what the system allows: said, not failed.
    if found["network"] == str(Path("/proc/self/ns/net").readlink()):
        pytest.skip("this machine lets no process leave its network")


LOADED = """
import json, sys
sys.path[:] = sys.argv[1:]
import clamr_rag.media.child.main, clamr_rag.media.child.pictures, clamr_rag.media.child.probing
import clamr_rag.media.child.sound, clamr_rag.media.child.subtitles, clamr_rag.media.child.texts
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-I", "-S", "-c", code, *filter(None, sys.path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(answer.stdout))


def test_the_child_loads_no_more_than_it_needs() -> None:
    loaded = modules_after(LOADED)
    assert "av" in loaded
    assert not loaded & {"numpy", "pydantic", "clamr_rag.config", "clamr_rag.types", "torch", "cv2"}


def test_the_parent_never_loads_a_decoder() -> None:
    loaded = modules_after(
        "import json, sys; sys.path[:] = sys.argv[1:]\n"
        "from clamr_rag.media import *\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert "clamr_rag.media.pictures" in loaded
    assert not loaded & {"av", "pysubs2", "defusedxml", "clamr_rag.media.child"}


def test_importing_the_room_is_free() -> None:
    loaded = modules_after(
        "import json, sys; sys.path[:] = sys.argv[1:]\n"
        "import clamr_rag.media\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert not loaded & {"numpy", "pydantic", "av"}


def test_a_lying_module_in_the_working_folder_is_not_loaded(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("av", "json", "sitecustomize", "encodings"):
        (tmp_path / f"{name}.py").write_text("import os; os._exit(99)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "av.py"))
    assert probe(film).video is not None


def test_the_child_sees_no_secrets_of_the_environment(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "hush")
    impostor(monkeypatch, "send({'kind': 'error', 'got': ' '.join(os.environ)})")
    with pytest.raises(MediaError) as caught:
        probe(film)
    assert "PATH" in str(caught.value)
    assert "API_KEY" not in str(caught.value)


def test_an_unknown_name_of_the_room() -> None:
    with pytest.raises(ImportError):
        from clamr_rag.media import nothing  # type: ignore[attr-defined]  # noqa: F401


@settings(max_examples=50, deadline=None)
@given(
    header=st.dictionaries(st.text(max_size=9), st.integers() | st.text() | st.none(), max_size=5),
    payload_bytes=st.integers(0, 2**64 - 1),
)
def test_messages_survive_the_wire(header: dict[str, object], payload_bytes: int) -> None:
    message = packed(header, payload_bytes)
    header_bytes, told = PREFIX.unpack(message[: PREFIX.size])
    assert told == payload_bytes
    assert len(message) == PREFIX.size + header_bytes
    assert unpacked_header(message[PREFIX.size :]) == header
