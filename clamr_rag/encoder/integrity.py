"""Whether the files of a fetched model are still what the hub sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clamr_rag.encoder.checkpoints import tokenizer_file
from clamr_rag.encoder.hub import locate
from clamr_rag.encoder.layouts import ADAPTER_FILE, CONFIG_FILE, expected_weight_files


@dataclass(frozen=True, slots=True)
class FileCheck:
    """Whether a fetched file still has the digest that the hub gave it."""

    path: Path
    intact: bool | None
    """None where no digest is known (a plain folder)."""


def verify(name: str, adapter: str | None = None) -> list[FileCheck]:
    """Compares the files of a model with the digests under which the hub stores them.

    Files that ought to be there and are not (weights, configuration, tokenizer) count as damaged.
    """
    checkpoint = locate(name, adapter)
    folders = [checkpoint.folder, *([checkpoint.adapter] if checkpoint.adapter else [])]
    needed = [
        checkpoint.folder / CONFIG_FILE,
        *expected_weight_files(checkpoint.folder),
        tokenizer_file(checkpoint),
        *([checkpoint.adapter / ADAPTER_FILE] if checkpoint.adapter else []),
    ]
    # A link that leads nowhere is told as present and damaged.
    absent = [path for path in needed if not path.is_symlink() and not path.exists()]
    return [
        *(check for folder in folders for check in _present(folder)),
        *(FileCheck(path, False) for path in absent),
    ]


def _present(folder: Path) -> Iterator[FileCheck]:
    for path in sorted(folder.iterdir()):
        target = path.resolve()
        if not target.is_file():
            yield FileCheck(path, False)
            continue
        # The hub's cache names a large file by its SHA-256 and a small one by its git blob id.
        if target.parent.name != "blobs":
            yield FileCheck(path, None)
        elif len(target.name) == 64:
            yield FileCheck(path, _digest(target, hashlib.sha256()) == target.name)
        else:
            blob = hashlib.sha1(usedforsecurity=False)
            blob.update(f"blob {target.stat().st_size}\0".encode())
            yield FileCheck(path, _digest(target, blob) == target.name)


def _digest(target: Path, digest: hashlib._Hash) -> str:
    with target.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
