"""How long a file really is: the end of its last packet, not what the header says."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import av.error

from clamr_rag.media.child.container import (
    AUDIO_CODECS,
    TEXT_CODECS,
    Packets,
    codec_of,
    origin_seconds,
    picture_stream,
    seconds_of,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

    from clamr_rag.media.child.channel import Channel

_TAIL_SECONDS = 2.0
_BELIEVABLE_SECONDS = 8_640_000.0
"""A hundred days: a header that claims more is not even tried."""

_FIRST_PACKETS = 4
_LONGEST_PACKET_SECONDS = 86_400.0


def measured_duration(container: InputContainer, channel: Channel) -> float:
    """Returns the end of the last picture or sound in video seconds; moves the read position.

    The header's claim only says where to look: if packets are found there up to the end of the file
    they are the truth, else all packets are read (without decoding).
    """
    streams = timed_streams(container)
    origin = origin_seconds(container)
    claim = _claimed_end(container, streams, origin)
    if claim is not None and _has_times(container, streams, channel):
        end = _end_from(claim - _TAIL_SECONDS, container, streams, channel, origin)
        if end is not None and claim - 1.0 <= end < _BELIEVABLE_SECONDS:
            return end
    return max(0.0, _end_from(None, container, streams, channel, origin) or 0.0)


def timed_streams(container: InputContainer) -> list[Stream]:
    """Returns the streams that make the length: picture and sound, or text where there is none."""
    video = picture_stream(container)
    streams: list[Stream] = [video] if video is not None else []
    streams += [s for s in container.streams.audio if codec_of(s) in AUDIO_CODECS]
    return streams or [s for s in container.streams.subtitles if codec_of(s) in TEXT_CODECS]


def _claimed_end(
    container: InputContainer, streams: list[Stream], origin: Fraction
) -> float | None:
    """Returns the end that the header claims for these streams, None if it claims nothing sane."""
    ends = [
        float((stream.start_time or 0) * stream.time_base + stream.duration * stream.time_base)
        for stream in streams
        if stream.duration and stream.time_base
    ]
    if not ends and container.duration:
        ends = [((container.start_time or 0) + container.duration) / 1e6]
    claim = max(ends, default=0.0) - float(origin)
    return claim if 0 < claim < _BELIEVABLE_SECONDS else None


def _end_from(
    start: float | None,
    container: InputContainer,
    streams: list[Stream],
    channel: Channel,
    origin: Fraction,
) -> float | None:
    """Reads packets from a second (None: the beginning) to the end; returns the latest end."""
    try:
        container.seek(int((max(0.0, start or 0.0) + float(origin)) * 1e6))
    except av.error.FFmpegError:
        if start is not None:
            return None
    end: float | None = None
    timeless: dict[int, float] = {}
    for packet in Packets(container, streams, channel):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            index = packet.stream_index
            timeless[index] = timeless.get(index, 0.0) + _length(packet)
            continue
        stop = seconds_of(stamp, packet.time_base, origin) + _length(packet)
        if stop < _BELIEVABLE_SECONDS:
            end = stop if end is None else max(end, stop)
    return max([*timeless.values(), *([] if end is None else [end])], default=None)


def _has_times(container: InputContainer, streams: list[Stream], channel: Channel) -> bool:
    """Whether the first packets say when they are; negative times, for one, do not survive MKV."""
    first = itertools.islice(Packets(container, streams, channel), _FIRST_PACKETS)
    return all(packet.pts is not None or packet.dts is not None for packet in first)


def _length(packet: Packet[Stream]) -> float:
    """Returns how long a packet lasts; one frame where a picture does not say."""
    seconds = float((packet.duration or 0) * packet.time_base)
    if 0 < seconds < _LONGEST_PACKET_SECONDS:
        return seconds
    rate = packet.stream.average_rate if packet.stream.type == "video" else None
    return float(1 / rate) if rate else 0.0
