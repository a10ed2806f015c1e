"""Chroma: its traps, each met for real, and that none of them changes what a search returns."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from library_values import SMALL, add_video, clip_vectors, small_library, video

from clamr_rag.config import SearchOptions
from clamr_rag.errors import DiskFullError, LibraryError, LibraryLockedError, UsageError
from clamr_rag.index import chroma, chroma_places, chroma_records, derived
from clamr_rag.index.chroma import ChromaIndex
from clamr_rag.index.fake import FakeIndex
from clamr_rag.index.store import FILE_NAME, Store
from clamr_rag.types import MultiVector

chromadb = pytest.importorskip("chromadb")
TESTS = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TESTS)}
FEW = SearchOptions(candidates="chroma", num_candidates=200)
CLIPS_EACH = 100
NUM_RECORDS = 3 * CLIPS_EACH * 4
WIDE = 128
# On-screen text of the clips a-00003 and c-00050, a single row in each: sure to be proposed.
ROWS = [clip_vectors(SMALL, seed, WIDE).vectors[2] for seed in (3, 250)]
QUERY = MultiVector(np.stack(ROWS), np.zeros(2, np.uint8), np.zeros(2, np.float32))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 clips with their Chroma folder: of 1200 records, so that Chroma has written its files."""
    folder = tmp_path_factory.mktemp("built")
    with small_library(folder, clips_each=CLIPS_EACH, dim=WIDE) as store:
        index = ChromaIndex(store, FEW)
        index.refresh()
        index.close()
    assert len(list((folder / derived.CHROMA_FOLDER).rglob("*.bin"))) == 4
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(built, tmp_path / "library"))


@contextmanager
def opened(folder: Path, options: SearchOptions = FEW) -> Iterator[ChromaIndex]:
    with Store.open(folder) as store:
        index = ChromaIndex(store, options)
        try:
            yield index
        finally:
            index.close()


def right_hits(folder: Path, top_k: int = 1) -> list[Any]:
    with Store.open(folder) as store:
        return FakeIndex(store).search(QUERY, top_k=top_k)


def raw_collection(client: Any) -> Any:
    (only,) = client.list_collections()
    return client.get_collection(only.name, embedding_function=None)


@contextmanager
def raw(folder: Path) -> Iterator[Any]:
    """The collection without our code."""
    client = chromadb.PersistentClient(
        path=str(folder / derived.CHROMA_FOLDER),
        settings=chromadb.Settings(anonymized_telemetry=False),
    )
    try:
        yield raw_collection(client)
    finally:
        client.close()


def assert_agrees(folder: Path) -> None:
    """Searches are right, and Chroma holds exactly the library's records, each with its vector."""
    with opened(folder) as index:
        assert index.search(QUERY, top_k=1) == right_hits(folder)
    with Store.open(folder) as store:
        expected = {
            f"{clip_id}:{modality}": vectors.vectors[vectors.modalities == modality].mean(axis=0)
            for clip_id, vectors in store.iter_vectors()
            for modality in (1, 2, 3, 4)
        }
    with raw(folder) as collection:
        held = collection.get(include=["embeddings"])
        assert set(held["ids"]) == set(expected)
        for record_id, vector in zip(held["ids"], held["embeddings"], strict=True):
            assert vector == pytest.approx(expected[record_id], abs=1e-6)


# --- what is kept


def test_one_record_per_clip_and_modality_with_plain_values(folder: Path) -> None:
    assert_agrees(folder)
    with raw(folder) as collection:
        assert collection.count() == NUM_RECORDS
        for values in collection.get(include=["metadatas"])["metadatas"]:
            assert set(values) == {"video_id", "revision", "num_records"}
            assert all(isinstance(value, str | int) for value in values.values())


def test_pages_stay_below_chromas_limits(folder: Path) -> None:
    """5461 records per write, 32766 variables per read: one more is an error in Chroma."""
    with raw(folder) as collection:
        largest = collection._client.get_max_batch_size()
    assert chroma_records.PAGE <= largest == 5461
    assert max(chroma_records.PAGE, chroma_records.MAX_FILTER) < 32_766


def test_small_pages_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder / derived.CHROMA_FOLDER)
    monkeypatch.setattr(chroma_records, "PAGE", 97)
    monkeypatch.setattr(chroma_records, "MAX_FILTER", 1)
    assert_agrees(folder)
    with opened(folder) as index:
        wanted = [video("a").video_id, video("c").video_id]
        hits = index.search(QUERY, top_k=4, video_ids=wanted)
        assert {hit.clip_id[0] for hit in hits} <= {"a", "c"}
    with Store.open(folder) as store:
        store.remove_video(video("b").video_id)
    assert_agrees(folder)


