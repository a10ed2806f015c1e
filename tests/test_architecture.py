"""The house: import contracts, free imports, no forbidden constructs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "clamr_rag").rglob("*.py"))
HEAVY = ("torch", "transformers", "av", "cv2", "onnxruntime", "rapidocr", "faster_whisper",
         "chromadb", "scenedetect", "easyocr", "scipy", "tokenizers")  # fmt: skip


def modules_after(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import clamr_rag",
        "import clamr_rag.cli",
        "import clamr_rag.media",
        "import clamr_rag.index.store",
        "from clamr_rag import VideoLibrary",
        "from clamr_rag.types import MultiVector",
    ],
)
def test_importing_is_free(statement: str) -> None:
    assert not modules_after(statement) & set(HEAVY)


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def calls(source: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle_eval_shell_or_remote_code(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert not imported & {"pickle", "shelve", "marshal", "dill"}
    for name, call in calls(source):
        assert name not in {"eval", "exec", "os.system", "torch.load"}, ast.unparse(call)
        for keyword in call.keywords:
            if keyword.arg in {"shell", "trust_remote_code"}:
                assert ast.unparse(keyword.value) == "False", ast.unparse(call)


def test_every_public_name_exists() -> None:
    package = importlib.import_module("clamr_rag")
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name
