"""Fits the projection that `mini` starts from: singular vectors of the trunk's hidden states.

The text is the standard library's docstrings: English prose that is on every machine and shares
nothing with our benchmarks. Run it as ``python -m eval.mini.fit_projection``.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from clamr_rag.encoder.minilm import load_minilm, model_folder
from eval.mini import UNTRAINED

DIM = 128
NUM_TEXTS = 1500


def docstrings(limit: int) -> list[str]:
    """Returns docstrings of the standard library, spread evenly over its modules."""
    texts = set()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = " ".join((ast.get_docstring(node) or "").split())
                if len(text) > 60:
                    texts.add(text[:400])
    ordered = sorted(texts)
    return ordered[:: max(1, len(ordered) // limit)][:limit]


@torch.inference_mode()
def hidden_states(texts: list[str]) -> np.ndarray:
    """Returns the trunk's hidden states of all tokens but ``[CLS]`` and ``[SEP]``, ``(n, 384)``."""
    trunk = load_minilm()
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    rows = []
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids])
        positions = torch.arange(ids.shape[1])[None]
        rows.append(trunk(ids, positions, torch.ones_like(ids, dtype=torch.bool))[0, 1:-1])
    return torch.cat(rows).numpy()


def main() -> None:
    """Fits and writes the projection, and prints what it keeps."""
    texts = docstrings(NUM_TEXTS)
    states = hidden_states(texts)
    _, values, directions = np.linalg.svd(states, full_matrices=False)
    kept = (values[:DIM] ** 2).sum() / (values**2).sum()
    projection = np.ascontiguousarray(directions[:DIM].T)
    metadata = {"text": f"{len(texts)} docstrings of Python {sys.version.split()[0]}"}
    save_file({"projection": torch.from_numpy(projection)}, UNTRAINED, metadata)
    print(f"{UNTRAINED.name}: {DIM} of 384 dimensions keep {kept:.1%} of the energy of "
          f"{len(states)} hidden states")  # fmt: skip


if __name__ == "__main__":
    main()
