"""Runs over real video: what is asked, read, written down, resumed and scored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmark_files import VIDEO_MME_SRT, write_video_mme
from chat_servers import ScriptedServer, end, event, failure, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from qa_runs import (
    LetterModel,
    meeting_benchmark,
    opened,
    options_of,
    plan_of,
    run_of,
    spoken,
    texts_shown,
)
from slide_videos import SPEECH, write_meeting

from clamr_rag.answering.fake import ScriptedModel
from clamr_rag.errors import AnswererError, UsageError
from eval.benchmarks.records import QaBenchmark
from eval.qa_plan import QaPlan, tasks_of
from eval.qa_scoring import is_right_open, score_run
from eval.qa_summary import summary_lines, table_lines
from eval.run_qa import main, parse_arms
from eval.run_records import (
    RECORDS_NAME,
    QuestionRecord,
    Run,
    digest,
    load_run,
    merge,
)
from eval.synthetic import make_world, render

REPLY = "It is what the meeting says [1].\nAnswer: B"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the meeting is indexed once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> QaBenchmark:
    """About a real video that lies without subtitles of its own."""
    return meeting_benchmark(write_meeting(tmp_path_factory.mktemp("videos"), subtitles=False))


@pytest.fixture(scope="module")
def plan(meeting: QaBenchmark) -> QaPlan:
    return plan_of(meeting)


def records_of(run: Run) -> dict[tuple[str, str], QuestionRecord]:
    return {(record.question_id, record.form): record for record in run.records}


# --- the whole way with the real answerer


def test_questions_are_answered_from_real_video(plan: QaPlan, cache: Path, tmp_path: Path) -> None:
    run = run_of(plan, cache, tmp_path / "run")
    records = records_of(run)
    assert [(r.number, r.question_id, r.form) for r in run.records] == [
        (0, "jars", "choices"),
        (1, "jars", "open"),
        (2, "glass", "choices"),
        (3, "glass", "open"),
        (4, "course", "open"),
        (5, "hidden", "choices"),
        (6, "hidden", "open"),
        (7, "gone", "choices"),
        (8, "gone", "open"),
        (9, "absent", "open"),
    ]
    shown, said = records["jars", "choices"], records["glass", "choices"]
    assert (shown.reply, shown.is_right) == ("A", True)
    assert (said.reply, said.is_right) == ("B", True)
    assert shown.picked == {"strict": "A", "videomme-official": "A"}
    assert shown.found[0].start_seconds == 10
    assert records["course", "open"].is_right
    assert "children" in (records["course", "open"].answer_text or "")
    assert records["glass", "open"].gold == "in Zwiesel"
    assert records["hidden", "choices"].is_right is None
    assert records["absent", "open"].status == "declined"
    assert records["absent", "open"].is_right
    assert shown.subtitle_source == "meeting.json (made-up rule)"
    assert shown.screen_source == "rapidocr"
    assert (shown.timing.search_seconds or 0) > 0


def test_a_missing_video_is_counted_and_its_questions_are_recorded_as_skipped(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    run = run_of(plan, cache, tmp_path / "run")
    gone = records_of(run)["gone", "choices"]
    assert (gone.status, gone.reason) == ("skipped", "the video is not on disk")
    assert (gone.is_right, gone.is_counted, gone.reply) == (None, False, None)
    assert [(v.video_id, v.status, v.num_questions) for v in run.videos] == [
        ("meeting", "indexed", 7),
        ("gone", "missing", 2),
    ]
    assert run.header.missing_videos == ("gone",)
    score = score_run(run)
    assert (score.num_skipped, score.num_hidden) == (2, 2)
    assert score.forms[0].overall.num_values == 2
    assert "2 skipped as their video is missing" in "\n".join(summary_lines(score))


def test_a_broken_file_fails_alone(meeting: QaBenchmark, cache: Path, tmp_path: Path) -> None:
    broken = tmp_path / "gone.mp4"
    broken.write_bytes(b"no video at all" * 99)
    videos = dict(meeting.videos)
    videos["gone"] = replace(videos["gone"], path=broken)
    spoiled = replace(meeting, videos=videos, missing_videos=())
    run = run_of(plan_of(spoiled), cache, tmp_path / "run")
    assert [video.status for video in run.videos] == ["indexed", "failed"]
    assert "gone.mp4" in (run.videos[1].reason or "")
    assert records_of(run)["gone", "open"].status == "skipped"
    assert records_of(run)["jars", "choices"].is_right


def test_costs_are_of_the_library_and_of_the_arm(plan: QaPlan, cache: Path, tmp_path: Path) -> None:
    run_of(plan, cache, tmp_path / "first")
    again = run_of(plan, cache, tmp_path / "again", retriever="asr")
    timing = again.videos[0].timing
    # Indexed by another run: its time is still known.
    assert (timing.index_seconds or 0) > 0
    assert (timing.index_bytes or 0) > 1000
    assert (timing.arm_seconds or 0) > 0
    assert (timing.arm_bytes or 0) > 0
    costs = score_run(again).costs
    assert costs.video_hours == pytest.approx(40 / 3600, rel=0.01)
    assert costs.index_seconds_per_hour == pytest.approx((timing.index_seconds or 0) * 90, rel=0.01)


# --- retrievers


@pytest.mark.parametrize(
    "retriever", ["joint", "asr", "ocr", "description", "mean", "rrf", "bm25", "dense", "uniform"]
)
def test_every_kind_of_retriever_finds_clips_of_the_video(
    plan: QaPlan, cache: Path, tmp_path: Path, retriever: str
) -> None:
    run = run_of(plan, cache, tmp_path / "run", retriever=retriever)
    found = records_of(run)["jars", "choices"].found
    assert 1 <= len(found) <= 2
    assert {clip.video_id for clip in found} == {"meeting"}
    assert [clip.score for clip in found] == sorted((c.score for c in found), reverse=True)


def test_the_oracle_finds_the_evidence_and_nothing_else(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    run = run_of(plan, cache, tmp_path / "run", retriever="oracle")
    evidence = score_run(run).evidence
    assert evidence is not None
    assert evidence.hits[1].mean == 1.0
    assert evidence.coverage.mean == 1.0
    assert records_of(run)["hidden", "choices"].found == ()


def test_scores_of_a_video_do_not_depend_on_the_other_videos(
    meeting: QaBenchmark, plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    """BM25 weighs words by how rare they are: among all videos another one would change that."""
    other = write_meeting(tmp_path, "other", subtitles=True)
    videos = {"other": replace(meeting.videos["gone"], video_id="other", path=other)}
    # Another content under another id; nothing asks about it but the question to all videos.
    other.write_bytes(other.read_bytes() + b"\0" * 64)
    both = plan_of(replace(meeting, videos=dict(meeting.videos) | videos))
    alone = records_of(run_of(plan, cache, tmp_path / "alone", retriever="bm25"))
    among = records_of(run_of(both, tmp_path / "cache", tmp_path / "among", retriever="bm25"))
    assert alone["glass", "choices"].found == among["glass", "choices"].found
    assert len(among["absent", "open"].found) >= len(alone["absent", "open"].found)


# --- what a model is shown


def test_a_models_words_are_kept_and_read_by_every_rule(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    model = ScriptedModel("<think>A? C?</think>A jar is shown [1].\nAnswer: B")
    run = run_of(plan, cache, tmp_path / "run", model=model)
    record = records_of(run)["glass", "choices"]
    assert record.reply == "A jar is shown [1].\nAnswer: B"
    assert record.picked == {"strict": "B", "videomme-official": "A"}
    assert record.is_right
    assert record.answerer == "scripted"
    [strict, official] = score_run(run).forms[0].rules
    assert (strict.accuracy.full, official.accuracy.full) == (0.5, 0.5)
    assert len(model.messages) == 8


def test_pictures_and_prompt_stand_in_the_record(plan: QaPlan, cache: Path, tmp_path: Path) -> None:
    first, second = ScriptedModel(REPLY), ScriptedModel(REPLY)
    six = replace(plan, limit=1, options=options_of(frames=6))
    run = run_of(six, cache, tmp_path / "1", model=first)
    same = run_of(six, cache, tmp_path / "2", model=second)
    record = records_of(run)["jars", "choices"]
    shown = tuple(round(frame.seconds, 3) for frame in first.messages[0].frames)
    assert record.frame_seconds == shown
    assert len(shown) == 6
    assert record.prompt_characters > 500
    # The marks around the evidence are drawn anew for each prompt.
    assert first.messages[0].system != second.messages[0].system
    assert digest(run) == digest(same)
    assert len({r.prompt_sha256 for r in run.records if r.prompt_sha256}) == 2
    few = replace(six, options=options_of(frames=2))
    fewer = records_of(run_of(few, cache, tmp_path / "3", model=ScriptedModel(REPLY)))
    assert len(fewer["jars", "choices"].frame_seconds) == 2
    assert fewer["jars", "choices"].prompt_sha256 != record.prompt_sha256


def shown_first(plan: QaPlan, cache: Path, out: Path, **values: Any) -> tuple[str, QuestionRecord]:
    """What a model is shown of the first question, and its record."""
    model = ScriptedModel(REPLY)
    run = run_of(replace(plan, limit=1), cache, out, model=model, **values)
    return texts_shown(model.messages)[0], run.records[0]


def test_each_subtitle_mode_shows_its_part_of_the_speech(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    one_clip = replace(plan, top_k=1)
    options = options_of(neighbours=0)
    retrieved, record = shown_first(
        replace(one_clip, options=options), cache, tmp_path / "retrieved"
    )
    assert [text in retrieved for text in SPEECH] == [False, True, False, False]
    assert record.subtitles == "retrieved"
    full, _ = shown_first(one_clip, cache, tmp_path / "full", subtitles="full")
    assert all(text in full for text in SPEECH)
    # Of what was not found nothing but speech is read.
    assert "Yield: 4200 jars" in full
    assert "Sugar 900 euros" not in full
    speechless = options_of(speech="none")
    none, record = shown_first(
        replace(plan, options=speechless), cache, tmp_path / "none", subtitles="none"
    )
    assert not any(text in none for text in SPEECH)
    assert "Yield: 4200 jars" in none
    assert record.subtitle_source is None
    assert "none" in (record.speech_source or "")


def test_sampled_subtitles_are_those_on_show_with_a_picture(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    """The clip's only cue is said from 12 to 18 s; a picture is taken at its middle or not."""
    one = plan_of(plan.benchmark, top_k=1, options=options_of(frames=1, overview_frames=0))
    within, record = shown_first(one, cache, tmp_path / "within", retriever="oracle",
                                 subtitles="sampled")  # fmt: skip
    assert 12 <= record.frame_seconds[0] < 18
    assert SPEECH[1] in within
    early = replace(
        spoken(), cues=tuple(replace(c, stop_seconds=c.start_seconds + 1) for c in spoken().cues)
    )
    video = plan.benchmark.videos["meeting"].path
    assert video is not None
    short = replace(one, benchmark=meeting_benchmark(video, subtitles=early))
    outside, record = shown_first(short, tmp_path / "cache", tmp_path / "outside",
                                  retriever="oracle", subtitles="sampled")  # fmt: skip
    assert record.frame_seconds[0] > 13
    assert SPEECH[1] not in outside
    assert "Yield: 4200 jars" in outside
    nothing = options_of(frames=0)
    with (
        pytest.raises(UsageError, match="--frames 1 or more"),
        opened(replace(one, options=nothing), cache, tmp_path / "x", subtitles="sampled"),
    ):
        pass


