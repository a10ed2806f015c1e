"""Finding shot cuts with PySceneDetect's detectors, fed with our own frames.

The detectors were made for every frame of a video; here they see about one a second, where a slow
pan differs from frame to frame as much as two shots do. So nothing is judged by the size of a
change alone: a cut must stand out from the changes around it, or change the tones of the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clamr_rag.types import ByteArray, Frame

if TYPE_CHECKING:
    from scenedetect.detector import SceneDetector

_PICTURE_SIZE = (160, 90)
_STROKE_WIDTH = 640
"""Width at which the strokes of letters are looked for: text of 16 px at 1280 is 8 px here."""
_STROKE_SIZE = (160, 90)
_STROKE_NOISE = np.uint8(12)
_STROKE_GAIN = 3.0
_WINDOW_FRAMES = 2
"""Frames on either side that a change is compared with."""
_STANDS_OUT = 3.0
_MIN_PICTURE_CHANGE = 15.0
"""Mean change of brightness (0-255) of a cut between two pictures."""
_MIN_STROKE_CHANGE = 2.5
"""Mean change of the stroke map (0-255) of a new slide: 5 to 9 on drawn lectures, where a new
point on the same slide makes 2, a talking head 1.5 and compression 0.2."""
_TONE_CHANGE = 0.2
_MIN_SHOT_SECONDS = 2.0
"""Closer cuts are one cut: a fade, a flash, or a change caught halfway."""


class ShotFinder:
    """Finds the seconds at which new shots (or slides) start in one run of frames.

    A pure function of the frames seen. The first frame is never a cut: to find a cut between two
    runs, start the second with the last frame of the first.
    """

    def __init__(self) -> None:
        from scenedetect.detectors import AdaptiveDetector, HistogramDetector

        self._on_picture: tuple[SceneDetector, ...] = (
            _adaptive(AdaptiveDetector, _MIN_PICTURE_CHANGE),
            HistogramDetector(threshold=_TONE_CHANGE, bins=64, min_scene_len=0),
        )
        # Slides share their tones and most of their white: only their letters tell them apart.
        self._on_strokes: tuple[SceneDetector, ...] = (
            _adaptive(AdaptiveDetector, _MIN_STROKE_CHANGE),
        )
        self._seconds: list[float] = []
        self._num_fed = 0
        self._cut_numbers: set[int] = set()
        self._last: tuple[ByteArray, ByteArray] | None = None

    def see(self, frame: Frame) -> None:
        """Looks at the next frame, in order of time."""
        maps = _small_picture(frame.pixels), _stroke_map(frame.pixels)
        if self._last is None:
            # The detectors judge a frame by its neighbours: the edges are padded with repeats.
            self._feed_padding(maps)
        self._seconds.append(frame.seconds)
        self._feed(maps)
        self._last = maps

    def cuts(self) -> tuple[float, ...]:
        """Seconds of the frames with which a new shot starts; ends the run."""
        if self._last is not None:
            self._feed_padding(self._last)
            self._last = None
        kept: list[float] = []
        for number in sorted(self._cut_numbers):
            # A fade makes a cut at each of its frames; the first stands for all.
            seconds = self._seconds[number]
            if not kept or seconds - kept[-1] > _MIN_SHOT_SECONDS:
                kept.append(seconds)
        return tuple(kept)

    def _feed_padding(self, maps: tuple[ByteArray, ByteArray]) -> None:
        for _ in range(_WINDOW_FRAMES):
            self._feed(maps)

    def _feed(self, maps: tuple[ByteArray, ByteArray]) -> None:
        """Gives one frame to all detectors and notes the cuts that they report."""
        from scenedetect import FrameTimecode

        # Frames are numbered, not timed: the detectors need only their order.
        timecode = FrameTimecode(self._num_fed, fps=1.0)
        self._num_fed += 1
        for detectors, pixels in zip((self._on_picture, self._on_strokes), maps, strict=True):
            for detector in detectors:
                for cut in detector.process_frame(timecode, pixels):
                    self._note(cut.frame_num - _WINDOW_FRAMES)

    def _note(self, number: int) -> None:
        if 0 < number < len(self._seconds):
            self._cut_numbers.add(number)


def _adaptive(detector: type[SceneDetector], min_change: float) -> SceneDetector:
    return detector(
        adaptive_threshold=_STANDS_OUT,
        min_scene_len=0,
        window_width=_WINDOW_FRAMES,
        min_content_val=min_change,
        luma_only=True,
    )


def _small_picture(pixels: ByteArray) -> ByteArray:
    """The picture as the detectors want it, BGR uint8 ``(90, 160, 3)``."""
    import cv2

    # Averaging over areas takes the noise out as well, for half a millisecond.
    small = cv2.resize(pixels, _PICTURE_SIZE, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[:, :, ::-1])


def _stroke_map(pixels: ByteArray) -> ByteArray:
    """How much thin, strong detail (letters) each place holds, grey uint8 ``(90, 160, 3)``.

    A change of slide moves few pixels of a white page, but most of its strokes.
    """
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scaled_height = max(1, round(height * _STROKE_WIDTH / width))
    grey = cv2.resize(grey, (_STROKE_WIDTH, scaled_height), interpolation=cv2.INTER_AREA)
    detail = cv2.absdiff(grey, cv2.blur(grey, (7, 7)))
    # Camera noise would add up over the flat parts of the picture.
    detail = np.maximum(detail, _STROKE_NOISE) - _STROKE_NOISE
    density = cv2.resize(detail, _STROKE_SIZE, interpolation=cv2.INTER_AREA)
    strong = np.minimum(density * _STROKE_GAIN, 255).astype(np.uint8)
    return np.repeat(strong[:, :, None], 3, axis=2)
