"""Writes a video from still and moving pictures, with subtitles, chapters and tags inside.

For the demo and for benchmarks that need no download. Only Pillow and PyAV are used, and memory
does not grow with the length: an hour of slides is as cheap as a minute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame

    from clamr_rag.media import Chapter
    from clamr_rag.types import Cue

Color = tuple[int, int, int]

_SUBTITLE_HEADER = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment
Style: Default,Arial,16,&Hffffff,2
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
_PLAIN = str.maketrans({"\n": r"\N", "{": "(", "}": ")"})
_MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Shot:
    """A stretch of the video without a cut."""

    duration_seconds: float
    draw: Callable[[float], Image.Image]
    """Gives the picture at a second of the shot."""
    draws_per_second: float = 0.0
    """How often it is drawn anew; 0 is a still picture, drawn once."""


@dataclass(frozen=True, slots=True)
class Slide:
    """Words on a slide."""

    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """Colours of a slide."""

    top: Color = (24, 32, 58)
    bottom: Color = (44, 62, 104)
    accent: Color = (255, 183, 77)
    text: Color = (240, 243, 250)


def write_slide_video(
    path: str | Path,
    shots: Iterable[Shot],
    *,
    size: tuple[int, int] = (1280, 720),
    fps: int = 25,
    subtitles: Sequence[Cue] = (),
    subtitle_language: str = "eng",
    chapters: Sequence[Chapter] = (),
    tags: Mapping[str, str] | None = None,
    crf: int = 26,
) -> float:
    """Writes an H.264 mp4 and returns its length in seconds.

    Args:
        path: Where to; an existing file is replaced.
        shots: In order; may be a generator.
        size: Width and height in pixels, both even.
        fps: Frames per second.
        subtitles: An embedded text track, in order of time; no track if empty.
        subtitle_language: ISO 639-2 code of the track.
        chapters: Named parts.
        tags: Container tags such as title, artist, comment.
        crf: x264's constant rate factor; lower is better and larger.
    """
    import av

    # zerolatency: no frame waits in the encoder, so subtitles can be written as time goes by.
    options = {"preset": "ultrafast", "tune": "zerolatency", "crf": str(crf)}
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata.update(tags or {})
        pictures = container.add_stream("libx264", rate=fps, options=options)
        pictures.width, pictures.height = size
        pictures.pix_fmt = "yuv420p"
        # The picture hardly changes: a second thread would only wait.
        pictures.thread_count = 1
        track = _SubtitleTrack(container, subtitles, subtitle_language) if subtitles else None
        container.set_chapters(
            [
                {
                    "id": number,
                    "start": round(chapter.span.start_seconds * 1000),
                    "end": round(chapter.span.stop_seconds * 1000),
                    "time_base": _MILLISECOND,
                    "metadata": {"title": chapter.title},
                }
                for number, chapter in enumerate(chapters)
            ]
        )
        num_frames = 0
        for frame in _frames(shots, fps):
            frame.pts, frame.time_base = num_frames, Fraction(1, fps)
            container.mux(pictures.encode(frame))
            num_frames += 1
            if track is not None:
                track.write_until(num_frames / fps)
        container.mux(pictures.encode(None))
    return num_frames / fps


def _frames(shots: Iterable[Shot], fps: int) -> Iterator[VideoFrame]:
    """The frames of all shots; a picture is converted once and given until the next is drawn."""
    for shot in shots:
        drawn = -1
        for number in range(round(shot.duration_seconds * fps)):
            due = int(number * shot.draws_per_second / fps)
            if due > drawn:
                frame, drawn = _frame(shot.draw(number / fps)), due
            yield frame


def _frame(picture: Image.Image) -> VideoFrame:
    import av

    pixels = np.asarray(picture.convert("RGB"))
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


class _SubtitleTrack:
    """A mov_text track that is written along with the pictures."""

    def __init__(self, container: OutputContainer, cues: Sequence[Cue], language: str) -> None:
        self._container = container
        self._stream = container.add_stream("mov_text")
        self._stream.time_base = _MILLISECOND
        self._stream.codec_context.time_base = _MILLISECOND
        self._stream.codec_context.subtitle_header = _SUBTITLE_HEADER
        self._stream.metadata["language"] = language
        self._pending = list(reversed(cues))

    def write_until(self, seconds: float) -> None:
        """Writes the cues that have begun."""
        from av.subtitles.subtitle import SubtitleSet

        while self._pending and self._pending[-1].start_seconds < seconds:
            cue = self._pending.pop()
            start = round(cue.start_seconds * 1000)
            length = round(cue.stop_seconds * 1000) - start
            # Braces would begin a style.
            text = cue.text.translate(_PLAIN).encode()
            subtitle = SubtitleSet.create(
                b"0,0,Default,,0,0,0,," + text, start=0, end=length, pts=start
            )
            packet = self._stream.codec_context.encode_subtitle(subtitle)
            packet.stream, packet.time_base = self._stream, _MILLISECOND
            self._container.mux(packet)


def slide_shots(
    slides: Iterable[Slide],
    seconds_per_slide: float,
    *,
    size: tuple[int, int] = (1280, 720),
    look: Look | None = None,
) -> Iterator[Shot]:
    """One still shot per slide, drawn only when it is its turn."""
    for number, slide in enumerate(slides, start=1):
        picture = draw_slide(slide, size=size, look=look or Look(), number=number)
        yield still_shot(seconds_per_slide, picture)


def still_shot(duration_seconds: float, picture: Image.Image) -> Shot:
    """One picture for some time."""
    return Shot(duration_seconds, lambda _seconds: picture)


def draw_slide(
    slide: Slide,
    *,
    size: tuple[int, int] = (1280, 720),
    look: Look | None = None,
    number: int | None = None,
) -> Image.Image:
    """Draws a slide: title, rule, lines with bullets, number in the corner."""
    look = look or Look()
    picture = gradient(size, look.top, look.bottom)
    draw = ImageDraw.Draw(picture)
    width, height = size
    margin = width // 14
    y = height / 7 if slide.lines else height / 2.6
    title_font = _fitting_font(slide.title, height / 11, width - 2 * margin)
    draw.text((margin, y), slide.title, font=title_font, fill=look.text, stroke_width=1)
    y += 1.5 * title_font.size
    draw.rectangle((margin, y, margin + width / 9, y + height / 120), fill=look.accent)
    y += height / 15
    step = min(height / 9, (height * 0.92 - y) / max(1, len(slide.lines)))
    for line in slide.lines:
        font = _fitting_font(line, step * 0.55, width - 3 * margin)
        radius = height / 130
        middle = y + font.size * 0.62
        draw.ellipse((margin, middle - radius, margin + 2 * radius, middle + radius), look.accent)
        draw.text((margin + width / 40, y), line, font=font, fill=look.text)
        y += step
    if number is not None:
        corner = width - margin / 2, height - margin / 3
        small_font = ImageFont.load_default(height / 32)
        draw.text(corner, str(number), font=small_font, fill=look.accent, anchor="rs")
    return picture


def gradient(size: tuple[int, int], top: Color, bottom: Color) -> Image.Image:
    """A picture whose colour runs from the top to the bottom."""
    column = Image.new("RGB", (1, 256))
    column.putdata(
        [
            tuple(round(a + (b - a) * row / 255) for a, b in zip(top, bottom, strict=True))
            for row in range(256)
        ]
    )
    return column.resize(size)


def _fitting_font(text: str, size: float, width: float) -> ImageFont.FreeTypeFont:
    """Pillow's own font in the size asked for, smaller where the text would not fit."""
    font: object = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    longest = font.getlength(text)
    if longest <= width:
        return font
    return font.font_variant(size=math.floor(size * width / longest))
