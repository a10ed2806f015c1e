"""One Chroma collection per library: a record per (clip, modality), nothing that is not derived.

Chroma keeps one vector per record, in float32, in memory, and may lose some (see the tests): the
records only propose clips. A record's vector is the mean of the modality's rows, as it is: its
inner product with a query row is the mean over the rows of what MaxSim takes the maximum of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from clamr_rag.errors import LibraryError, UsageError
from clamr_rag.types import FloatArray, Modality, MultiVector

PAGE = 5000
"""Records per call: below Chroma's largest batch (5461) and largest read (32766)."""
MAX_FILTER = 30_000
"""Video ids per query: each takes a variable of Chroma's own SQLite, of at most 32766."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What the collection holds of one video under one revision."""

    video_id: str
    revision: str
    num_expected: int
    """Records that were to be written."""


class ChromaRecords:
    """The records of one library. Opening makes an empty collection where there is none."""

    def __init__(self, client: Any, name: str) -> None:
        """Use `in_folder` or `at_server`."""
        self._client = client
        self._name = name
        self._collection = self._open()

    @classmethod
    def in_folder(cls, folder: Path, name: str) -> ChromaRecords:
        """Opens a folder of this process alone: Chroma loses vectors when two write to it."""
        chromadb = _chromadb()
        return cls(chromadb.PersistentClient(path=str(folder), settings=_settings()), name)

    @classmethod
    def at_server(cls, url: str, name: str) -> ChromaRecords:
        """Connects to a Chroma server, e.g. ``http://127.0.0.1:8000``.

        Raises:
            UsageError: The address makes no sense.
            LibraryError: Nothing answers there.
        """
        chromadb = _chromadb()
        host, port, secure = _address(url)
        try:
            client = chromadb.HttpClient(host=host, port=port, ssl=secure, settings=_settings())
        except ValueError as fault:
            raise LibraryError(
                f"no Chroma server answers at {url}: {fault}",
                hint="start one with: chroma run --host 127.0.0.1",
            ) from fault
        return cls(client, name)

    def _open(self) -> Any:
        # Without an embedding function: the default one would fetch a model to embed text.
        return self._client.get_or_create_collection(
            self._name,
            embedding_function=None,
            configuration={
                "hnsw": {"space": "ip", "ef_construction": 200, "ef_search": 500, "max_neighbors": 32}
            },
        )

    def close(self) -> None:
        """Closes files and connections."""
        self._client.close()

    def clear(self) -> None:
        """Starts over with an empty collection."""
        self._client.delete_collection(self._name)
        self._collection = self._open()

    # --- what it holds

    @property
    def change_token(self) -> str:
        """State of the library that it was brought up to last; "" if it was never."""
        collection = self._client.get_collection(self._name, embedding_function=None)
        return str((collection.metadata or {}).get("change_token", ""))

    def set_change_token(self, token: str) -> None:
        """Notes that it is up to this state of the library."""
        self._collection.modify(metadata={"change_token": token})

    def __len__(self) -> int:
        return int(self._collection.count())

    def holdings(self) -> dict[Holding, int]:
        """Number of records there are of each video and revision."""
        counts: dict[Holding, int] = {}
        for page in self._pages(["metadatas"]):
            for values in page["metadatas"]:
                holding = Holding(
                    str(values["video_id"]), str(values["revision"]), int(values["num_records"])
                )
                counts[holding] = counts.get(holding, 0) + 1
        return counts

    def read_all(self) -> int:
        """Reads every vector, which fails where one is lost; returns their number."""
        return sum(len(page["embeddings"]) for page in self._pages(["embeddings"]))

    def _pages(self, include: list[str]) -> Iterator[dict[str, Any]]:
        for offset in range(0, len(self), PAGE):
            yield self._collection.get(limit=PAGE, offset=offset, include=include)

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
            # upsert, not add: add ignores an id that is there without a word.
            self._collection.upsert(
                ids=[record_id for record_id, _ in page],
                embeddings=np.stack([vector for _, vector in page]),
                metadatas=[values] * len(page),
            )

    def remove(self, video_id: str) -> None:
        """Removes all records of a video."""
        while True:
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
            answer = self._collection.query(
                query_embeddings=queries,
                n_results=max(1, min(num_records, len(self))),
                where=condition,
                include=[],
            )
            found.update(record_id.rpartition(":")[0] for ids in answer["ids"] for record_id in ids)
        return found


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
        raise UsageError(
            f"{url!r} is not a Chroma server's address", allowed="http://HOST:PORT"
        )
    secure = parts.scheme == "https"
    return parts.hostname, parts.port or (443 if secure else 8000), secure


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
