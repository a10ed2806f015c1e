"""Test media made by code: small videos whose every picture says which one it is.

Each picture is a grid of black and white cells: its number in binary, and below it the complement
as a check, large enough to survive any codec. `read_number` gets it back from decoded pixels, so a
test can compare the time a frame claims with the time at which that very picture was put in.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import psutil

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 talks on stderr unless told

_COLUMNS, _ROWS = 8, 4
_BITS = _COLUMNS * _ROWS // 2

CODECS = {
    "h264": ("libx264", {"preset": "ultrafast", "bf": "2", "crf": "28"}),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "35", "b": "0"}),
    "av1": ("libsvtav1", {"preset": "13", "crf": "45", "svtav1-params": "lp=1"}),
    "mpeg4": ("mpeg4", {"q": "4"}),
}
"""Encoder and its options per codec; H.264 has B-frames, so decoding and display order differ."""


@dataclass(frozen=True)
class MadeVideo:
    """A generated video and the truth about it."""

    path: Path
    frame_seconds: tuple[float, ...]
    """Time of picture ``n`` in seconds from the start."""

    def number_at(self, seconds: float) -> int:
        """The number of the picture that is displayed at a second."""
        shown = [n for n, time in enumerate(self.frame_seconds) if time <= seconds + 1e-6]
        return shown[-1] if shown else 0


@dataclass(frozen=True)
class Subtitles:
    """A text track to be put into a video."""

    codec: str
    """"mov_text", "subrip", "ass" or "webvtt"."""
    cues: Sequence[tuple[float, float, str]]
    language: str = "eng"


@dataclass(frozen=True)
class Plan:
    """What to make; the defaults give two seconds of H.264 at 12.5 pictures per second."""

    codec: str = "h264"
    frame_seconds: Sequence[float] = tuple(n * 0.08 for n in range(25))
    size: tuple[int, int] = (160, 120)
    """Width and height of the upright picture."""
    gop_size: int = 10
    clockwise_degrees: int = 0
    """The turn a player must apply: the pictures are stored turned the other way."""
    pixel_aspect: Fraction | None = None
    tone_seconds: float = 0.0
    """Length of a 440 Hz tone; 0 for no sound track."""
    tone_offset_seconds: float = 0.0
    tone_lost_seconds: tuple[float, float] = (0.0, 0.0)
    """Sound packets that start in this range are not written: a gap in the time stamps."""
    tone_layout: str = "mono"
    subtitles: Sequence[Subtitles] = ()
    chapters: Sequence[tuple[float, float, str]] = ()
    tags: dict[str, str] = field(default_factory=dict)
    muxer_options: dict[str, str] = field(default_factory=dict)
    encoder_options: dict[str, str] = field(default_factory=dict)


def numbered_picture(number: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Returns the RGB picture ``(height, width, 3)`` that says ``number``."""
    bits = np.array([(number >> place) & 1 for place in range(_BITS)], np.uint8)
    cells = np.concatenate([bits, 1 - bits]).reshape(_ROWS, _COLUMNS)
    width, height = size
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    gray = 30 + 200 * cells[np.ix_(rows, columns)]
    return np.repeat(gray[:, :, None], 3, axis=2).astype(np.uint8)


def read_number(pixels: npt.NDArray[np.uint8]) -> int:
    """Returns the number that a decoded picture says.

    Raises:
        ValueError: The picture is not one of ours, or is damaged, turned or mirrored.
    """
    height, width = pixels.shape[:2]
    gray = pixels.mean(axis=2)
    middles = [
        gray[
            int((row + 0.25) * height / _ROWS) : int((row + 0.75) * height / _ROWS) + 1,
            int((column + 0.25) * width / _COLUMNS) : int((column + 0.75) * width / _COLUMNS) + 1,
        ].mean()
        for row in range(_ROWS)
        for column in range(_COLUMNS)
    ]
    bits = [middle > 128 for middle in middles]
    if any(bit == check for bit, check in zip(bits[:_BITS], bits[_BITS:], strict=True)):
        raise ValueError("no number can be read from this picture")
    return sum(bit << place for place, bit in enumerate(bits[:_BITS]))


