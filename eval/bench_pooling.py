"""What pooling and the stored form of token vectors cost in score and in rank.

``python -m eval.bench_pooling --seeds 7 8 9``

The clips are generated lectures' (`eval.planted_facts`), their texts as a perfect extraction would
find them; the vectors are real ones of `mini`, so frames and sound are not measured. All planted
questions are scored against all clips of their lecture, and compared with the same in float32 and
unpooled: by how much scores are off, how often another clip comes first, and what becomes of
nDCG@10, where the clips that hold the planted fact are relevant.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from clamr_rag.encoder import Encoder, load_encoder
from clamr_rag.encoder.inputs import clip_input
from clamr_rag.encoder.pooling import PoolingMethod, pool
from clamr_rag.index.codec import CodecName, decode, encode
from clamr_rag.scoring import PackedVectors, packed_modality_max, packed_token_max
from clamr_rag.types import Clip, FloatArray, MultiVector
from eval.calibrate_abstention import lecture_clips
from eval.planted_facts import Lecture, PlantedFact, make_lecture

Form = Literal["float32", "fp16", "int8"]
FORMS: tuple[Form, ...] = ("float32", "fp16", "int8")
BUDGETS = (16, 32, 64, 128, 0)
"""Vectors per clip; 0 keeps all."""
_RANKS = 10
_BATCH_CLIPS = 8


@dataclass(frozen=True, slots=True)
class EncodedLecture:
    """A lecture's clips and questions, and which clips answer which question."""

    clips: list[MultiVector]
    queries: list[MultiVector]
    relevant: npt.NDArray[np.bool_]
    """``(queries, clips)``."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of all questions against all clips of their lecture, lecture by lecture."""

    token_max: list[FloatArray]
    """``(queries, clips)`` each."""
    modality_max: list[FloatArray]
    """``(queries, clips)`` each."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way of storing the vectors, measured against all of them in float32."""

    vectors_per_clip: int
    """0 for all."""
    method: str
    codec: Form
    bytes_per_clip: float
    token_max_mean_error: float
    token_max_max_error: float
    modality_max_mean_error: float
    modality_max_max_error: float
    same_first: float
    """Share of questions whose first clip by modality_max is the same."""
    ndcg: float
    """nDCG@10 by modality_max."""


