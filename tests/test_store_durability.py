"""Real processes, real faults: what was acknowledged is there, and nothing wrong is ever told."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from library_values import add_video, clip_vectors, small_library, video

from clamr_rag.errors import (
    DiskFullError,
    LibraryDamagedError,
    LibraryError,
    LibraryLockedError,
    LibraryVersionError,
)
from clamr_rag.index.exact import ExactIndex
from clamr_rag.index.store import FILE_NAME, Store

TESTS = Path(__file__).parent
PREAMBLE = """
import sys
from pathlib import Path
from library_values import add_video, clip_vectors, clips_of, video
from clamr_rag.index.store import Store
folder = Path(sys.argv[1])
def say(*words):
    print(*words, flush=True)
"""
WRITE_FOR_EVER = """
import dataclasses, itertools
from clamr_rag.errors import ClamrError
start, error = int(sys.argv[2]), None
with Store.open(folder) as store, store.writing(wait_seconds=5):
    try:
        for number in itertools.count(start):
            film = dataclasses.replace(video("k"), video_id=f"{number:08d}", path=f"/{number}")
            clips = clips_of(film, 6)
            store.begin_video(film, "options")
            store.plan_clips(film.video_id, clips)
            for pair in (clips[:3], clips[3:]):
                seed = number * 100
                store.put_vectors(film.video_id, [
                    (c.clip_id, clip_vectors([1, 3, 3] * 20, seed + c.number)) for c in pair
                ])
                for c in pair:
                    say("clip", c.clip_id, seed + c.number)
            store.finish_video(film.video_id)
            say("video", film.video_id, 0)
    except ClamrError as caught:
        say("error", type(caught).__name__, 0)
        print(caught, file=sys.stderr)
"""


def command(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", PREAMBLE + code, *map(str, arguments)]


@contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(code, *arguments),
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def acknowledged(output: str) -> list[tuple[str, str, int]]:
    """Complete lines only: the last may have been cut by the kill."""
    lines = output.rpartition("\n")[0].splitlines()
    return [(kind, name, int(seed)) for kind, name, seed in (line.split() for line in lines)]


def assert_all_there(store: Store, told: list[tuple[str, str, int]]) -> None:
    for kind, name, seed in told:
        if kind == "clip":
            expected = clip_vectors([1, 3, 3] * 20, seed).vectors
            assert store.vectors(name).vectors == pytest.approx(expected, abs=0.01)
        elif kind == "video":
            assert store.video(name).status == "indexed"


# --- kill -9


def test_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """20 kills; the full campaign is a matter of the number."""
    moments = random.Random(7)
    told: list[tuple[str, str, int]] = []
    for number in range(20):
        with child(WRITE_FOR_EVER, tmp_path, number * 1000) as process:
            first = line_of(process)
            time.sleep(moments.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            assert process.stdout is not None
            told += acknowledged(f"{first}\n{process.stdout.read()}")
        with Store.open(tmp_path) as store:
            assert_all_there(store, told)
            assert store.verify() == ()
            searchable = {record.video.video_id for record in store.searchable()}
            found = {clip_id.partition("-")[0] for clip_id, _ in store.iter_vectors()}
            assert found == searchable
    assert sum(kind == "clip" for kind, _, _ in told) > 50


def test_kill_while_the_library_is_made(tmp_path: Path) -> None:
    make_many = """
say("ready")
for number in range(10_000):
    Store.open(folder / str(number)).close()
    say(number)
"""
    for number in range(5):
        with child(make_many, tmp_path / str(number)) as process:
            line_of(process)
            last = line_of(process)
            time.sleep(0.003 * number)
            process.send_signal(signal.SIGKILL)
            assert process.stdout is not None
            last = (process.stdout.read().rpartition("\n")[0].splitlines() or [last])[-1]
        for made in range(int(last) + 2):
            with Store.open(tmp_path / str(number) / str(made)) as store:
                assert store.verify() == ()
                assert store.library_id


# --- two writers, readers

HOLD = """
with Store.open(folder) as store, store.writing():
    store.begin_video(video("h"), "options")
    say("held")
    sys.stdin.readline()
