"""Video-MME, Video-MME-v2, LongVideoBench, MLVU and LVBench, from files to the known scores."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import benchmark_files as files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import make_video

from clamr_rag.errors import UsageError
from clamr_rag.media import probe
from clamr_rag.types import TimeSpan
from eval.benchmarks import MODULES, load_benchmark, load_options, load_qa, load_retrieval
from eval.benchmarks.__main__ import main
from eval.benchmarks.arrow import parquet_rows
from eval.benchmarks.evidence import moments_of
from eval.benchmarks.interleaving import interleave, timed_texts
from eval.benchmarks.options import split_options
from eval.benchmarks.records import BenchmarkQuestion, BenchmarkVideo, QaBenchmark, TimedText
from eval.benchmarks.rows import file_text, json_rows, jsonl_rows
from eval.benchmarks.sampling import (
    SAMPLINGS,
    Footage,
    frame_seconds,
    in_clues,
    prompt_seconds,
    sample,
)
from eval.benchmarks.subtitles import (
    FIRST_CUE,
    FONT_TAG,
    FONT_TAG_WHOLE,
    INTERLEAVED,
    OURS,
    PICKS,
    READERS,
    V2_SENTENCES,
    V2_WORDS,
    read_subtitles,
    subtitles_of,
    texts_at,
)
from eval.benchmarks.videomme_v2 import group_questions
from eval.benchmarks.word_times import interleave_sentences
from eval.extractors import RULES
from eval.metrics.accuracy import Graded, accuracy, accuracy_by, grade, macro, pooled
from eval.metrics.moments import Moment, coverage, hit_at
from eval.metrics.video_groups import score_groups

LAWS = settings(max_examples=50, deadline=None)
FOOTAGE = Footage(300, 30.0)


def graded(benchmark: QaBenchmark, rule: str, replies: Mapping[str, str]) -> list[Graded]:
    """Every question with its reply as the rule reads it; None where there is none."""
    return [
        grade(
            rule,
            replies.get(question.question_id),
            question_id=question.question_id,
            video_id=question.video_id,
            gold=question.answer or "",
            letters=question.letters,
            choices=question.options,
            groups=question.groups,
        )
        for question in benchmark.questions
    ]


# Scores, from files


@pytest.mark.parametrize(
    ("rule", "official", "full"),
    [
        ("videomme-official", "50.0", "33.3"),
        ("mcq-lmms-eval@75571cf", "66.7", "66.7"),
        ("videomme-vlmevalkit@e8e78f0", "33.3", "33.3"),
        ("strict", "66.7", "66.7"),
    ],
)
def test_videomme_files_score_33_50_or_67(
    tmp_path: Path, rule: str, official: str, full: str
) -> None:
    benchmark = load_qa("videomme", files.write_video_mme(tmp_path))
    assert rule in benchmark.rules
    score = accuracy(graded(benchmark, rule, files.VIDEO_MME_REPLIES))
    assert score.official is not None
    assert (f"{100 * score.official:.1f}", f"{100 * score.full:.1f}") == (official, full)


def test_mlvu_files_score_62_by_task_and_40_by_question(tmp_path: Path) -> None:
    benchmark = load_qa("mlvu", files.write_mlvu_dev(tmp_path))
    questions = graded(benchmark, "mlvu-official", files.MLVU_REPLIES)
    assert 100 * macro(accuracy_by(questions, "task")) == 62.5
    assert 100 * accuracy(questions).full == 40.0


@pytest.mark.parametrize("is_parquet", [False, True])
def test_longvideobench_files_score_two_thirds(tmp_path: Path, is_parquet: bool) -> None:
    if is_parquet:
        files.write_parquet(tmp_path / "validation-00000.parquet", files.lvb_parquet_rows())
        files.write_lvb_media(tmp_path)
    else:
        files.write_lvb(tmp_path)
    benchmark = load_qa("longvideobench", tmp_path)
    questions = graded(benchmark, "longvideobench-lmms-eval@75571cf", files.LVB_REPLIES)
    both = [*accuracy_by(questions, "duration").values()]
    both += accuracy_by(questions, "category").values()
    assert round(pooled(both).full, 5) == 0.66667
    assert [question.letters for question in benchmark.questions] == ["ABCDE", "ABCD", "ABCDE"]


STRUCTURES = {
    "[1, 2, 3, 4]": {"1000": 6.25, "1100": 25.0, "1110": 56.25, "1111": 100.0, "0111": 0.0},
    "[1, [2, 3], 4]": {"1001": 8.33, "1010": 33.33, "1011": 33.33, "1101": 33.33, "1110": 58.33},
    "[[1, 2], 3, 4]": {"0111": 10.0, "1011": 10.0, "1101": 20.0, "1110": 50.0, "0011": 0.0},
}
"""The logic table: structure, pattern of right answers, points."""


@pytest.mark.parametrize("structure", STRUCTURES)
def test_v2_files_score_as_the_logic_table(tmp_path: Path, structure: str) -> None:
    # The file's rows stand in another order than the questions' numbers.
    rows = files.v2_rows(1, "logic", structure)[::-1]
    benchmark = load_qa("videomme_v2", files.write_v2(tmp_path, rows))
    for pattern, points in STRUCTURES[structure].items():
        replies = {f"001-{n}": "H" if mark == "1" else "A" for n, mark in enumerate(pattern, 1)}
        questions = graded(benchmark, "videomme-v2-official", replies)
        right = {question.question_id: question.is_right for question in questions}
        report = score_groups(group_questions(benchmark, right))
        assert round(report.overall, 2) == points
        assert (report.by_level.keys(), report.by_second_head.keys()) == ({"2"}, {"Order"})
        assert report.by_third_head == {}


def test_v2_relevance_groups_square_the_share(tmp_path: Path) -> None:
    rows = files.v2_rows(1, "relevance", "None") + files.v2_rows(2, "relevance", None, "3")
    benchmark = load_qa("videomme_v2", files.write_v2(tmp_path, rows))
    right = {"001-2": True, "001-4": True, "002-1": True}
    report = score_groups(group_questions(benchmark, right))
    assert report.overall == (25.0 + 6.25) / 2
    assert report.by_level == {"2": 25.0, "3": 6.25}
    assert benchmark.missing_videos == benchmark.missing_subtitles == ("002",)


def test_lvbench_counts_a_question_in_each_of_its_types(tmp_path: Path) -> None:
    benchmark = load_qa("lvbench", files.write_lvbench(tmp_path))
    questions = graded(benchmark, "lvbench-official", {"1": "(C) 1363", "2": "B"})
    types = accuracy_by(questions, "type")
    assert {name: score.official for name, score in types.items()} == {
        "ER": 1.0,
        "KIR": None,
        "TG": 0.5,
    }
    score = accuracy(questions)
    assert (score.official, score.full) == (0.5, 1 / 3)


# What the loaders find


def test_videomme_finds_what_is_there_and_names_what_is_not(tmp_path: Path) -> None:
    benchmark = load_qa("videomme", files.write_video_mme(tmp_path))
    assert benchmark.videos["tube001"].path == tmp_path / "data/tube001.mp4"
    assert benchmark.videos["tube301"].path == tmp_path / "data/tube301.MP4"
    assert benchmark.missing_videos == ("tube601",)
    assert benchmark.missing_subtitles == ("tube301", "tube601")
    first = benchmark.questions[0]
    assert first.options == ("Orbit.", "Comet.", "Moon.", "Sun.")
    assert first.groups["task"] == ("OCR Problems",)
    assert (first.question_id, first.video_id, first.answer) == ("001-1", "tube001", "C")
    assert benchmark.source.startswith("test-00000-of-00001.parquet sha256:")
    assert len(benchmark.source.rpartition(":")[2]) == 64


def test_a_real_video_is_found_and_can_be_probed(tmp_path: Path) -> None:
    files.write_video_mme(tmp_path)
    folder = tmp_path / "videos_chunked_02/data"
    folder.mkdir(parents=True)
    made = make_video(folder / "tube601.mp4")
    benchmark = load_qa("videomme", tmp_path)
    found = benchmark.videos["tube601"].path
    assert found == made.path
    assert found is not None
    assert probe(found).duration_seconds == pytest.approx(2, abs=0.1)
    assert benchmark.missing_videos == ()


def test_videomme_has_lmms_evals_long_task(tmp_path: Path) -> None:
    benchmark = load_qa("videomme", files.write_video_mme(tmp_path), duration="long")
    assert [question.question_id for question in benchmark.questions] == ["601-1"]
    assert list(benchmark.videos) == ["tube601"]


def test_without_subtitles_none_are_missing(tmp_path: Path) -> None:
    files.write_video_mme(tmp_path)
    (tmp_path / "subtitle/tube001.srt").write_text("not read", encoding="utf-8")
    benchmark = load_qa("videomme", tmp_path, subtitles="none")
    assert benchmark.missing_subtitles == ()
    assert {video.subtitles for video in benchmark.videos.values()} == {None}


def test_v2_options_come_out_of_one_text(tmp_path: Path) -> None:
    rows = files.v2_rows(1, "relevance", None)
    rows[0]["options"] = "A. one\nof two lines\nB. two\nC. A. Milne\nD. d\nE. e\nF. f\nG. g\nH. h"
    benchmark = load_qa("videomme_v2", files.write_v2(tmp_path, rows))
    assert benchmark.questions[0].options[:3] == ("one\nof two lines", "two", "A. Milne")
    assert len(benchmark.questions[0].options) == 8
    assert benchmark.videos["001"].path == tmp_path / "videos/001.mp4"


def test_v2_video_ids_without_their_zeros_are_the_same_videos(tmp_path: Path) -> None:
    rows = [row | {"video_id": 1} for row in files.v2_rows(1, "relevance", None)]
    benchmark = load_qa("videomme_v2", files.write_v2(tmp_path, rows))
    assert list(benchmark.videos) == ["001"]
    assert benchmark.missing_videos == ()


def test_longvideobench_hides_the_answers_of_its_test_split(tmp_path: Path) -> None:
    rows = files.lvb_rows()
    for row in rows:
        del row["correct_choice"]
    files.write_json(tmp_path / "lvb_test_wo_gt.json", rows)
    benchmark = load_qa("longvideobench", tmp_path, split="test")
    assert [question.answer for question in benchmark.questions] == [None] * 3
    with pytest.raises(UsageError, match=r"has no lvb_val\.json"):
        load_qa("longvideobench", tmp_path)


def test_questions_about_other_cuts_of_a_file_have_a_video_of_their_own(tmp_path: Path) -> None:
    first = files.lvb_row("aaa", 15, "S2E")
    again, later = first | {"id": "aaa_1"}, first | {"id": "aaa_2"}
    later["starting_timestamp_for_subtitles"] = 30.0
    benchmark = load_qa("longvideobench", files.write_lvb(tmp_path, [first, again, later]))
    assert [question.video_id for question in benchmark.questions] == ["aaa", "aaa", "aaa#2"]
    starts = [
        video.subtitles.texts[0].start_seconds
        for video in benchmark.videos.values()
        if video.subtitles
    ]
    assert starts == [0.0, -20.0]


def test_a_question_without_a_subtitle_file_lacks_subtitles(tmp_path: Path) -> None:
    rows = [files.lvb_row("aaa", 15, "S2E"), files.lvb_row("ccc", 15, "S2E", subtitle_path=None)]
    benchmark = load_qa("longvideobench", files.write_lvb(tmp_path, rows))
    assert benchmark.missing_subtitles == ("ccc",)


def test_mlvu_dev_videos_lie_in_the_folder_of_their_task(tmp_path: Path) -> None:
    benchmark = load_qa("mlvu", files.write_mlvu_dev(tmp_path))
    assert list(benchmark.videos) == [
        "2_needle/needle_32",
        "4_count/count_1",
        "4_count/count_2",
        "4_count/count_3",
    ]
    assert benchmark.missing_videos == ("2_needle/needle_32", "4_count/count_3")
    assert benchmark.videos["4_count/count_1"].duration_seconds == 480.5
    assert benchmark.source.count("sha256:") == 7


@pytest.mark.parametrize(
    ("candidates", "answer", "letter"),
    [
        ([3, 1, 2], 1, "B"),
        (["3", "1", "2"], 2, "C"),
        (["Red ", "blue", "red"], "red", "C"),
        (["Red ", "blue", "green"], "red", "A"),
        (["x", "y", "x"], "x", "C"),
    ],
)
def test_mlvu_answers_are_found_among_the_options(
    tmp_path: Path, candidates: list[object], answer: object, letter: str
) -> None:
    row = files.mlvu_row("count_1.mp4", candidates=candidates, answer=answer)
    benchmark = load_qa("mlvu", files.write_mlvu_dev(tmp_path, count_rows=[row]))
    (question,) = (q for q in benchmark.questions if q.groups["task"] == ("count",))
    assert question.answer == letter
    assert all(isinstance(option, str) for option in question.options)


def test_mlvu_generation_tasks_are_open_questions(tmp_path: Path) -> None:
    benchmark = load_qa("mlvu", files.write_mlvu_dev(tmp_path), tasks="generation")
    assert [q.groups["task"] for q in benchmark.questions] == [("sub_scene",), ("summary",)]
    assert {(q.options, q.letters, q.answer) for q in benchmark.questions} == {((), "", "Rain.")}


def test_mlvu_test_takes_the_public_ground_truth(tmp_path: Path) -> None:
    benchmark = load_qa("mlvu", files.write_mlvu_test(tmp_path), split="test")
    assert [(q.question_id, q.answer) for q in benchmark.questions] == [
        ("AC_0", "C"),
        ("SQA_0", "F"),
    ]
    assert benchmark.missing_videos == ("test_2",)
    # Six options, of which the rule of lmms-eval has letters for four: the reader gets all six.
    assert graded(benchmark, "strict", {"SQA_0": "F"})[1].is_right


@pytest.mark.parametrize(("split", "task"), [("dev", "count"), ("test", "needleQA")])
def test_mlvu_in_the_layout_of_lmms_eval(tmp_path: Path, split: str, task: str) -> None:
    files.write_mlvu_lmms_eval(tmp_path, task)
    benchmark = load_qa("mlvu", tmp_path, split=split, layout="lmms-eval")
    (question,) = benchmark.questions
    assert question.text == "How many cups\nare there?"
    assert (question.options, question.answer) == (("one", "two", "three", "four"), "C")
    assert benchmark.missing_videos == ()


def test_mlvu_of_the_other_split_is_refused(tmp_path: Path) -> None:
    files.write_mlvu_lmms_eval(tmp_path, "needleQA")
    with pytest.raises(UsageError, match=r"parquet row 1: field 'task_type' is 'needleQA'"):
        load_qa("mlvu", tmp_path, layout="lmms-eval")


def test_lvbench_time_references_are_evidence(tmp_path: Path) -> None:
    benchmark = load_qa("lvbench", files.write_lvbench(tmp_path))
    spans = [question.evidence[0].span for question in benchmark.questions]
    # The first ends a minute behind the 65 minutes of its video, the last has no length.
    assert spans == [TimeSpan(3870, 3900), TimeSpan(15, 19), TimeSpan(310, 311)]
    gold = benchmark.questions[1].evidence
    found = [Moment("Cm73ma6Ibcs", TimeSpan(17, 30))]
    assert hit_at(found, gold, 1)
    assert coverage(found, gold) == 0.5
    assert not hit_at([Moment("other", TimeSpan(17, 30))], gold, 1)
    assert benchmark.missing_videos == ("other",)


@pytest.mark.parametrize("reference", ["05:10-05:00", "01:05:00-01:05:10", "02:00:00-03:00:00"])
def test_a_time_reference_that_holds_nothing_is_counted(tmp_path: Path, reference: str) -> None:
    rows = [files.lvbench_question("8"), files.lvbench_question("9", time_reference=reference)]
    files.write_lvbench(tmp_path, [files.lvbench_video(*rows)])
    benchmark = load_qa("lvbench", tmp_path)
    assert benchmark.questions[1].evidence == ()
    assert [question.num_unusable_evidence for question in benchmark.questions] == [0, 1]
    assert benchmark.unusable_evidence == ("9",)


def test_lvbench_in_the_layout_of_lmms_eval(tmp_path: Path) -> None:
    files.write_lvbench_lmms_eval(tmp_path)
    benchmark = load_qa("lvbench", tmp_path, layout="lmms-eval")
    (question,) = benchmark.questions
    assert (question.text, question.answer) == ("What year?", "C")
    assert question.options == ("1636", "1366", "1363", "1633")
    assert question.groups == {"type": ("KIR",)}
    assert benchmark.missing_videos == ()


ALL = {
    "videomme": files.write_video_mme,
    "longvideobench": files.write_lvb,
    "mlvu": files.write_mlvu_dev,
    "lvbench": files.write_lvbench,
}


@pytest.mark.parametrize("name", ALL)
def test_every_benchmark_names_rules_that_exist_and_loads_the_same_twice(
    tmp_path: Path, name: str
) -> None:
    root = ALL[name](tmp_path)
    first, second = load_qa(name, root), load_qa(name, root)
    assert first.rules[0] == "strict"
    assert set(first.rules) <= RULES.keys()
    assert first == second
    assert {question.video_id for question in first.questions} == set(first.videos)
    assert first.missing_videos


# What is refused


def refused(write: Callable[[Path], object], name: str, root: Path, **options: str) -> str:
    write(root)
    with pytest.raises(UsageError) as caught:
        load_benchmark(name, root, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("answer", "E", r"row 2: field 'answer' is 'E'; allowed: A, B, C, D"),
        ("answer", "", r"row 2: field 'answer' is blank"),
        (
            "duration",
            "middle",
            r"row 2: field 'duration' is 'middle'; allowed: short, medium, long",
        ),
        ("domain", "Science", r"row 2: field 'domain' is 'Science'"),
        ("task_type", "OCR", r"row 2: field 'task_type' is 'OCR'"),
        (
            "options",
            ["A. x", "C. y"],
            r"row 2: field 'options' has the option 'C. y'; allowed: one",
        ),
        ("options", ["A. x"], r"row 2: field 'options' is \['A. x'\]; allowed: 2 or more texts"),
        (
            "videoID",
            "../tube001",
            r"row 2: field 'videoID' is '../tube001'; allowed: a path within",
        ),
        ("question", None, r"row 2: field 'question' is None; allowed: a text"),
        ("question_id", "001-1", r"got question id '001-1' twice"),
    ],
)
def test_a_wrong_videomme_row_is_named(tmp_path: Path, field: str, value: Any, said: str) -> None:
    files.write_video_mme(tmp_path, **{field: value})
    with pytest.raises(UsageError, match=said):
        load_benchmark("videomme", tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"group_structure": "[1, 2]"}, "row 1: got group structure '[1, 2]'; allowed: [1,2,3,4]"),
        ({"group_type": "other"}, "row 1: field 'group_type' is 'other'"),
        ({"question_id": "001-5"}, "row 1: field 'question_id' is '001-5'"),
        ({"answer": "I"}, "row 1: field 'answer' is 'I'"),
        ({"options": "one\ntwo"}, "row 1: field 'options' has no options"),
        ({"video_id": "002"}, "video 002 has 1 questions; allowed: 4"),
        ({"video_id": "../x"}, "row 1: field 'video_id' is '../x'"),
    ],
)
def test_a_wrong_v2_row_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    rows = files.v2_rows(1, "logic", "[1, 2, 3, 4]")
    rows[0] |= changes
    assert said in refused(lambda root: files.write_v2(root, rows), "videomme_v2", tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"correct_choice": 5}, "row 1: field 'correct_choice' is 5; allowed: 0 to 4"),
        ({"correct_choice": True}, "row 1: field 'correct_choice' is True"),
        ({"question_category": "X2Y"}, "row 1: field 'question_category' is 'X2Y'"),
        ({"duration_group": 30}, "row 1: field 'duration_group' is 30; allowed: 15, 60, 600, 3600"),
        ({"duration": -1}, "row 1: field 'duration' is -1"),
        ({"subtitle_path": "/etc/passwd"}, "row 1: field 'subtitle_path' is '/etc/passwd'"),
        ({"candidates": ["one"]}, "row 1: field 'candidates' is ['one']"),
        ({"candidates": list("abcdef")}, "row 1: has 6 options; allowed: 2 to 5"),
        ({"level": "L3"}, "row 1: field 'level' is 'L3'"),
    ],
)
def test_a_wrong_longvideobench_row_is_named(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    rows = files.lvb_rows()
    rows[0] |= changes
    assert said in refused(lambda root: files.write_lvb(root, rows), "longvideobench", tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer": "five"}, "4_count.json row 1: answer 'five' is none of the options"),
        ({"candidates": "one, two"}, "4_count.json row 1: field 'candidates' is 'one, two'"),
        ({"video": "../../x.mp4"}, "4_count.json row 1: field 'video' is '../../x.mp4'"),
        ({"duration": "long"}, "4_count.json row 1: field 'duration' is 'long'"),
    ],
)
def test_a_wrong_mlvu_row_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    rows = [files.mlvu_row("count_1.mp4", **changes)]
    assert said in refused(
        lambda root: files.write_mlvu_dev(root, count_rows=rows), "mlvu", tmp_path
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"time_reference": "15-19"}, "line 1 qa 1: field 'time_reference' is '15-19'"),
        ({"question_type": ["colour"]}, "line 1 qa 1: field 'question_type' has 'colour'"),
        ({"question_type": []}, "line 1 qa 1: field 'question_type' is []"),
        ({"question": "What year?"}, "line 1 qa 1: field 'question' has no options"),
        ({"answer": "(C)"}, "line 1 qa 1: field 'answer' is '(C)'; allowed: A, B, C, D"),
    ],
)
def test_a_wrong_lvbench_row_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    video = files.lvbench_video(files.lvbench_question("1", **changes))
    assert said in refused(lambda root: files.write_lvbench(root, [video]), "lvbench", tmp_path)


def test_options_of_a_loader_are_honoured_or_refused(tmp_path: Path) -> None:
    files.write_video_mme(tmp_path)
    with pytest.raises(UsageError, match=r"option 'frames'; allowed: subtitles, duration"):
        load_benchmark("videomme", tmp_path, frames="3")
    with pytest.raises(UsageError, match=r"got subtitles 'full'; allowed: videomme-lmms-eval@"):
        load_benchmark("videomme", tmp_path, subtitles="full")
    with pytest.raises(UsageError, match=r"got tasks 'generation'; allowed: choice"):
        load_benchmark("mlvu", tmp_path, tasks="generation", split="test")
    with pytest.raises(UsageError, match=r"got benchmark 'videomm'; allowed: videomme, "):
        load_benchmark("videomm", tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        load_benchmark("videomme", tmp_path / "none")
    with pytest.raises(UsageError, match="videomme has no queries"):
        load_retrieval("videomme", tmp_path)
    assert load_options("mlvu") == {"split": "dev", "layout": "official", "tasks": "choice"}


def test_a_folder_without_the_annotations_says_what_to_download(tmp_path: Path) -> None:
    for name in ("videomme", "videomme_v2", "longvideobench", "mlvu", "lvbench"):
        with pytest.raises(UsageError, match=r"has no .*; download "):
            load_benchmark(name, tmp_path)


def test_a_benchmark_without_a_question_is_refused(tmp_path: Path) -> None:
    files.write_lvb(tmp_path, [])
    with pytest.raises(UsageError, match=r"lvb_val.json sha256:.* holds no question"):
        load_benchmark("longvideobench", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("{}", "holds {}; allowed: a JSON list"),
        ("[1]", "row 1: is 1; allowed: an object"),
        ("[" * 100_000, "not JSON"),
        ('[{"a": 1}, {"a": 2}', "not JSON"),
    ],
)
def test_what_is_no_list_of_objects_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = files.write_text(tmp_path / "x.json", text)
    with pytest.raises(UsageError) as caught:
        json_rows(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_rows_of_damaged_files_are_refused(tmp_path: Path) -> None:
    lines = files.write_text(tmp_path / "x.jsonl", '{"a": 1}\n\n{"a": \n')
    with pytest.raises(UsageError, match=r"x\.jsonl line 3: not JSON"):
        jsonl_rows(lines)
    table = files.write_parquet(tmp_path / "x.parquet", [{"a": 1, "b": "x"}])
    with pytest.raises(UsageError, match=r"has no column 'c'; allowed: columns a, c; it has a, b"):
        parquet_rows(table, ("a", "c"))
    assert parquet_rows(table, ("a",), ("c",))[0].fields == {"a": 1}
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(UsageError, match=r"x\.parquet: not parquet"):
        parquet_rows(table, ("a",))
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(UsageError, match="latin: not UTF-8"):
        file_text(tmp_path / "latin")
    with pytest.raises(UsageError, match="gone: no such file"):
        file_text(tmp_path / "gone")


def test_json_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    row = json_rows(files.write_text(tmp_path / "x.json", '[{"a": NaN, "b": 1e999, "c": "1"}]'))[0]
    for name in "abcd":
        with pytest.raises(UsageError, match=rf"row 1: (has no )?field '{name}'"):
            row.number(name)


def test_a_line_separator_inside_a_json_text_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": "one\u2028two\x85"}\n', encoding="utf-8")
    assert [row.text("a") for row in jsonl_rows(path)] == ["one\u2028two\x85"]


def test_records_hold_together() -> None:
    video = {"v": BenchmarkVideo("v", None)}
    question = BenchmarkQuestion("q", "v", "What?", ("x", "y"), "B")
    whole = BenchmarkQuestion("w", "", "What?", (), "yes")
    QaBenchmark("n", "s", "f", video, (question, whole), ("strict",))
    with pytest.raises(ValueError, match=r"question q: got answer 'C'; allowed: one of AB"):
        BenchmarkQuestion("q", "v", "What?", ("x", "y"), "C")
    with pytest.raises(ValueError, match="first must be 'strict'"):
        QaBenchmark("n", "s", "f", video, (question,), ("mlvu-official",))
    with pytest.raises(ValueError, match="a question names 'v'"):
        QaBenchmark("n", "s", "f", {}, (question,), ("strict",))
    with pytest.raises(ValueError, match="missing_videos names 'x'"):
        QaBenchmark("n", "s", "f", video, (question,), ("strict",), ("x",))


OPTION_TEXTS = st.text(st.sampled_from("aB1 .)"), min_size=1).filter(
    lambda text: text.strip() == text and not text.startswith(("B", ".", ")"))
)


@LAWS
@given(
    st.lists(OPTION_TEXTS, min_size=2, max_size=6),
    st.sampled_from(["({}) {}", "{}. {}", "{}) {}", "{}: {}"]),
)
def test_options_come_back_from_the_text_that_they_were_put_into(
    options: list[str], form: str
) -> None:
    lines = [form.format(letter, text) for letter, text in zip("ABCDEF", options, strict=False)]
    text = "\n".join(["What is", "it?", *lines])
    assert split_options(text) == ("What is\nit?", tuple(options))


# Subtitles by every rule


@pytest.fixture
def srt_path(tmp_path: Path) -> Path:
    return files.write_text(tmp_path / "a.srt", files.VIDEO_MME_SRT)


def test_lmms_eval_keeps_tagged_text_and_overwrites_identical_times(srt_path: Path) -> None:
    subtitles = read_subtitles(FONT_TAG, srt_path)
    assert [cue.text for cue in subtitles.cues] == ["first words", "written over it", "upper"]
    assert (subtitles.path, subtitles.rule) == (srt_path, FONT_TAG)
    # At 1 fps: 2 lies in the first cue, 4 in the second and 5 on its end, 8 in the third.
    assert texts_at(subtitles, (2, 2, 5), Footage(10, 1.0)) == ("first words",)
    assert texts_at(subtitles, (8, 4, 1), Footage(10, 1.0)) == (
        "first words",
        "written over it",
        "upper",
    )


def test_an_untagged_cue_overwrites_a_tagged_one(tmp_path: Path) -> None:
    times = ("00:00:01,000", "00:00:02,000")
    text = files.srt((*times, files.font("gone")), (*times, "no tag"))
    path = files.write_text(tmp_path / "a.srt", text)
    assert read_subtitles(FONT_TAG, path).cues == ()
    assert [cue.text for cue in read_subtitles(FONT_TAG_WHOLE, path).cues] == ["gone"]


def test_the_whole_file_has_every_tagged_line(srt_path: Path) -> None:
    subtitles = read_subtitles(FONT_TAG_WHOLE, srt_path)
    every = ("first words", "overwritten", "written over it", "upper", "lower")
    assert texts_at(subtitles, (), FOOTAGE) == every
    assert subtitles.cues[-1].span == TimeSpan(8, 9)


def test_vlmevalkit_takes_the_first_cue_of_every_frame_again_and_again(srt_path: Path) -> None:
    subtitles = read_subtitles(FIRST_CUE, srt_path)
    assert [cue.text for cue in subtitles.cues] == [
        "first words",
        "without a tag",
        "overwritten",
        "written over it",
        "upper lower",
    ]
    # At 2 fps: 1 s is the border of the first cue and in none, at 2.5 s the first of two is shown,
    # at 4.5 s the long cue hides two others.
    found = texts_at(subtitles, (2, 5, 5, 9, 16, 17), Footage(20, 2.0))
    assert found == ("first words", "first words", "without a tag", "upper lower")


def test_ours_is_the_librarys_own_reader(srt_path: Path) -> None:
    subtitles = read_subtitles(OURS, srt_path)
    assert [cue.text for cue in subtitles.cues] == [
        "first words",
        "without a tag",
        "overwritten",
        "written over it",
        "upper\nlower",
    ]
    assert texts_at(subtitles, (1, 3), Footage(10, 1.0)) == ("first words", "without a tag")


def test_every_published_rule_can_be_asked_for(tmp_path: Path) -> None:
    root = files.write_video_mme(tmp_path)
    for rule, num_cues in ((FONT_TAG, 3), (FONT_TAG_WHOLE, 5), (FIRST_CUE, 5), (OURS, 5)):
        subtitles = load_qa("videomme", root, subtitles=rule).videos["tube001"].subtitles
        assert subtitles is not None
        assert (subtitles.rule, len(subtitles.cues)) == (rule, num_cues)
    assert READERS.keys() <= PICKS.keys()
    with pytest.raises(UsageError, match="got subtitle rule 'x'; allowed: videomme-lmms-eval"):
        read_subtitles("x", root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\n00:01 --> 00:02\nwords\n", r"cue 1: got time '00:01'; allowed: HH:MM:SS,mmm"),
        ("1\n00:00:01,0 --> 00:00:02,0\nx\n\n2\nno times\nwords\n", r"cue 2: got 'no times'"),
    ],
)
def test_a_cue_without_times_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = files.write_text(tmp_path / "a.srt", text)
    with pytest.raises(UsageError, match=said):
        read_subtitles(FONT_TAG, path)


def test_a_cue_that_ends_before_it_starts_is_shown_by_no_frame(tmp_path: Path) -> None:
    cue = ("00:00:05,000", "00:00:02,000", files.font("back"))
    path = files.write_text(tmp_path / "a.srt", files.srt(cue))
    subtitles = read_subtitles(FONT_TAG, path)
    assert [cue.span for cue in subtitles.cues] == [TimeSpan(5, 5)]
    assert texts_at(subtitles, range(10), Footage(10, 1.0)) == ()


def test_v2_words_and_sentences(tmp_path: Path) -> None:
    files.write_v2(tmp_path, files.v2_rows(1, "relevance", None))
    words = load_qa("videomme_v2", tmp_path).videos["001"].subtitles
    assert words is not None
    assert (words.rule, len(words.cues)) == (V2_WORDS, 5)
    assert texts_at(words, (), FOOTAGE) == ("So, hello. Today rain falls",)
    path = tmp_path / "subtitle/001.jsonl"
    sentences = read_subtitles(V2_SENTENCES, path)
    assert [(cue.text, cue.span) for cue in sentences.cues] == [
        ("So, hello.", TimeSpan(0.2, 0.9)),
        ("Today rain", TimeSpan(1.05, 1.9)),
        ("falls", TimeSpan(2.5, 2.9)),
    ]
    # Frames at 0.5 and 1.5 s of 3 s: the second sentence lasts into both intervals.
    assert interleave_sentences(sentences.texts, (1, 3), Footage(6, 2.0)) == (
        0,
        "[Subtitle 0.20s - 0.90s]: So, hello.",
        "[Subtitle 1.05s - 1.90s]: Today rain",
        1,
        "[Subtitle 1.05s - 1.90s]: Today rain",
        "[Subtitle 2.50s - 2.90s]: falls",
    )
    assert len(texts_at(sentences, (1, 3), Footage(6, 2.0))) == 4


def test_a_v2_sentence_that_ends_when_a_frame_is_shown_stands_after_it_as_well() -> None:
    texts = (TimedText(0.0, 1.0, "a"), TimedText(2.0, 2.5, "b"))
    parts = interleave_sentences(texts, (0, 2, 4), Footage(6, 2.0))
    a, b = "[Subtitle 0.00s - 1.00s]: a", "[Subtitle 2.00s - 2.50s]: b"
    assert parts == (0, a, 1, a, 2, b)


def test_a_wrong_v2_word_is_named(tmp_path: Path) -> None:
    word = {"text": "x", "start_time": 2.0, "end_time": 1.0}
    path = files.write_jsonl(tmp_path / "a.jsonl", [word])
    with pytest.raises(
        UsageError, match=r"line 1: ends at 1\.0; allowed: start_time 2\.0 or later"
    ):
        read_subtitles(V2_WORDS, path)


def test_longvideobench_interleaves_as_the_example(tmp_path: Path) -> None:
    benchmark = load_qa("longvideobench", files.write_lvb(tmp_path))
    subtitles = benchmark.videos["aaa"].subtitles
    assert subtitles is not None
    assert subtitles.rule == INTERLEAVED
    expected = (0, 1, "two", 2, "three", 3)
    assert interleave(subtitles.texts, (0, 25, 50, 75)) == expected
    assert texts_at(subtitles, (0, 25, 50, 75), Footage(100, 1.0)) == ("two", "three")
    assert benchmark.missing_subtitles == ("bbb", "ccc")
    spans = [cue.span for cue in subtitles.cues]
    assert spans[0] == TimeSpan(0, 2)
    # The end that is not there became the duration, and the offset was taken off it as well.
    assert spans[2] == TimeSpan(50, 90)


@pytest.mark.parametrize(("end", "stop"), [(None, 90.0), (70, 90.0), (70.0, 60.0), (True, 90.0)])
def test_an_end_that_is_no_float_becomes_the_duration(
    tmp_path: Path, end: object, stop: float
) -> None:
    path = files.write_json(tmp_path / "a.json", [{"timestamp": [60.0, end], "text": "x"}])
    assert timed_texts(path, 10.0, 100.0) == (TimedText(50.0, stop, "x"),)


@pytest.mark.parametrize(
    "row",
    [
        {"timestamp": [1.0], "text": "x"},
        {"timestamp": ["1", 2.0], "text": "x"},
        {"timestamp": [1.0, 2.0]},
        {"start": "1:2", "end": "00:00:02", "line": "x"},
        {"text": "x"},
        {"timestamp": [1.0, float("inf")], "text": "x"},
    ],
)
def test_a_wrong_subtitle_row_is_named(tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"timestamp": [1.0, 2.0], "text": "x"}, row]), encoding="utf-8")
    with pytest.raises(UsageError, match=r"a\.json row 2: "):
        timed_texts(path, 0.0, 10.0)


def test_texts_before_the_video_keep_their_times_for_the_rule_and_lose_them_as_cues() -> None:
    texts = (TimedText(-9, -5, "before"), TimedText(-3, 1, "into"), TimedText(2, 3, "in"))
    subtitles = subtitles_of(texts, Path("x"), INTERLEAVED)
    assert [(cue.start_seconds, cue.text) for cue in subtitles.cues] == [(0, "into"), (2, "in")]
    # Its middle lies before the first frame, which it covers: the text comes first.
    assert interleave(subtitles.texts, (0.0, 2.5)) == ("into", 0, 1, "in")


@LAWS
@given(
    st.lists(
        st.tuples(st.integers(-50, 500), st.integers(0, 300)).map(
            lambda pair: TimedText(pair[0] / 10, (pair[0] + pair[1]) / 10, "text")
        ),
        max_size=8,
    ),
    st.lists(st.integers(0, 500).map(lambda tenths: tenths / 10), max_size=8, unique=True).map(
        sorted
    ),
)
def test_interleaving_shows_every_frame_once_in_order_and_texts_that_cover_one(
    texts: list[TimedText], times: list[float]
) -> None:
    parts = interleave(texts, times)
    assert [part for part in parts if isinstance(part, int)] == list(range(len(times)))
    longer = [text for text in texts if text.stop_seconds - text.start_seconds >= 1]
    covering = [t for t in longer if any(t.start_seconds < s < t.stop_seconds for s in times)]
    assert len(covering) <= len(parts) - len(times) <= len(texts)


# Frames


def test_the_worked_examples_of_sampling() -> None:
    assert sample("inner@vlmevalkit", FOOTAGE, 4) == (60, 120, 180, 240)
    assert sample("longvideobench@official", FOOTAGE, 4) == (0, 75, 150, 225)
    assert sample("linspace@lmms-eval", FOOTAGE, 4) == (0, 99, 199, 299)
    assert sample("fps@vlmevalkit", FOOTAGE, 0.5) == (0, 60, 120, 180, 240)
    assert sample("fps@hourvideo", FOOTAGE, 0.5) == (0, 60, 120, 180, 240)
    clues = (TimeSpan(10, 20), TimeSpan(50, 60))
    assert in_clues(clues, 1.0, 8) == (11, 13, 16, 18, 51, 53, 56, 58)


def test_clue_shares_follow_length_with_at_least_one_each() -> None:
    clues = (TimeSpan(0, 30), TimeSpan(50, 51))
    assert in_clues(clues, 1.0, 4) == (5, 15, 25, 50)
    assert in_clues(clues, 1.0, 31) == (*range(30), 50)


def test_longvideobench_takes_at_most_a_frame_a_second_of_the_stated_length() -> None:
    assert sample("longvideobench@official", Footage(300, 30.0, stated_seconds=3.5), 16) == (
        0,
        35,
        70,
    )
    # The step is rounded down before it is multiplied, so the rest of the video is never seen.
    assert sample("longvideobench@official", Footage(310, 31.0), 4) == (0, 77, 154, 231)
    assert sample("longvideobench@official", Footage(15, 30.0), 16) == ()
    assert prompt_seconds(100.0, 4) == (0, 25, 50, 75)
    assert prompt_seconds(3.5, 16) == (0, 1, 2)


def test_rates_that_do_not_divide_take_floors_of_their_own() -> None:
    # 29.97 / 0.5 is 59.94: one harness rounds every product, the other the step.
    footage = Footage(600, 29.97)
    assert sample("fps@vlmevalkit", footage, 0.5)[-3:] == (419, 479, 539)
    assert sample("fps@hourvideo", footage, 0.5)[-3:] == (472, 531, 590)


def test_sampling_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="got sampling 'uniform'; allowed: inner@vlmevalkit"):
        sample("uniform", FOOTAGE, 4)
    with pytest.raises(ValueError, match="got a budget of 0"):
        sample("linspace@lmms-eval", FOOTAGE, 0)
    with pytest.raises(ValueError, match="needs frames and a rate, got 0"):
        Footage(0, 30.0)


@LAWS
@given(
    st.sampled_from(sorted(SAMPLINGS)), st.integers(1, 5000), st.integers(1, 60), st.integers(1, 64)
)
def test_sampled_frames_exist_and_ascend(rule: str, num_frames: int, fps: int, budget: int) -> None:
    footage = Footage(num_frames, float(fps))
    indices = sample(rule, footage, float(min(budget, fps) if "fps" in rule else budget))
    assert all(0 <= index < num_frames for index in indices)
    assert all(a <= b for a, b in itertools.pairwise(indices))
    assert all(
        0 <= seconds < footage.duration_seconds for seconds in frame_seconds(indices, footage)
    )
    if "fps" not in rule:
        assert len(indices) <= budget


# The command


def test_the_command_says_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.write_video_mme(tmp_path)
    assert main(["videomme", "--root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("videomme test: test-00000-of-00001.parquet sha256:")
    assert lines[1:] == [
        "videos     3, 1 not on disk (tube601)",
        "questions  3, 2 of them with their video on disk",
        "           0 open, 0 without an answer, 0 with evidence",
        f"subtitles  1 by {FONT_TAG}, 3 cues",
        "           2 missing (tube301, tube601)",
        "by duration: long 1, medium 1, short 1",
        "by domain: Knowledge 2, Multilingual 1",
        "by sub_category: Astronomy 2, Multilingual 1",
        "by task: Action Reasoning 1, OCR Problems 2",
        "scored by  strict, videomme-official, mcq-lmms-eval@75571cf, videomme-vlmevalkit@e8e78f0",
        f"options    subtitles={FONT_TAG} duration=all",
    ]


def test_the_command_counts_times_that_hold_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [files.lvbench_question("8"), files.lvbench_question("9", time_reference="05:10-05:00")]
    files.write_lvbench(tmp_path, [files.lvbench_video(*rows)])
    assert main(["lvbench", "--root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].endswith("1 with evidence")
    assert lines[4] == "           1 with stated times that hold nothing (9)"


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_video_mme(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"needs pyarrow; pip install 'clamr-rag\[eval\]'"):
        load_qa("videomme", tmp_path)


LENGTHS = st.integers(0, 40)


@LAWS
@given(st.lists(st.tuples(LENGTHS, LENGTHS)), st.none() | LENGTHS)
def test_evidence_has_length_lies_in_its_video_and_is_all_that_was_stated(
    stretches: list[tuple[int, int]], end: int | None
) -> None:
    found = moments_of("v", stretches, end)
    last = 40 if end is None else end
    seconds = [[n for n in range(last) if start <= n < stop] for start, stop in stretches]
    assert [list(range(int(m.span.start_seconds), int(m.span.stop_seconds))) for m in found] == [
        within for within in seconds if within
    ]


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.write_video_mme(tmp_path, answer="Z")
    assert main(["videomme", "--root", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "row 2: field 'answer' is 'Z'" in error
    assert main(["videomme", "--root", str(tmp_path), "subtitles"]) == 2
    assert "got 'subtitles'; allowed: key=value" in capsys.readouterr().err
    assert main(["videomme", "--root", str(tmp_path), "subtitles=none", "x=1"]) == 2


def test_many_missing_videos_are_counted_and_some_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [files.lvb_row(f"v{number}", 15, "S2E") for number in range(8)]
    files.write_lvb(tmp_path, rows)
    assert main(["longvideobench", "--root", str(tmp_path), "subtitles=none"]) == 0
    out = capsys.readouterr().out
    assert "videos     8, 8 not on disk (v0, v1, v2, v3, v4 and 3 more)" in out
    assert "subtitles  none" in out


def test_every_registered_module_has_options_with_text_defaults() -> None:
    for name in ("videomme", "videomme_v2", "longvideobench", "mlvu", "lvbench"):
        assert MODULES[name] == f"eval.benchmarks.{name}"
        assert all(isinstance(value, str) for value in load_options(name).values())