def make_video(path: Path, plan: Plan | None = None) -> MadeVideo:
    """Writes a video; the container follows the suffix of the path."""
    plan = plan or Plan()
    with av.open(str(path), "w", options=dict(plan.muxer_options)) as container:
        container.metadata.update(plan.tags)
        if plan.chapters:
            container.set_chapters(
                [
                    {
                        "id": number,
                        "start": round(start * 1000),
                        "end": round(stop * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for number, (start, stop, title) in enumerate(plan.chapters)
                ]
            )
        video = _add_video(container, path.suffix, plan) if plan.frame_seconds else None
        sound = _add_sound(container, path.suffix, plan.tone_layout) if plan.tone_seconds else None
        texts = [_add_subtitles(container, track) for track in plan.subtitles]
        # All packets by time: some muxers insist on it.
        packets = [
            *(_video_packets(video, plan) if video is not None else ()),
            *(_sound_packets(sound, plan) if sound is not None else ()),
            *(
                packet
                for stream, track in zip(texts, plan.subtitles, strict=True)
                for packet in _subtitle_packets(stream, track)
            ),
        ]
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            container.mux(packet)
    return MadeVideo(path, tuple(plan.frame_seconds))


def _add_video(container, suffix: str, plan: Plan):
    encoder, options = CODECS[plan.codec]
    step = plan.frame_seconds[1] - plan.frame_seconds[0] if len(plan.frame_seconds) > 1 else 0.04
    rate = 1 / Fraction(step).limit_denominator(1000)
    # AVI has no time stamps, only a rate.
    tick = 1 / rate if suffix == ".avi" else Fraction(1, 100 if plan.codec == "mpeg4" else 1000)
    stream = container.add_stream(encoder, rate=rate)
    turned = plan.clockwise_degrees in (90, 270)
    stream.width, stream.height = plan.size[::-1] if turned else plan.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = plan.gop_size
    stream.codec_context.time_base = tick
    stream.codec_context.thread_count = 1
    stream.options = {**options, **plan.encoder_options}
    if plan.pixel_aspect is not None:
        stream.codec_context.sample_aspect_ratio = plan.pixel_aspect
    if plan.clockwise_degrees:
        stream.set_display_rotation(-plan.clockwise_degrees)
    return stream


def _video_packets(stream, plan: Plan) -> Iterable[av.Packet]:
    base = stream.codec_context.time_base
    for number, seconds in enumerate(plan.frame_seconds):
        picture = np.rot90(numbered_picture(number, plan.size), plan.clockwise_degrees // 90)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.time_base = base
        frame.pts = round(seconds / base)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _add_sound(container, suffix: str, layout: str):
    codec = {".webm": "libopus", ".avi": "pcm_s16le", ".wav": "pcm_s16le"}.get(suffix, "aac")
    return container.add_stream(codec, rate=48000, layout=layout)


def _sound_packets(stream, plan: Plan) -> Iterable[av.Packet]:
    """A 440 Hz tone at half volume, less what is to be lost."""
    times = np.arange(round(plan.tone_seconds * 48000)) / 48000
    tone = (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    stream.codec_context.open()
    length = stream.codec_context.frame_size or 1024
    converter = av.AudioResampler(stream.codec_context.format, plan.tone_layout, 48000)
    packets = []
    for first in range(0, len(tone), length):
        part = np.ascontiguousarray(tone[None, first : first + length])
        frame = av.AudioFrame.from_ndarray(part, "fltp", "mono")
        frame.sample_rate = 48000
        for ready in converter.resample(frame):
            ready.pts = first + round(plan.tone_offset_seconds * 48000)
            ready.time_base = Fraction(1, 48000)
            packets += stream.encode(ready)
    start, stop = plan.tone_lost_seconds
    for packet in [*packets, *stream.encode(None)]:
        if not start <= float(packet.pts * packet.time_base) < stop:
            yield packet


_ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    b"Style: Default,Arial,16\n\n[Events]\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)


def _add_subtitles(container, track: Subtitles):
    stream = container.add_stream(track.codec)
    stream.codec_context.time_base = Fraction(1, 1000)
    stream.time_base = Fraction(1, 1000)
    stream.codec_context.subtitle_header = _ASS_HEADER
    stream.metadata["language"] = track.language
    return stream


def _subtitle_packets(stream, track: Subtitles) -> Iterable[av.Packet]:
    if not stream.codec_context.is_open:
        stream.codec_context.open()
    for number, (start, stop, text) in enumerate(track.cues):
        payload = text.encode()
        if track.codec == "mov_text":
            payload = struct.pack(">H", len(payload)) + payload
        if track.codec == "ass":
            payload = f"{number},0,Default,,0,0,0,,{text}".encode()
        packet = av.Packet(payload)
        packet.stream = stream
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = round(start * 1000)
        packet.duration = round((stop - start) * 1000)
        yield packet


def child_processes() -> list[psutil.Process]:
    """This process's children, less multiprocessing's housekeeper: it lives until the end."""
    return [
        child
        for child in psutil.Process().children()
        if not any("resource_tracker" in word for word in child.cmdline())
    ]