"""


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    store = small_library(tmp_path)
    with child(HOLD, tmp_path) as process:
        assert line_of(process) == "held"
        with pytest.raises(LibraryLockedError, match=f"process {process.pid} is writing"):
            store.remove_video(video("a").video_id)
        with pytest.raises(LibraryLockedError), store.writing(wait_seconds=0.2):
            pass
        assert [record.video.video_id[0] for record in store.videos()] == ["a", "b", "c", "h"]
        assert len(list(store.iter_vectors())) == 15
        process.stdin.write("go on\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        with store.writing(wait_seconds=20):
            store.remove_video(video("h").video_id)
    store.close()


def test_a_dead_writer_holds_nothing(tmp_path: Path) -> None:
    with child(HOLD, tmp_path) as process:
        line_of(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Store.open(tmp_path) as store, store.writing():
        assert store.video(video("h").video_id).status == "indexing"


def test_many_writers_in_turn_lose_nothing(tmp_path: Path) -> None:
    write_ten = """
import dataclasses
name = sys.argv[2]
with Store.open(folder) as store:
    for number in range(10):
        with store.writing(wait_seconds=60):
            film = dataclasses.replace(video("w"), video_id=f"{name}{number:07d}")
            add_video(store, film, [clip_vectors([1], 1)] * 2)
"""
    small_library(tmp_path).close()
    writers = [
        subprocess.Popen(
            command(write_ten, tmp_path, name), env={**os.environ, "PYTHONPATH": str(TESTS)}
        )
        for name in "xyz"
    ]
    with Store.open(tmp_path, read_only=True) as reader:
        counts = []
        while any(writer.poll() is None for writer in writers):
            with reader.reading():
                videos = reader.searchable()
                clip_ids = [clip_id for clip_id, _ in reader.iter_vectors()]
            assert len(clip_ids) == sum(record.num_clips for record in videos)
            counts.append(len(videos))
        assert [writer.wait() for writer in writers] == [0, 0, 0]
        assert counts == sorted(counts)
        assert len(reader.searchable()) == 33
    with Store.open(tmp_path) as store:
        assert store.verify() == ()


def test_a_search_goes_on_while_another_process_writes(tmp_path: Path) -> None:
    store = small_library(tmp_path)
    index = ExactIndex(store)
    with child(WRITE_FOR_EVER, tmp_path, 0) as process:
        line_of(process)
        sizes = set()
        while len(sizes) < 5:
            index.refresh()
            sizes.add(index.num_clips)
        process.kill()
    assert all(size % 6 == 15 % 6 for size in sizes)
    store.close()


# --- a full disk

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
"""


