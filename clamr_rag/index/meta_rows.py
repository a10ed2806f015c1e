"""The table of facts about the library as a whole."""

from __future__ import annotations

import json
import secrets

from clamr_rag.index.database import Database
from clamr_rag.index.records import check, checksum

_LIBRARY, _ENCODER, _CHANGE, _DIM = "library_id", "encoder", "change", "dim"


def library_id(database: Database) -> str:
    """A random name that tells this library from others, and from nothing else."""
    return _get(database, _LIBRARY) or ""


def first_facts() -> list[tuple[str, str, int]]:
    """Rows of a new library's table."""
    facts = {_LIBRARY: secrets.token_hex(8), _CHANGE: secrets.token_hex(8)}
    return [(key, value, checksum(key, value)) for key, value in facts.items()]


def change_token(database: Database) -> str:
    """The state of what can be searched: random, so that a restored copy never repeats one."""
    return _get(database, _CHANGE) or ""


def note_change(database: Database) -> None:
    """Gives the library another change token."""
    _put(database, _CHANGE, secrets.token_hex(8))


def encoder(database: Database) -> tuple[str, str] | None:
    """Name and fingerprint of the encoder; None before one was claimed."""
    stored = _get(database, _ENCODER)
    if stored is None:
        return None
    name, fingerprint = json.loads(stored)
    return name, fingerprint


def put_encoder(database: Database, name: str, fingerprint: str) -> None:
    """Notes the encoder; the width of its vectors is open again."""
    _put(database, _ENCODER, json.dumps([name, fingerprint]))
    database.run("DELETE FROM meta WHERE key = ?", _DIM)


def dim(database: Database) -> int | None:
    """Width of all vectors of the library; None before the first."""
    stored = _get(database, _DIM)
    return None if stored is None else int(stored)


def put_dim(database: Database, value: int) -> None:
    """Notes the width of all vectors."""
    _put(database, _DIM, str(value))


def _get(database: Database, key: str) -> str | None:
    # All of the few rows are read, so that a damaged key is not taken for a missing fact.
    facts = {}
    for name, value, stored in database.rows("SELECT key, value, checksum FROM meta"):
        check(stored, checksum(name, value), f"fact {name!r} of the library")
        facts[name] = value
    return facts.get(key)


def _put(database: Database, key: str, value: str) -> None:
    database.run(
        "INSERT INTO meta(key, value, checksum) VALUES(?, ?, ?) ON CONFLICT(key) DO UPDATE "
        "SET value = excluded.value, checksum = excluded.checksum",
        key,
        value,
        checksum(key, value),
    )
