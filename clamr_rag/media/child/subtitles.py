"""The subtitle_track operation: the text cues of one embedded track."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av.error

from clamr_rag.media.child.container import (
    TEXT_CODECS,
    codec_of,
    opened,
    origin_seconds,
    seconds_of,
)
from clamr_rag.media.child.limits import RefusedError
from clamr_rag.media.child.packets import Packets
from clamr_rag.media.child.plain import plain_text

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.subtitles.stream import SubtitleStream

    from clamr_rag.media.child.channel import Channel
    from clamr_rag.media.child.main import Request

_BATCH = 500
_DEFAULT_SECONDS = 4.0
"""How long a cue stays that does not say so."""


def subtitle_track(request: Request, channel: Channel) -> None:
    """Sends batches of (start, stop, text) in video seconds."""
    with opened(request) as container:
        stream = _chosen(container, request.arguments["track_index"])
        origin = origin_seconds(container)
        cues: list[tuple[float, float, str]] = []
        num_cues = 0
        for packet in Packets(container, [stream], channel):
            cue = _cue(packet, stream, origin)
            if cue is None:
                continue
            num_cues += 1
            if num_cues > request.limits["max_cues"]:
                raise too_many_cues(request.limits["max_cues"])
            cues.append(cue)
            if len(cues) == _BATCH:
                channel.send({"kind": "cues", "cues": cues})
                cues = []
        channel.send({"kind": "cues", "cues": cues})


def too_many_cues(allowed: int) -> RefusedError:
    """Returns the error for a subtitle bomb."""
    return RefusedError(
        "too many subtitle cues", allowed=f"at most {allowed} (media.max_cues)", limit=True
    )


def _chosen(container: InputContainer, index: int) -> SubtitleStream:
    streams = container.streams.subtitles
    if not 0 <= index < len(streams):
        allowed = f"0 to {len(streams) - 1}" if streams else "it has none"
        raise RefusedError(f"no subtitle track {index}", allowed=allowed)
    if codec_of(streams[index]) not in TEXT_CODECS:
        raise RefusedError(
            f"subtitle track {index} holds no text ({codec_of(streams[index])})",
            allowed=", ".join(sorted(TEXT_CODECS)),
        )
    return streams[index]


def _cue(
    packet: Packet[Stream], stream: SubtitleStream, origin: Fraction
) -> tuple[float, float, str] | None:
    """Returns the cue of a packet; None for an empty or damaged one."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is None or not packet.time_base:
        return None
    try:
        rects: list[Any] = list(stream.codec_context.decode2(packet) or ())
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError:
        return None
    text = "\n".join(_text_of(rect) for rect in rects).strip()
    if not text:
        return None
    start = seconds_of(stamp, packet.time_base, origin)
    length = float((packet.duration or 0) * packet.time_base) or _DEFAULT_SECONDS
    return start, start + length, text


def _text_of(rect: Any) -> str:
    """Returns the text of an ASS event: the ninth field, the only one that may hold commas."""
    event = rect.ass.decode("utf-8", "replace")
    return plain_text(event.split(",", 8)[-1])
