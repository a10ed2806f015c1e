"""Decoding only what the wanted seconds need.

Packets are looked at before they are decoded. Once one with a decoding time after the wanted second
has been read, all packets of pictures up to that second are known (a picture is never decoded after
it is shown). So it is known which picture is shown then; everything before its key frame is
dropped, and pictures that nothing refers to are skipped unless they are the one. Where the next
wanted second is far away the file is sought, which only saves reading: landing too late is noticed
and landing too early costs nothing but time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av.error

from clamr_rag.media.child.container import decoder_threads, origin_seconds, seconds_of
from clamr_rag.media.child.packets import Packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from clamr_rag.media.child.channel import Channel

_SLACK_SECONDS = 0.1
"""Decoding times are guesses in some containers: read on a little before being sure."""

_REORDER_SECONDS = 2.0
"""How far a picture may be decoded before it is shown, where there are no decoding times."""

_MAX_REORDERED = 32
"""More packets than that in the decoder have been swallowed, not reordered."""

_LEAD_SECONDS = 0.5
"""How far pictures that lead a key frame may be shown before it."""

_SEEK_SECONDS = 20.0
"""Distance from which the file is sought instead of read on: shorter jumps mostly land in the
group of pictures that is being read anyway."""

_WORTH_DROPPING = 8
"""Fewer packets are decoded rather than dropped: a restart empties the decoder's pipeline."""

_MAX_HELD_BYTES = 64 << 20
_MAX_HELD_PACKETS = 20_000


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A decoded picture, still in the decoder's format."""

    seconds: float
    stop_seconds: float
    """Where the picture ends as far as it says itself."""
    frame: VideoFrame


