"""One Chroma collection per library: a record per (clip, modality), nothing that is not derived.

Chroma keeps one vector per record, in float32, in memory, and may lose some (see the tests): the
records only propose clips. A record's vector is the mean of the modality's rows, as it is: its
inner product with a query row is the mean over the rows of what MaxSim takes the maximum of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from clamr_rag.errors import LibraryError, UsageError
from clamr_rag.types import FloatArray, Modality, MultiVector

PAGE = 5000
"""Records per call: below Chroma's largest batch (5461) and largest read (32766)."""
HNSW = {"space": "ip", "ef_construction": 200, "ef_search": 500, "max_neighbors": 32}
"""Denser than Chroma's defaults, which did not find 2-6 % of hard vectors again (measured)."""
CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 60.0
MAX_FILTER = 30_000
"""Video ids per query: each takes a variable of Chroma's own SQLite, of at most 32766."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What the collection holds of one video under one revision."""

    video_id: str
    revision: str
    num_expected: int
    """Records that were to be written."""


class ChromaFault(Exception):
    """Whatever Chroma raised; it never leaves the index room."""


class ChromaRecords:
    """The records of one library. Opening makes an empty collection where there is none."""

    def __init__(self, client: Any, name: str) -> None:
        """Use `in_folder` or `at_server`."""
        self._client = client
        self._name = name
        with _faults():
            self._collection = self._open()

    @classmethod
    def in_folder(cls, folder: Path, name: str) -> ChromaRecords:
        """Opens a folder that no other process may use meanwhile.

        Raises:
            UsageError: chromadb is not installed.
        """
        chromadb = _chromadb()
        with _faults():
            client = chromadb.PersistentClient(path=str(folder), settings=_settings())
        return cls(client, name)

    @classmethod
    def at_server(cls, url: str, name: str) -> ChromaRecords:
        """Connects to a Chroma server.

        Raises:
            UsageError: The address makes no sense, or chromadb is not installed.
            LibraryError: Nothing answers there.
        """
        chromadb = _chromadb()
        host, port, secure = _address(url)
        _check_alive(url, host, port, secure)
        with _faults():
            client = chromadb.HttpClient(host=host, port=port, ssl=secure, settings=_settings())
        for connections in _connections(client):
            # Chroma sets no limit: a server that hangs would hang us.
            connections.timeout = REQUEST_SECONDS
        return cls(client, name)

    def _open(self) -> Any:
        # Without an embedding function: the default one would fetch a model to embed text.
        return self._client.get_or_create_collection(
            self._name, embedding_function=None, configuration={"hnsw": HNSW}
        )

    def close(self) -> None:
        """Closes files and connections."""
        with _faults():
            self._client.close()
            for connections in _connections(self._client):
                connections.close()

    def clear(self) -> None:
        """Starts over with an empty collection."""
        with _faults():
            self._client.delete_collection(self._name)
            self._collection = self._open()

    # --- what it holds

    @property
    def change_token(self) -> str:
        """State of the library that it was brought up to last; "" if it never was."""
        with _faults():
            collection = self._client.get_collection(self._name, embedding_function=None)
        return str((collection.metadata or {}).get("change_token", ""))

    def set_change_token(self, token: str) -> None:
        """Notes that it is up to this state of the library."""
        with _faults():
            self._collection.modify(metadata={"change_token": token})

    def __len__(self) -> int:
        with _faults():
            return int(self._collection.count())

    def holdings(self) -> dict[Holding, int]:
        """Number of records there are of each video and revision."""
        counts: dict[Holding, int] = {}
        for page in self._pages("metadatas"):
            for values in page:
                video_id, revision = str(values["video_id"]), str(values["revision"])
                holding = Holding(video_id, revision, int(values["num_records"]))
                counts[holding] = counts.get(holding, 0) + 1
        return counts

    def is_whole(self) -> bool:
        """Reads every vector and searches once; raises where Chroma does, False where some lack."""
        num_read = 0
        for page in self._pages("embeddings"):
            if num_read == 0:
                self.nearest(np.asarray(page[:1], np.float32), 10, None)
            num_read += len(page)
        return num_read == len(self)

    def _pages(self, field: str) -> Iterator[Any]:
        for offset in range(0, len(self), PAGE):
            with _faults():
                page = self._collection.get(limit=PAGE, offset=offset, include=[field])
            yield page[field]

    # --- changes

    def put(self, video_id: str, revision: str, clips: Sequence[tuple[str, MultiVector]]) -> None:
        """Adds or replaces all records of a video."""
        rows = [
            (f"{clip_id}:{modality}", vectors.vectors[vectors.modalities == modality].mean(axis=0))
            for clip_id, vectors in clips
            for modality in np.unique(vectors.modalities)
            if modality != Modality.OTHER
        ]
        values = {"video_id": video_id, "revision": revision, "num_records": len(rows)}
        for first in range(0, len(rows), PAGE):
            page = rows[first : first + PAGE]
            with _faults():
                # upsert, not add: add ignores an id that is there without a word.
                self._collection.upsert(
                    ids=[record_id for record_id, _ in page],
                    embeddings=np.stack([vector for _, vector in page]),
                    metadatas=[values] * len(page),
                )

    def remove(self, video_id: str) -> None:
        """Removes all records of a video."""
        while True:
            with _faults():
                page = self._collection.get(where={"video_id": video_id}, limit=PAGE, include=[])
                if not page["ids"]:
                    return
                self._collection.delete(ids=page["ids"])

    # --- search

    def nearest(
        self, queries: FloatArray, num_records: int, video_ids: Collection[str] | None
    ) -> set[str]:
        """Ids of the clips whose records are nearest to any of the query vectors ``(m, dim)``."""
        found: set[str] = set()
        for condition in _conditions(video_ids):
            with _faults():
                answer = self._collection.query(
                    query_embeddings=queries,
                    n_results=max(1, min(num_records, len(self))),
                    where=condition,
                    include=[],
                )
            found.update(record_id.rpartition(":")[0] for ids in answer["ids"] for record_id in ids)
        return found


