"""A retriever's folder: a copy of its library, its keyframes, and its settings."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clamr_rag.config import Options
from clamr_rag.errors import LibraryError, UsageError
from clamr_rag.index.derived import FILES_FOLDER
from llama_index.core.vector_stores.types import MetadataFilters

from llama_index.retrievers.clamr.backend import Opening

if TYPE_CHECKING:
    from clamr_rag.index.store import Store

SETTINGS_FILE = "llama-index-retriever.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What is persisted beside the library. Where a model runs is not: that is the machine's."""

    encoder: str = "mini"
    adapter: str | None = None
    options: Mapping[str, Any] | None = None
    similarity_top_k: int | None = None
    max_keyframes: int | None = None
    node_format: str | None = None
    filters: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        opening: Opening,
        *,
        similarity_top_k: int,
        max_keyframes: int,
        node_format: str,
        filters: MetadataFilters | None,
    ) -> Settings:
        """Those of a retriever."""
        return cls(
            encoder=opening.encoder,
            adapter=opening.adapter,
            options=opening.options.model_dump(mode="json"),
            similarity_top_k=similarity_top_k,
            max_keyframes=max_keyframes,
            node_format=node_format,
            filters=None if filters is None else filters.model_dump(mode="json"),
        )

    def opening(self) -> dict[str, Any]:
        """Fields of `Opening`."""
        fields: dict[str, Any] = {"encoder": self.encoder, "adapter": self.adapter}
        if self.options is not None:
            fields["options"] = Options.model_validate(self.options)
        return fields

    def retriever(self) -> dict[str, Any]:
        """Arguments of the retriever's constructor that were persisted."""
        numbers = {
            "similarity_top_k": self.similarity_top_k,
            "max_keyframes": self.max_keyframes,
            "node_format": self.node_format,
            "filters": self.filters and MetadataFilters.model_validate(self.filters),
        }
        return {name: value for name, value in numbers.items() if value is not None}


def persist(store: Store, folder: Path, settings: Settings) -> None:
    """Copies a library as it is now, whoever writes to it, with keyframes and settings.

    Raises:
        UsageError: Another library is in the folder.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not folder.samefile(store.directory):
        _copy_library(store, folder)
        derived = store.directory / FILES_FOLDER
        if derived.is_dir():
            shutil.copytree(derived, folder / FILES_FOLDER, dirs_exist_ok=True)
    written = folder / f"{SETTINGS_FILE}.new"
    written.write_text(json.dumps({"version": _VERSION} | asdict(settings), indent=1), "utf-8")
    written.replace(folder / SETTINGS_FILE)


def read_settings(folder: Path) -> Settings:
    """The settings in a folder; the defaults where there are none.

    Raises:
        LibraryError: They cannot be read.
    """
    path = folder / SETTINGS_FILE
    if not path.exists():
        return Settings()
    try:
        fields = json.loads(path.read_text("utf-8"))
        if fields.pop("version") != _VERSION:
            raise ValueError("another version")
        return Settings(**fields)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LibraryError(
            f"{path} cannot be read: {error}", hint="remove it to open the library with defaults"
        ) from error


def _copy_library(store: Store, folder: Path) -> None:
    """SQLite copies a consistent state; an earlier copy is replaced as a whole or not at all."""
    from clamr_rag.index.store import Store as Opened

    target = folder / store.path.name
    if target.exists():
        with Opened.open(folder, create=False, read_only=True) as there:
            if there.library_id != store.library_id:
                raise UsageError(f"{folder} holds another library", hint="name an empty folder")
    with (
        closing(sqlite3.connect(f"{store.path.as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
