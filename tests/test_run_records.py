"""Records on disk: appended whole, read back the same, merged in order, never mixed up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clamr_rag.config import AnswerOptions, Options
from clamr_rag.errors import UsageError
from eval.run_records import (
    HEADER_NAME,
    RECORDS_NAME,
    VIDEOS_NAME,
    FoundClip,
    GoldSpan,
    QuestionRecord,
    QuestionTiming,
    RecordFile,
    RunHeader,
    VideoRecord,
    VideoTiming,
    begin_run,
    digest,
    load_run,
    main,
    merge,
    without_timing,
)

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def header(**values: Any) -> RunHeader:
    fields: dict[str, Any] = {
        "benchmark": "made",
        "benchmark_options": {"subtitles": "ours"},
        "split": "test",
        "source": "made.json sha256 abc",
        "revision": "abc",
        "rules": ("strict", "videomme-official"),
        "missing_videos": (),
        "missing_subtitles": (),
        "num_questions": 6,
        "num_videos": 3,
        "retriever": "mini",
        "retriever_details": "mini 123",
        "answerer": "extractive",
        "subtitles": "retrieved",
        "top_k": 5,
        "frames": 16,
        "forms": ("choices",),
        "limit": None,
        "shard": None,
        "abstain_below": 0.5,
        "options": Options(),
        "commit": "1234567",
        "machine": "here",
    }
    return RunHeader(**fields | values)


def question(number: int, **values: Any) -> QuestionRecord:
    fields: dict[str, Any] = {
        "number": number,
        "benchmark": "made",
        "split": "test",
        "revision": "abc",
        "retriever": "mini",
        "answerer": "extractive",
        "subtitles": "retrieved",
        "subtitle_source": "v.srt (ours)",
        "speech_source": "v.srt",
        "screen_source": "rapidocr",
        "question_id": f"q{number}",
        "video_id": f"v{number // 2}",
        "form": "choices",
        "question": "Which colour is the boat?",
        "options": ("red", "blue", "green"),
        "gold": "B",
        "is_absent": False,
        "groups": {"task": ("colour", "boat")},
        "gold_modality": "video",
        "evidence": (GoldSpan(video_id=f"v{number // 2}", start_seconds=3, stop_seconds=8),),
        "status": "answered",
        "reason": None,
        "found": (
            FoundClip(
                clip_id="c",
                video_id=f"v{number // 2}",
                start_seconds=0,
                stop_seconds=10,
                score=0.5,
                modality="asr",
            ),
        ),
        "frame_seconds": (2.5,),
        "prompt_characters": 100,
        "prompt_sha256": "f" * 64,
        "reply": "Answer: B",
        "answer_text": "Answer: B",
        "confidence": 0.7,
        "picked": {"strict": "B", "videomme-official": "A"},
        "is_right": True,
        "timing": QuestionTiming(search_seconds=0.01 * number, answer_seconds=2.0),
    }
    return QuestionRecord(**fields | values)


def video(number: int) -> VideoRecord:
    return VideoRecord(
        number=number,
        video_id=f"v{number}",
        file_name=f"v{number}.mp4",
        status="indexed",
        reason=None,
        duration_seconds=60.0,
        num_clips=3,
        num_questions=2,
        subtitle_source=None,
        speech_source="v.srt",
        screen_source="rapidocr",
        timing=VideoTiming(index_seconds=1.5, index_bytes=1000),
    )


def write_run(folder: Path, numbers: list[int], *, shard: tuple[int, int] | None = None) -> Path:
    begin_run(folder, header(shard=shard, machine=f"machine of {folder.name}"))
    with RecordFile(folder / RECORDS_NAME, QuestionRecord) as file:
        for number in numbers:
            file.append(question(number))
    with RecordFile(folder / VIDEOS_NAME, VideoRecord) as videos:
        for number in dict.fromkeys(number // 2 for number in numbers):
            videos.append(video(number))
    return folder


# --- one file


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "run", [0, 1, 2]))
    assert run.records == tuple(question(number) for number in (0, 1, 2))
    assert run.videos == (video(0), video(1))
    assert run.header == header(machine="machine of run")


@settings(deadline=None, max_examples=30)
@given(reply=ANY_TEXT, question_text=ANY_TEXT, options=st.lists(ANY_TEXT, max_size=4))
def test_a_record_is_one_line_whatever_a_model_writes(
    tmp_path_factory: pytest.TempPathFactory, reply: str, question_text: str, options: list[str]
) -> None:
    path = tmp_path_factory.mktemp("run") / RECORDS_NAME
    record = question(0, reply=reply, question=question_text, options=tuple(options))
    with RecordFile(path, QuestionRecord) as file:
        file.append(record)
    assert path.read_bytes().count(b"\n") == 1
    with RecordFile(path, QuestionRecord) as file:
        assert file.done == (record,)


@pytest.mark.parametrize("num_bytes", [1, 40, 700])
def test_a_torn_last_line_is_cut_off_and_the_next_one_takes_its_place(
    tmp_path: Path, num_bytes: int
) -> None:
    whole, path = tmp_path / "whole", tmp_path / RECORDS_NAME
    for each, numbers in ((whole, [0, 1, 2]), (path, [0, 1])):
        with RecordFile(each, QuestionRecord) as file:
            for number in numbers:
                file.append(question(number))
    torn = question(2).model_dump_json().encode()[:num_bytes]
    path.write_bytes(path.read_bytes() + torn)
    with RecordFile(path, QuestionRecord) as file:
        assert [record.number for record in file.done] == [0, 1]
        file.append(question(2))
    assert path.read_bytes() == whole.read_bytes()


def test_what_a_power_cut_leaves_at_the_end_is_torn_too(tmp_path: Path) -> None:
    path = tmp_path / RECORDS_NAME
    with RecordFile(path, QuestionRecord) as file:
        file.append(question(0))
    path.write_bytes(path.read_bytes() + b"\0" * 300 + b"\n")
    with RecordFile(path, QuestionRecord) as file:
        assert [record.number for record in file.done] == [0]
    assert path.read_bytes() == question(0).model_dump_json().encode() + b"\n"


def test_reading_a_run_that_is_at_work_leaves_its_file_alone(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [0])
    path = folder / RECORDS_NAME
    path.write_bytes(path.read_bytes() + b'{"schema_ver')
    before = path.read_bytes()
    assert len(load_run(folder).records) == 1
    assert path.read_bytes() == before


def test_a_spoiled_line_in_the_middle_is_named_and_nothing_is_cut(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [0, 1, 2])
    path = folder / RECORDS_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    spoiled = b"".join([lines[0], lines[1].replace(b'"q1"', b"7"), lines[2]])
    path.write_bytes(spoiled)
    with pytest.raises(UsageError, match=r"records.jsonl, line 2 is no record: question_id"):
        RecordFile(path, QuestionRecord)
    assert path.read_bytes() == spoiled
    # The failed attempt holds no lock.
    path.write_bytes(b"".join(lines))
    with RecordFile(path, QuestionRecord) as file:
        assert len(file.done) == 3


def test_a_last_line_of_another_version_is_not_taken_for_torn(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", [0]) / RECORDS_NAME
    path.write_bytes(path.read_bytes().replace(b'"schema_version":1', b'"schema_version":2'))
    with pytest.raises(UsageError, match="line 1 is no record: schema_version"):
        RecordFile(path, QuestionRecord)


def test_two_processes_do_not_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / RECORDS_NAME
    script = (
        "import sys; from pathlib import Path\n"
        "from eval.run_records import QuestionRecord, RecordFile\n"
        "from clamr_rag.errors import UsageError\n"
        "try:\n    RecordFile(Path(sys.argv[1]), QuestionRecord)\n"
        "except UsageError as error:\n    print(error)\n"
    )
    with RecordFile(path, QuestionRecord):
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
        )
    assert "another process is writing" in done.stdout


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        question(0, frames_used=3)


# --- timing


def test_timing_is_the_last_field_and_all_that_equal_runs_may_differ_in() -> None:
    one, other = question(3), question(3, timing=QuestionTiming(answer_seconds=99, reply_tokens=7))
    assert one.model_dump_json() != other.model_dump_json()
    assert without_timing(one) == without_timing(other)
    assert without_timing(one) != without_timing(question(3, reply="Answer: C"))
    assert list(json.loads(one.model_dump_json()))[-1] == "timing"
    assert list(json.loads(video(0).model_dump_json()))[-1] == "timing"


def test_the_digest_of_a_run_sees_every_field_but_timing(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "a", [0, 1]))
    same = load_run(write_run(tmp_path / "b", [0, 1]))
    assert digest(run) == digest(same)
    assert digest(run) != digest(load_run(write_run(tmp_path / "c", [0])))


# --- the header


def test_a_run_goes_on_with_the_same_header_wherever_it_is(tmp_path: Path) -> None:
    begin_run(tmp_path / "run", header())
    before = (tmp_path / "run" / HEADER_NAME).read_bytes()
    begin_run(tmp_path / "run", header(machine="another one"))
    assert (tmp_path / "run" / HEADER_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frames": 32}, "frames: 16, now 32"),
        ({"retriever": "bm25"}, "retriever: 'mini', now 'bm25'"),
        ({"commit": "7654321"}, "commit: '1234567', now '7654321'"),
        ({"revision": "def"}, "revision: 'abc', now 'def'"),
        ({"missing_videos": ("v1",)}, "missing_videos: [], now ['v1']"),
        ({"benchmark_options": {}}, "benchmark_options"),
        (
            {"options": Options(answer=AnswerOptions(frames=3))},
            "options.answer.frames: 16, now 3",
        ),
    ],
)
def test_another_run_in_the_folder_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    begin_run(tmp_path / "run", header())
    with pytest.raises(UsageError) as caught:
        begin_run(tmp_path / "run", header(**change))
    assert said in str(caught.value)
    assert "holds another run" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_records_without_a_header_are_not_taken_over(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [0])
    (folder / HEADER_NAME).unlink()
    with pytest.raises(UsageError, match="records without"):
        begin_run(folder, header())


def test_a_folder_without_a_run_and_a_header_of_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run\.json"):
        load_run(tmp_path)
    (tmp_path / HEADER_NAME).write_text(header().model_dump_json().replace(":1,", ":9,", 1))
    with pytest.raises(UsageError, match="schema_version"):
        load_run(tmp_path)


def test_a_shard_is_one_of_some() -> None:
    with pytest.raises(ValidationError, match="1/n to n/n"):
        header(shard=(3, 2))


# --- shards


@settings(deadline=None, max_examples=20)
@given(owner=st.lists(st.integers(0, 2), min_size=6, max_size=6), order=st.permutations(range(3)))
def test_shards_in_any_order_have_the_bytes_of_one_run(
    tmp_path_factory: pytest.TempPathFactory, owner: list[int], order: list[int]
) -> None:
    """Whichever shard has asked what, as long as each question was asked once."""
    folder = tmp_path_factory.mktemp("shards")
    owners = {number: owner[number // 2] for number in range(6)}
    whole = load_run(write_run(folder / "whole", list(range(6))))
    shards = [
        write_run(folder / f"{n}", [q for q in owners if owners[q] == n], shard=(n + 1, 3))
        for n in range(3)
    ]
    merged = merge([shards[n] for n in order], folder / "merged")
    assert digest(merged) == digest(whole)
    assert merged.records == load_run(folder / "merged").records
    assert (folder / "merged" / RECORDS_NAME).read_bytes() == (
        folder / "whole" / RECORDS_NAME
    ).read_bytes()
    assert merged.header.differences(whole.header) == []
    assert merged.header.machine.count("machine of") == 3


def test_an_unfinished_a_missing_a_double_and_a_foreign_shard_are_refused(tmp_path: Path) -> None:
    first = write_run(tmp_path / "1", [0, 1, 2], shard=(1, 2))
    second = write_run(tmp_path / "2", [4, 5], shard=(2, 2))
    with pytest.raises(UsageError, match="5 question records of 6"):
        merge([first, second], tmp_path / "out")
    with pytest.raises(UsageError, match=r"got shards 1/2; allowed"):
        merge([first], tmp_path / "out")
    with pytest.raises(UsageError, match="got shards 1/2, 1/2"):
        merge([first, first], tmp_path / "out")
    begin_run(tmp_path / "3", header(shard=(2, 2), top_k=9))
    with pytest.raises(UsageError, match=r"different runs \(top_k: 5, now 9"):
        merge([first, tmp_path / "3"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_merging_overwrites_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", list(range(6)))
    with pytest.raises(UsageError, match="is not empty"):
        merge([run], run)


def test_the_command_merges_and_prints_digests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_run(tmp_path / "1", [0, 1, 2, 3], shard=(1, 2))
    second = write_run(tmp_path / "2", [4, 5], shard=(2, 2))
    assert main(["merge", str(second), str(first), "--out", str(tmp_path / "out")]) == 0
    assert "6 questions, 3 videos" in capsys.readouterr().out
    whole = write_run(tmp_path / "whole", list(range(6)))
    assert main(["digest", str(tmp_path / "out"), str(whole)]) == 0
    sums = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert sums[0] == sums[1]
    assert main(["merge", str(first), "--out", str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err.startswith("error: got shards 1/2")


# --- what figures are made of


def test_a_record_is_read_by_every_rule_and_by_moments() -> None:
    record = question(0, reply="A man is shown, so it is B")
    assert record.graded("videomme-official").picked == "A"
    assert record.graded("strict").picked is None
    assert record.graded("strict").groups == {"task": ("colour", "boat")}
    assert record.found_moments[0].overlap_seconds(record.gold_moments[0]) == 5
    assert record.letters == "ABC"
    with pytest.raises(ValueError, match="no gold letter"):
        question(0, gold=None).graded("strict")


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ({}, True),
        ({"status": "declined"}, True),
        ({"status": "failed"}, True),
        ({"status": "skipped"}, False),
        ({"gold": None}, False),
        ({"gold": None, "is_absent": True}, True),
    ],
)
def test_what_was_never_put_or_has_no_known_answer_is_in_no_figure(
    values: dict[str, Any], counted: bool
) -> None:
    assert question(0, **values).is_counted is counted
