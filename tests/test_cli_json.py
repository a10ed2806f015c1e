from __future__ import annotations

import json
from typing import Any

import pytest
from cli_values import make_answer, make_clip, make_record

from clamr_rag.cli.index_command import Outcome
from clamr_rag.cli.json_output import ask_json, index_json, ls_json, search_json, table_json
from clamr_rag.ingest import VideoReport
from clamr_rag.types import Modality

# The contract of shared/design.md §4, key by key.
ASK = {"schema_version", "question", "answer", "choice", "abstained", "confidence", "encoder",
       "running_on", "answerer", "answerer_reason", "reason", "citations", "statements", "clips",
       "notes", "timings"}  # fmt: skip
CLIP = {"rank", "clip_id", "video_id", "video_path", "title", "start_seconds", "stop_seconds",
        "score", "best_modality", "modality_scores", "evidence"}  # fmt: skip
EVIDENCE = {"query_token", "modality", "seconds", "text", "similarity"}
CITATION = {"index", "clip_id", "video_id", "video_path", "start_seconds", "stop_seconds",
            "modality", "text"}  # fmt: skip
INDEXED = {"path", "video_id", "status", "clips", "seconds", "error"}


def strict(text: str) -> Any:
    """Parses as a strict reader does: NaN and Infinity are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def check_clip(clip: dict[str, Any]) -> None:
    assert set(clip) == CLIP
    assert set(clip["modality_scores"]) == {"video", "ocr", "asr", "description"}
    assert all(set(evidence) == EVIDENCE for evidence in clip["evidence"])


def test_ask_has_exactly_the_keys_of_the_contract() -> None:
    told = strict(ask_json(make_answer()))
    assert set(told) == ASK
    assert told["schema_version"] == 1
    assert [set(citation) for citation in told["citations"]] == [CITATION]
    for clip in told["clips"]:
        check_clip(clip)


def test_values_are_those_of_the_answer() -> None:
    told = strict(ask_json(make_answer()))
    citation = told["citations"][0]
    assert (citation["index"], citation["modality"], citation["start_seconds"]) == (1, "ocr", 751.0)
    assert told["clips"][0]["best_modality"] == "ocr"
    assert told["choice"] is None


def test_what_json_cannot_say_is_null() -> None:
    told = strict(ask_json(make_answer()))
    clip = told["clips"][0]
    assert told["timings"] == {"search": 0.1, "answer": None}
    assert clip["modality_scores"] == {"video": None, "ocr": 0.82, "asr": None, "description": None}
    assert clip["evidence"][1]["seconds"] is None


def test_a_hearing_encoder_adds_its_score() -> None:
    clip = make_clip()
    object.__setattr__(clip, "modality_scores", {Modality.AUDIO: 0.5})
    assert strict(search_json("q", [clip]))["clips"][0]["modality_scores"]["audio"] == 0.5


def test_search_has_exactly_the_keys_of_the_contract() -> None:
    told = strict(search_json("churn", [make_clip()], encoder="mini", running_on="cpu, float32"))
    assert set(told) == {"schema_version", "query", "encoder", "running_on", "clips"}
    assert (told["encoder"], told["running_on"]) == ("mini", "cpu, float32")
    assert told["query"] == "churn"
    check_clip(told["clips"][0])
    assert strict(search_json("churn", []))["clips"] == []


def test_index_has_exactly_the_keys_of_the_contract() -> None:
    report = VideoReport("/a.mp4", "a" * 16, "resumed", 12, 3.5, "x.srt", "rapidocr")
    told = strict(
        index_json(
            [Outcome("a.mp4", 3.5, report), Outcome("b.mp4", 0.1, error="is empty")],
            encoder="clamr",
            running_on="cuda:0, bfloat16, attention sdpa",
        )
    )
    assert set(told) == {"schema_version", "encoder", "running_on", "videos"}
    assert told["encoder"] == "clamr"
    assert told["running_on"] == "cuda:0, bfloat16, attention sdpa"
    assert told["videos"] == [
        {"path": "a.mp4", "video_id": "a" * 16, "status": "resumed", "clips": 12, "seconds": 3.5,
         "error": None},
        {"path": "b.mp4", "video_id": None, "status": "failed", "clips": 0, "seconds": 0.1,
         "error": "is empty"},
    ]  # fmt: skip
    assert all(set(video) == INDEXED for video in told["videos"])


@pytest.mark.parametrize("bad", ["\x1b[2J", "\u202e", "\udcff", "\u2028", "\x9b"])
def test_nothing_hostile_reaches_a_terminal_and_nothing_is_lost(bad: str) -> None:
    text = ls_json([make_record(f"/f/{bad}.mp4")])
    assert text.isascii()
    assert "\x1b" not in text
    assert strict(text)["videos"][0]["path"] == f"/f/{bad}.mp4"


def test_a_table_is_a_list_under_its_name() -> None:
    assert strict(table_json("paths", [{"a": 1}])) == {"schema_version": 1, "paths": [{"a": 1}]}