class PictureReader:
    """One forward pass over a picture track."""

    def __init__(self, container: InputContainer, stream: VideoStream, channel: Channel) -> None:
        self._container = container
        self._channel = channel
        self._stream = stream
        self._context = stream.codec_context
        self._packets = Packets(container, [stream], channel)
        self._source = iter(self._packets)
        self._origin = origin_seconds(container)
        self._context.thread_type = "AUTO"
        self._context.thread_count = decoder_threads(stream.width * stream.height)
        self._frame_seconds = float(1 / stream.average_rate) if stream.average_rate else 0.04
        self._read_to = 0.0
        self._held: list[Packet[Stream]] = []
        self._held_bytes = 0
        self._restart = False
        self._at_end = False
        self._can_seek = True
        self._is_timeless = False
        self._last_seconds = -1.0
        self._shift = 0.0
        self._slots: list[int] = []
        self._num_bad_frames = 0
        self.num_decoded = 0
        self.was_asked = False

    @property
    def num_bad(self) -> int:
        """Packets that could not be read or decoded."""
        return self._packets.num_bad + self._num_bad_frames

    def frames(self, wanted: Iterator[float]) -> Iterator[TimedFrame]:
        """Yields frames in time order, among them all that are shown at the wanted seconds."""
        for second in wanted:
            self.was_asked = True
            if self._at_end:
                break
            if second < self._read_to and not self._is_timeless:
                # Its picture is decoded already: packets after a wish are never skipped.
                continue
            if self._is_far(second):
                yield from self._drain()
                self._seek(second)
            yield from self._decoded_to(second)
        yield from self._drain()

    def _decoded_to(self, second: float) -> Iterator[TimedFrame]:
        """Reads until the picture at this second is known, then decodes what it needs."""
        while not self._collect(second):
            # No telling which of these is the picture: decode them all.
            yield from self._decode(needed_up_to=None)
            if self._last_seconds > second:
                return
        yield from self._decode(needed_up_to=second)

    def _collect(self, second: float) -> bool:
        """Holds packets until the picture at this second is known; False when it gets too much."""
        for packet in self._source:
            if packet.is_keyframe and self._shown_by(packet, second):
                self._drop_held()
            self._held.append(packet)
            self._held_bytes += packet.size
            self._read_to = max(self._read_to, self._known_to(packet))
            if self._read_to > second:
                return True
            if packet.pts is None and packet.dts is None:
                self._is_timeless = True
            if self._is_timeless or self._held_bytes > _MAX_HELD_BYTES:
                return False
            if len(self._held) > _MAX_HELD_PACKETS:
                return False
        self._at_end = True
        return True

    def _known_to(self, packet: Packet[Stream]) -> float:
        """Returns a second up to which no picture can follow this packet in the file."""
        if packet.dts is not None:
            return seconds_of(packet.dts, packet.time_base, self._origin) - _SLACK_SECONDS
        if packet.pts is not None:
            return seconds_of(packet.pts, packet.time_base, self._origin) - _REORDER_SECONDS
        return 0.0

    def _shown_by(self, packet: Packet[Stream], second: float) -> bool:
        """Whether the packet's picture is surely shown at this second or before it."""
        if packet.pts is not None:
            return seconds_of(packet.pts, packet.time_base, self._origin) <= second
        if packet.dts is None:
            return False
        # Pictures that lead a key frame may still be shown after its decoding time.
        return seconds_of(packet.dts, packet.time_base, self._origin) <= second - _LEAD_SECONDS

    def _drop_held(self) -> None:
        """Forgets what was held: a later key frame is shown at the wanted second or before it."""
        if len(self._held) < _WORTH_DROPPING:
            return
        self._held.clear()
        self._held_bytes = 0
        self._restart = True

    def _decode(self, needed_up_to: float | None) -> Iterator[TimedFrame]:
        """Decodes the held packets; skips unreferenced pictures before the one that is needed."""
        held, self._held, self._held_bytes = self._held, [], 0
        if self._restart:
            yield from self._drain()
            self._restart = False
        # A picture after the wish may be the next wish's; only earlier ones are surely not needed.
        limit = self._skippable_before(held, needed_up_to)
        for packet in held:
            skippable = limit is not None and packet.pts is not None and packet.pts < limit
            self._context.skip_frame = "NONREF" if skippable else "DEFAULT"
            yield from self._frames_of(packet)

    def _skippable_before(self, held: list[Packet[Stream]], second: float | None) -> int | None:
        """Returns the time stamp of the picture shown at this second, if it is sure to be known."""
        if second is None or any(packet.pts is None or packet.dts is None for packet in held):
            return None
        stamps = [packet.pts for packet in held if self._shown_by(packet, second)]
        return max((stamp for stamp in stamps if stamp is not None), default=None)

    def _frames_of(self, packet: Packet[Stream] | None) -> Iterator[TimedFrame]:
        self._channel.alive()
        if packet is not None and packet.pts is None and packet.dts is not None:
            heapq.heappush(self._slots, packet.dts)
            if len(self._slots) > _MAX_REORDERED:
                heapq.heappop(self._slots)
        try:
            frames = self._context.decode(packet)
        except av.error.MemoryError:
            # Not this packet's fault, and the next will not fare better.
            raise
        except av.error.FFmpegError:
            self._num_bad_frames += 1
            return
        for frame in frames:
            self.num_decoded += 1
            yield self._timed(frame)

    def _timed(self, frame: VideoFrame) -> TimedFrame:
        """Gives a frame its time: its own, else the next decoding time, else one frame more.

        Without display times the pictures come out in order, one for each packet that went in.
        """
        stamp = frame.pts
        if stamp is None and self._slots:
            stamp = heapq.heappop(self._slots)
        tick = self._stream.time_base
        following = self._last_seconds + self._frame_seconds if self._last_seconds >= 0 else 0.0
        seconds = following
        if stamp is not None and tick:
            seconds = max(0.0, seconds_of(stamp, tick, self._origin) + self._shift)
        if seconds < self._last_seconds and self._is_timeless:
            # Stamps that begin in mid-stream: they go on from what was counted until then.
            self._shift += following - seconds
            seconds = following
        # Pictures come out in the order in which they are shown.
        self._last_seconds = seconds = max(seconds, self._last_seconds)
        length = float(frame.duration * tick) if frame.duration and tick else self._frame_seconds
        return TimedFrame(seconds, seconds + length, frame)

    def _drain(self) -> Iterator[TimedFrame]:
        """Gets the last pictures out of the decoder and makes it ready for another place."""
        if self._context.is_open:
            yield from self._frames_of(None)
            self._context.flush_buffers()
            self._slots.clear()

    def _is_far(self, second: float) -> bool:
        far = second - max(self._read_to, self._last_seconds) > _SEEK_SECONDS
        return far and self._can_seek and not self._is_timeless and not self._packets.spliced

    def _seek(self, second: float) -> None:
        """Moves to a key frame at or before this second, or to the beginning if none is found."""
        # MPEG-TS lands between key frames, so step back until one is found in front of the wish.
        for back in (0.0, 10.0, 60.0, 600.0):
            target = second - back
            if target <= 0:
                break
            if self._landed(target, second):
                return
        # Nowhere a key frame to rely on: read all from the beginning.
        self._can_seek = False
        self._moved_to(0.0)

    def _landed(self, target: float, second: float) -> bool:
        """Seeks and keeps the first key frame found; False if it comes too late."""
        if not self._moved_to(target):
            return False
        for packet in self._source:
            if packet.is_keyframe:
                self._held, self._held_bytes = [packet], packet.size
                return self._shown_by(packet, second)
            if self._known_to(packet) > second:
                return False
        return False

    def _moved_to(self, target: float) -> bool:
        """Moves the read position near a second; False where the container cannot."""
        tick = self._stream.time_base
        if not tick:
            return False
        self._held, self._held_bytes = [], 0
        try:
            self._container.seek(int((target + float(self._origin)) / tick), stream=self._stream)
        except av.error.FFmpegError:
            return False
        self._packets.jumped()
        self._last_seconds = -1.0
        self._source = iter(self._packets)
        return True
