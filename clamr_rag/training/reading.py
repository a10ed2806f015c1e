"""From a training pair to what the encoder reads of its clip."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import numpy as np

from clamr_rag import media
from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.clip_reading import frame_seconds, longest_side
from clamr_rag.encoder.patches import pick_frames
from clamr_rag.errors import ClamrError, UsageError
from clamr_rag.training.data import TrainingPair
from clamr_rag.types import ByteArray, ClipInput, FloatArray, Modality, TimeSpan


def read_clip(
    pair: TrainingPair, senses: Collection[Modality], options: EncoderOptions
) -> ClipInput:
    """Decodes a pair's frames, or those of its video and (where the encoder hears) its sound.

    Blank texts are missing ones, as at search; the released code reads them as a bare prefix.

    Args:
        pair: Its files are opened.
        senses: What the encoder reads.
        options: How many frames, and which clock.

    Raises:
        UsageError: A file is no picture, or a row lacks what the options ask for; names the row.
        ClamrError: A video cannot be read; names the row.
    """
    try:
        seconds, frames, sound = _see_and_hear(pair, senses, options)
    except ClamrError as error:
        raise type(error)(
            f"{pair.place}: {error.got}", allowed=error.allowed, hint=error.hint
        ) from error
    return ClipInput(
        frames=frames,
        frame_seconds=seconds,
        ocr=_present(pair.ocr),
        asr=_present(pair.asr),
        description=_present(pair.description),
        audio=sound,
    )


def _see_and_hear(
    pair: TrainingPair, senses: Collection[Modality], options: EncoderOptions
) -> tuple[tuple[float, ...], tuple[ByteArray, ...], FloatArray | None]:
    if pair.video is None:
        return *_pictures(pair, options), None
    span = pair.span or TimeSpan(0.0, media.probe(pair.video).duration_seconds)
    wanted = frame_seconds(span, options.max_frames)
    with closing(media.iter_frames(pair.video, wanted, max_side=longest_side(options))) as stream:
        frames = list(stream)
    # Past the end of the file, say.
    if not frames:
        raise UsageError(f"{pair.video} has no picture in {span}")
    sound = _sound(pair.video, span, options) if Modality.AUDIO in senses else None
    return tuple(f.seconds for f in frames), tuple(f.pixels for f in frames), sound


def _pictures(
    pair: TrainingPair, options: EncoderOptions
) -> tuple[tuple[float, ...], tuple[ByteArray, ...]]:
    if options.true_frame_times and pair.frames and pair.frame_seconds is None:
        raise UsageError("got true_frame_times and no frame_seconds")
    seconds = pair.frame_seconds or tuple(map(float, range(len(pair.frames))))
    # Only those that the encoder would pick are opened.
    kept = pick_frames(len(pair.frames), options.max_frames)
    side = longest_side(options)
    return tuple(seconds[i] for i in kept), tuple(_picture(pair.frames[i], side) for i in kept)


def _picture(path: Path, max_side: int) -> ByteArray:
    """The pixels ``(height, width, 3)`` of a picture file, upright."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            upright.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
            return np.asarray(upright)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path} cannot be read as a picture: {error}") from error


def _sound(path: Path, span: TimeSpan, options: EncoderOptions) -> FloatArray | None:
    """The clip's sound; None where the video has none."""
    if not media.probe(path).audio_tracks:
        return None
    length = min(span.duration_seconds, options.max_audio_seconds)
    with closing(
        media.iter_audio(path, window_seconds=length, start_seconds=span.start_seconds)
    ) as stream:
        window = next(stream, None)
    return None if window is None else window.samples


def _present(text: str | None) -> str | None:
    return text if text and text.strip() else None
