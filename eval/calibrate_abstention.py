"""Fits the extractive answerer's confidence on generated lectures.

For each lecture all planted and all absent questions are asked of its texts (no pictures are
rendered), and "is it in the video" is fitted by a logistic function of how well the quotes match
the question. Run it as ``python -m eval.calibrate_abstention --seeds 100 108`` and carry the two
numbers into `clamr_rag.answering.extractive`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from clamr_rag import VideoLibrary
from clamr_rag.answering.extractive import CONFIDENCE_MIDPOINT, CONFIDENCE_SLOPE
from clamr_rag.encoder.inputs import clip_input
from clamr_rag.types import Clip, Cue, MetadataLine, OcrLine, TimeSpan, Video
from eval.planted_facts import Lecture, make_lecture
from eval.planted_video import SECONDS_PER_SLIDE

_VIDEO = Video("lecture", "/lecture.mp4", "Autumn lecture series", 3600.0, 1)
_PENALTY = 0.01
"""L2 weight on the slope: separable answers would drive it to infinity."""


def lecture_clips(lecture: Lecture) -> Iterator[Clip]:
    """Two clips per slide, with the texts that a perfect extraction would find."""
    chapters, chapter = dict(lecture.chapters), ""
    for number, (lines, sentences) in enumerate(zip(lecture.slides, lecture.speech, strict=True)):
        chapter = chapters.get(number, chapter)
        start, step = number * SECONDS_PER_SLIDE, SECONDS_PER_SLIDE / len(sentences)
        cues = [
            Cue(start + i * step, start + (i + 1) * step, said) for i, said in enumerate(sentences)
        ]
        middle = len(cues) // 2
        for half, part in enumerate((cues[:middle], cues[middle:])):
            span = TimeSpan(part[0].start_seconds, part[-1].stop_seconds)
            shown = span.start_seconds, span.stop_seconds, (0.0, 0.0, 1.0, 1.0), 0.9
            clip_number = 2 * number + half
            yield Clip(
                f"{_VIDEO.video_id}-{clip_number:05d}",
                _VIDEO.video_id,
                clip_number,
                span,
                tuple(part),
                tuple(OcrLine(line, *shown) for line in lines),
                (
                    MetadataLine(f"Title: {_VIDEO.title}", "tags"),
                    MetadataLine(f"Chapter: {chapter}", "chapters", span),
                ),
            )


def match_scores(seed: int) -> tuple[list[float], list[float]]:
    """How well quotes match the planted and the absent questions of one lecture."""
    lecture = make_lecture(80, seed)
    with tempfile.TemporaryDirectory() as folder, VideoLibrary.open(folder) as library:
        store, encoder = library.store, library.encoder
        clips = tuple(lecture_clips(lecture))
        store.claim_encoder(encoder.name, encoder.fingerprint)
        store.begin_video(_VIDEO, "calibration")
        store.plan_clips(_VIDEO.video_id, clips)
        for start in range(0, len(clips), 8):
            batch = clips[start : start + 8]
            vectors = encoder.encode_clips([clip_input(clip) for clip in batch])
            pairs = [(clip.clip_id, v) for clip, v in zip(batch, vectors, strict=True)]
            store.put_vectors(_VIDEO.video_id, pairs)
        store.finish_video(_VIDEO.video_id)
        planted = [_match(library, plant.fact.question) for plant in lecture.planted]
        return planted, [_match(library, fact.question) for fact in lecture.absent]


def _match(library: VideoLibrary, question: str) -> float:
    confidence = min(library.ask(question).confidence, 1 - 1e-12)
    return CONFIDENCE_MIDPOINT + math.log(confidence / (1 - confidence)) / CONFIDENCE_SLOPE


def fit(planted: npt.NDArray[np.float64], absent: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Midpoint and slope of the logistic; both classes weigh the same."""

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        midpoint, slope = parameters
        told = np.logaddexp(0, -slope * (planted - midpoint)).mean()
        declined = np.logaddexp(0, slope * (absent - midpoint)).mean()
        return float(told + declined + _PENALTY * (slope / 10) ** 2)

    midpoint, slope = minimize(loss, x0=[0.5, 10.0], method="Nelder-Mead").x
    return float(midpoint), float(slope)


def main() -> None:
    """Fits, and prints what the present constants and the new ones answer and decline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(100, 108), help="first, past last")
    arguments = parser.parse_args()
    pairs = [match_scores(seed) for seed in range(*arguments.seeds)]
    planted = np.array([score for told, _ in pairs for score in told])
    absent = np.array([score for _, declined in pairs for score in declined])
    fitted = fit(planted, absent)
    for name, (midpoint, slope) in {
        "present": (CONFIDENCE_MIDPOINT, CONFIDENCE_SLOPE), "fitted": fitted
    }.items():  # fmt: skip
        print(f"{name}: midpoint {midpoint:.3f}, slope {slope:.1f}: answers "
              f"{(planted >= midpoint).mean():.1%} of {len(planted)} planted, declines "
              f"{(absent < midpoint).mean():.1%} of {len(absent)} absent")  # fmt: skip


if __name__ == "__main__":
    main()
