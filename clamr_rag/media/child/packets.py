"""Reading packets whatever the state of the file, with time stamps that can be relied on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av.error
from av.stream import Discard

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

    from clamr_rag.media.child.channel import Channel

_GAP_SECONDS = 43_200.0
"""Longest silence that is believed. MPEG-TS clocks wrap at 26.5 h: there a splice back to an
earlier time looks like a day that passed."""

_STEP_SECONDS = 1.0
"""A longer step ahead or back is believed only if the next packet does not return to where the
stream was: else it is one damaged number."""

_MAX_DELAY_SECONDS = 60.0
"""Longest time between decoding and showing a picture; slow slide shows come to some seconds."""

_MAX_BAD_READS = 100


class Packets:
    """Reads packets in file order; broken places are counted and passed over.

    Decoding times are made continuous per stream: a jump back by more than a second or ahead by
    more than half a day is a splice, not time that passed.
    """

    def __init__(self, container: InputContainer, streams: list[Stream], channel: Channel) -> None:
        self._container = container
        self._streams = streams
        self._channel = channel
        # AVI stores an order and a rate, no display times; FFmpeg's made-up ones come out shuffled.
        self._has_display_times = container.format.name != "avi"
        self._last: dict[int, int] = {}
        self._shift: dict[int, int] = {}
        self.num_bad = 0
        wanted = {stream.index for stream in streams}
        for stream in container.streams:
            stream.discard = Discard.default if stream.index in wanted else Discard.all

    def __iter__(self) -> Iterator[Packet[Stream]]:
        doubtful: dict[int, Packet[Stream]] = {}
        for packet in self._read():
            waiting = doubtful.pop(packet.stream_index, None)
            if waiting is not None:
                if self._goes_on(packet):
                    self._mend(waiting)
                yield self._settled(waiting)
            if self._goes_on(packet):
                yield self._settled(packet)
            else:
                doubtful[packet.stream_index] = packet
        for packet in doubtful.values():
            yield self._settled(packet)

    def jumped(self) -> None:
        """Forgets the last time stamps: the next packet comes from elsewhere in the file."""
        self._last.clear()

    @property
    def spliced(self) -> bool:
        """Whether time stamps had to be moved, so that seeking by them would mislead."""
        return any(self._shift.values())

    def _read(self) -> Iterator[Packet[Stream]]:
        """Yields what the demuxer gives; a read that fails is tried again a little further on."""
        bad_in_a_row = 0
        while bad_in_a_row < _MAX_BAD_READS:
            try:
                for packet in self._container.demux(*self._streams):
                    self._channel.alive()
                    # Empty ones are the demuxer's end mark or a dropped picture; a decoder would
                    # take them for the end of the stream.
                    if packet.size > 0:
                        bad_in_a_row = 0
                        yield packet
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:
                self.num_bad += 1
                bad_in_a_row += 1
            else:
                return

    def _goes_on(self, packet: Packet[Stream]) -> bool:
        """Whether the packet's decoding time follows that of the last one, as far as is known."""
        step = self._step_seconds(packet)
        return step is None or -_STEP_SECONDS <= step <= _STEP_SECONDS

    def _step_seconds(self, packet: Packet[Stream]) -> float | None:
        last = self._last.get(packet.stream_index)
        if last is None or packet.dts is None:
            return None
        shift = self._shift.get(packet.stream_index, 0)
        return float((packet.dts + shift - last) * packet.time_base)

    def _mend(self, packet: Packet[Stream]) -> None:
        """Gives a packet with damaged time stamps the next ones in line."""
        index = packet.stream_index
        packet.dts = self._last[index] - self._shift.get(index, 0) + (packet.duration or 1)
        packet.pts = packet.dts

    def _settled(self, packet: Packet[Stream]) -> Packet[Stream]:
        """Returns the packet with continuous time stamps."""
        index, tick = packet.stream_index, packet.time_base
        step = self._step_seconds(packet)
        if (
            step is not None
            and packet.dts is not None
            and not -_STEP_SECONDS <= step <= _GAP_SECONDS
        ):
            self._shift[index] = self._last[index] + (packet.duration or 1) - packet.dts
        if packet.dts is not None:
            packet.dts += self._shift.get(index, 0)
            self._last[index] = packet.dts
        if packet.pts is not None:
            packet.pts += self._shift.get(index, 0)
            packet.pts = self._believable(packet.pts, packet.dts, tick)
        return packet

    def _believable(self, pts: int, dts: int | None, tick: Fraction) -> int | None:
        """Returns the display time, or what to take for it where it cannot be right."""
        if dts is None:
            return pts
        if not self._has_display_times:
            return None
        delay = float((pts - dts) * tick)
        return pts if -_STEP_SECONDS <= delay <= _MAX_DELAY_SECONDS else dts
