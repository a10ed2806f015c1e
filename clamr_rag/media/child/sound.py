"""The sound operation: mono 16 kHz windows that keep the video's time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import av.error
from av.audio.resampler import AudioResampler

from clamr_rag.media.child.container import (
    AUDIO_CODECS,
    codec_of,
    opened,
    origin_seconds,
)
from clamr_rag.media.child.limits import RefusedError
from clamr_rag.media.child.packets import Packets

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

    from clamr_rag.media.child.channel import Channel
    from clamr_rag.media.child.main import Request

RATE = 16_000

_JITTER_SAMPLES = RATE // 20
"""Time stamps that stray less than 50 ms from the running count are rounding, not gaps."""

_PREROLL_SECONDS = 1.0
"""Decoded before a sought start, since sound codecs need some packets to settle."""


def sound(request: Request, channel: Channel) -> None:
    """Sends consecutive windows from the wanted start to the end of the sound."""
    start: float = request.arguments["start_seconds"]
    num_samples = max(1, round(request.arguments["window_seconds"] * RATE))
    with opened(request) as container:
        stream = _chosen(container, request.arguments["track"])
        origin = float(origin_seconds(container))
        decoder = SoundDecoder(container, stream, channel, origin)
        if start > _PREROLL_SECONDS:
            decoder.seek(start - _PREROLL_SECONDS)
        timeline = Timeline(round(start * RATE))
        for first, samples in decoder.blocks():
            # A long gap is filled window by window, never in one piece.
            while timeline.gap_before(first) > num_samples:
                timeline.place(None, array("f", bytes(4 * num_samples)))
                _send(channel, *timeline.take(num_samples))
            timeline.place(first, samples)
            while timeline.num_ready >= num_samples:
                _send(channel, *timeline.take(num_samples))
        if timeline.num_ready:
            _send(channel, *timeline.take(timeline.num_ready))


def _send(channel: Channel, first: int, samples: array[float]) -> None:
    channel.send({"kind": "sound", "first_sample": first}, samples.tobytes())


def _chosen(container: InputContainer, track: int | None) -> AudioStream:
    """Returns the asked-for sound stream, else the one that a player would choose."""
    streams = container.streams.audio
    if not streams:
        raise RefusedError("it has no sound track", hint="use its subtitles or sidecars")
    if track is not None and not 0 <= track < len(streams):
        raise RefusedError(f"no sound track {track}", allowed=f"0 to {len(streams) - 1}")
    best = container.streams.best("audio")
    stream = streams[track] if track is not None else cast("AudioStream", best or streams[0])
    if codec_of(stream) not in AUDIO_CODECS:
        raise RefusedError(
            f"its sound track has the codec {codec_of(stream)!r}, which is not read",
            allowed="aac, mp3, opus, vorbis, flac, ac3, pcm and other common ones",
        )
    return stream


class SoundDecoder:
    """Decodes one sound stream into blocks of samples with their place in time."""

    def __init__(
        self, container: InputContainer, stream: AudioStream, channel: Channel, origin: float
    ) -> None:
        self._container = container
        self._stream = stream
        self._packets = Packets(container, [stream], channel)
        self._origin = origin
        self._resampler: AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None

    def seek(self, second: float) -> None:
        """Goes near a second; where the container cannot, reading just starts at the beginning."""
        tick = self._stream.time_base
        if not tick:
            return
        try:
            self._container.seek(int((second + self._origin) / tick), stream=self._stream)
        except av.error.FFmpegError:
            return
        self._packets.jumped()

    def blocks(self) -> Iterator[tuple[int | None, array[float]]]:
        """Yields (number of the first sample or None for "goes on", samples)."""
        for packet in self._packets:
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:
                continue
            for frame in frames:
                yield from self._resampled(frame)
        yield None, self._flushed()

    def _resampled(self, frame: AudioFrame) -> Iterator[tuple[int | None, array[float]]]:
        """Converts one frame; a change of rate or layout in mid-stream starts a new resampler."""
        if frame.samples == 0 or frame.sample_rate == 0:
            return
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            # What the old one still holds comes first, or its last milliseconds are lost.
            if self._resampler is not None:
                yield None, self._flushed()
            self._shape = shape
            self._resampler = AudioResampler(format="flt", layout="mono", rate=RATE)
        assert self._resampler is not None
        tick = self._stream.time_base
        first = None
        if frame.pts is not None and tick:
            first = round((float(frame.pts * tick) - self._origin) * RATE)
        # The filter graph would fill or cut by time stamps on its own terms; ours are kept here.
        frame.pts = None
        yield first, _samples(self._resampler.resample(frame))

    def _flushed(self) -> array[float]:
        return _samples(self._resampler.resample(None)) if self._resampler else array("f")


def _samples(frames: list[AudioFrame]) -> array[float]:
    """Returns the samples of mono float frames."""
    samples = array("f")
    for frame in frames:
        samples.frombytes(memoryview(frame.planes[0])[: frame.samples * 4])
    return samples


class Timeline:
    """Samples on the video's clock from a start on: gaps become silence, overlaps are cut.

    Args:
        start: Number of the first sample that is wanted; sound before it is left out.
    """

    def __init__(self, start: int) -> None:
        self._samples = array("f")
        self._first = start
        self._begun = False

    @property
    def num_ready(self) -> int:
        """Samples that can be taken."""
        return len(self._samples)

    def gap_before(self, first: int | None) -> int:
        """Returns how many samples are missing before a time stamp; negative for an overlap."""
        if first is None:
            return 0
        stray = first - self._first - len(self._samples)
        return 0 if self._begun and abs(stray) <= _JITTER_SAMPLES else stray

    def place(self, first: int | None, samples: array[float]) -> None:
        """Adds samples where their time stamp says, or right after the last without one."""
        stray = self.gap_before(first)
        if stray > 0:
            self._samples.frombytes(bytes(4 * stray))
        if stray < 0:
            samples = samples[-stray:]
        self._begun = self._begun or len(samples) > 0
        self._samples.extend(samples)

    def take(self, count: int) -> tuple[int, array[float]]:
        """Removes the oldest samples; returns the number of the first and the samples."""
        taken = self._samples[:count]
        del self._samples[:count]
        first = self._first
        self._first += count
        return first, taken
