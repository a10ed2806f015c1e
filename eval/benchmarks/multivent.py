"""MultiVENT 2.0, and the test of 2.0++ (CLaMR) by the released protocol and by a sound one.

Layout (hltcoe/MultiVENT2.0 on the hub; names and columns checked against CLaMR's data script and
Tevatron's)::

    multivent_2_train_queries.csv       Query_id,query
    multivent_2_train_judgments.jsonl   {"query_id", "doc_id", "relevance"}
    multivent_2_test_queries.csv        judgements of the test split are not published
    train/ test/                        videos {doc_id}.mp4, unpacked anywhere below
    multivent_train_mapping.json        of CLaMR: "000001/{doc_id}.mp4" to frame numbers
    multivent_hf/train/data-*.arrow     what CLaMR's script makes of these: video_id, query,
                                        query_id, query_type, ...

``protocol`` names what is asked:

* ``2.0``: one candidate per video, all graded judgements. ``pool="disk"`` searches every video of
  the split that is on disk, "judged" only those with a judgement, which is far easier. Without
  judgements (test) a query's relevance is empty: a run can be made and not scored.
* ``2.0++released``: one candidate per *judgement* and one query per judgement, each relevant to
  its own row only. A video is in the pool as often as it was judged, with one copy right: even a
  perfect retriever finds it first in 27.5 % of the queries (`eval.released_metric`).
* ``2.0++deduplicated``: the same queries once each over the same videos once each, everything
  judged relevant counting.

Both 2.0++ protocols test on the annotated *train* split, without judgements of 0, and on the videos
only that CLaMR has frames of: with the published files 1,504 rows over 414 videos. The released
script cuts queries at commas; so does "2.0++released" out of the CSV, and ``rows="multivent_hf"``
has them cut by either protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clamr_rag.errors import UsageError
from clamr_rag.types import Modality
from eval.benchmarks.arrow import saved_dataset_rows
from eval.benchmarks.records import (
    BenchmarkVideo,
    RetrievalBenchmark,
    RetrievalCandidate,
    RetrievalQuery,
)
from eval.benchmarks.rows import Row, json_row, jsonl_rows, source_of
from eval.benchmarks.tables import (
    checked_choice,
    csv_rows,
    missing_of,
    needed_file,
    text_rows,
    videos_under,
)

PROTOCOLS = ("2.0", "2.0++released", "2.0++deduplicated")
_HINT = "download hltcoe/MultiVENT2.0"
_MODALITIES = (
    ("description", Modality.DESCRIPTION),
    ("ocr", Modality.OCR),
    ("speech", Modality.ASR),
    ("base", Modality.VIDEO),
)
"""What a query id says it was written from; the first that is in it counts, as in CLaMR."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """One judgement of CLaMR's test."""

    query_id: str
    text: str
    video_id: str
    grade: int


def load(
    root: Path,
    *,
    protocol: str = "2.0++deduplicated",
    split: str = "train",
    pool: str = "disk",
    rows: str = "sources",
) -> RetrievalBenchmark:
    """Reads MultiVENT 2.0 or 2.0++.

    Args:
        root: Folder of the download.
        protocol: One of `PROTOCOLS`.
        split: "train", or "test" (2.0 only).
        pool: Candidates of 2.0: "disk" or "judged".
        rows: Where 2.0++ is read from: "sources", or "multivent_hf" as CLaMR's script saved it.

    Raises:
        UsageError: An option, a file or a row cannot be used.
    """
    checked_choice("protocol", protocol, PROTOCOLS)
    checked_choice("pool", pool, ("disk", "judged"))
    checked_choice("rows", rows, ("sources", "multivent_hf"))
    checked_choice("split", split, ("train", "test") if protocol == "2.0" else ("train",))
    if protocol == "2.0":
        checked_choice("rows (with protocol 2.0)", rows, ("sources",))
        return _multivent(root, split, pool)
    checked_choice("pool (with 2.0++)", pool, ("disk",))
    is_released = protocol == "2.0++released"
    read = _script_rows if rows == "multivent_hf" else _source_rows
    sources, pairs = read(root, is_released=is_released)
    candidates, queries = _diagonal(pairs) if is_released else _deduplicated(pairs)
    return _benchmark(f"{split}-{protocol}", sources, candidates, queries, videos_under(root))


def modality_of(query_id: str) -> Modality | None:
    """What a query was written from, by its id; None where the id does not say."""
    return next((modality for word, modality in _MODALITIES if word in query_id), None)


def _multivent(root: Path, split: str, pool: str) -> RetrievalBenchmark:
    path = needed_file(root, (f"multivent_2_{split}_queries.csv",), hint=_HINT)
    judgements = root / f"multivent_2_{split}_judgments.jsonl"
    if pool == "judged" or split == "train":
        needed_file(root, (judgements.name,), hint=_HINT)
    is_judged = judgements.is_file()
    texts = _queries(path)
    relevant = _relevance(judgements, texts) if is_judged else {}
    judged = {name for grades in relevant.values() for name in grades}
    files = videos_under(root / split)
    names = sorted(judged if pool == "judged" else judged | files.keys())
    queries = [
        RetrievalQuery(name, text, _positive(relevant.get(name, {})), modality_of(name))
        for name, text in texts.items()
        # Nothing can be found for a judged query without a relevant video.
        if not is_judged or _positive(relevant.get(name, {}))
    ]
    return _benchmark(
        f"{split}-2.0-{pool}",
        [path, judgements] if is_judged else [path],
        [RetrievalCandidate(name, name) for name in names],
        queries,
        files,
    )


