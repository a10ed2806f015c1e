"""Where a model's weights are: presets, folders, the hub's cache. Only `pull` goes online.

A name is a preset (``clamr``), a folder, or a hub id, with ``@revision`` to pin it:
``owner/name@1a2b3c4``. A folder with an adapter names its base itself. A hub id without a revision
is the commit of the presets below, or else the one that its first pull wrote down.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clamr_rag.config import EMBEDDED_ENCODERS
from clamr_rag.encoder.hub_cache import (
    HubId,
    Snapshot,
    cached,
    fetch,
    hub_id,
    write_commit,
    written_commit,
)
from clamr_rag.encoder.layouts import (
    ADAPTER_CONFIG,
    CONFIG_FILE,
    RELEASED_MESSAGE_KEY,
    read_json,
)
from clamr_rag.errors import ModelMissingError, UsageError


@dataclass(frozen=True, slots=True)
class Preset:
    """A published model under a short name."""

    base: HubId
    """The backbone."""
    adapter: HubId
    """The LoRA adapter."""
    released_message: bool = False
    """Trained with the chat message of the released Omni code."""


# The commits of the bases stand in many unrelated public repositories that pin or cache them. None
# names a commit of the adapters, so each stays at the one that its first pull finds.
PRESETS = {
    "clamr": Preset(
        HubId("Qwen/Qwen2.5-VL-3B-Instruct", "66285546d2b821cf421d4f5eb2576359d3770cd3"),
        HubId("meetdavidwan/clamr"),
    ),
    "clamr-omni": Preset(
        HubId("Qwen/Qwen2.5-Omni-3B", "f75b40e3da2003cdd6e1829b1f420ca70797c34e"),
        HubId("meetdavidwan/clamr_msrvtt"),
        released_message=True,
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
    base: str = ""
    """Name of the backbone for others to find it: hub id with its commit, or a folder."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One repository that a preset needs and where it is."""

    preset: str
    repo: str
    commit: str | None
    """The one that is used; None where none is known before the first pull."""
    folder: Path | None
    """None where it is not on this machine."""


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    folder: Path


def locate(name: str, adapter: str | None = None) -> Checkpoint:
    """Finds the folders of a model on this machine.

    Raises:
        ModelMissingError: Something is not here; the message has the command that fetches it.
        UsageError: The names do not go together.
    """
    if name in EMBEDDED_ENCODERS and not Path(name).is_dir():
        raise UsageError(
            f"got {name}, which comes with the package and is no checkpoint",
            allowed=f"{', '.join(PRESETS)}, a folder, or a hub id like owner/name",
        )
    preset = PRESETS.get(name)
    own: _Found | None
    if preset and adapter is None:
        command = f"clamr-rag models pull {name}"
        base, own = _find(str(preset.base), command), _find(str(preset.adapter), command)
    else:
        found = _find(str(preset.base) if preset else name)
        if is_adapter(found.folder):
            if adapter is not None:
                raise UsageError(
                    f"{name} is an adapter itself, got adapter {adapter} on top",
                    allowed="one adapter on a full checkpoint",
                )
            base, own = _find(_base_of(found.folder)), found
        else:
            base, own = found, _find(adapter) if adapter else None
    if own is not None:
        _check_base(own.folder, base.name)
    return Checkpoint(
        name=name,
        folder=base.folder,
        adapter=None if own is None else own.folder,
        released_message=_has_released_message(base if own is None else own),
        base=base.name,
    )


