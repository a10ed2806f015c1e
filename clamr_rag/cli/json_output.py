"""The JSON contract: one object on stdout, keys as promised, NaN never.

Non-ASCII characters are escaped, so that nothing in a transcript or a file name can reach the
terminal as anything but text, and names that are not UTF-8 survive.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clamr_rag.errors import ClamrError
from clamr_rag.types import Answer, Citation, Evidence, Modality, ScoredClip, Statement

if TYPE_CHECKING:
    from clamr_rag.cli.index_command import Outcome
    from clamr_rag.index.records import Problem, VideoRecord
    from clamr_rag.media import MediaInfo

SCHEMA_VERSION = 1
_ALWAYS_SCORED = (Modality.VIDEO, Modality.OCR, Modality.ASR, Modality.DESCRIPTION)


def ask_json(answer: Answer, *, running_on: str | None = None) -> str:
    """``ask --json``; ``running_on`` is where and how the encoder computes."""
    return _dumps(
        question=answer.question,
        answer=answer.text,
        choice=answer.choice,
        abstained=answer.abstained,
        confidence=_number(answer.confidence),
        encoder=answer.encoder,
        running_on=running_on,
        answerer=answer.answerer,
        answerer_reason=answer.answerer_reason,
        reason=answer.reason,
        citations=[_citation(citation) for citation in answer.citations],
        statements=[_statement(statement) for statement in answer.statements],
        clips=[_clip(clip) for clip in answer.clips],
        notes=list(answer.notes),
        timings={name: _number(seconds) for name, seconds in answer.timings_seconds.items()},
    )


def ask_failed_json(
    question: str, error: ClamrError, *, encoder: str, running_on: str | None
) -> str:
    """``ask --json`` where clips were found and the answerer failed: an answer of null."""
    return _dumps(
        question=question,
        answer=None,
        error=str(error),
        encoder=encoder,
        running_on=running_on,
        clips=[_clip(clip) for clip in error.clips],
    )


def search_json(
    query: str,
    clips: Sequence[ScoredClip],
    *,
    encoder: str | None = None,
    running_on: str | None = None,
) -> str:
    """``search --json``."""
    return _dumps(
        query=query, encoder=encoder, running_on=running_on, clips=[_clip(clip) for clip in clips]
    )


def index_json(
    outcomes: Sequence[Outcome], *, encoder: str | None = None, running_on: str | None = None
) -> str:
    """``index --json``; ``seconds`` is how long it took, encoder is null if none was loaded."""
    return _dumps(
        encoder=encoder,
        running_on=running_on,
        videos=[
            {
                "path": outcome.path,
                "video_id": outcome.report.video_id if outcome.report else None,
                "status": outcome.report.status if outcome.report else "failed",
                "clips": outcome.report.num_clips if outcome.report else 0,
                "seconds": _number(outcome.elapsed_seconds),
                "error": outcome.error,
            }
            for outcome in outcomes
        ],
    )


def plan_json(plans: Sequence[tuple[str, str, int]]) -> str:
    """``index --dry-run --json``: (path, what would be done, size in bytes) per file."""
    return _dumps(
        dry_run=True,
        videos=[{"path": path, "action": act, "size_bytes": size} for path, act, size in plans],
    )


def ls_json(records: Sequence[VideoRecord]) -> str:
    """``ls --json``."""
    return _dumps(videos=[_record(record) for record in records])


def info_json(path: str, record: VideoRecord | None, info: MediaInfo | None) -> str:
    """``info --json``; what is not known is null."""
    return _dumps(
        path=path,
        library=None if record is None else _record(record),
        file=None if info is None else _media(info),
    )


def rm_json(video_ids: Sequence[str]) -> str:
    """``rm --json``."""
    return _dumps(removed=list(video_ids))


def verify_json(problems: Sequence[Problem]) -> str:
    """``verify --json``."""
    return _dumps(
        problems=[{"where": p.where, "what": p.what, "repair": p.repair} for p in problems]
    )


def table_json(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A list of flat objects under one name."""
    return _dumps(**{name: list(rows)})


def _dumps(**values: Any) -> str:
    # allow_nan=False: a NaN that slips past `_number` is a bug here, not in the reader.
    return json.dumps({"schema_version": SCHEMA_VERSION} | values, indent=2, allow_nan=False)


def _number(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return float(value) if value is not None and math.isfinite(value) else None


def _name(modality: Modality) -> str:
    return modality.name.lower()


def _clip(scored: ScoredClip) -> dict[str, Any]:
    # A fifth score only where the encoder hears.
    heard = [Modality.AUDIO] if Modality.AUDIO in scored.modality_scores else []
    return {
        "rank": scored.rank,
        "clip_id": scored.clip.clip_id,
        "video_id": scored.video.video_id,
        "video_path": scored.video.path,
        "title": scored.video.title,
        "start_seconds": _number(scored.clip.span.start_seconds),
        "stop_seconds": _number(scored.clip.span.stop_seconds),
        "score": _number(scored.score),
        "best_modality": _name(scored.best_modality),
        "modality_scores": {
            _name(modality): _number(scored.modality_scores.get(modality))
            for modality in (*_ALWAYS_SCORED, *heard)
        },
        "evidence": [_evidence(evidence) for evidence in scored.evidence],
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return {
        "query_token": evidence.query_token,
        "modality": _name(evidence.modality),
        "seconds": _number(evidence.seconds),
        "text": evidence.text,
        "similarity": _number(evidence.similarity),
    }


def _citation(citation: Citation) -> dict[str, Any]:
    return {
        "index": citation.index,
        "clip_id": citation.clip_id,
        "video_id": citation.video_id,
        "video_path": citation.video_path,
        "start_seconds": _number(citation.span.start_seconds),
        "stop_seconds": _number(citation.span.stop_seconds),
        "modality": _name(citation.modality),
        "text": citation.text,
    }


def _statement(statement: Statement) -> dict[str, Any]:
    return {
        "text": statement.text,
        "citations": list(statement.citations),
        "support": statement.support,
    }


def _record(record: VideoRecord) -> dict[str, Any]:
    return {
        "video_id": record.video.video_id,
        "path": record.video.path,
        "title": record.video.title,
        "status": record.status,
        "clips": record.num_clips,
        "duration_seconds": _number(record.video.duration_seconds),
        "size_bytes": record.video.size_bytes,
        "speech_source": record.speech_source,
        "screen_text_source": record.screen_text_source,
        "error": record.error,
    }


def _media(info: MediaInfo) -> dict[str, Any]:
    video = info.video
    return {
        "format": info.format_name,
        "duration_seconds": _number(info.duration_seconds),
        "size_bytes": info.size_bytes,
        "video": None
        if video is None
        else {
            "codec": video.codec,
            "width": video.width,
            "height": video.height,
            "rotation_degrees": video.rotation_degrees,
            "average_rate": _number(video.average_rate),
        },
        "audio_tracks": [
            {"codec": track.codec, "language": track.language, "default": track.default}
            for track in info.audio_tracks
        ],
        "subtitle_tracks": [
            {"codec": t.codec, "language": t.language, "title": t.title, "is_text": t.is_text}
            for t in info.subtitle_tracks
        ],
        "chapters": [
            {
                "title": chapter.title,
                "start_seconds": _number(chapter.span.start_seconds),
                "stop_seconds": _number(chapter.span.stop_seconds),
            }
            for chapter in info.chapters
        ],
        "tags": dict(info.tags),
    }
