"""What a retrieval run leaves behind: a header, a JSON line per query, and what indexing cost.

A run is one arm on one benchmark, a folder::

    retrieval.json   `RetrievalHeader`: what was ranked, how, at which commit
    rankings.jsonl   `RankingRecord`, one line per query, in the order of the benchmark
    index.json       `IndexTiming`: seconds and bytes of the index, not compared between runs

Lines are written as those of `eval.run_records` are: whole, synced, a torn last one cut off when
the run goes on, and what may differ between equal runs stands in ``timing``, the last field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from clamr_rag.errors import UsageError
from clamr_rag.types import Modality
from eval.run_records import RecordFile, RecordLine

SCHEMA_VERSION: Final = 1
HEADER_NAME, RANKINGS_NAME, INDEX_NAME = "retrieval.json", "rankings.jsonl", "index.json"
Model = TypeVar("Model", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FoundCandidate(_Frozen):
    """One candidate of a ranking."""

    candidate_id: str
    score: float
    """Of the arm, rounded to six digits; comparable within one query only."""
    modality: str | None
    """What the arm found it by: "video", "ocr", "asr", "description", "audio"; None if it does
    not say."""


class RankingTiming(_Frozen):
    """What one query cost."""

    latency_seconds: float
    """Of encoding the query and ranking, on an index in memory."""


class RankingRecord(RecordLine):
    """One query of a run."""

    query_id: str
    text: str
    cluster: str
    """The video of the first relevant candidate: what intervals resample."""
    gold_modality: str | None
    groups: Mapping[str, tuple[str, ...]]
    relevant: Mapping[str, int]
    """Grade per candidate."""
    found: tuple[FoundCandidate, ...]
    """Best first, as many as the header's depth."""
    timing: RankingTiming

    @property
    def pair(self) -> tuple[Modality, Modality | None] | None:
        """Gold modality and that of the first candidate, None where there is no gold."""
        if self.gold_modality is None:
            return None
        named = self.found[0].modality if self.found else None
        return modality_of(self.gold_modality), modality_of(named) if named else None


class RetrievalHeader(_Frozen):
    """What a run is: runs with equal headers rank the same queries in the same way."""

    schema_version: Literal[1] = SCHEMA_VERSION
    benchmark: str
    options: Mapping[str, str]
    """Of the benchmark, and changes made to its clips, e.g. ``{"remove": "video"}``."""
    split: str
    source: str
    """The files that were read, with their SHA-256."""
    arm: str
    arm_details: str
    """Encoder and its fingerprint, parameters of the ranking."""
    pool: str
    """Fingerprint of the clips."""
    num_candidates: int
    """Those that can be found."""
    num_queries: int
    """Of all shards together."""
    missing_videos: tuple[str, ...]
    num_unanswerable: int
    """Queries left out, as all that is relevant to them is missing."""
    depth: int
    """Most candidates of a ranking that are kept: what is below counts as not found."""
    limit: int | None
    shard: tuple[int, int] | None
    """Number from 1 and how many; None for a whole run."""
    commit: str
    machine: str
    """Not compared: a run may go on elsewhere."""

    def differences(self, other: RetrievalHeader) -> list[str]:
        """What differs beside the machine."""
        mine, theirs = self.model_dump(exclude={"machine"}), other.model_dump(exclude={"machine"})
        return [
            f"{name}: {mine[name]!r}, now {theirs[name]!r}"
            for name in mine
            if mine[name] != theirs[name]
        ]


class IndexTiming(_Frozen):
    """What the index cost."""

    seconds: float
    """Encoding and packing; reading files and extracting texts is in ``ingest_seconds``."""
    num_bytes: int
    num_clips: int
    video_hours: float
    ingest_seconds: float | None = None
    """Of reading the files, their speech and screens; None where nothing was read from files, or
    not all of it in this run."""


@dataclass(frozen=True, slots=True)
class RetrievalRun:
    """A run as it lies in a folder, finished or not."""

    folder: Path
    header: RetrievalHeader
    records: tuple[RankingRecord, ...]
    index: IndexTiming

    @property
    def is_finished(self) -> bool:
        """Whether every query of all shards is there."""
        return len(self.records) == self.header.num_queries


def modality_name(modality: Modality) -> str:
    """As records have it: "asr"."""
    return modality.name.lower()