def pull(name: str) -> list[Snapshot]:
    """Fetches a preset or hub id, base of an adapter included, and says which commits it took.

    A name without a revision gives the commit that is known for it, if any; one with a revision
    makes that commit the known one.

    Raises:
        ModelMissingError: The hub cannot be reached or does not have it.
        UsageError: No name of something on the hub.
    """
    preset = PRESETS.get(name)
    if preset:
        return [_fetch(preset.base), _fetch(preset.adapter)]
    asked = hub_id(name)
    if asked is None:
        raise UsageError(f"got {name}", allowed=f"{', '.join(PRESETS)} or a hub id like owner/name")
    snapshot = _fetch(asked)
    if not is_adapter(snapshot.folder):
        return [snapshot]
    base = hub_id(_base_of(snapshot.folder))
    return [snapshot, _fetch(base)] if base else [snapshot]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter only, not a model."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / CONFIG_FILE).is_file()


def list_models() -> list[ModelStatus]:
    """What each preset needs, at which commit, and where it is."""
    return [
        _status(name, asked)
        for name, preset in PRESETS.items()
        for asked in (preset.base, preset.adapter)
    ]


def _status(preset: str, asked: HubId) -> ModelStatus:
    pinned = _pinned(asked)
    snapshot = cached(pinned)
    commit = snapshot.commit if snapshot else pinned.revision
    return ModelStatus(preset, asked.repo, commit, snapshot.folder if snapshot else None)


def _pinned(asked: HubId) -> HubId:
    """With the commit to use: as asked, else of the presets, else written down; else as it is."""
    if asked.revision:
        return asked
    return HubId(asked.repo, _preset_commit(asked.repo) or written_commit(asked.repo))


def _preset_commit(repo: str) -> str | None:
    asked = (asked for preset in PRESETS.values() for asked in (preset.base, preset.adapter))
    return next((known.revision for known in asked if known.repo == repo), None)


def _fetch(asked: HubId) -> Snapshot:
    snapshot = fetch(_pinned(asked))
    if _preset_commit(asked.repo) is None:
        write_commit(snapshot)
    return snapshot


def _find(name: str, command: str = "") -> _Found:
    if Path(name).is_dir():
        return _Found(str(Path(name).absolute()), Path(name))
    asked = hub_id(name)
    if asked is None:
        known = ", ".join((*PRESETS, *EMBEDDED_ENCODERS))
        raise ModelMissingError(
            f"no model folder {name}", allowed=f"{known}, a folder, or a hub id like owner/name"
        )
    snapshot = cached(_pinned(asked))
    if snapshot is None:
        raise ModelMissingError(
            f"the weights of {name} are not on this machine",
            hint=f"fetch them with: {command or f'clamr-rag models pull {name}'}",
        )
    return _Found(str(snapshot), snapshot.folder)


def _base_of(adapter: Path) -> str:
    """The base that an adapter names; a relative folder is looked up beside the adapter first."""
    config = read_json(adapter / ADAPTER_CONFIG)
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not base or not isinstance(base, str):
        raise UsageError(
            f"{adapter / ADAPTER_CONFIG} does not name its base model",
            hint="give the base as the encoder and this folder as its adapter",
        )
    for folder in (adapter / base, adapter.parent / base):
        if folder.is_dir():
            return str(folder)
    asked = hub_id(base)
    return str(HubId(base, str(revision))) if asked and revision else base


def _check_base(adapter: Path, base: str) -> None:
    """Compares hub ids; folders differ from machine to machine and say nothing.

    Raises:
        UsageError: The adapter was trained on another model.
    """
    trained_on, given = (None if Path(name).is_dir() else hub_id(name)
                         for name in (_base_of(adapter), base))  # fmt: skip
    if trained_on and given and trained_on.repo != given.repo:
        raise UsageError(
            f"{adapter} was trained on {trained_on}, got base {base}", allowed=str(trained_on)
        )


def _has_released_message(trained: _Found) -> bool:
    """Whether these weights were trained with the released chat message."""
    asked = hub_id(trained.name)
    if asked and any(p.released_message and p.adapter.repo == asked.repo for p in PRESETS.values()):
        return True
    config = trained.folder / (ADAPTER_CONFIG if is_adapter(trained.folder) else CONFIG_FILE)
    return config.is_file() and read_json(config).get(RELEASED_MESSAGE_KEY) is True
