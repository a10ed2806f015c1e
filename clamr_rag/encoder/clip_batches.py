"""Which clips are encoded together: those of like length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.inputs import clip_input
from clamr_rag.types import Clip, Modality

WINDOW_BATCHES = 4
"""Batches whose clips are sorted by length, and whose frames are in memory at a time."""
_LETTERS_PER_TOKEN = 4
_SOUND_TOKENS_PER_SECOND = 25

Batch = tuple[Clip, ...]
Window = tuple[Batch, ...]


def plan_windows(
    clips: Sequence[Clip], options: EncoderOptions, *, hears: bool = False
) -> tuple[Window, ...]:
    """Puts the clips of a video into batches of like length, longest first within a window.

    The plan depends on the clips and the options alone, not on what has been encoded before: a run
    that goes on after a kill makes the same batches as an undisturbed one.

    Args:
        clips: All clips of the video, in time order.
        options: Clips per batch, and the caps of the texts.
        hears: Whether the encoder reads the sound, too.

    Returns:
        Windows of up to four batches that follow each other in the video.
    """
    size = options.batch_clips
    windows = []
    for first in range(0, len(clips), WINDOW_BATCHES * size):
        window = sorted(
            clips[first : first + WINDOW_BATCHES * size],
            key=lambda clip: -rough_tokens(clip, options, hears=hears),
        )
        windows.append(tuple(tuple(window[at : at + size]) for at in range(0, len(window), size)))
    return tuple(windows)


def keep_pending(window: Window, clip_ids: Collection[str]) -> Window:
    """The batches of a window without the clips that are done, empty ones left out."""
    batches = (tuple(clip for clip in batch if clip.clip_id in clip_ids) for batch in window)
    return tuple(batch for batch in batches if batch)


def in_time(window: Window) -> list[Clip]:
    """The clips of a window in the order in which a decoder meets them."""
    return sorted((clip for batch in window for clip in batch), key=lambda clip: clip.number)


def rough_tokens(clip: Clip, options: EncoderOptions, *, hears: bool = False) -> float:
    """About how many tokens a clip has beside its frames, which are as many in every clip."""
    read = clip_input(clip)
    caps = {
        Modality.OCR: options.ocr_tokens,
        Modality.ASR: options.asr_tokens,
        Modality.DESCRIPTION: options.description_tokens,
    }
    texts = sum(
        min(cap, len(read.text(modality) or "") / _LETTERS_PER_TOKEN)
        for modality, cap in caps.items()
    )
    seconds = min(clip.span.duration_seconds, options.max_audio_seconds) if hears else 0.0
    return texts + seconds * _SOUND_TOKENS_PER_SECOND
