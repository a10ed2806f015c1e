"""Where the weights are: presets, folders, the hub's local cache. Only `pull` fetches anything.

A name is a preset (``clamr``), a folder, or a hub id, with ``@revision`` to pin it:
``owner/name@1a2b3c4``. A folder with an adapter names its base itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clamr_rag.errors import ModelMissingError, UsageError

ADAPTER_CONFIG = "adapter_config.json"
_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w.-]+))?")
_WANTED_FILES = ("*.json", "*.safetensors", "merges.txt")


@dataclass(frozen=True, slots=True)
class Preset:
    """A published model under a short name."""

    base: str
    """Hub id of the backbone, ``@revision`` where it is pinned."""
    adapter: str
    """Hub id of the LoRA adapter."""
    released_message: bool = False
    """Trained with the chat message of the released Omni code."""


# The commits behind these names could not be read offline: `pull` says which one it took, and a
# library keeps the digest of the weights in its encoder fingerprint.
PRESETS = {
    "clamr": Preset("Qwen/Qwen2.5-VL-3B-Instruct", "meetdavidwan/clamr"),
    "clamr-omni": Preset(
        "Qwen/Qwen2.5-Omni-3B", "meetdavidwan/clamr_msrvtt", released_message=True
    ),
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The folders that make one encoder."""

    name: str
    """As it was asked for."""
    folder: Path
    """Configuration, tokenizer and weights of the backbone."""
    adapter: Path | None = None
    released_message: bool = False


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One repository that a preset needs and where it is."""

    preset: str
    repo: str
    folder: Path | None
    """None where it is not on this machine."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """Whether a fetched file still has the digest that the hub gave it."""

    path: Path
    intact: bool | None
    """None where no digest is known (a plain folder)."""


def locate(name: str, adapter: str | None = None) -> Checkpoint:
    """Finds the folders of a model on this machine.

    Raises:
        ModelMissingError: Something is not here; the message has the command that fetches it.
        UsageError: The names do not go together.
    """
    preset = PRESETS.get(name)
    if preset and adapter is None:
        command = f"clamr-rag models pull {name}"
        folder, own = _find(preset.base, command), _find(preset.adapter, command)
        _check_base(own, preset.base)
        return Checkpoint(name, folder, own, preset.released_message)
    base = preset.base if preset else name
    folder = _find(base)
    if not (folder / ADAPTER_CONFIG).is_file() or (folder / "config.json").is_file():
        found = _find(adapter) if adapter else None
        if found is not None:
            _check_base(found, base)
        return Checkpoint(name, folder, found, _has_released_message(adapter))
    if adapter is not None:
        raise UsageError(
            f"{name} is an adapter itself, got adapter {adapter} on top",
            allowed="one adapter on a full checkpoint",
        )
    return Checkpoint(name, _find(_base_of(folder)), folder, _has_released_message(name))


def pull(name: str) -> list[Path]:
    """Fetches a preset or hub id, base of an adapter included, and returns the folders.

    Raises:
        ModelMissingError: The hub cannot be reached or does not have it.
    """
    preset = PRESETS.get(name)
    if preset:
        return [_fetch(preset.base), _fetch(preset.adapter)]
    folder = _fetch(name)
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file():
        base = _base_of(folder)
        return [folder, Path(base) if Path(base).is_dir() else _fetch(base)]
    return [folder]


def list_models() -> list[ModelStatus]:
    """What each preset needs, and where it is."""
    return [
        ModelStatus(name, repo, _cached(repo))
        for name, preset in PRESETS.items()
        for repo in (preset.base, preset.adapter)
    ]


def verify(name: str, adapter: str | None = None) -> list[FileCheck]:
    """Compares the files of a model with the digests under which the hub stores them."""
    checkpoint = locate(name, adapter)
    folders = [checkpoint.folder, *([checkpoint.adapter] if checkpoint.adapter else [])]
    checks = [check for folder in folders for check in _check_folder(folder)]
    for folder in folders:
        checks += [FileCheck(path, False) for path in _missing_weights(folder)]
    return checks


def _find(name: str, command: str = "") -> Path:
    if Path(name).is_dir():
        return Path(name)
    if not _HUB_ID.fullmatch(name):
        raise ModelMissingError(
            f"no model folder {name}",
            allowed=f"{', '.join(PRESETS)}, mini, a folder, or a hub id like owner/name",
        )
    folder = _cached(name)
    if folder is None:
        raise ModelMissingError(
            f"the weights of {name} are not on this machine",
            hint=f"fetch them with: {command or f'clamr-rag models pull {name}'}",
        )
    return folder


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repo, revision = _split(name)
    try:
        return Path(snapshot_download(repo, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _fetch(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if not _HUB_ID.fullmatch(name):
        raise UsageError(f"got {name}", allowed=f"{', '.join(PRESETS)} or a hub id like owner/name")
    repo, revision = _split(name)
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(_WANTED_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelMissingError(
            f"could not fetch {name}: {error}",
            hint="check the name and the network, and whether HF_HUB_OFFLINE is set",
        ) from error


def _split(name: str) -> tuple[str, str | None]:
    match = _HUB_ID.fullmatch(name)
    assert match is not None, name
    return match["repo"], match["revision"]


def _base_of(adapter: Path) -> str:
    """The base that an adapter names; a relative folder is looked up beside the adapter first."""
    path = adapter / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        base = config.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", hint="fetch the adapter again"
        ) from error
    if not base:
        raise UsageError(
            f"{adapter / ADAPTER_CONFIG} does not name its base model",
            hint="give the base as the encoder and this folder as its adapter",
        )
    for folder in (adapter / base, adapter.parent / base):
        if folder.is_dir():
            return str(folder)
    return str(base)


def _check_base(adapter: Path, base: str) -> None:
    """Compares hub ids; folders differ from machine to machine and say nothing.

    Raises:
        UsageError: The adapter was trained on another model.
    """
    trained_on = _base_of(adapter)
    if _HUB_ID.fullmatch(base) is None or Path(base).is_dir() or Path(trained_on).is_dir():
        return
    if _HUB_ID.fullmatch(trained_on) and trained_on.partition("@")[0] != base.partition("@")[0]:
        raise UsageError(
            f"{adapter} was trained on {trained_on}, got base {base}", allowed=trained_on
        )


def _has_released_message(name: str | None) -> bool:
    """Whether these are the weights that were trained with the released chat message."""
    return name is not None and any(
        preset.released_message and name.partition("@")[0] == preset.adapter
        for preset in PRESETS.values()
    )


def _check_folder(folder: Path) -> Iterator[FileCheck]:
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


def _missing_weights(folder: Path) -> list[Path]:
    """Weight files that a folder ought to have and has not."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values())
        return [folder / name for name in sorted(names) if not (folder / name).exists()]
    if any(folder.glob("*.safetensors")):
        return []
    return [folder / "model.safetensors"]


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
