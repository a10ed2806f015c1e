"""Opening a container with allow-lists, and choosing its tracks and its clock.

A name given to FFmpeg is a URL, and some demuxers open further files: only the ``file`` protocol,
the demuxers below and the decoders below exist for a user's file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import av.error
from av.stream import Disposition

from clamr_rag.media.child.geometry import checked_size
from clamr_rag.media.child.limits import RefusedError

if TYPE_CHECKING:
    from av.codec.context import CodecContext
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

    from clamr_rag.media.child.main import Request

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,wav,w64,aiff,mp3,flac,aac"
)

VIDEO_CODECS = frozenset(
    "h264 hevc vp8 vp9 av1 mpeg1video mpeg2video mpeg4 msmpeg4v2 msmpeg4v3 h263 flv1 mjpeg prores "
    "dnxhd theora wmv1 wmv2 wmv3 vc1 dvvideo rawvideo".split()
)
AUDIO_CODECS = frozenset(
    "aac aac_latm mp2 mp3 ac3 eac3 dts opus vorbis flac alac wmav1 wmav2 amr_nb amr_wb adpcm_ms "
    "adpcm_ima_wav adpcm_ima_qt pcm_alaw pcm_mulaw pcm_u8 pcm_s8 pcm_s16le pcm_s16be pcm_s24le "
    "pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_f64le pcm_bluray pcm_dvd".split()
)
TEXT_CODECS = frozenset("mov_text subrip srt ass ssa webvtt text".split())

# FFmpeg's own decoders answer to other names than their codecs.
_DECODER_NAMES = "libdav1d mp3float mp2float dca flv amrnb amrwb pcm_s16le_planar"

_LEAD_SECONDS = 0.5
"""Sound that starts up to this much before the picture (encoder priming, muxer delay) moves no
clock; more than that is meant."""


@contextmanager
def opened(request: Request) -> Iterator[InputContainer]:
    """Opens the file; words for what cannot be opened.

    Raises:
        RefusedError: Not one of the containers that are read, or damaged beyond opening.
    """
    # The list is for FFmpeg's own probing, which decodes a little of every track.
    decoders = sorted(VIDEO_CODECS | AUDIO_CODECS | TEXT_CODECS | set(_DECODER_NAMES.split()))
    try:
        container = av.open(
            f"file:{request.path}",
            mode="r",
            # Reaches the decoders of that probing, else a picture bomb goes off before we look.
            options={"max_pixels": str(request.limits["max_pixels"])},
            container_options={
                "protocol_whitelist": "file",
                "format_whitelist": FORMATS,
                "codec_whitelist": ",".join(decoders),
            },
            # Tags in an unknown encoding are no reason to refuse a film.
            metadata_errors="replace",
        )
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError as error:
        raise RefusedError(
            f"not a video that can be read ({error.strerror})",
            allowed="MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG, FLV, Ogg, WMV or a sound file",
            hint="was it downloaded completely, and is it what its name says?",
        ) from None
    with container:
        yield container


def guarded_picture_stream(container: InputContainer, max_pixels: int) -> VideoStream | None:
    """Returns `picture_stream` with a decoder that refuses pictures that grow in mid-stream.

    Raises:
        RefusedError: Its pictures are too large.
    """
    stream = picture_stream(container)
    if stream is not None:
        checked_size(stream.width, stream.height, max_pixels)
        stream.codec_context.options = {"max_pixels": str(max_pixels)}
    return stream


def picture_stream(container: InputContainer) -> VideoStream | None:
    """Returns the best video stream whose codec is read; cover pictures are none."""
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic and codec_of(stream) in VIDEO_CODECS
    ]
    best = container.streams.best("video")
    return next((s for s in streams if best is not None and s.index == best.index), None) or next(
        iter(streams), None
    )


def codec_of(stream: Stream) -> str:
    """Returns the canonical codec name, "unknown" where FFmpeg has no decoder."""
    context = cast("CodecContext | None", stream.codec_context)
    return context.codec.canonical_name if context is not None else "unknown"


def origin_seconds(container: InputContainer) -> Fraction:
    """Returns the container time that is second 0 of the video.

    The start of the picture, or of whatever else starts clearly before it, as players have it.
    """
    earliest = cast("int | None", container.start_time)
    start = None if earliest is None else Fraction(earliest, 1_000_000)
    video = picture_stream(container)
    if video is not None and video.start_time is not None and video.time_base:
        picture = video.start_time * video.time_base
        if start is None or picture - start <= _LEAD_SECONDS:
            return picture
    return start if start is not None else Fraction(0)


def seconds_of(stamp: int, tick: Fraction, origin: Fraction) -> float:
    """Returns video seconds of a time stamp, exact until the last step."""
    return float(stamp * tick - origin)


def decoder_threads(pixels: int) -> int:
    """Returns how many frame threads fit: each holds pictures, so large ones get few."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, 8, math.floor(33_554_432 / max(1, pixels))))
