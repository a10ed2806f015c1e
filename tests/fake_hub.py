"""A model hub on this machine: as much of its HTTP as the hub's client asks when it fetches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

OLD_COMMIT, NEW_COMMIT = "1a2b3c4d" * 5, "5e6f7a8b" * 5


@dataclass
class FakeHub:
    """Repositories by name: folders by commit, and which commit ``main`` is."""

    address: str
    folders: dict[str, dict[str, Path]] = field(default_factory=dict)
    main: dict[str, str] = field(default_factory=dict)

    def publish(self, repo: str, folder: Path, commit: str = OLD_COMMIT) -> None:
        """Adds a commit, from now on ``main``."""
        self.folders.setdefault(repo, {})[commit] = folder
        self.main[repo] = commit


def digest(path: Path) -> str:
    """As the hub names a file: SHA-256 for weights, the git blob id for small files."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@contextmanager
def serve_hub() -> Iterator[FakeHub]:
    """Serves an empty hub, without any other network."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.hub = FakeHub(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Handler.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[FakeHub]

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        owner, name, kind, revision, *file = parts[2:] if is_api else parts
        repo = f"{owner}/{name}"
        commit = self.hub.main.get(repo, "") if revision == "main" else revision
        folder = self.hub.folders.get(repo, {}).get(commit)
        if folder is None:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if kind == "revision":
            files = [{"rfilename": path.name} for path in folder.iterdir()]
            return self._say({"id": repo, "sha": commit, "siblings": files})
        if kind == "tree":
            return self._say([_entry(path) for path in sorted(folder.iterdir())])
        return self._send_file(folder / "/".join(file), commit)

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""

    def _say(self, values: Any) -> None:
        self._send(200, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def _send_file(self, path: Path, commit: str) -> None:
        headers = {"ETag": f'"{digest(path)}"', "X-Repo-Commit": commit}
        self._send(200, path.read_bytes(), headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _entry(path: Path) -> dict[str, Any]:
    size, name = path.stat().st_size, digest(path)
    entry: dict[str, Any] = {"type": "file", "path": path.name, "size": size, "oid": name[:40]}
    if path.suffix == ".safetensors":
        entry["lfs"] = {"oid": name, "size": size, "pointerSize": 130}
    return entry