def test_chroma_really_chooses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Chroma does not propose is not found; what it does is ranked by the library."""
    proposed = {f"{video('a').video_id}-{number:05d}" for number in (7, 3, 5)}
    monkeypatch.setattr(chroma.ChromaRecords, "nearest", lambda *_: proposed | {"gone-00001"})
    with opened(folder) as index:
        hits = index.search(QUERY, top_k=5)
    by_score = [hit for hit in right_hits(folder, top_k=300) if hit.clip_id in proposed]
    assert hits == by_score


def test_how_many_records_are_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    original = chroma.ChromaRecords.nearest

    def nearest(self: Any, queries: Any, num_records: int, video_ids: Any) -> set[str]:
        asked.append((len(queries), num_records))
        return original(self, queries, num_records, video_ids)

    monkeypatch.setattr(chroma.ChromaRecords, "nearest", nearest)
    with opened(folder) as index:
        index.search(QUERY, top_k=5)
        index.search(QUERY, top_k=45)
    mean_and_tokens = [(1, 200), (2, 100), (1, 270), (2, 135)]
    assert [pair for pair in asked if pair[0] != 1 or pair[1] != 10] == mean_and_tokens


# --- following the library


def changes() -> dict[str, Callable[[Store], None]]:
    def add(store: Store) -> None:
        add_video(store, video("d"), [clip_vectors([1, 2, 3, 4], 5, WIDE)])

    def remove(store: Store) -> None:
        store.begin_video(video("a"), "other")  # as `remove_video`, but the folder stays

    def replace(store: Store) -> None:
        vectors = [clip_vectors([4, 3, 2, 1], n, WIDE) for n in range(40)]
        add_video(store, video("b"), vectors, options="other")

    return {"add": add, "remove": remove, "replace": replace}


@pytest.mark.parametrize("change", changes())
@pytest.mark.parametrize("running", [False, True], ids=["closed", "running"])
def test_it_follows_the_library(folder: Path, change: str, running: bool) -> None:
    with opened(folder) as index:
        if running:
            index.refresh()
        with Store.open(folder) as store:
            changes()[change](store)
        assert index.search(QUERY, top_k=1) == right_hits(folder)
    assert_agrees(folder)


def test_only_changed_videos_are_written_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    original = chroma.ChromaRecords.put

    def put(self: Any, video_id: str, *rest: Any) -> None:
        written.append(video_id[0])
        original(self, video_id, *rest)

    monkeypatch.setattr(chroma.ChromaRecords, "put", put)
    with opened(folder) as index:
        index.refresh()
        with Store.open(folder) as store:
            changes()["replace"](store)
        index.refresh()
        index.refresh()
    assert written == ["b"]


def test_a_folder_of_an_older_state_is_brought_up(folder: Path, tmp_path: Path) -> None:
    """Restored from a copy, with a state that the library has left."""
    chroma_folder = folder / derived.CHROMA_FOLDER
    shutil.copytree(chroma_folder, tmp_path / "old")
    with Store.open(folder) as store:
        changes()["replace"](store)
    assert_agrees(folder)
    shutil.rmtree(chroma_folder)
    shutil.copytree(tmp_path / "old", chroma_folder)
    assert_agrees(folder)


def test_a_library_of_an_older_state_is_followed(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / FILE_NAME, tmp_path / "old")
    with Store.open(folder) as store:
        changes()["replace"](store)
    assert_agrees(folder)
    for file in folder.glob(f"{FILE_NAME}*"):
        file.unlink()
    shutil.copy(tmp_path / "old", folder / FILE_NAME)
    assert_agrees(folder)


def test_an_emptied_library_may_take_an_encoder_of_another_width(folder: Path) -> None:
    with opened(folder) as index:
        index.refresh()
        with Store.open(folder) as store:
            for name in "abc":
                store.remove_video(video(name).video_id)
            store.claim_encoder("clamr", "clamr:1")
            vectors = [clip_vectors([1, 2, 3, 4], n, dim=8) for n in range(300)]
            add_video(store, video("w"), vectors)
        row = clip_vectors([1, 2, 3, 4], 77, dim=8).vectors[1:2]
        query = MultiVector(row, np.zeros(1, np.uint8), np.zeros(1, np.float32))
        with Store.open(folder) as store:
            expected = FakeIndex(store).search(query, top_k=1)
        assert index.search(query, top_k=1) == expected


# --- the traps


def test_records_that_were_changed_behind_our_back(folder: Path) -> None:
    with raw(folder) as collection:
        ids = collection.get(limit=30, include=[])["ids"]
        collection.delete(ids=ids[:10])
        collection.upsert(
            ids=["stranger-00001:1"],
            embeddings=[np.ones(WIDE)],
            metadatas=[{"video_id": "stranger", "revision": "x", "num_records": 1}],
        )
    assert_agrees(folder)


def test_add_ignores_known_ids_and_we_do_not_use_it(folder: Path) -> None:
    with raw(folder) as collection:
        first = collection.get(limit=1, include=["embeddings"])
        collection.add(ids=first["ids"], embeddings=[np.ones(WIDE)])
        again = collection.get(ids=first["ids"], include=["embeddings"])
        assert again["embeddings"][0] == pytest.approx(first["embeddings"][0])
    with Store.open(folder) as store:
        changes()["replace"](store)
    assert_agrees(folder)


WRITE_RAW = """
import sys, chromadb, numpy as np
path, name, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = chromadb.PersistentClient(
    path=path, settings=chromadb.Settings(anonymized_telemetry=False))
