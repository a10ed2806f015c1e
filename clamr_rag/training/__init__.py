"""Modality-aware contrastive training of late-interaction encoders."""