def modality_of(name: str) -> Modality:
    """The modality of a name."""
    return Modality[name.upper()]


def is_retrieval_run(folder: Path) -> bool:
    """Whether a folder holds a run of this kind."""
    return (folder / HEADER_NAME).is_file()


def load_retrieval_run(folder: Path) -> RetrievalRun:
    """Reads a run.

    Raises:
        UsageError: There is none, a line of it is no record, or it is at work.
    """
    header = _read(folder / HEADER_NAME, RetrievalHeader)
    index = _read(folder / INDEX_NAME, IndexTiming)
    with rankings_file(folder) as file:
        return RetrievalRun(folder, header, tuple(file.done), index)


def rankings_file(folder: Path) -> RecordFile[RankingRecord]:
    """The records of a run, to read or to go on with.

    Raises:
        UsageError: Another process is writing to it, or a line in its middle is no record.
    """
    return RecordFile(folder / RANKINGS_NAME, RankingRecord)


def begin_retrieval_run(folder: Path, header: RetrievalHeader, index: IndexTiming) -> None:
    """Writes the header of a new run, unless it is there.

    Raises:
        UsageError: Another run is there.
    """
    if is_retrieval_run(folder):
        check_same_run(folder, header)
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write_whole(folder / INDEX_NAME, index)
    # Last: a folder with a header is a run.
    _write_whole(folder / HEADER_NAME, header)


def check_same_run(folder: Path, header: RetrievalHeader) -> None:
    """Compares the run in a folder with one that is to go on in it.

    Raises:
        UsageError: It is another run.
    """
    different = _read(folder / HEADER_NAME, RetrievalHeader).differences(header)
    if different:
        raise UsageError(
            f"{str(folder)!r} holds another run ({', '.join(different[:3])})",
            hint="take the same options and commit to go on, or another --out",
        )


def merge_retrieval_runs(folders: Sequence[Path], out: Path) -> RetrievalRun:
    """Puts the shards of one run together, in the order of one run.

    Raises:
        UsageError: They are of different runs, one is missing or unfinished, or ``out`` holds a
            run.
    """
    runs = [load_retrieval_run(folder) for folder in folders]
    shards = sorted(run.header.shard or (1, 1) for run in runs)
    if not runs or shards != [(n, shards[0][1]) for n in range(1, shards[0][1] + 1)]:
        shown = ", ".join(f"{number}/{of}" for number, of in shards)
        raise UsageError(f"got shards {shown or 'none'}", allowed="every shard of one run, once")
    whole = [run.header.model_copy(update={"shard": None}) for run in runs]
    for run, header in zip(runs, whole, strict=True):
        if different := whole[0].differences(header):
            raise UsageError(f"{run.folder} is of another run ({', '.join(different[:3])})")
    records = sorted((r for run in runs for r in run.records), key=lambda record: record.number)
    if [record.number for record in records] != list(range(whole[0].num_queries)):
        raise UsageError(
            f"got {len(records)} rankings of {whole[0].num_queries}",
            hint="finish every shard with the command that began it, then merge",
        )
    if is_retrieval_run(out):
        raise UsageError(f"{str(out)!r} holds a run", hint="take another --out")
    machines = "; ".join(dict.fromkeys(header.machine for header in whole))
    header = whole[0].model_copy(update={"machine": machines})
    out.mkdir(parents=True, exist_ok=True)
    with rankings_file(out) as file:
        for record in records[len(file.done) :]:
            file.append(record)
    begin_retrieval_run(out, header, runs[0].index)
    return RetrievalRun(out, header, tuple(records), runs[0].index)


def rankings_digest(run: RetrievalRun) -> str:
    """SHA-256 of all that must not differ between two runs of the same thing."""
    sums = hashlib.sha256()
    for record in run.records:
        sums.update(record.model_dump_json(exclude={"timing"}).encode() + b"\n")
    return sums.hexdigest()


def _read(path: Path, kind: type[Model]) -> Model:
    if not path.is_file():
        raise UsageError(f"no {path.name} in {str(path.parent)!r}", hint="name a run's folder")
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(f"{path} is not of a retrieval run: {error.errors()[0]['msg']}") from None


def _write_whole(path: Path, values: BaseModel) -> None:
    """Writes a file so that it is there whole or not at all."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(values.model_dump_json(indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)
