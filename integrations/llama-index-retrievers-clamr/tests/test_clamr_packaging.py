"""What is shipped (K), and that the README's examples run as printed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import clamr_rag
import pytest

import llama_index.retrievers.clamr as ours

HERE = Path(__file__).parents[1]
PACKAGE = Path(str(ours.__file__)).parent


def project() -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))
    return loaded


def test_K1_no_file_claims_the_namespace() -> None:
    """The wheel's content is checked by ``integrations/check_wheels.sh``."""
    files = metadata.files("llama-index-retrievers-clamr") or []
    claimed = {"llama_index/__init__.py", "llama_index/retrievers/__init__.py"}
    assert not claimed & {str(file) for file in files}
    assert not (PACKAGE.parent / "__init__.py").exists()
    assert not (PACKAGE.parents[1] / "__init__.py").exists()


def test_K3_typed(tmp_path: Path) -> None:
    assert (PACKAGE / "py.typed").is_file()
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--config-file", str(HERE / "pyproject.toml")]
    command += ["--cache-dir", str(tmp_path), "-p", "llama_index.retrievers.clamr"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=False)
    assert done.returncode == 0, done.stdout


def test_K5_engine_knows_no_framework() -> None:
    frameworks = re.compile(r"^\s*(?:from|import)\s+(?:llama_index|langchain|haystack)", re.M)
    sources = Path(str(clamr_rag.__file__)).parent.rglob("*.py")
    assert not [path for path in sources if frameworks.search(path.read_text("utf-8"))]


def test_K6_versions() -> None:
    requires = project()["project"]
    assert "llama-index-core>=0.14.23,<0.15" in requires["dependencies"]
    assert requires["requires-python"] == ">=3.11,<4.0"
    assert metadata.version("llama-index-retrievers-clamr") == requires["version"]


def test_K7_llamahub_names_exist() -> None:
    hub = project()["tool"]["llamahub"]
    module = import_module(hub["import_path"])
    for name in hub["class_authors"]:
        assert name in module.__all__
        assert hasattr(module, name)


def test_K7_everything_public_is_there() -> None:
    assert sorted(ours.__all__, key=str.lower) == sorted(set(ours.__all__), key=str.lower)
    assert all(getattr(ours, name).__doc__ or name.isupper() for name in ours.__all__)


def test_K8_no_network() -> None:
    assert "OPENAI_API_KEY" not in os.environ
    with (
        pytest.warns(UserWarning, match="tried to use socket"),
        pytest.raises(RuntimeError, match="socket"),
    ):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text("utf-8"), re.S)


def test_readme_has_five_examples() -> None:
    assert len(examples()) == 5


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, write_video: Any) -> Path:
    """What the examples find in the folder where they run."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "videos").mkdir()
    for name in ("review.mp4", "kitchen.mp4"):
        write_video(folder / "videos" / name, name, slide_seconds=20.0)
    with_library = ours.ClamrRetriever.from_defaults(folder / "library", videos=folder / "videos")
    assert len(with_library.nodes()) == 6
    with_library.close()
    return folder


@pytest.mark.parametrize("number", range(5))
def test_readme_example_runs(
    number: int,
    shelf: Path,
    llm: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asyncio.set_event_loop(None)
    shutil.copytree(shelf, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    with ours.LibraryBackend.over("library/").using() as library:
        best = library.search("Why did churn fall?")[0].clip.clip_id
        library.close()
    llm.reply = f"Thought: I know.\nAnswer: The onboarding [{best} @ 00:21]"
    names: dict[str, Any] = {"llm": llm}
    exec(compile(examples()[number], f"README example {number + 1}", "exec"), names)
    printed = capsys.readouterr().out
    expected = {
        0: ["00:00:20.0-00:00:40.0", "Churn fell", "speech"],
        1: [f"{best} 21.0 ", "review.mp4"],
        2: ["['00:00:20.0-00:00:40.0', '00:00:40.0-00:01:00.0']"],
        3: [f"The onboarding [{best} @ 00:21]"],
        4: [],
    }
    assert [text for text in expected[number] if text not in printed] == []
    if number == 2:
        assert names["again"].filters == names["retriever"].filters
    if number == 4:
        assert len(names["nodes"]) == 6
        assert names["best"][0].node.node_id == best
        assert len(names["documents"]) == 2
    for value in names.values():
        if isinstance(value, ours.ClamrRetriever):
            value.close()