def test_the_extractive_answerer_reads_whole_subtitles_too(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    blind = run_of(plan, cache, tmp_path / "blind", retriever="none")
    assert records_of(blind)["glass", "choices"].status == "declined"
    assert records_of(blind)["glass", "choices"].is_right is False
    speech = run_of(plan, cache, tmp_path / "speech", retriever="none", subtitles="full")
    assert records_of(speech)["glass", "choices"].is_right
    assert "Zwiesel" in (records_of(speech)["glass", "open"].answer_text or "")
    assert "jars" not in (records_of(speech)["jars", "open"].answer_text or "")
    assert records_of(speech)["glass", "choices"].found == ()


def test_a_blind_model_is_shown_the_question_alone(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    text, record = shown_first(plan, cache, tmp_path / "run", retriever="none")
    question = plan.benchmark.questions[0]
    assert text == (f"Question: {question.text}\nA) 4200 jars\nB) 17 jars\nC) 60 jars\n")
    assert record.frame_seconds == ()
    assert record.picked["strict"] == "B"
    assert record.status == "answered"


# --- a model that breaks


class BrokenModel(LetterModel):
    """Breaks off at the third message."""

    def __init__(self) -> None:
        self.num_messages = 0

    def stream(self, message: Any) -> Iterator[str]:
        self.num_messages += 1
        if self.num_messages == 3:
            raise AnswererError("the model is gone")
        yield from super().stream(message)


def test_a_model_that_breaks_stops_the_run_and_the_rest_is_asked_later(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(AnswererError, match="is gone"):
        run_of(plan, cache, tmp_path / "run", model=BrokenModel())
    assert len(load_run(tmp_path / "run").records) == 2
    resumed = run_of(plan, cache, tmp_path / "run", model=LetterModel())
    assert digest(resumed) == digest(run_of(plan, cache, tmp_path / "w", model=LetterModel()))


def test_keep_going_writes_a_failure_down_as_wrong(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    going = replace(plan, keep_going=True)
    run = run_of(going, cache, tmp_path / "run", model=BrokenModel())
    failed = run.records[2]
    assert (failed.status, failed.reason, failed.is_right) == ("failed", "the model is gone", False)
    assert failed.found
    score = score_run(run)
    assert score.num_failed == 1
    assert score.forms[0].rules[0].accuracy.num_unparsed == 1


def test_a_finished_run_asks_nothing_again(plan: QaPlan, cache: Path, tmp_path: Path) -> None:
    run = run_of(plan, cache, tmp_path / "run", model=ScriptedModel(REPLY))
    before = (tmp_path / "run" / RECORDS_NAME).read_bytes()
    second = ScriptedModel(REPLY)
    assert run_of(plan, cache, tmp_path / "run", model=second) == run
    assert second.messages == []
    assert (tmp_path / "run" / RECORDS_NAME).read_bytes() == before


def test_records_of_another_order_are_not_gone_on_with(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    run_of(plan, cache, tmp_path / "run")
    path = tmp_path / "run" / RECORDS_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[1:]))
    with pytest.raises(UsageError, match="not of this run"):
        run_of(plan, cache, tmp_path / "run")


def test_tokens_are_those_that_the_server_counts(plan: QaPlan, cache: Path, tmp_path: Path) -> None:
    usage = {"id": "1", "choices": [], "usage": {"prompt_tokens": 321, "completion_tokens": 9}}
    counted = b"data: " + json.dumps(usage).encode() + b"\n\n"
    done = b"data: [DONE]\n\n"
    reply = stream(event(content="Answer: A"), end().removesuffix(done), counted, done)
    silent = stream(event(content="Answer: A"), end())
    with ScriptedServer() as server:
        answer = {"answerer": "openai:m", "base_url": server.root, "frames": 0, "retries": 0}
        served = plan_of(plan.benchmark, limit=2, options=options_of(**answer))
        server.script(reply, silent)
        run = run_of(served, cache, tmp_path / "run")
        assert server.requests[0].body["stream_options"] == {"include_usage": True}
        assert run.records[0].timing.prompt_tokens == 321
        assert run.records[0].timing.reply_tokens == 9
        assert run.records[1].timing.prompt_tokens is None
        # A server that knows no such wish is asked without it, and from then on.
        server.requests.clear()
        server.script(failure(400, "unknown field stream_options"), silent)
        old = run_of(replace(served, limit=1), cache, tmp_path / "old")
        assert old.records[0].picked["strict"] == "A"
        assert ["stream_options" in r.body for r in server.requests] == [True, False, False]


# --- scores


def test_open_answers_are_right_with_the_words_of_the_gold_answer() -> None:
    assert is_right_open("172 guests", "Said: “It offers 172 guests, we hear.” [1]")
    assert is_right_open("Zwiesel", "in ZWIESEL.")
    assert not is_right_open("72 guests", "It offers 172 guests.")
    assert not is_right_open("172 guests", "172 were there; the guests left.")
    assert is_right_open("11|eleven", "There were eleven [2] of them.")
    # A citation mark is no number of the answer.
    assert not is_right_open("1", "Nobody knows [1].")
    assert not is_right_open("", "anything")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_a_gold_answer_within_a_reply_is_found(gold: str, before: str, after: str) -> None:
    gold = gold.replace("|", " ").replace("[", " ")
    before = before.replace("[", " ")
    if any(sign.isalnum() for sign in gold):
        assert is_right_open(gold, f"{before} {gold} {after.replace('[', ' ')}")


def test_summary_and_table_say_the_figures(plan: QaPlan, cache: Path, tmp_path: Path) -> None:
    run = run_of(plan, cache, tmp_path / "mini")
    score = score_run(run)
    text = "\n".join(summary_lines(score))
    assert "multiple choice (2 questions of 1 videos): 100.0 right" in text
    assert "strict: 100.0 of all, 100.0 by its own denominator (2), 0 unread" in text
    assert "by task, macro 100.0: said 100.0 (1), shown 100.0 (1)" in text
    assert "of 1 that nothing answers 100.0 declined" in text
    [_, _, row] = table_lines([score])
    assert row.startswith("| mini | 100.0 | ")


def test_the_points_of_video_mme_v2_are_given_where_groups_are_whole(
    plan: QaPlan, cache: Path, tmp_path: Path
) -> None:
    run = run_of(plan, cache, tmp_path / "run")
    first = records_of(run)["jars", "choices"]
    labels = {"group_type": ("relevance",), "level": ("2",)}
    four = [
        first.model_copy(
            update={
                "question_id": f"meeting-{n}",
                "groups": labels,
                "is_right": n < 3,
                "picked": {},
            }
        )
        for n in (1, 2, 3, 4)
    ]
    whole = score_run(replace(run, records=tuple(four))).forms[0].video_groups
    assert whole is not None
    assert whole.overall == 25.0
    assert score_run(replace(run, records=tuple(four[:3]))).forms[0].video_groups is None


def test_forms_and_limits_make_tasks(meeting: QaBenchmark) -> None:
    choices = tasks_of(meeting.questions, ("choices",))
    assert [(t.question.question_id, t.form) for t in choices] == [
        ("jars", "choices"),
        ("glass", "choices"),
        ("course", "open"),
        ("hidden", "choices"),
        ("gone", "choices"),
    ]
    limited = tasks_of(meeting.questions, ("choices", "open"), limit=1)
    assert [task.number for task in limited] == [0, 1]


# --- the command


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rendered videos of a minute with their questions."""
    folder = tmp_path_factory.mktemp("world") / "world"
    render(make_world(7, 2 / 60, "dev", video_minutes=1), folder)
    return folder


COMMON = ["--benchmark", "synthetic", "--set", "ocr.ocr=none", "--top-k", "1"]


def words_of(world: Path, cache: Path, out: Path, *more: str) -> list[str]:
    return [*COMMON, "--root", str(world), "--cache", str(cache), "--out", str(out), *more]


def test_two_shards_merged_equal_one_run(world: Path, cache: Path, tmp_path: Path) -> None:
    """Each on a machine of its own: nothing but the world is shared."""
    arms = ["--retriever", "mini,bm25,mean,router"]
    assert main(words_of(world, tmp_path / "c0", tmp_path / "whole", *arms)) == 0
    for shard in ("1/2", "2/2"):
        number = shard[0]
        out, own = tmp_path / f"shard{number}", tmp_path / f"c{number}"
        assert main(words_of(world, own, out, *arms, "--shard", shard)) == 0
    for arm in ("mini", "bm25", "mean", "router"):
        whole = load_run(tmp_path / "whole" / arm)
        shards = [tmp_path / f"shard{number}" / arm for number in (2, 1)]
        assert all(0 < len(load_run(shard).records) < len(whole.records) for shard in shards)
        assert digest(merge(shards, tmp_path / "merged" / arm)) == digest(whole)


def test_a_run_goes_on_only_with_its_own_options(
    world: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    mini = ["--retriever", "mini", "--limit", "2"]
    assert main(words_of(world, cache, out, *mini)) == 0
    capsys.readouterr()
    assert main(words_of(world, cache, out, *mini, "--set", "answer.abstain_below=0.4")) == 2
    said = capsys.readouterr()
    assert "abstain_below: 0.5, now 0.4" in said.err
    assert said.err.startswith("error: ")
    assert said.out == ""


def test_the_synthetic_benchmark_renders_itself_and_prints_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--benchmark", "synthetic", "--hours", "0.017", "--split", "dev", "--seed", "3",
             "--retriever", "mini,uniform+full,oracle"]  # fmt: skip
    # What a kill has left of an earlier rendering.
    unfinished = tmp_path / "runs" / "cache" / "synthetic-dev-3-0.017h.part"
    unfinished.mkdir(parents=True)
    (unfinished / "half.mp4").write_bytes(b"half")
    assert main(words) == 0
    said = capsys.readouterr()
    rows = [line for line in said.out.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| retriever", "| mini", "| uniform+full",
                                                     "| oracle"]  # fmt: skip
    assert "rendering 0.017 h" in said.err
    oracle = load_run(tmp_path / "runs" / "synthetic" / "oracle")
    assert oracle.header.source.startswith("eval.synthetic")
    assert {record.form for record in oracle.records} == {"choices", "open"}
    assert any(record.is_absent for record in oracle.records)
    assert oracle.records[0].screen_source == "rapidocr"
    assert "rapidocr" in oracle.header.software
    assert rows[-1].split(" | ")[4] == "100.0"
    assert main(words) == 0
    assert "rendering" not in capsys.readouterr().err


def test_video_mme_from_its_published_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One real video, one broken, one missing; only cues with the font tag count by its rule."""
    root = write_video_mme(tmp_path / "root")
    write_meeting(root / "data", "tube001", subtitles=False)
    words = ["--benchmark", "videomme", "--root", str(root), "--retriever", "bm25",
             "--out", str(tmp_path / "run"), "--set", "ocr.ocr=none"]  # fmt: skip
    assert main(words, model=ScriptedModel("Best answer: C")) == 0
    said = capsys.readouterr()
    assert "1 of 3 videos are missing, first tube601" in said.err
    run = load_run(tmp_path / "run")
    assert [record.status for record in run.records] == ["answered", "skipped", "skipped"]
    assert run.records[0].picked["strict"] == "C"
    assert run.records[0].picked["videomme-official"] == "B"
    assert "tube001.srt (videomme" in (run.records[0].subtitle_source or "")
    assert "videomme-official: 0.0 of all" in said.out
    [staged] = (tmp_path / "run" / "cache").glob("mini-*/videos/tube001-*/tube001.srt")
    text = staged.read_text()
    assert "first words" in VIDEO_MME_SRT
    assert "first words" in text
    assert "without a tag" not in text
    assert "<font" not in text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--retriever", "magic"], "got --retriever 'magic'; allowed: mini, clamr, joint"),
        (["--retriever", "bm25,bm25"], "got --retriever bm25 twice"),
        (["--retriever", "mini", "--encoder", "other"], "--retriever joint takes any"),
        (["--limit", "0"], "got --limit 0"),
        (["--set", "search.top_k=2"], "got two values for search.top_k"),
        (["--answerer", "openai:m", "--frames", "-1"], "--frames -1"),
        (["--frames", "3"], "extractive looks at no picture"),
        (["--base-url", "http://127.0.0.1:1"], "extractive asks no server"),
        (["--set", "answer.frame=3"], "answer.frame"),
        (["--set", "library.path=x"], "use --encoder, --device, --cache"),
        (["--answerer", "auto"], "got --answerer auto"),
        (["--answerer", "oracle"], "--answerer oracle"),
        (["--forms", "essay"], "got --forms essay; allowed: choices, open"),
        (["--hours", "2"], "only a synthetic world is made to size"),
        (["--load", "absent"], "got --load absent; allowed: NAME=VALUE"),
        (["--load", "colour=red"], "got the option 'colour'"),
        (["--subtitles", "none", "--set", "speech.speech=asr"], "and --subtitles none"),
        (["--subtitles", "none", "--load", "subtitles=ours"], "and --subtitles none"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    world: Path,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    said: str,
) -> None:
    assert main(words_of(world, cache, tmp_path / "run", *more)) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "run" / RECORDS_NAME).exists()


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_a_shard_is_i_of_n(
    world: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shard: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words_of(world, cache, tmp_path, "--shard", shard))
    assert "allowed: 1/N to N/N" in capsys.readouterr().err


def test_a_benchmark_needs_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--benchmark", "videomme", "--out", str(tmp_path / "run")]) == 2
    assert "got no --root" in capsys.readouterr().err
    words = ["--benchmark", "msrvtt", "--root", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(words) == 2


def test_arms_are_named_by_what_they_do() -> None:
    [mini, full, single] = parse_arms("mini, uniform+full ,single:asr", "retrieved")
    assert (mini.retriever, mini.subtitles, mini.folder) == ("mini", "retrieved", "mini")
    assert (full.retriever, full.subtitles) == ("uniform", "full")
    assert full.folder == "uniform+full"
    assert single.retriever == "asr"
    # Not every plus sign starts a subtitle mode.
    [both] = parse_arms("bm25+dense", "none")
    assert (both.retriever, both.subtitles) == ("bm25+dense", "none")


# --- killed, for real

CHILD = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from qa_runs import LetterModel\n"
    "from eval.run_qa import main\n"
    "sys.exit(main(sys.argv[2:], model=LetterModel()))"
)


def kill_when(words: Sequence[str], is_time: Any) -> bool:
    """Starts the command and kills it as soon as something is so; whether it was still running."""
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as process:  # fmt: skip
        while process.poll() is None:
            if is_time():
                process.send_signal(signal.SIGKILL)
                process.wait()
                return process.returncode == -signal.SIGKILL
            time.sleep(0.001)
    return False


def num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_run_killed_again_and_again_has_the_bytes_of_one_that_was_not(
    world: Path, tmp_path: Path
) -> None:
    arms = ("mini", "rrf")
    words = words_of(world, tmp_path / "c1", tmp_path / "killed", "--retriever", ",".join(arms))
    libraries = tmp_path / "c1"
    killed = tmp_path / "killed"
    moments = [
        # While the first video is indexed, between two questions of the first arm, near its end,
        # and within the second arm.
        lambda: any(libraries.glob("mini-*/library/*.sqlite3-wal")),
        lambda: num_lines(killed / "mini" / RECORDS_NAME) >= 1,
        lambda: num_lines(killed / "mini" / RECORDS_NAME) >= 9,
        lambda: num_lines(killed / "rrf" / RECORDS_NAME) >= 5,
    ]
    kills = [kill_when(words, is_time) for is_time in moments]
    assert sum(kills) >= 3
    assert not kill_when(words, lambda: False)
    whole = tmp_path / "whole"
    undisturbed = words_of(world, tmp_path / "c2", whole, "--retriever", ",".join(arms))
    assert main(undisturbed, model=LetterModel()) == 0
    for arm in arms:
        run = load_run(whole / arm)
        assert len(run.records) == run.header.num_questions > 10
        assert digest(load_run(killed / arm)) == digest(run)
