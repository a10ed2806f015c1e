"""Ask long videos a question and get the moment and the answer.

Importing this package is free: no model, decoder or database is loaded before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clamr_rag.config import EncoderOptions, Options
    from clamr_rag.encoder import load_encoder
    from clamr_rag.errors import ClamrError
    from clamr_rag.library import VideoLibrary
    from clamr_rag.types import Answer, ClipInput, Modality, MultiVector, ScoredClip

__version__ = "0.1.0"

_HOMES = {
    "Answer": "clamr_rag.types",
    "ClamrError": "clamr_rag.errors",
    "ClipInput": "clamr_rag.types",
    "EncoderOptions": "clamr_rag.config",
    "Modality": "clamr_rag.types",
    "MultiVector": "clamr_rag.types",
    "Options": "clamr_rag.config",
    "ScoredClip": "clamr_rag.types",
    "VideoLibrary": "clamr_rag.library",
    "load_encoder": "clamr_rag.encoder",
}

__all__ = [
    "Answer",
    "ClamrError",
    "ClipInput",
    "EncoderOptions",
    "Modality",
    "MultiVector",
    "Options",
    "ScoredClip",
    "VideoLibrary",
    "__version__",
    "load_encoder",
]


def __getattr__(name: str) -> object:
    """Loads a public name from its room on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'clamr_rag' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
