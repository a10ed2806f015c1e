"""Evaluation: benchmarks, planted-fact checks and speed measurements (not part of the wheel)."""
