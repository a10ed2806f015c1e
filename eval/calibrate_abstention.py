"""How far an answerer's confidence can be trusted, on generated lectures.

For each lecture all planted and all absent questions are asked of its texts (no pictures are
rendered, none are shown). What is reported of any answerer: how many planted questions it answers,
and how many of these rightly; how many absent ones it declines; and, in bins of stated confidence,
how often the lecture held the answer and how often the answer was right. For the extractive
answerer "is it in the video" is also fitted by a logistic function of how well the quotes match the
question; carry the two numbers into `clamr_rag.answering.confidence`, for each encoder its own.
They were fitted on seeds 100 to 105, so a report is honest on others only. Absent questions of
lectures are about something else altogether; those of ``--world`` (`eval.synthetic`, its texts) ask
of names and things that the clips do tell of, but not together::

    python -m eval.calibrate_abstention --seeds 200 205
    python -m eval.calibrate_abstention --seeds 100 106 --encoder mini-vl --weights FILE
    python -m eval.calibrate_abstention --seeds 200 200 --world test 7
    python -m eval.calibrate_abstention --answerer openai:MODEL --base-url http://127.0.0.1:8000/v1
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from clamr_rag import Answer, Options, VideoLibrary
from clamr_rag.answering import ChatModel, make_generator
from clamr_rag.answering.confidence import calibration_of
from clamr_rag.config import AnswerOptions, EncoderOptions
from clamr_rag.encoder import Encoder, load_encoder
from clamr_rag.encoder.inputs import clip_input
from clamr_rag.encoder.mini import load_mini
from clamr_rag.errors import UsageError
from clamr_rag.index.store import Store
from clamr_rag.types import Clip, Cue, MetadataLine, OcrLine, TimeSpan, Video
from eval.planted_facts import Lecture, make_lecture
from eval.planted_video import SECONDS_PER_SLIDE
from eval.synthetic import World, WorldVideo, make_questions, make_world

_VIDEO = Video("lecture", "/lecture.mp4", "Autumn lecture series", 3600.0, 1)
_PENALTY = 0.01
"""L2 weight on the slope: separable answers would drive it to infinity."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one question, whatever its confidence."""

    is_planted: bool
    """Whether the lecture holds the answer."""
    confidence: float
    is_given: bool
    """Whether the answerer gave an answer at all."""
    is_right: bool
    """Whether the answer given has the words of the right one."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The questions whose confidence lies in one range."""

    low: float
    """The range is ``[low, high)``, the last one ``[low, 1]``."""
    high: float
    num_planted: int
    num_absent: int
    stated: float
    """Mean confidence; planted and absent questions weigh the same in total."""
    observed: float
    """Share that the lecture holds, so weighed."""
    right: float
    """Share that was answered rightly, so weighed."""
    weight: float
    """Share of all questions, so weighed."""


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


def ask_lecture(
    lecture: Lecture,
    options: AnswerOptions | None = None,
    model: ChatModel | None = None,
    encoder: Encoder | None = None,
) -> list[Asked]:
    """Asks all questions of a lecture; nothing is held back for want of confidence.

    Args:
        lecture: Its texts are indexed in a library of their own.
        options: Which answerer, and its budgets; no pictures, as there are none.
        model: Takes the place of the options' answerer.
        encoder: Of the library; `mini` where None.
    """
    with _library(options, model, encoder) as library:
        _index(library, _VIDEO, tuple(lecture_clips(lecture)))
        facts = [plant.fact for plant in lecture.planted]
        planted = [_asked(library, fact.question, fact.answer) for fact in facts]
        return planted + [_asked(library, fact.question, "") for fact in lecture.absent]


def world_clips(video: WorldVideo) -> Iterator[Clip]:
    """The clips of a world's video, with the texts that a perfect extraction would find."""
    video_id = video.name.removesuffix(".mp4")
    for number, clip in enumerate(video.clips):
        shown = clip.span.start_seconds, clip.span.stop_seconds, (0.0, 0.0, 1.0, 1.0), 0.9
        written = clip.board.texts() if clip.board else ()
        tags = [MetadataLine(line, "tags") for line in clip.video_lines]
        if clip.chapter:
            tags.append(MetadataLine(f"Chapter: {clip.chapter}", "chapters", clip.span))
        yield Clip(
            f"{video_id}-{number:05d}",
            video_id,
            number,
            clip.span,
            clip.cues,
            tuple(OcrLine(line, *shown) for line in written),
            tuple(tags),
        )


