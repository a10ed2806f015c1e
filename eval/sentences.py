"""The trunk of `mini` as published, all-MiniLM-L6-v2: hidden states, and one vector per text.

Its weights are those that `mini` starts from, without anything that we trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clamr_rag.types import FloatArray

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from clamr_rag.encoder.minilm import MiniLM

MOST_TOKENS = 512
"""Of a text with ``[CLS]`` and ``[SEP]``: the positions that the trunk has."""
_BATCH_TEXTS = 16


class Sentences:
    """Reads texts with the trunk, each cut at `MOST_TOKENS`; loads it at the first text."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """The mean of all tokens at unit length, float32 ``(n, 384)``, as the publisher has it."""
        vectors = np.empty((len(texts), 384), np.float32)
        for number, states in self._read(texts):
            mean = states.mean(dim=0)
            vectors[number] = (mean / mean.norm()).numpy()
        return vectors

    def hidden(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """Hidden states of ``[CLS]``, a text's own tokens and ``[SEP]``, float32 ``(t, 384)``."""
        states = dict(self._read(texts))
        return [states[number] for number in range(len(texts))]

    def _read(self, texts: Sequence[str]) -> Iterator[tuple[int, torch.Tensor]]:
        """Number and hidden states of each text, the longest first."""
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        for at in range(0, len(order), _BATCH_TEXTS):
            numbers = order[at : at + _BATCH_TEXTS]
            yield from zip(numbers, self._batch([texts[n] for n in numbers]), strict=True)

    def _batch(self, texts: Sequence[str]) -> list[torch.Tensor]:
        import torch

        encodings = self._tokenizer.encode_batch(list(texts))
        ids = torch.tensor([encoding.ids for encoding in encodings])
        mask = torch.tensor([encoding.attention_mask for encoding in encodings]).bool()
        positions = torch.arange(ids.shape[1]).expand_as(ids)
        with torch.inference_mode():
            hidden = self._trunk(ids, positions, mask)
        return [states[here] for states, here in zip(hidden, mask, strict=True)]

    @cached_property
    def _trunk(self) -> MiniLM:
        from clamr_rag.encoder.minilm import load_minilm

        return load_minilm()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        from clamr_rag.encoder.minilm import model_folder

        tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
        tokenizer.enable_truncation(MOST_TOKENS)
        tokenizer.enable_padding()
        return tokenizer
