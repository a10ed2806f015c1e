"""How long a file really is: the end of its last packet, not what the header says."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING

import av.error

from clamr_rag.media.child.container import (
    AUDIO_CODECS,
    TEXT_CODECS,
    codec_of,
    opened,
    origin_seconds,
    picture_stream,
    seconds_of,
)
from clamr_rag.media.child.packets import Packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

    from clamr_rag.media.child.channel import Channel
    from clamr_rag.media.child.main import Request

_TAIL_SECONDS = 2.0
_BELIEVABLE_SECONDS = 8_640_000.0
"""A hundred days: no time stamp beyond that is believed."""

_CHECKED_SECONDS = 43_200.0
"""Claims of more than half a day are rare and mostly splices or damage: all packets are read."""

_FIRST_PACKETS = 4
_LONGEST_PACKET_SECONDS = 86_400.0


def measured_duration(request: Request, channel: Channel) -> float:
    """Returns the end of the last picture or sound in video seconds.

    The header's claim only says where to look: if packets are found there up to the end of the file
    they are the truth, else all packets are read (without decoding). The file is opened anew, since
    not every container can be sought back to its beginning.
    """
    with opened(request) as container:
        streams = timed_streams(container)
        origin = origin_seconds(container)
        packets = iter(Packets(container, streams, channel))
        first = list(itertools.islice(packets, _FIRST_PACKETS))
        if any(packet.pts is None and packet.dts is None for packet in first):
            # Negative times, for one, do not survive MKV. All there is to go by is their number.
            return max(0.0, _end(itertools.chain(first, packets), origin) or 0.0)
        claim = _claimed_end(container, streams, origin)
        if claim is not None and _sought(container, claim - _TAIL_SECONDS, origin):
            end = _end(Packets(container, streams, channel), origin)
            if end is not None and claim - 1.0 <= end < _CHECKED_SECONDS:
                return end
        _sought(container, 0.0, origin)
        return max(0.0, _end(Packets(container, streams, channel), origin) or 0.0)


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
    return claim if 0 < claim < _CHECKED_SECONDS else None


def _sought(container: InputContainer, second: float, origin: Fraction) -> bool:
    """Goes to a second; False where the container cannot."""
    try:
        container.seek(int((max(0.0, second) + float(origin)) * 1e6))
    except av.error.FFmpegError:
        return False
    return True


def _end(packets: Iterable[Packet[Stream]], origin: Fraction) -> float | None:
    """Returns the latest end of all packets, None if there are none."""
    end: float | None = None
    # Per stream: seconds counted without stamps, and where stamps go on from there.
    counted: dict[int, float] = {}
    shift: dict[int, float] = {}
    for packet in packets:
        index, stamp = packet.stream_index, packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            counted[index] = stop = counted.get(index, 0.0) + _length(packet)
        else:
            start = seconds_of(stamp, packet.time_base, origin)
            shift.setdefault(index, max(0.0, counted.get(index, 0.0) - start))
            stop = start + shift[index] + _length(packet)
        if stop < _BELIEVABLE_SECONDS:
            end = stop if end is None else max(end, stop)
    return end


def _length(packet: Packet[Stream]) -> float:
    """Returns how long a packet lasts; one frame where a picture does not say."""
    seconds = float((packet.duration or 0) * packet.time_base)
    if 0 < seconds < _LONGEST_PACKET_SECONDS:
        return seconds
    rate = packet.stream.average_rate if packet.stream.type == "video" else None
    return float(1 / rate) if rate else 0.0
