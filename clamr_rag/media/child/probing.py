"""The probe operation: what a file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av.error
from av.stream import Disposition

from clamr_rag.media.child.container import (
    AUDIO_CODECS,
    TEXT_CODECS,
    VIDEO_CODECS,
    codec_of,
    guarded_picture_stream,
    opened,
    origin_seconds,
    seconds_of,
)
from clamr_rag.media.child.duration import measured_duration
from clamr_rag.media.child.geometry import Geometry
from clamr_rag.media.child.limits import RefusedError
from clamr_rag.media.child.packets import Packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from clamr_rag.media.child.channel import Channel
    from clamr_rag.media.child.main import Request

_MAX_TEXT = 4000
_MAX_TAGS = 200
_MAX_CHAPTERS = 10_000
_MAX_TRACKS = 200
_PACKETS_FOR_A_PICTURE = 100


def probe(request: Request, channel: Channel) -> None:
    """Sends one message with all that `MediaInfo` needs."""
    with opened(request) as container:
        _check_readable(container)
        video = guarded_picture_stream(container, request.limits["max_pixels"])
        picture = _video_track(container, video, channel) if video is not None else None
        channel.send(
            {
                "kind": "info",
                "format_name": container.format.name,
                "video": picture,
                "audio": _audio_tracks(container),
                "subtitles": [
                    _subtitle_track(s) for s in container.streams.subtitles[:_MAX_TRACKS]
                ],
                "chapters": _chapters(container),
                "tags": _tags(container),
                "duration_seconds": measured_duration(request, channel),
            }
        )


def _check_readable(container: InputContainer) -> None:
    """Refuses a file of which no lane could be filled."""
    found = [(stream.type, codec_of(stream)) for stream in container.streams]
    readable = {"video": VIDEO_CODECS, "audio": AUDIO_CODECS, "subtitle": TEXT_CODECS}
    if any(codec in readable.get(kind, ()) for kind, codec in found):
        return
    held = ", ".join(sorted({f"{kind} {codec}" for kind, codec in found})[:5]) or "no tracks"
    raise RefusedError(
        f"no picture, sound or subtitle text that can be read (it holds {held})",
        allowed="common codecs such as h264, hevc, vp9, av1, mpeg4, aac, mp3, opus",
        hint="convert it, for example to H.264 in MP4",
    )


def _video_track(
    container: InputContainer, stream: VideoStream, channel: Channel
) -> dict[str, Any]:
    frame = _first_frame(container, stream, channel)
    geometry = Geometry.of(stream, frame)
    width, height = geometry.upright_size
    return {
        "codec": codec_of(stream),
        "width": width,
        "height": height,
        "rotation_degrees": geometry.clockwise_degrees,
        "average_rate": float(stream.average_rate or 0),
    }


def _first_frame(
    container: InputContainer, stream: VideoStream, channel: Channel
) -> VideoFrame | None:
    """Decodes one picture: only it knows the rotation. None where the beginning is damaged."""
    for number, packet in enumerate(Packets(container, [stream], channel)):
        if number >= _PACKETS_FOR_A_PICTURE:
            break
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError:
            continue
        if frames:
            return frames[0]
    try:
        return next(iter(stream.codec_context.decode(None)), None)
    except av.error.FFmpegError:
        return None


def _audio_tracks(container: InputContainer) -> list[dict[str, Any]]:
    best = container.streams.best("audio")
    return [
        {
            "codec": codec_of(stream),
            "language": _clipped(stream.metadata.get("language")),
            "default": best is not None and stream.index == best.index,
        }
        for stream in container.streams.audio[:_MAX_TRACKS]
    ]


def _subtitle_track(stream: Stream) -> dict[str, Any]:
    return {
        "codec": codec_of(stream),
        "language": _clipped(stream.metadata.get("language")),
        "title": _clipped(stream.metadata.get("title")),
        "default": bool(stream.disposition & Disposition.default),
        "forced": bool(stream.disposition & Disposition.forced),
        "is_text": codec_of(stream) in TEXT_CODECS,
    }


def _chapters(container: InputContainer) -> list[dict[str, Any]]:
    origin = origin_seconds(container)
    return [
        {
            "title": _clipped(chapter["metadata"].get("title")) or "",
            "start": seconds_of(chapter["start"], chapter["time_base"], origin),
            "stop": seconds_of(chapter["end"], chapter["time_base"], origin),
        }
        for chapter in container.chapters()[:_MAX_CHAPTERS]
        if chapter["time_base"]
    ]


def _tags(container: InputContainer) -> dict[str, str]:
    pairs = list(container.metadata.items())[:_MAX_TAGS]
    return {key.lower()[:200]: value[:_MAX_TEXT] for key, value in pairs}


def _clipped(text: str | None) -> str | None:
    return text[:_MAX_TEXT] if text else None