def main() -> None:
    """Measures all combinations and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--slides", type=int, default=80, help="of each lecture")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9], help="one per lecture")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--json", type=Path, default=None, help="also write the rows here")
    arguments = parser.parse_args()
    encoder = load_encoder("mini")
    lectures = [encoded_lecture(encoder, arguments.slides, seed) for seed in arguments.seeds]
    rows = list(measure(lectures, arguments.budgets))
    print(render(lectures, rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def encoded_lecture(encoder: Encoder, num_slides: int, seed: int) -> EncodedLecture:
    """Encodes a generated lecture and the questions about it."""
    lecture = make_lecture(num_slides, seed, facts_per_modality=min(10, num_slides // 3))
    clips = list(lecture_clips(lecture))
    inputs = [clip_input(clip) for clip in clips]
    batches = (inputs[at : at + _BATCH_CLIPS] for at in range(0, len(inputs), _BATCH_CLIPS))
    return EncodedLecture(
        clips=[vectors for batch in batches for vectors in encoder.encode_clips(batch)],
        queries=[encoder.encode_query(plant.fact.question) for plant in lecture.planted],
        relevant=relevance(lecture, clips),
    )


def relevance(lecture: Lecture, clips: Sequence[Clip]) -> npt.NDArray[np.bool_]:
    """Which clips hold the words of which planted fact, ``(facts, clips)``."""
    return np.array([[holds(clip, plant) for clip in clips] for plant in lecture.planted])


def holds(clip: Clip, plant: PlantedFact) -> bool:
    """Whether the fact is said, shown or told in the clip."""
    texts = [cue.text for cue in clip.cues]
    texts += [line.text for line in clip.ocr_lines] + [line.text for line in clip.metadata]
    wordings = (plant.fact.sentence, plant.fact.heading)
    return any(wording in text for text in texts for wording in wordings)


def measure(lectures: Sequence[EncodedLecture], budgets: Sequence[int]) -> Iterator[Row]:
    """Yields one row per budget, method and stored form."""
    exact = scores([lecture.clips for lecture in lectures], lectures)
    for budget, method in itertools.product(budgets, get_args(PoolingMethod)):
        if not budget and method != get_args(PoolingMethod)[0]:
            continue  # nothing is pooled, by any method
        pooled = [[pool(clip, budget, method) for clip in lecture.clips] for lecture in lectures]
        for form in FORMS:
            stored = [[stored_as(clip, form) for clip in clips] for clips in pooled]
            found = scores([[vectors for vectors, _ in clips] for clips in stored], lectures)
            sizes = [size for clips in stored for _, size in clips]
            token_errors = errors(found.token_max, exact.token_max)
            modality_errors = errors(found.modality_max, exact.modality_max)
            yield Row(
                vectors_per_clip=budget,
                method=method if budget else "none",
                codec=form,
                bytes_per_clip=float(np.mean(sizes)),
                token_max_mean_error=float(token_errors.mean()),
                token_max_max_error=float(token_errors.max()),
                modality_max_mean_error=float(modality_errors.mean()),
                modality_max_max_error=float(modality_errors.max()),
                same_first=same_first(found.modality_max, exact.modality_max),
                ndcg=mean_ndcg(found.modality_max, lectures),
            )


def stored_as(clip: MultiVector, form: Form) -> tuple[MultiVector, int]:
    """The vectors as they come back from storage, and the bytes they take there."""
    if form == "float32":
        # As the library's format would hold them: rows, a modality and a second each, 16 around.
        return clip, clip.vectors.nbytes + 5 * len(clip) + 16
    codec: CodecName = form
    blob = encode(clip, codec)
    return decode(blob).multi_vector(), len(blob)


def scores(clips: Sequence[Sequence[MultiVector]], lectures: Sequence[EncodedLecture]) -> Scores:
    """Scores every question of a lecture against the given form of its clips."""
    token_max, modality_max = [], []
    for form, lecture in zip(clips, lectures, strict=True):
        packed = PackedVectors.from_multi_vectors(form, dim=lecture.queries[0].dim)
        token_max.append(np.stack([packed_token_max(query, packed) for query in lecture.queries]))
        modality_max.append(
            np.stack([packed_modality_max(query, packed) for query in lecture.queries])
        )
    return Scores(token_max, modality_max)


def errors(found: Sequence[FloatArray], exact: Sequence[FloatArray]) -> FloatArray:
    """Absolute differences of all scores of all lectures, flat."""
    parts = [np.abs(a - b).ravel() for a, b in zip(found, exact, strict=True)]
    together: FloatArray = np.concatenate(parts)
    return together


def same_first(found: Sequence[FloatArray], exact: Sequence[FloatArray]) -> float:
    """Share of questions with the same best clip."""
    pairs = zip(found, exact, strict=True)
    return float(np.concatenate([a.argmax(axis=1) == b.argmax(axis=1) for a, b in pairs]).mean())


def mean_ndcg(found: Sequence[FloatArray], lectures: Sequence[EncodedLecture]) -> float:
    """nDCG@10 with gain 1 for a relevant clip, mean over all questions (Järvelin 2002)."""
    values = [
        ndcg(row, relevant)
        for score, lecture in zip(found, lectures, strict=True)
        for row, relevant in zip(score, lecture.relevant, strict=True)
    ]
    return float(np.mean(values))


def ndcg(row: FloatArray, relevant: npt.NDArray[np.bool_]) -> float:
    """nDCG@10 of one question; equal scores rank in order of time."""
    discounts = 1 / np.log2(np.arange(2, _RANKS + 2))
    ranked = relevant[np.argsort(-row, kind="stable")[:_RANKS]]
    ideal = discounts[: min(_RANKS, int(relevant.sum()))].sum()
    return float((ranked * discounts[: len(ranked)]).sum() / ideal)


def render(lectures: Sequence[EncodedLecture], rows: Sequence[Row]) -> str:
    """The rows as a table for people."""
    clips = [clip for lecture in lectures for clip in lecture.clips]
    num_queries = sum(len(lecture.queries) for lecture in lectures)
    lines = [
        f"{len(clips)} clips of {np.mean([len(clip) for clip in clips]):.0f} vectors (at most "
        f"{max(len(clip) for clip in clips)}), {num_queries} questions, encoder mini; errors are "
        "against all vectors in float32",
        f"{'vectors':>7} {'method':13}{'codec':8}{'bytes/clip':>10}  {'token_max mean, max':21}"
        f"{'modality_max mean, max':24}{'same first':>10}{'nDCG@10':>9}",
    ]
    lines += [
        f"{row.vectors_per_clip or 'all':>7} {row.method:13}{row.codec:8}{row.bytes_per_clip:10.0f}"
        f"  {row.token_max_mean_error:.5f}, {row.token_max_max_error:.5f}     "
        f"{row.modality_max_mean_error:.5f}, {row.modality_max_max_error:.5f}        "
        f"{row.same_first:10.1%}{row.ndcg:9.4f}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
