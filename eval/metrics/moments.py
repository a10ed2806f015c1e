"""Did retrieval find the moment: hits, coverage, overlap with what is known to be the evidence.

The match rule, in writing. Spans are half-open, so spans that only touch do not overlap. A
retrieved moment *hits* if it overlaps a gold moment of the same video (with ``min_iou``: by at
least that much). Each gold moment is *claimed* once, by the earliest-ranked moment that hits it; of
several free ones a moment claims the one it overlaps most. A moment that hits only what is claimed
gains nothing and keeps its rank; average precision divides by the number of gold moments. So the
same evidence returned ten times scores as one find.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clamr_rag.types import TimeSpan

HIT_RANKS = (1, 3, 5, 10)
IOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Of CG-Bench's acc@IoU and rec@IoU; an IoU must be greater than the threshold there."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A span of one video."""

    video_id: str
    span: TimeSpan

    def overlap_seconds(self, other: Moment) -> float:
        """Seconds that both share; 0.0 in different videos."""
        same = self.video_id == other.video_id
        return self.span.overlap_seconds(other.span) if same else 0.0

    def iou(self, other: Moment) -> float:
        """Shared seconds over the seconds of both together, in [0, 1]."""
        shared = self.overlap_seconds(other)
        return shared / (self.span.duration_seconds + other.span.duration_seconds - shared or 1.0)


@dataclass(frozen=True, slots=True)
class BothMeans:
    """A mean over all questions, and over those that the official scorer counts."""

    full: float
    """Unread predictions count as 0."""
    official: float | None
    """Unread predictions are left out; None where nothing is left."""
    num_unparsed: int


def claims(
    ranked: Sequence[Moment], gold: Sequence[Moment], min_iou: float = 0.0
) -> tuple[int | None, ...]:
    """For each retrieved moment the index of the gold moment it claims, None where it claims none.

    Args:
        ranked: Best first.
        gold: The evidence.
        min_iou: Least overlap of a hit; 0 for any overlap at all.
    """
    free, claimed = set(range(len(gold))), []
    for moment in ranked:
        hits = [index for index in sorted(free) if _hits(moment, gold[index], min_iou)]
        pick = max(hits, key=lambda index: moment.overlap_seconds(gold[index]), default=None)
        claimed.append(pick)
        if pick is not None:
            free.remove(pick)
    return tuple(claimed)


def first_hit_rank(
    ranked: Sequence[Moment], gold: Sequence[Moment], min_iou: float = 0.0
) -> int | None:
    """Rank of the first hit, from 1; None without one. Its inverse, or 0, averages to MRR."""
    return next(
        (
            rank
            for rank, moment in enumerate(ranked, 1)
            if any(_hits(moment, wanted, min_iou) for wanted in gold)
        ),
        None,
    )


def hit_at(
    ranked: Sequence[Moment], gold: Sequence[Moment], rank: int, min_iou: float = 0.0
) -> bool:
    """Whether one of the first moments up to this rank hits."""
    return first_hit_rank(ranked[:rank], gold, min_iou) is not None


def coverage(ranked: Sequence[Moment], gold: Sequence[Moment], top_k: int | None = None) -> float:
    """Share of the gold seconds that the first ``top_k`` moments hold, in [0, 1].

    Raises:
        ValueError: The gold moments have no length.
    """
    wanted = math.fsum(_seconds(gold, video_id) for video_id in _videos(gold))
    if not wanted:
        raise ValueError("got gold moments without length; their coverage is not defined")
    shown = ranked[:top_k]
    return (
        math.fsum(
            _shared_seconds(_pairs(shown, video_id), _pairs(gold, video_id))
            for video_id in _videos(gold)
        )
        / wanted
    )


def cell_precision(
    ranked: Sequence[Moment], gold: Sequence[Moment], cell_seconds: float = 5.0
) -> float:
    """Share of the retrieved grid cells that overlap the gold, in [0, 1]; 0.0 without cells.

    Moments of different lengths, merged windows above all, are cut into cells of one grid first, so
    that returning a whole video does not score as one precise find. A cell counts once.

    Args:
        ranked: What was retrieved.
        gold: The evidence.
        cell_seconds: Length of a cell; cells start at multiples of it.
    """
    cells = {cell for moment in ranked for cell in _cells(moment, cell_seconds)}
    wanted = {cell for moment in gold for cell in _cells(moment, cell_seconds)}
    return len(cells & wanted) / len(cells) if cells else 0.0