def _relevance(path: Path, texts: Mapping[str, str]) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = {}
    for row in jsonl_rows(path):
        name = row.text("query_id")
        if name not in texts:
            raise row.error(f"query_id {name!r} is not in the queries", hint=_HINT)
        grades.setdefault(name, {})[row.text("doc_id")] = _grade(row)
    return grades


def _grade(row: Row) -> int:
    grade = row.whole("relevance")
    if not 0 <= grade <= 3:
        raise row.error(f"field 'relevance' is {grade}", allowed="0 to 3")
    return grade


def _positive(grades: Mapping[str, int]) -> dict[str, int]:
    return {name: grade for name, grade in grades.items() if grade > 0}


def _queries(path: Path) -> dict[str, str]:
    return {
        row.text("Query_id"): row.text("query") for row in csv_rows(path, ("Query_id", "query"))
    }


def _cut_queries(path: Path) -> dict[str, str]:
    """What the released script reads: of each line the text between the first two commas."""
    lines = text_rows(path)[1:]
    split = [(place, line.split(",")) for place, line in lines]
    if short := [place for place, parts in split if len(parts) < 2]:
        raise UsageError(f"{short[0]}: has no comma", allowed="Query_id,query")
    return {parts[0]: parts[1] for _, parts in split}


def _source_rows(root: Path, *, is_released: bool) -> tuple[list[Path], list[_Pair]]:
    path = needed_file(root, ("multivent_2_train_queries.csv",), hint=_HINT)
    judgements = needed_file(root, ("multivent_2_train_judgments.jsonl",), hint=_HINT)
    mapping = needed_file(
        root, ("**/multivent_train_mapping.json",), hint="it is clamr/data/ of CLaMR's repository"
    )
    texts = _cut_queries(path) if is_released else _queries(path)
    frames = json_row(mapping)
    has_frames = {
        PurePosixPath(name).stem for name in frames.fields if len(frames.values(name)) > 0
    }
    pairs = []
    for row in jsonl_rows(judgements):
        name, video_id, grade = row.text("query_id"), row.text("doc_id"), _grade(row)
        # The script passes over a query that is missing or that a comma leaves empty.
        if grade > 0 and video_id in has_frames and texts.get(name):
            pairs.append(_Pair(name, texts[name], video_id, grade))
    return [path, judgements, mapping], pairs


def _script_rows(root: Path, *, is_released: bool) -> tuple[list[Path], list[_Pair]]:
    # The test set was saved under the name "train". Its video_id is "{shard}_{doc_id}".
    folder = root / "multivent_hf" / "train"
    rows = saved_dataset_rows(folder, ("video_id", "query", "query_id"))
    pairs = []
    for row in rows:
        shard, _, video_id = row.text("video_id").partition("_")
        if not (shard and video_id):
            raise row.error(f"video_id {row.text('video_id')!r}", allowed="{shard}_{doc_id}")
        pairs.append(_Pair(row.text("query_id"), row.text("query"), video_id, 1))
    return sorted(folder.glob("data-*.arrow")), pairs


def _diagonal(
    pairs: Sequence[_Pair],
) -> tuple[list[RetrievalCandidate], list[RetrievalQuery]]:
    """Row by row a candidate, and a query that is relevant to nothing but its own row."""
    names = [f"row-{number:04d}" for number in range(len(pairs))]
    candidates = [
        RetrievalCandidate(name, pair.video_id) for name, pair in zip(names, pairs, strict=True)
    ]
    queries = [
        RetrievalQuery(f"{name}:{pair.query_id}", pair.text, {name: 1}, modality_of(pair.query_id))
        for name, pair in zip(names, pairs, strict=True)
    ]
    return candidates, queries


def _deduplicated(
    pairs: Sequence[_Pair],
) -> tuple[list[RetrievalCandidate], list[RetrievalQuery]]:
    texts: dict[str, str] = {}
    relevant: dict[str, dict[str, int]] = {}
    for pair in pairs:
        texts[pair.query_id] = pair.text
        relevant.setdefault(pair.query_id, {})[pair.video_id] = pair.grade
    videos = dict.fromkeys(pair.video_id for pair in pairs)
    queries = [
        RetrievalQuery(name, text, relevant[name], modality_of(name))
        for name, text in texts.items()
    ]
    return [RetrievalCandidate(name, name) for name in videos], queries


def _benchmark(
    split: str,
    sources: Sequence[Path],
    candidates: Sequence[RetrievalCandidate],
    queries: Sequence[RetrievalQuery],
    files: Mapping[str, Path],
) -> RetrievalBenchmark:
    if not queries or not candidates:
        names = ", ".join(str(path) for path in sources)
        raise UsageError(f"{names}: no query or no video is left", hint=_HINT)
    videos = {
        candidate.video_id: BenchmarkVideo(candidate.video_id, files.get(candidate.video_id))
        for candidate in candidates
    }
    return RetrievalBenchmark(
        name="multivent",
        split=split,
        source=source_of(*sources),
        candidates=tuple(candidates),
        queries=tuple(queries),
        videos=videos,
        missing_videos=missing_of(videos),
    )
