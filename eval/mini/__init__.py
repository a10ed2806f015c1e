"""Trains the embedded encoder `mini-vl` on the synthetic world: ``python -m eval.mini.train``."""

from __future__ import annotations

from pathlib import Path

UNTRAINED = Path(__file__).with_name("untrained_projection.safetensors")
"""What training starts from, and is compared with: written by `eval.mini.fit_projection`."""