def ask_world(
    world: World,
    options: AnswerOptions | None = None,
    model: ChatModel | None = None,
    encoder: Encoder | None = None,
) -> list[Asked]:
    """Asks a world what one text of a clip tells and what none does, as `ask_lecture`.

    Questions about pictures that are there, and those that need two modalities, are left out.
    """
    with _library(options, model, encoder) as library:
        for video in world.videos:
            video_id = video.name.removesuffix(".mp4")
            known = Video(video_id, f"/{video.name}", video.title, video.duration_seconds, 1)
            _index(library, known, tuple(world_clips(video)))
        return [
            _asked(library, question.question, question.answer_text)
            for question in make_questions(world)
            if question.kind in ("fact", "rival", "absent")
        ]


@contextmanager
def _library(
    options: AnswerOptions | None, model: ChatModel | None, encoder: Encoder | None
) -> Iterator[VideoLibrary]:
    """An empty library for as long as it is asked; it answers whatever its confidence."""
    unpictured = (options or AnswerOptions()).model_copy(update={"abstain_below": 0.0, "frames": 0})
    make_answerer = partial(make_generator, unpictured, model=model)
    with (
        tempfile.TemporaryDirectory() as folder,
        VideoLibrary(
            Store.open(folder, create=True),
            Options(answer=unpictured),
            lambda: encoder or load_encoder(),
            make_answerer,
        ) as library,
    ):
        yield library


def _index(library: VideoLibrary, video: Video, clips: Sequence[Clip]) -> None:
    store, encoder = library.store, library.encoder
    store.claim_encoder(encoder.name, encoder.fingerprint)
    store.begin_video(video, "calibration")
    store.plan_clips(video.video_id, clips)
    for start in range(0, len(clips), 8):
        batch = clips[start : start + 8]
        vectors = encoder.encode_clips([clip_input(clip) for clip in batch])
        pairs = [(clip.clip_id, v) for clip, v in zip(batch, vectors, strict=True)]
        store.put_vectors(video.video_id, pairs)
    store.finish_video(video.video_id)


def _asked(library: VideoLibrary, question: str, right: str) -> Asked:
    """Asks one question; without a right answer it is an absent one."""
    answer: Answer = library.ask(question)
    # "11|eleven": any of the wordings.
    has_words = any(w.casefold() in answer.text.casefold() for w in right.split("|"))
    is_planted, is_given = bool(right), not answer.abstained
    return Asked(is_planted, answer.confidence, is_given, is_given and is_planted and has_words)


# --- reliability


def reliability(asked: Sequence[Asked], num_bins: int = 10) -> list[Bin]:
    """Stated and observed frequency per bin of confidence; bins without a question are left out.

    Planted and absent questions weigh the same in total, as in `fit`: how many of a user's
    questions his videos answer is not known here.
    """
    totals = {kind: sum(each.is_planted == kind for each in asked) for kind in (True, False)}
    weights = np.array([0.5 / totals[each.is_planted] for each in asked])
    weights /= weights.sum()
    confidence = np.array([each.confidence for each in asked])
    planted = np.array([each.is_planted for each in asked])
    right = np.array([each.is_right for each in asked])
    place = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    bins = []
    for number in sorted(set(place.tolist())):
        inside = place == number
        share = weights[inside] / weights[inside].sum()
        bins.append(
            Bin(
                number / num_bins,
                (number + 1) / num_bins,
                int(planted[inside].sum()),
                int((~planted[inside]).sum()),
                float(share @ confidence[inside]),
                float(share @ planted[inside]),
                float(share @ right[inside]),
                float(weights[inside].sum()),
            )
        )
    return bins


def calibration_error(bins: Sequence[Bin], *, of_right: bool = False) -> float:
    """Expected calibration error: the mean gap of stated and observed, or of stated and right."""
    return sum(
        each.weight * abs(each.stated - (each.right if of_right else each.observed))
        for each in bins
    )


