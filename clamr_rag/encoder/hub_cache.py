"""The hub's cache on this machine: a repository at a commit, looked up or fetched.

A name without a revision stays at the commit that the first `fetch` took: it is written down in
the cache, as a ref of our own beside the hub's ``main``, which any other program may move.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from clamr_rag.errors import ModelMissingError, UsageError

_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>\w[\w.-]*))?")
_WANTED_FILES = ("*.json", "*.jinja", "*.safetensors", "merges.txt")
_OUR_REF = "clamr-rag"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubId:
    """A repository of the hub, and which revision of it."""

    repo: str
    revision: str | None = None
    """A commit, tag or branch; None where the name did not say."""

    def __str__(self) -> str:
        """As a user writes it: ``owner/name@revision``."""
        return f"{self.repo}@{self.revision}" if self.revision else self.repo


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository's files at one commit, on this machine."""

    repo: str
    commit: str
    folder: Path

    def __str__(self) -> str:
        """``owner/name@commit``, which can be given as a name."""
        return f"{self.repo}@{self.commit}"


def hub_id(name: str) -> HubId | None:
    """Reads ``owner/name`` or ``owner/name@revision``; None for anything else."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    match = _HUB_ID.fullmatch(name)
    if match is None:
        return None
    try:
        validate_repo_id(match["repo"])
    except HFValidationError:
        return None
    return HubId(match["repo"], match["revision"])


def written_commit(repo: str) -> str | None:
    """The commit that a fetch wrote down; None where none did.

    Raises:
        UsageError: What is written there is no commit.
    """
    path = _ref_path(repo)
    if not path.is_file():
        return None
    commit = path.read_text(encoding="utf-8", errors="replace").strip()
    if not _COMMIT.fullmatch(commit):
        raise UsageError(
            f"{path} holds {commit[:50]!r}",
            allowed="a commit of 40 hex digits",
            hint=f"delete it and run: clamr-rag models pull {repo}",
        )
    return commit


def write_commit(snapshot: Snapshot) -> None:
    """Writes down the commit that a name without a revision means from now on."""
    path = _ref_path(snapshot.repo)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(snapshot.commit, encoding="utf-8")


def cached(asked: HubId) -> Snapshot | None:
    """Looks a repository up without a network; None where it or a file of it is not here."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            asked.repo,
            revision=asked.revision,
            allow_patterns=list(_WANTED_FILES),
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return None
    return Snapshot(asked.repo, Path(folder).name, Path(folder))


def fetch(asked: HubId) -> Snapshot:
    """Fetches what is not here yet.

    Raises:
        ModelMissingError: The hub cannot be reached or does not have it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # Which HTTP package is under the client depends on its version.
    transport_error: type[BaseException] = HfHubHTTPError.__mro__[1]
    try:
        folder = snapshot_download(
            asked.repo, revision=asked.revision, allow_patterns=list(_WANTED_FILES)
        )
    except (OSError, transport_error) as error:
        raise ModelMissingError(
            f"could not fetch {asked}: {error}",
            hint="check the name and the network, and whether HF_HUB_OFFLINE is set",
        ) from error
    return Snapshot(asked.repo, Path(folder).name, Path(folder))


def _ref_path(repo: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    repository = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    return repository / "refs" / _OUR_REF
