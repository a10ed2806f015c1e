"""What the stages of indexing have finished: their artefacts, kept until the video goes.

An artefact is one part of a stage's result under one set of options. A stage is done when it was
marked so and all of its parts are still whole.
"""

from __future__ import annotations

import logging

from clamr_rag.index.database import Database
from clamr_rag.index.records import Problem, payload_checksum

logger = logging.getLogger(__name__)

Part = int | str


def put_artefact(
    database: Database, video_id: str, stage: str, part: Part, options_hash: str, payload: bytes
) -> None:
    """Keeps one part, replacing an earlier one."""
    key = (video_id, stage, options_hash, part)
    database.run(
        "INSERT INTO artefact(video_id, stage, options_hash, part, payload, checksum) "
        "VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET payload = excluded.payload, checksum = excluded.checksum",
        *key,
        payload,
        payload_checksum(key, payload),
    )


def artefacts(
    database: Database, video_id: str, stage: str, options_hash: str
) -> list[tuple[Part, bytes]]:
    """The parts that are whole, in order; damaged ones are left out, to be made again."""
    rows = database.rows(
        "SELECT part, payload, checksum FROM artefact "
        "WHERE video_id = ? AND stage = ? AND options_hash = ? ORDER BY part",
        video_id,
        stage,
        options_hash,
    )
    whole = []
    for part, payload, stored in rows:
        if payload_checksum((video_id, stage, options_hash, part), payload) == stored:
            whole.append((part, payload))
        else:
            logger.warning("part %s of stage %s of video %s is damaged", part, stage, video_id)
    return whole


def mark_stage_done(database: Database, video_id: str, stage: str, options_hash: str) -> None:
    """Says that all parts of a stage are there."""
    num_parts = len(artefacts(database, video_id, stage, options_hash))
    database.run(
        "INSERT INTO stage(video_id, stage, options_hash, num_parts) VALUES(?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET num_parts = excluded.num_parts",
        video_id,
        stage,
        options_hash,
        num_parts,
    )


def stage_done(database: Database, video_id: str, stage: str, options_hash: str) -> bool:
    """Whether the stage was marked done and all its parts are whole."""
    row = database.row(
        "SELECT num_parts FROM stage WHERE video_id = ? AND stage = ? AND options_hash = ?",
        video_id,
        stage,
        options_hash,
    )
    return row is not None and row[0] == len(artefacts(database, video_id, stage, options_hash))


def damaged_artefacts(database: Database) -> list[Problem]:
    """One problem per artefact that does not match its checksum."""
    problems = []
    # One at a time: together they may be larger than memory.
    for key in database.rows("SELECT video_id, stage, options_hash, part FROM artefact"):
        row = database.row(
            "SELECT payload, checksum FROM artefact "
            "WHERE video_id = ? AND stage = ? AND options_hash = ? AND part = ?",
            *key,
        )
        if row is None or payload_checksum(key, row[0]) != row[1]:
            problems.append(
                Problem(
                    f"video {key[0]}, stage {key[1]}, part {key[3]}",
                    "an intermediate result does not match its checksum",
                    "index the video again: this part is made anew",
                )
            )
    return problems