def report_lines(asked: Sequence[Asked], *, threshold: float, num_bins: int = 10) -> list[str]:
    """Rates at a threshold, and the reliability table."""
    planted = [each for each in asked if each.is_planted]
    absent = [each for each in asked if not each.is_planted]
    answered = [each for each in planted if each.is_given and each.confidence >= threshold]
    leaked = [each for each in absent if each.is_given and each.confidence >= threshold]
    num_right = sum(each.is_right for each in answered)
    bins = reliability(asked, num_bins)
    return [
        f"at threshold {threshold:g}: answers {_rate(len(answered), len(planted))} planted, "
        f"{_rate(num_right, len(answered))} of these rightly; declines "
        f"{_rate(len(absent) - len(leaked), len(absent))} absent",
        "confidence   planted  absent  stated  in video  right",
        *(
            f"{each.low:.2f}-{each.high:.2f}  {each.num_planted:9} {each.num_absent:7} "
            f"{each.stated:7.3f} {each.observed:9.3f} {each.right:6.3f}"
            for each in bins
        ),
        f"expected calibration error {calibration_error(bins):.3f} (in the video), "
        f"{calibration_error(bins, of_right=True):.3f} (right)",
    ]


def _rate(count: int, total: int) -> str:
    return f"{count}/{total} ({count / total:.1%})" if total else "0/0"


# --- the extractive answerer's constants


def fit(planted: npt.NDArray[np.float64], absent: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Midpoint and slope of the logistic; both classes weigh the same."""

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        midpoint, slope = parameters
        told = np.logaddexp(0, -slope * (planted - midpoint)).mean()
        declined = np.logaddexp(0, slope * (absent - midpoint)).mean()
        return float(told + declined + _PENALTY * (slope / 10) ** 2)

    midpoint, slope = minimize(loss, x0=[0.5, 10.0], method="Nelder-Mead").x
    return float(midpoint), float(slope)


def fit_lines(asked: Sequence[Asked], encoder: str = "mini") -> list[str]:
    """What the present constants of an encoder and newly fitted ones answer and decline."""
    present = calibration_of(encoder)
    planted = np.array([present.score(each.confidence) for each in asked if each.is_planted])
    absent = np.array([present.score(each.confidence) for each in asked if not each.is_planted])
    constants = {
        "present": (present.midpoint, present.slope),
        "fitted": fit(planted, absent),
    }
    return [
        f"{name}: midpoint {midpoint:.3f}, slope {slope:.1f}: answers "
        f"{(planted >= midpoint).mean():.1%} of {len(planted)} planted, declines "
        f"{(absent < midpoint).mean():.1%} of {len(absent)} absent"
        for name, (midpoint, slope) in constants.items()
    ]


def _named_encoder(name: str, weights: Path | None) -> Encoder:
    """The encoder of a name, `mini-vl` with weights of the caller's own."""
    if weights is None:
        return load_encoder(name)
    if name != "mini-vl":
        raise UsageError(f"got --weights for {name}", allowed="with --encoder mini-vl")
    return load_mini(EncoderOptions(), name=name, weights=weights)


def main() -> None:
    """Asks the lectures and prints the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs=2, default=(200, 205), help="first, past last")
    parser.add_argument("--world", nargs=2, metavar=("SPLIT", "SEED"), help="ask a world, too")
    parser.add_argument("--hours", type=float, default=0.5, help="length of the world")
    parser.add_argument("--slides", type=int, default=80, help="slides of each lecture")
    parser.add_argument("--answerer", default="extractive", help="extractive, openai:… or hf:…")
    parser.add_argument("--encoder", default="mini", help="mini, mini-vl, clamr or a folder")
    parser.add_argument("--weights", type=Path, help="of mini-vl, others than the package's")
    parser.add_argument("--base-url", help="of the model's server")
    parser.add_argument("--threshold", type=float, default=AnswerOptions().abstain_below)
    parser.add_argument("--bins", type=int, default=10)
    arguments = parser.parse_args()
    options = AnswerOptions(answerer=arguments.answerer, base_url=arguments.base_url)
    encoder = _named_encoder(arguments.encoder, arguments.weights)
    asked: dict[str, list[Asked]] = {}
    for seed in range(*arguments.seeds):
        lecture = make_lecture(arguments.slides, seed)
        asked.setdefault("lectures", []).extend(ask_lecture(lecture, options, encoder=encoder))
        print(f"seed {seed}: {len(asked['lectures'])} questions asked so far", flush=True)
    if arguments.world:
        split, seed = arguments.world
        asked["world"] = ask_world(
            make_world(int(seed), arguments.hours, split), options, encoder=encoder
        )
    for name, questions in asked.items():
        lines = report_lines(questions, threshold=arguments.threshold, num_bins=arguments.bins)
        print(f"{arguments.answerer} on {encoder.name}, {name}", *lines, sep="\n")
    if arguments.answerer == "extractive" and asked:
        print(*fit_lines(list(chain(*asked.values())), encoder.name), sep="\n")


if __name__ == "__main__":
    main()