collection = client.get_collection(name, embedding_function=None)
vectors = np.random.default_rng(first).standard_normal((750, 128))
def write(start):
    collection.upsert(
        ids=[f"s-{start + n}:1" for n in range(750)], embeddings=vectors,
        metadatas=[{"video_id": "s", "revision": "r", "num_records": 3000}] * 750)
write(first)
print("written", flush=True)
sys.stdin.readline()
write(first + 750)
"""


def test_two_processes_that_wrote_without_our_lock(folder: Path) -> None:
    """Chroma then counts records that it can neither read nor find, for good."""
    with raw(folder) as collection:
        name = collection.name
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_RAW, str(folder / derived.CHROMA_FOLDER), name, start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for start in ("0", "1500")
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:
        writer.communicate("go on\n")
    assert_agrees(folder)


def chroma_files() -> list[str]:
    names = ("data_level0.bin", "header.bin", "length.bin", "link_lists.bin")
    return [*names, "index_metadata.pickle", "chroma.sqlite3"]


def damage(kind: str, file: Path) -> None:
    whole = file.read_bytes()
    places = random.Random(len(whole))
    broken = bytearray(whole)
    for _ in range(40):
        broken[places.randrange(len(whole))] ^= 0xFF
    contents = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "noise": bytes(broken),
        "huge": b"\xff" * len(whole),
    }
    if kind == "gone":
        file.unlink()
    else:
        file.write_bytes(contents[kind])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, kind) for name in chroma_files() for kind in ("cut", "noise")),
        *(("link_lists.bin", kind) for kind in ("empty", "gone", "huge")),
        ("header.bin", "huge"),
        ("chroma.sqlite3", "gone"),
    ],
)
def test_a_damaged_folder_never_ends_or_misleads_a_search(
    folder: Path, name: str, kind: str
) -> None:
    (file,) = (folder / derived.CHROMA_FOLDER).rglob(name)
    damage(kind, file)
    with opened(folder) as index:
        assert index.search(QUERY, top_k=1) == right_hits(folder)


def test_a_folder_without_its_list_is_read_by_another_process_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a killed process leaves it; a whole one is kept, a cut one is not."""
    asked = []
    original = chroma_places.can_be_read

    def can_be_read(*arguments: Any) -> bool:
        asked.append(original(*arguments))
        return asked[-1]

    monkeypatch.setattr(chroma_places, "can_be_read", can_be_read)
    assert_agrees(folder)
    assert asked == []
    listing = folder / f"{derived.CHROMA_FOLDER}.sha256"
    listing.unlink()
    assert_agrees(folder)
    assert asked == [True]
    for name in ("data_level0.bin", "chroma.sqlite3"):
        listing.unlink()
        (file,) = (folder / derived.CHROMA_FOLDER).rglob(name)
        damage("cut", file)
        assert_agrees(folder)
    assert asked == [True, False, False]


def test_a_file_in_the_folders_place(folder: Path) -> None:
    shutil.rmtree(folder / derived.CHROMA_FOLDER)
    (folder / derived.CHROMA_FOLDER).write_text("not a folder")
    assert_agrees(folder)


BUILD = """
import sys
from pathlib import Path
from clamr_rag.config import SearchOptions
from clamr_rag.errors import ClamrError
from clamr_rag.index.chroma import ChromaIndex
from clamr_rag.index.store import Store
store = Store.open(Path(sys.argv[1]))
index = ChromaIndex(store, SearchOptions(candidates="chroma", num_candidates=200))
print("go", flush=True)
try:
    index.refresh()
except ClamrError as error:
    print(type(error).__name__, flush=True)
print("built", flush=True)
sys.stdin.readline()
"""


