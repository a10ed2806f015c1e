"""What the released MultiVENT 2.0++ metric says of a score matrix, and what ours says of the same.

CLaMR's test has one row of the pool per judgement, so a video is in it several times, and its
metric takes one copy as right (the diagonal), averages nDCG over ties and takes recall in whatever
order the sort leaves ties. `clamr.md` of the research notes: 414 videos in 1,504 rows, so a perfect
retriever reads R@1 = 27.5 % there. Printed on the same scores:

* the released metric, and its share of the ceiling that the pool allows;
* ours, ties against and in favour of what is wanted: the diagonal alone, every copy of what was
  judged relevant, and a pool with each video once.

Usage::

    python -m eval.released_metric SCORES.npz
    python -m eval.released_metric RUN     # of eval.run_retrieval --option protocol=2.0++released
    python -m eval.released_metric --synthetic [--noise 0.3] [--seed 0] [--save SCORES.npz]

The file holds ``scores`` (float, rows are queries, columns the rows of the pool, row i wants column
i), ``video_ids`` (the video of each column) and, if known, ``query_ids`` (rows of one id are one
query whose videos are all relevant); texts as numpy strings, since pickled arrays are not read. In
a run's folder, candidates below the depth that it kept have no score and come last.
"""

from __future__ import annotations

import argparse
import math
import zipfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clamr_rag.errors import UsageError
from eval.metrics.rankings import RankingReport, average_ndcg, score_rankings
from eval.retrieval_records import RetrievalRun, load_retrieval_run

FloatArray = npt.NDArray[np.float32]
Judged = dict[str, dict[str, int]]
Scored = dict[str, dict[str, float]]

MEASURES = ("nDCG@10", "R@1", "R@5", "R@10")
CUTOFFS = (1, 5, 10)
_DEPTH = 10
"""Deepest cutoff of `MEASURES`."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPool:
    """Scores of every query row against every row of the pool."""

    scores: FloatArray
    """float32 ``(n, n)``; row i wants column i."""
    video_ids: tuple[str, ...]
    """Video of each column, ``n``."""
    query_ids: tuple[str, ...]
    """Query of each row, ``n``."""

    def __post_init__(self) -> None:
        n = len(self.video_ids)
        if not n or self.scores.shape != (n, n) or len(self.query_ids) != n:
            raise UsageError(
                f"got scores {self.scores.shape}, {n} videos and {len(self.query_ids)} queries",
                allowed="n by n scores, n video_ids and n query_ids",
            )
        if np.isnan(self.scores).any():
            row, column = np.argwhere(np.isnan(self.scores))[0]
            raise UsageError(f"scores[{row}, {column}] is NaN", allowed="numbers, or -inf")
        if self.scores.dtype != np.float32:
            raise ValueError(f"a pool needs float32 scores, got {self.scores.dtype}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.released_metric",
        description="The released MultiVENT 2.0++ metric and ours on the same scores.",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="SCORES.npz|RUN")
    parser.add_argument("--synthetic", action="store_true", help="draw a pool of the same shape")
    parser.add_argument("--noise", type=float, help="of the drawn scores (default 0.3)")
    parser.add_argument("--seed", type=int, help="of the drawn scores (default 0)")
    parser.add_argument("--save", type=Path, help="write the drawn pool as an .npz")
    options = parser.parse_args(arguments)
    if options.synthetic == (options.file is not None):
        parser.error("give SCORES.npz, a run or --synthetic, one of them")
    drawn = (options.noise, options.seed, options.save)
    if options.file is not None and any(value is not None for value in drawn):
        parser.error("--noise, --seed and --save go with --synthetic")
    try:
        if options.synthetic:
            noise = 0.3 if options.noise is None else options.noise
            pool = synthetic_pool(noise=noise, seed=options.seed or 0)
            print(f"synthetic scores, noise {noise:g}: nobody's model")
        elif options.file.is_dir():
            pool = run_pool(load_retrieval_run(options.file))
        else:
            pool = read_pool(options.file)
        if options.save:
            save_pool(options.save, pool)
    except UsageError as error:
        parser.error(str(error))
    print(table(pool))


def read_pool(path: Path) -> ScoredPool:
    """Reads a score matrix.

    Raises:
        UsageError: The file cannot be read or its arrays do not fit.
    """
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            found = dict(arrays) if isinstance(arrays, np.lib.npyio.NpzFile) else {}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{path}: no readable .npz: {error}", hint="save texts as numpy strings, not objects"
        ) from None
    if missing := [name for name in ("scores", "video_ids") if name not in found]:
        raise UsageError(f"{path}: has no {missing[0]!r}", allowed="scores, video_ids, query_ids")
    videos = _texts(path, "video_ids", found["video_ids"])
    queries = found.get("query_ids")
    scores = found["scores"]
    if scores.dtype.kind != "f":
        raise UsageError(f"{path}: scores are {scores.dtype}", allowed="floating point numbers")
    names = (
        tuple(f"row {number}" for number in range(len(videos)))
        if queries is None
        else _texts(path, "query_ids", queries)
    )
    return ScoredPool(scores.astype(np.float32), videos, names)


def run_pool(run: RetrievalRun) -> ScoredPool:
    """The score matrix of a run of `eval.run_retrieval` by the released protocol.

    Rows of videos that are missing are neither queries nor candidates of it.

    Raises:
        UsageError: The run is by another protocol, unfinished, of some queries, or too shallow.
    """
    told = f"{run.header.benchmark} {run.header.split}"
    if told != "multivent train-2.0++released":
        raise UsageError(f"{run.folder} is a run on {told}", allowed="protocol=2.0++released")
    if not run.is_finished or run.header.limit is not None:
        raise UsageError(
            f"{run.folder} has {len(run.records)} of {run.header.num_queries} queries, limit "
            f"{run.header.limit}",
            allowed="a finished run without a limit",
        )
    if run.header.depth < _DEPTH:
        raise UsageError(
            f"{run.folder} kept {run.header.depth} candidates a query", allowed=f"{_DEPTH} or more"
        )
    columns = {next(iter(record.relevant)): row for row, record in enumerate(run.records)}
    scores = np.full((len(columns), len(columns)), -np.inf, dtype=np.float32)
    for row, record in enumerate(run.records):
        for found in record.found:
            scores[row, columns[found.candidate_id]] = found.score
    queries = tuple(record.query_id.partition(":")[2] for record in run.records)
    return ScoredPool(scores, tuple(record.cluster for record in run.records), queries)


def save_pool(path: Path, pool: ScoredPool) -> None:
    """Writes what `read_pool` reads.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        with path.open("wb") as file:
            np.savez(
                file,
                scores=pool.scores,
                video_ids=np.array(pool.video_ids),
                query_ids=np.array(pool.query_ids),
            )
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error}") from None


