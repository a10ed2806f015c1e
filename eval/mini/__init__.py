"""Trains the embedded encoder `mini` on the synthetic world: ``python -m eval.mini.train``."""