@pytest.mark.parametrize("limit_bytes", [150_000, 330_001, 600_000])
def test_a_full_disk_loses_nothing_and_is_named(tmp_path: Path, limit_bytes: int) -> None:
    small_library(tmp_path).close()
    done = subprocess.run(
        command(LIMITED + WRITE_FOR_EVER, tmp_path, 0, limit_bytes),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    *told, last = acknowledged(done.stdout)
    assert last[:2] == ("error", DiskFullError.__name__)
    with Store.open(tmp_path) as store:
        assert_all_there(store, told)
        assert store.verify() == ()
        assert len(store.videos()) >= 3
        add_video(store, video("z"), [clip_vectors([1], 1)])


def test_a_new_library_on_a_full_disk(tmp_path: Path) -> None:
    code = (
        LIMITED
        + """
from clamr_rag.errors import DiskFullError
try:
    Store.open(folder)
except DiskFullError as error:
    say(error)
"""
    )
    done = subprocess.run(
        command(code, tmp_path / "new", 0, 10_000),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert "no space left" in done.stdout
    with Store.open(tmp_path / "new") as store:
        assert store.verify() == ()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(tiny_disk: Path) -> None:
    done = subprocess.run(
        command(WRITE_FOR_EVER, tiny_disk, 0),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    *told, last = acknowledged(done.stdout)
    assert last[:2] == ("error", DiskFullError.__name__)
    with Store.open(tiny_disk, read_only=True) as store:
        assert_all_there(store, told)
        assert store.verify() == ()


# --- damage


def everything(store: Store) -> list[object]:
    """All that the library tells, in a form that can be compared."""
    told: list[object] = [store.encoder, store.dim, store.library_id, *store.videos()]
    for record in store.videos():
        told += store.clips(record.video.video_id)
        told += store.artefacts(record.video.video_id, "speech", "asr")
    for clip_id, vectors in store.iter_vectors():
        told += [clip_id, vectors.vectors.tobytes(), vectors.modalities.tobytes()]
        told.append(vectors.seconds.tobytes())
    return told


def library_with_artefacts(folder: Path) -> Path:
    with small_library(folder) as store:
        for name in "abc":
            store.put_artefact(video(name).video_id, "speech", 0, "asr", name.encode() * 500)
    return folder / FILE_NAME


def test_no_flipped_bit_of_the_file_changes_what_is_told(tmp_path: Path) -> None:
    """400 flips: each is refused, or harmless, or a damaged artefact that is left out."""
    whole = library_with_artefacts(tmp_path / "whole").read_bytes()
    with Store.open(tmp_path / "whole", read_only=True) as store:
        truth = everything(store)
    places = random.Random(3)
    refused = 0
    for number in range(400):
        folder = tmp_path / str(number)
        folder.mkdir()
        position = places.randrange(len(whole))
        broken = bytearray(whole)
        broken[position] ^= 1 << places.randrange(8)
        (folder / FILE_NAME).write_bytes(broken)
        try:
            with Store.open(folder) as store:
                told = everything(store)
                problems = store.verify()
        except LibraryError:
            refused += 1
            continue
        finally:
            shutil.rmtree(folder)
        if told != truth:
            missing = [value for value in truth if value not in told]
            assert all(isinstance(value, tuple) for value in missing), position
            assert [value for value in told if value not in truth] == [], position
            assert problems, position
    assert refused > 40


@pytest.mark.parametrize("table", ["video", "clip", "meta"])
def test_a_changed_row_is_noticed(tmp_path: Path, table: str) -> None:
    """A change that SQLite itself finds nothing wrong with."""
    store = small_library(tmp_path)
    column = {"video": "details", "clip": "details", "meta": "value"}[table]
    with store.writing(), store._database.transaction():
        store._database.run(f"UPDATE {table} SET {column} = {column} || ' '")
    with pytest.raises(LibraryDamagedError, match="does not match its checksum"):
        everything(store)
    assert store.verify()
    store.close()


@pytest.mark.parametrize("table", ["video", "clip", "artefact"])
def test_a_damaged_video_can_be_removed_by_its_id(tmp_path: Path, table: str) -> None:
    library_with_artefacts(tmp_path)
    with Store.open(tmp_path) as store:
        with store.writing(), store._database.transaction():
            store._database.run(f"UPDATE {table} SET checksum = 1 WHERE video_id LIKE 'b%'")
        assert store.verify()
        store.remove_video(video("b").video_id)
        assert store.verify() == ()
        assert [record.video.title for record in store.videos()] == ["The a", "The c"]


def test_a_lost_or_exchanged_vector_is_noticed(tmp_path: Path) -> None:
    store = small_library(tmp_path, "ab")
    with store.writing(), store._database.transaction():
        store._database.run(
            "UPDATE vector SET blob = (SELECT blob FROM vector WHERE clip = 1) WHERE clip = 2"
        )
    with pytest.raises(LibraryDamagedError, match="00001"):
        ExactIndex(store).refresh()
    with store.writing(), store._database.transaction():
        store._database.run("DELETE FROM vector WHERE clip IN (2, 7)")
    with pytest.raises(LibraryDamagedError, match="vectors of 4 clips instead of 5"):
        ExactIndex(store).refresh()
    problems = store.verify()
    assert {problem.where[6] for problem in problems} == {"a", "b"}
    assert all("remove" in problem.repair for problem in problems)
    for name in "ab":
        store.remove_video(video(name).video_id)
    assert store.verify() == ()
    store.close()


def test_a_damaged_artefact_is_made_again(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        film = video("f")
        store.begin_video(film, "options")
        for part in range(3):
            store.put_artefact(film.video_id, "speech", part, "asr", b"payload%d" % part)
        store.mark_stage_done(film.video_id, "speech", "asr")
        with store.writing(), store._database.transaction():
            store._database.run("UPDATE artefact SET payload = ? WHERE part = 1", b"other")
        assert not store.stage_done(film.video_id, "speech", "asr")
        parts = [part for part, _ in store.artefacts(film.video_id, "speech", "asr")]
        assert parts == [0, 2]
        assert [problem.where[-6:] for problem in store.verify()] == ["part 1"]
        store.put_artefact(film.video_id, "speech", 1, "asr", b"payload1")
        assert store.stage_done(film.video_id, "speech", "asr")
        assert store.verify() == ()


def test_words_that_are_not_the_clips_are_noticed(tmp_path: Path) -> None:
    store = small_library(tmp_path)
    with store.writing(), store._database.transaction():
        store._database.run("UPDATE clip_text SET asr = 'never said' WHERE rowid = 4")
    (problem,) = store.verify()
    assert problem.where.endswith("00003")
    store.close()


@pytest.mark.parametrize(
    "content", [b"", b"not a database", b"SQLite format 3\0" + bytes(5000), bytes(100_000)]
)
def test_another_file_under_the_librarys_name_is_refused_and_kept(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    with pytest.raises(LibraryDamagedError, match="is not a clamr-rag library"):
        Store.open(tmp_path)
    assert path.read_bytes() == content
    assert sorted(file.name for file in tmp_path.iterdir()) == [FILE_NAME]


@pytest.mark.parametrize("length", [100, 4096, 20_000, -1, -5000])
def test_a_cut_file_is_noticed(tmp_path: Path, length: int) -> None:
    path = library_with_artefacts(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    with pytest.raises(LibraryDamagedError), Store.open(tmp_path) as store:
        everything(store)


def test_a_lost_file_beside_its_log_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}-wal").write_bytes(b"changes of another file")
    with pytest.raises(LibraryDamagedError, match="is missing, but"):
        Store.open(tmp_path)
    assert not (tmp_path / FILE_NAME).exists()


# --- other versions, other rights


def test_a_later_version_is_refused_and_left_untouched(tmp_path: Path) -> None:
    path = library_with_artefacts(tmp_path)
    later = bytearray(path.read_bytes())
    later[60:64] = (2).to_bytes(4, "big")
    path.write_bytes(later)
    os.utime(path, (1, 1))
    files = {file.name for file in tmp_path.iterdir()}
    for read_only in (False, True):
        with pytest.raises(LibraryVersionError, match="format 2; allowed: up to 1"):
            Store.open(tmp_path, read_only=read_only)
    assert path.read_bytes() == later
    assert path.stat().st_mtime == 1
    assert {file.name for file in tmp_path.iterdir()} == files


AS_NOBODY = """
import os
os.setgid(65534), os.setuid(65534)
from clamr_rag.errors import ClamrError
def attempt(name, call):
    try:
        say(name, call())
    except ClamrError as error:
        say(name, type(error).__name__, error)
def read():
    with Store.open(folder, read_only=True) as store:
        return len(list(store.iter_vectors())), store.verify()
def write():
    with Store.open(folder) as store:
        return store.remove_video(video("a").video_id)
attempt("read", read)
attempt("write", write)
attempt("make", lambda: Store.open(folder / "new"))
"""
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)


def as_nobody(folder: Path) -> list[str]:
    done = subprocess.run(
        command(AS_NOBODY, folder),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return done.stdout.splitlines()


@pytest.fixture
def shown_folder() -> Iterator[Path]:
    """A folder that another user can reach, unlike pytest's own."""
    folder = Path("/tmp") / f"clamr-rag-test-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


@needs_root
def test_a_library_that_may_only_be_read(shown_folder: Path) -> None:
    small_library(shown_folder).close()
    read, write, make = as_nobody(shown_folder)
    assert read == "read (15, ())"
    assert write.startswith("write LibraryError")
    assert make.startswith("make LibraryError")
    assert "ermission" in make


@needs_root
def test_a_library_that_may_not_be_read(shown_folder: Path) -> None:
    small_library(shown_folder).close()
    (shown_folder / FILE_NAME).chmod(0o600)
    read, write, _ = as_nobody(shown_folder)
    assert read.startswith("read LibraryError cannot read")
    assert write.startswith("write LibraryError cannot read")