@contextmanager
def _faults() -> Iterator[None]:
    """Turns everything that Chroma is known to raise into `ChromaFault`."""
    import httpx
    from chromadb.errors import ChromaError

    try:
        yield
    except (ChromaError, httpx.HTTPError, OSError, RuntimeError, TypeError, ValueError) as fault:
        raise ChromaFault(f"{type(fault).__name__}: {fault}") from fault


def _connections(client: Any) -> list[Any]:
    """The HTTP connections of a server's client; none for a folder.

    Chroma neither limits their time nor closes them, and has no public way to reach them.
    """
    servers = (client._server, client._admin_client._server)
    return [server._session for server in servers if hasattr(server, "_session")]


def _conditions(video_ids: Collection[str] | None) -> list[dict[str, Any] | None]:
    if video_ids is None:
        return [None]
    wanted = sorted(video_ids)
    return [
        {"video_id": {"$in": wanted[first : first + MAX_FILTER]}}
        for first in range(0, len(wanted), MAX_FILTER)
    ]


def _address(url: str) -> tuple[str, int, bool]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not a Chroma server's address", allowed="http://HOST:PORT")
    secure = parts.scheme == "https"
    return parts.hostname, parts.port or (443 if secure else 8000), secure


def _check_alive(url: str, host: str, port: int, secure: bool) -> None:
    # Chroma's own client waits for ever.
    import httpx

    address = f"{'https' if secure else 'http'}://{host}:{port}/api/v2/heartbeat"
    try:
        httpx.get(address, timeout=CONNECT_SECONDS).raise_for_status()
    except httpx.HTTPError as fault:
        raise LibraryError(
            f"no Chroma server answers at {url}: {fault}",
            hint="start one with: chroma run --host 127.0.0.1 --path FOLDER",
        ) from fault


def _chromadb() -> Any:
    try:
        import chromadb
    except ImportError as fault:
        raise UsageError(
            "candidates from Chroma were asked for, but chromadb is not installed",
            hint="pip install 'clamr-rag[chroma]'",
        ) from fault
    return chromadb


def _settings() -> Any:
    from chromadb.config import Settings

    # Chroma would read a .env file of whatever folder the program is run in.
    return Settings(_env_file=None, anonymized_telemetry=False)