@contextmanager
def builder(folder: Path, code: str = BUILD, **how: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        **how,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "go\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("delay_seconds", [0.05, 0.6, 0.8, 1.0, 1.2])
def test_kill_while_the_folder_is_made(folder: Path, delay_seconds: float) -> None:
    shutil.rmtree(folder / derived.CHROMA_FOLDER)
    with builder(folder) as process:
        time.sleep(delay_seconds)
        process.send_signal(signal.SIGKILL)
    assert_agrees(folder)


def test_a_second_process_is_told_who_uses_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma_places, "LOCK_WAIT_SECONDS", 0.1)
    with builder(folder) as process, opened(folder) as index:
        assert process.stdout is not None
        assert process.stdout.readline() == "built\n"
        with pytest.raises(LibraryLockedError, match=rf"process {process.pid} is using"):
            index.refresh()
        process.communicate("done\n")
        assert index.search(QUERY, top_k=1) == right_hits(folder)


def test_a_full_disk_is_named_and_exact_search_goes_on(folder: Path) -> None:
    shutil.rmtree(folder / derived.CHROMA_FOLDER)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000))\n"
    with builder(folder, limit + BUILD) as process:
        out, _ = process.communicate("done\n")
    assert out.splitlines()[0] == DiskFullError.__name__
    assert len(right_hits(folder)) == 1
    assert_agrees(folder)


def test_no_network_no_model_no_settings_of_strangers(folder: Path, tmp_path: Path) -> None:
    """Chroma reports uses, fetches a model to embed text, and reads ``.env`` unless told not to."""
    (tmp_path / ".env").write_text("chroma_api_impl=nonsense\nanonymized_telemetry=True\n")
    code = """
import socket, sys
def refused(*_):
    raise SystemExit("the network was used")
socket.socket.connect = refused
socket.getaddrinfo = refused
""" + BUILD.replace("sys.stdin.readline()", "print(sorted({'onnxruntime'} & set(sys.modules)))")
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
    )
    assert done.stdout.splitlines() == ["go", "built", "[]"], done.stderr


# --- a server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def chroma_server(folder: Path, port: int) -> Iterator[str]:
    command = shutil.which("chroma", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("the chroma command is not installed")
    arguments = ["run", "--host", "127.0.0.1", "--port", str(port), "--path", str(folder)]
    with subprocess.Popen(
        [command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def at(url: str) -> SearchOptions:
    return SearchOptions(candidates="chroma", num_candidates=200, chroma_url=url)


def test_a_real_server_shared_by_processes_and_libraries(folder: Path, tmp_path: Path) -> None:
    small_library(tmp_path / "other", "xbcz", CLIPS_EACH, dim=WIDE).close()
    with (
        chroma_server(tmp_path / "server", free_port()) as url,
        opened(folder, at(url)) as index,
        opened(folder, at(url)) as same,
    ):
        assert index.search(QUERY, top_k=1) == right_hits(folder)
        with Store.open(folder) as store:
            changes()["replace"](store)
        assert same.search(QUERY, top_k=1) == right_hits(folder)
        assert index.search(QUERY, top_k=1) == right_hits(folder)
        with opened(tmp_path / "other", at(url)) as other:
            assert other.search(QUERY, top_k=2) == right_hits(tmp_path / "other", top_k=2)
        client = chromadb.HttpClient(host="127.0.0.1", port=int(url.rpartition(":")[2]))
        held = {c.name for c in client.list_collections()}
        assert len(held) == 2
        # Someone drops it under us: it is made again.
        for name in held:
            client.delete_collection(name)
        for connections in chroma_records._connections(client):
            connections.close()
        client.close()
        assert index.search(QUERY, top_k=1) == right_hits(folder)
    assert (folder / derived.CHROMA_FOLDER).exists()


def test_a_server_that_went_away_and_came_back(folder: Path, tmp_path: Path) -> None:
    port = free_port()
    with opened(folder, at(f"http://127.0.0.1:{port}")) as index:
        with chroma_server(tmp_path / "server", port):
            index.refresh()
        for _ in range(2):
            with pytest.raises(LibraryError, match="no Chroma server answers"):
                index.search(QUERY, top_k=1)
        with chroma_server(tmp_path / "server", port):
            assert index.search(QUERY, top_k=1) == right_hits(folder)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "file:///etc"])
def test_addresses_that_make_no_sense(folder: Path, url: str) -> None:
    with opened(folder, at(url)) as index, pytest.raises(UsageError, match="not a Chroma server"):
        index.refresh()


def test_nothing_that_answers_at_the_address(folder: Path) -> None:
    options = at(f"http://127.0.0.1:{free_port()}")
    with opened(folder, options) as index, pytest.raises(LibraryError, match="no Chroma server"):
        index.refresh()


def test_something_that_never_answers_at_the_address(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma_records, "CONNECT_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        options = at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with opened(folder, options) as index, pytest.raises(LibraryError, match="timed out"):
            index.refresh()