def moment_judgements(
    ranked: Sequence[Moment], gold: Sequence[Moment], min_iou: float = 0.0
) -> tuple[dict[str, int], dict[str, float]]:
    """One query's judgements and scores for `eval.metrics.rankings`, by the match rule.

    A moment that claims a gold moment stands for it; gold moments that nobody claims are relevant
    and not retrieved. Ranks become scores, so there are no ties.
    """
    claimed = claims(ranked, gold, min_iou)
    judged = {f"gold-{index}": 1 for index in range(len(gold))}
    names = [
        f"rank-{rank}" if index is None else f"gold-{index}"
        for rank, index in enumerate(claimed, 1)
    ]
    return judged, {name: float(len(names) - place) for place, name in enumerate(names)}


def intervals_iou(
    predicted: Sequence[tuple[float, float]], gold: Sequence[tuple[float, float]]
) -> float:
    """Overlap of two sets of (start, stop) seconds over their union, in [0, 1].

    CG-Bench's measure, as VLMEvalKit ``vlmeval/dataset/utils/cgbench.py`` at e8e78f0 has it:
    overlapping intervals of one side are merged first. Reversed and empty intervals have no length
    and are left out; the source lets them shrink the union.
    """
    shared = _shared_seconds(predicted, gold)
    union = _total(predicted) + _total(gold) - shared
    return shared / union if union > 0 else 0.0


def mean_iou(ious: Sequence[float | None]) -> BothMeans:
    """Mean IoU over questions; None stands for a prediction that could not be read."""
    return _both_means(ious)


def recall_at_iou(ious: Sequence[float | None]) -> BothMeans:
    """CG-Bench's rec@IoU: share of questions whose IoU is greater, averaged over the thresholds."""
    return _both_means([None if iou is None else _share_passed(iou) for iou in ious])


def accuracy_at_iou(questions: Sequence[tuple[bool | None, float | None]]) -> BothMeans:
    """CG-Bench's acc@IoU: right *and* grounded, averaged over the thresholds.

    Args:
        questions: For each whether the answer from the long video is right, and the IoU of the
            predicted intervals; None where either could not be read.
    """
    return _both_means(
        [
            None if right is None or iou is None else right * _share_passed(iou)
            for right, iou in questions
        ]
    )


def clue_recovery(long_accuracy: float, clue_accuracy: float) -> float:
    """CG-Bench's CRR: how much of the accuracy on the clues alone is kept on the long video."""
    return min(long_accuracy, clue_accuracy) / clue_accuracy if clue_accuracy else 0.0


def _hits(moment: Moment, wanted: Moment, min_iou: float) -> bool:
    return moment.overlap_seconds(wanted) > 0 and moment.iou(wanted) >= min_iou


def _share_passed(iou: float) -> float:
    return sum(iou > threshold for threshold in IOU_THRESHOLDS) / len(IOU_THRESHOLDS)


def _both_means(values: Sequence[float | None]) -> BothMeans:
    if not values:
        raise ValueError("got no questions to score")
    read = [value for value in values if value is not None]
    total = math.fsum(read)
    official = total / len(read) if read else None
    return BothMeans(total / len(values), official, len(values) - len(read))


def _videos(moments: Sequence[Moment]) -> list[str]:
    return sorted({moment.video_id for moment in moments})


def _pairs(moments: Sequence[Moment], video_id: str) -> list[tuple[float, float]]:
    spans = [moment.span for moment in moments if moment.video_id == video_id]
    return [(span.start_seconds, span.stop_seconds) for span in spans]


def _seconds(moments: Sequence[Moment], video_id: str) -> float:
    return _total(_pairs(moments, video_id))


def _merged(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(pair for pair in pairs if pair[0] < pair[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


def _total(pairs: Sequence[tuple[float, float]]) -> float:
    return math.fsum(stop - start for start, stop in _merged(pairs))


def _shared_seconds(
    some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]
) -> float:
    merged = _merged(others)
    return math.fsum(
        max(0.0, min(stop, other_stop) - max(start, other_start))
        for start, stop in _merged(some)
        for other_start, other_stop in merged
    )


def _cells(moment: Moment, cell_seconds: float) -> Iterator[tuple[str, int]]:
    first = math.floor(moment.span.start_seconds / cell_seconds)
    last = math.ceil(moment.span.stop_seconds / cell_seconds)
    return ((moment.video_id, number) for number in range(first, last))
