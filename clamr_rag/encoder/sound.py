"""Sound as the Omni audio tower reads it: log-mel frames, 10 ms apart."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from clamr_rag.types import FloatArray

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor

SAMPLE_RATE = 16_000
HOP_SAMPLES = 160
MEL_BINS = 128
TOKEN_SECONDS = 4 * HOP_SAMPLES / SAMPLE_RATE
"""One audio token covers four mel frames: a strided convolution, then pooling in pairs."""


def num_audio_tokens(num_mel_frames: int) -> int:
    """Tokens that the audio tower makes of a clip's mel frames; 0 if it is too short for one."""
    after_convolution = (num_mel_frames - 1) // 2 + 1
    return max(0, (after_convolution - 2) // 2 + 1)


def log_mel(samples: FloatArray, *, max_seconds: float) -> FloatArray:
    """Whisper's log-mel spectrogram ``(128, frames)`` of mono 16 kHz samples ``(n,)``.

    The same values as the Omni processor gives for the frames it does not mask: there the sound
    stands in 300 s of zeros, here just enough zeros follow that the last frame sees no others.
    """
    samples = samples[: int(max_seconds * SAMPLE_RATE)]
    num_frames = -(-len(samples) // HOP_SAMPLES)
    zeros = num_frames * HOP_SAMPLES - len(samples) + 4 * HOP_SAMPLES
    padded = np.concatenate([samples, np.zeros(zeros, np.float32)])
    features = _extractor()(
        padded, sampling_rate=SAMPLE_RATE, padding="longest", truncation=False, return_tensors="np"
    )
    mel = np.asarray(features["input_features"][0], np.float32)
    return mel[:, :num_frames]


@functools.cache
def _extractor() -> WhisperFeatureExtractor:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(  # type: ignore[no-untyped-call]
        feature_size=MEL_BINS,
        sampling_rate=SAMPLE_RATE,
        hop_length=HOP_SAMPLES,
        chunk_length=300,
        n_fft=400,
    )