def released(pool: ScoredPool) -> dict[str, float]:
    """The released metric in [0, 1]: torchmetrics' nDCG and recall with diagonal relevance.

    nDCG is averaged over the orders of equal scores. Recall takes equal scores in the order in
    which torch's sort leaves them, which depends on its build and means nothing, and never counts
    what has a score of 0 or less.
    """
    import torch

    n = len(pool.video_ids)
    values = {"nDCG@10": average_ndcg(diagonal(pool), _top_scores(pool.scores), _DEPTH)}
    # torchmetrics first sorts all scores by query, which need not keep the order within one.
    _, order = torch.arange(n).repeat_interleave(n).sort()
    order = order.reshape(n, n)
    scores = torch.from_numpy(pool.scores).flatten()[order]
    found = (order % n == order // n) & (scores > 0)
    # Row by row, too: a matrix sorted at once may leave ties in another order.
    ranks = [row.argsort(dim=-1, descending=True) for row in scores]
    ranked = torch.stack([hits[rank] for hits, rank in zip(found, ranks, strict=True)])
    return values | {f"R@{cutoff}": float(ranked[:, :cutoff].sum() / n) for cutoff in CUTOFFS}


def diagonal(pool: ScoredPool) -> Judged:
    """Row i is relevant to query i and nothing else."""
    return {str(row): {str(row): 1} for row in range(len(pool.video_ids))}


def with_copies(pool: ScoredPool) -> Judged:
    """Every row of every video that was judged relevant to the query."""
    wanted, rows = _wanted(pool), defaultdict(list)
    for row, video in enumerate(pool.video_ids):
        rows[video].append(str(row))
    return {
        str(row): {copy: 1 for video in wanted[query] for copy in rows[video]}
        for row, query in enumerate(pool.query_ids)
    }


def without_copies(pool: ScoredPool) -> tuple[Judged, Scored]:
    """Judgements and scores of each query once over each video once, by its best copy."""
    columns = defaultdict(list)
    for column, video in enumerate(pool.video_ids):
        columns[video].append(column)
    best = np.stack([pool.scores[:, copies].max(axis=1) for copies in columns.values()], axis=1)
    judged = {query: dict.fromkeys(videos, 1) for query, videos in _wanted(pool).items()}
    scores = {
        query: dict(zip(columns, best[pool.query_ids.index(query)].tolist(), strict=True))
        for query in judged
    }
    return judged, scores


def ceiling(pool: ScoredPool) -> dict[str, float]:
    """What a perfect retriever reads on the released metric, copies of a video scoring alike.

    nDCG: a query ranks the copies of its videos first, those with fewest copies before others, and
    each copy is the right one as often as any other. Recall: of a video only the first k copies can
    be among the first k, which bounds it for any order of ties that is the same for all queries,
    and on average over orders.
    """
    copies = Counter(pool.video_ids)
    n = len(pool.video_ids)
    values = {"nDCG@10": _ndcg_ceiling(pool, copies)}
    for cutoff in CUTOFFS:
        values[f"R@{cutoff}"] = sum(min(cutoff, count) for count in copies.values()) / n
    return values


def table(pool: ScoredPool) -> str:
    """All figures in percent, a line each."""
    n = len(pool.video_ids)
    told, most = released(pool), ceiling(pool)
    scores = _top_scores(pool.scores)
    alone, alone_scores = without_copies(pool)
    lines = [
        f"{n} query rows ({len(alone)} queries) x {n} pool rows "
        f"({len(set(pool.video_ids))} videos), percent",
        "",
        _line("", dict(zip(MEASURES, MEASURES, strict=True))),
        _line("released (diagonal; nDCG over ties, recall as sorted)", told),
        _line("  ceiling of this pool", most),
        _line("  share of the ceiling", {m: told[m] / most[m] for m in MEASURES}),
        *_pair("diagonal", score_rankings(diagonal(pool), scores, MEASURES)),
        *_pair("every copy relevant", score_rankings(with_copies(pool), scores, MEASURES)),
        *_pair("each video once", score_rankings(alone, alone_scores, MEASURES)),
    ]
    return "\n".join(lines)


def synthetic_pool(*, noise: float = 0.3, seed: int = 0) -> ScoredPool:
    """A pool of the published shape: 414 videos in 1,504 rows, 1,361 queries.

    A query scores 1 for its own videos and 0 for others, plus noise that is drawn per query and
    video, so that copies of a video score alike, as they do when the same clip is encoded.

    Args:
        noise: Standard deviation of the noise; 0 for a perfect retriever.
        seed: Of the noise and of the order of the rows.

    Raises:
        UsageError: The noise is negative or not finite.
    """
    if not (0 <= noise < math.inf):
        raise UsageError(f"got noise {noise}", allowed="0 or more")
    rng = np.random.default_rng(seed)
    num_videos, num_rows, num_queries = 414, 1504, 1361
    videos = rng.permutation(np.arange(num_rows) % num_videos)
    # Some queries have a second row, of another video.
    queries = np.arange(num_rows) % num_queries
    wanted = np.zeros((num_queries, num_videos), dtype=np.float32)
    wanted[queries, videos] = 1
    by_video = wanted + noise * rng.standard_normal(wanted.shape, dtype=np.float32)
    return ScoredPool(
        np.ascontiguousarray(by_video[queries][:, videos]),
        tuple(f"video {number}" for number in videos),
        tuple(f"query {number}" for number in queries),
    )


def _texts(path: Path, name: str, array: npt.NDArray[np.generic]) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.ndim != 1:
        raise UsageError(
            f"{path}: {name} is {array.dtype} {array.shape}", allowed="a row of numpy strings"
        )
    return tuple(str(text) for text in array)


def _wanted(pool: ScoredPool) -> dict[str, Counter[str]]:
    """Per query the videos that were judged relevant, with the rows that ask for each."""
    wanted: dict[str, Counter[str]] = defaultdict(Counter)
    for query, video in zip(pool.query_ids, pool.video_ids, strict=True):
        wanted[query][video] += 1
    return wanted


def _top_scores(scores: FloatArray) -> Scored:
    """Per row the columns down to the tenth best score, everything that ties with it included.

    What stands deeper changes none of `MEASURES`.
    """
    depth = min(_DEPTH, scores.shape[1])
    kept = {}
    for row, values in enumerate(scores):
        columns = np.flatnonzero(values >= np.partition(values, -depth)[-depth])
        kept[str(row)] = {str(column): float(values[column]) for column in columns}
    return kept


def _ndcg_ceiling(pool: ScoredPool, copies: Mapping[str, int]) -> float:
    gains = [1 / math.log2(place + 2) for place in range(_DEPTH)]
    total = 0.0
    for wanted in _wanted(pool).values():
        # A place that holds one of c copies is right for one in c of the rows that ask for it.
        chances = [
            num_rows / copies[video]
            for video, num_rows in wanted.items()
            for _ in range(copies[video])
        ]
        best_first = sorted(chances, reverse=True)
        total += sum(gain * chance for gain, chance in zip(gains, best_first, strict=False))
    return total / len(pool.video_ids)


def _pair(name: str, report: RankingReport) -> list[str]:
    tied = f"{report.num_tied} of {report.num_queries} queries tied"
    return [
        _line(f"ours, {name}, ties against ({tied})", report.worst),
        _line(f"ours, {name}, ties in favour", report.best),
    ]


def _line(name: str, values: Mapping[str, float | str]) -> str:
    shown = (
        value if isinstance(value, str) else f"{100 * value:.2f}"
        for value in (values[measure] for measure in MEASURES)
    )
    return f"{name:<66}" + "".join(f"{value:>9}" for value in shown)


if __name__ == "__main__":
    main()
