"""CG-Bench, EgoSchema, HourVideo and Video-MMMU out of files as they are published."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from benchmark_files import touch, write_json, write_parquet

from clamr_rag.errors import UsageError
from clamr_rag.types import TimeSpan
from eval.benchmarks import load_benchmark, load_options, load_qa, load_retrieval
from eval.benchmarks.cgbench import clues, duration_label
from eval.benchmarks.egoschema import submission
from eval.benchmarks.hourvideo import image_options, shown_seconds
from eval.benchmarks.sampling import Footage, in_clues
from eval.benchmarks.subtitles import CG_CUES, texts_at
from eval.extractors import extract
from eval.extractors.cgbench import clue_intervals, names_gold
from eval.metrics.accuracy import accuracy, accuracy_by, grade
from eval.metrics.moments import (
    Moment,
    accuracy_at_iou,
    clue_recovery,
    coverage,
    hit_at,
    intervals_iou,
    mean_iou,
    recall_at_iou,
)

SRT = "1\n00:00:01,000 --> 00:00:02,500\nfirst words\n\n2\n00:00:03,000 --> 00:00:04,000\nsecond\n"


# CG-Bench


def cgbench_row(qid: int = 1, **changes: object) -> dict[str, object]:
    return {
        "qid": qid,
        "video_uid": "uid-a",
        "duration": 100.0,
        "domain": "GUI",
        "sub_category": "Time Cognition",
        "question": "Which button is pressed first?",
        "choices": ["Save", "Open", "Close"],
        "answer": "Close",
        "right_answer": "C",
        "clue_intervals": [[10, 20]],
    } | changes


@pytest.fixture
def cgbench(tmp_path: Path) -> Path:
    """Five questions with the clues of the protocol's IoU examples; of two videos one is here."""
    rows = [
        cgbench_row(1, clue_intervals=[[15, 25]]),
        cgbench_row(2, clue_intervals=[[10, 30]]),
        cgbench_row(3, clue_intervals=[[20, 30]]),
        cgbench_row(4),
        cgbench_row(5, video_uid="uid-b", duration=2400.5),
    ]
    write_json(tmp_path / "cgbench_mini.json", rows)
    write_json(tmp_path / "cgbench.json", [*rows, cgbench_row(6)])
    touch(tmp_path / "cg_videos_720p" / "uid-a.mp4")
    (tmp_path / "cg_subtitles").mkdir()
    (tmp_path / "cg_subtitles" / "uid-a.srt").write_text(SRT)
    return tmp_path


IOU_REPLIES = (
    ('```json\n{"result": [[10, 20]]}\n```', 1 / 3),
    ('```json\n{"result": [[0, 10], [5, 20]]}\n```', 1 / 3),
    ('```json\n{"result": [[10, 20]]}\n```', 0.0),
    ('```json\n{"result": [[0.1, 0.2]]}\n```', 1.0),
    ("It is at 00:15-00:25.", 0.4),
)
"""A reply to each question of the fixture and its IoU, as run on VLMEvalKit's own functions."""


def test_cgbench_iou_examples_of_the_protocol_through_the_files(cgbench: Path) -> None:
    benchmark = load_qa("cgbench", cgbench)
    ious = []
    for question, (reply, expected) in zip(benchmark.questions, IOU_REPLIES, strict=True):
        duration = benchmark.videos[question.video_id].duration_seconds or 0.0
        predicted = clue_intervals(reply, duration)
        assert predicted is not None
        ious.append(intervals_iou(predicted, clues(question)))
        assert ious[-1] == pytest.approx(expected, abs=1e-12), question.question_id

    assert mean_iou(ious).full == pytest.approx((1 / 3 + 1 / 3 + 0 + 1 + 0.4) / 5)
    # Strictly greater than .1 to .5: 3, 3, 0, 5 and, as .4 is not greater than .4, 3 of 5.
    assert recall_at_iou(ious).full == pytest.approx((3 + 3 + 0 + 5 + 3) / 25)
    right = [True, False, True, True, None]
    at_iou = accuracy_at_iou(list(zip(right, ious, strict=True)))
    assert at_iou.full == pytest.approx((3 + 0 + 0 + 5 + 0) / 25)
    assert at_iou.official == pytest.approx((3 + 0 + 0 + 5) / 20)


def test_cgbench_clue_mode_takes_the_published_frames(cgbench: Path) -> None:
    write_json(cgbench / "cgbench_mini.json", [cgbench_row(clue_intervals=[[10, 20], [50, 60]])])
    (question,) = load_qa("cgbench", cgbench).questions
    spans = [moment.span for moment in question.evidence]
    assert in_clues(spans, 1.0, 8) == (11, 13, 16, 18, 51, 53, 56, 58)


def test_cgbench_clues_are_evidence_that_retrieval_is_scored_against(cgbench: Path) -> None:
    question = load_qa("cgbench", cgbench).questions[0]
    assert question.evidence == (Moment("uid-a", TimeSpan(15, 25)),)
    retrieved = [Moment("uid-b", TimeSpan(15, 25)), Moment("uid-a", TimeSpan(20, 40))]
    assert not hit_at(retrieved, question.evidence, 1)
    assert hit_at(retrieved, question.evidence, 2)
    assert coverage(retrieved, question.evidence) == 0.5


def test_cgbench_multiple_choice_is_scored_by_its_rules(cgbench: Path) -> None:
    benchmark = load_qa("cgbench", cgbench)
    question = benchmark.questions[0]
    assert (question.options, question.answer) == (("Save", "Open", "Close"), "C")
    assert benchmark.rules == ("strict", "mcq-lmms-eval@75571cf")
    read = {rule: extract(rule, "I think it is C.", "ABC") for rule in benchmark.rules}
    assert read == {"strict": None, "mcq-lmms-eval@75571cf": "C"}
    assert names_gold("A or C", question.answer or "") is True
    assert clue_recovery(0.3, 0.6) == 0.5


def test_cgbench_open_ended_has_the_text_as_answer_and_no_options(cgbench: Path) -> None:
    benchmark = load_qa("cgbench", cgbench, answers="text")
    assert benchmark.split == "mini-open"
    assert {q.answer for q in benchmark.questions} == {"Close"}
    assert {q.options for q in benchmark.questions} == {()}
    assert benchmark.questions[0].evidence


def test_cgbench_counts_what_is_missing_and_names_its_source(cgbench: Path) -> None:
    benchmark = load_qa("cgbench", cgbench, subtitles="ours")
    assert benchmark.missing_videos == ("uid-b",)
    assert benchmark.missing_subtitles == ("uid-b",)
    video = benchmark.videos["uid-a"]
    assert video.path == cgbench / "cg_videos_720p" / "uid-a.mp4"
    assert video.subtitles is not None
    assert [cue.text for cue in video.subtitles.cues] == ["first words", "second"]
    assert video.subtitles.rule == "ours"
    digest = hashlib.sha256((cgbench / "cgbench_mini.json").read_bytes()).hexdigest()
    assert benchmark.source == f"cgbench_mini.json sha256:{digest}"


def test_cgbench_subtitles_by_the_published_rule(cgbench: Path) -> None:
    """Frame by frame all cues that strictly hold it, blank ones left out, each text once."""
    times = ((1, 3, "first"), (2, 6, "second"), (2, 4, "  "), (4, 6, "first"), (5, 8, "two\nlines"))
    cues = (f"{n}\n00:00:0{a},000 --> 00:00:0{b},000\n{t}\n" for n, (a, b, t) in enumerate(times))
    (cgbench / "cg_subtitles" / "uid-a.srt").write_text("\n".join(cues))
    subtitles = load_qa("cgbench", cgbench, subtitles=CG_CUES).videos["uid-a"].subtitles
    assert subtitles is not None
    assert subtitles.rule == "cgbench-vlmevalkit@e8e78f0"

    def at(*indices: int) -> tuple[str, ...]:
        return texts_at(subtitles, indices, Footage(20, 2.0))

    # At 2 fps frame 2 is at 1 s, the border of the first cue.
    assert at(2) == ()
    assert at(5, 5) == ("first", "second")
    assert at(11, 3) == ("second", "first", "two lines")
    assert at(19) == ()
    assert at() == ("first", "second", "two lines")


def test_cgbench_without_subtitles_asked_for_misses_none(cgbench: Path) -> None:
    benchmark = load_qa("cgbench", cgbench)
    assert benchmark.missing_subtitles == ()
    assert benchmark.videos["uid-a"].subtitles is None


def test_cgbench_full_is_the_other_file(cgbench: Path) -> None:
    assert len(load_qa("cgbench", cgbench, split="full").questions) == 6


@pytest.mark.parametrize(
    ("seconds", "label"),
    [
        (0, "0 ~ 10"),
        (600, "0 ~ 10"),
        (600.1, "10 ~ 20"),
        (2400.5, "40 ~ 50"),
        (3600, "50 ~ 60"),
        (3601, "60+"),
        (9000, "60+"),
    ],
)
def test_cgbench_durations_are_grouped_as_published(seconds: float, label: str) -> None:
    assert duration_label(seconds) == label


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"right_answer": "D"}, "right_answer"),
        ({"right_answer": "c"}, "right_answer"),
        ({"choices": "Save, Open"}, "choices"),
        ({"choices": ["Save", 3]}, "choices"),
        ({"choices": [str(n) for n in range(27)], "right_answer": "A"}, "27 texts"),
        ({"clue_intervals": [[-1, 10]]}, "clue_intervals"),
        ({"clue_intervals": [[1, float("inf")]]}, "clue_intervals"),
        ({"clue_intervals": [[1, 2, 3]]}, "clue_intervals"),
        ({"clue_intervals": [["1", "2"]]}, "clue_intervals"),
        ({"clue_intervals": "[[10, 20]]"}, "clue_intervals"),
        ({"clue_intervals": []}, "clue_intervals"),
        ({"duration": -1}, "duration"),
        ({"duration": "100"}, "duration"),
        ({"question": " "}, "question"),
        ({"video_uid": "../uid-a"}, "video_uid"),
        ({"qid": None}, "qid"),
    ],
)
def test_cgbench_refuses_a_wrong_row_by_file_and_number(
    cgbench: Path, changes: dict[str, object], message: str
) -> None:
    path = write_json(cgbench / "cgbench_mini.json", [cgbench_row(), cgbench_row(2) | changes])
    with pytest.raises(UsageError, match=message) as raised:
        load_qa("cgbench", cgbench)
    assert str(raised.value).startswith(f"{path} row 2")
    assert "\n" not in str(raised.value)


def test_cgbench_clues_that_hold_nothing_are_left_out_and_counted(cgbench: Path) -> None:
    told = [[20, 10], [5, 5], [90, 130]]
    rows = [cgbench_row(1), cgbench_row(2, clue_intervals=told), cgbench_row(3)]
    write_json(cgbench / "cgbench_mini.json", rows)
    benchmark = load_qa("cgbench", cgbench)
    question = benchmark.questions[1]
    # The video ends at 100 s: CG-Bench's own IoU does not cut.
    assert clues(question) == ((90.0, 130.0),)
    assert question.num_unusable_evidence == 2
    assert benchmark.unusable_evidence == ("2",)


def test_cgbench_refuses_a_row_without_a_field(cgbench: Path) -> None:
    row = cgbench_row()
    del row["clue_intervals"]
    write_json(cgbench / "cgbench_mini.json", [row])
    with pytest.raises(UsageError, match=r"row 1.*no field 'clue_intervals'"):
        load_qa("cgbench", cgbench)


def test_cgbench_refuses_unfinished_json_and_a_folder_without_it(cgbench: Path) -> None:
    (cgbench / "cgbench_mini.json").write_text('[{"qid": 1,')
    with pytest.raises(UsageError, match=r"cgbench_mini\.json"):
        load_qa("cgbench", cgbench)
    (cgbench / "cgbench_mini.json").unlink()
    with pytest.raises(UsageError, match=r"cgbench_mini\.json"):
        load_qa("cgbench", cgbench)


@pytest.mark.parametrize(
    "options", [{"split": "maxi"}, {"answers": "both"}, {"subtitles": "theirs"}, {"frames": "8"}]
)
def test_cgbench_refuses_options_that_it_does_not_have(
    cgbench: Path, options: dict[str, str]
) -> None:
    (value,) = options.values()
    with pytest.raises(UsageError, match=f"{value}|frames"):
        load_benchmark("cgbench", cgbench, **options)


# EgoSchema

EGO_OPTIONS = ["knits", "cooks", "paints", "sweeps", "reads"]


def ego_hub_row(name: str, answer: str | None) -> dict[str, object]:
    options = [f"{letter}. {text}" for letter, text in zip("ABCDE", EGO_OPTIONS, strict=True)]
    return {
        "question_idx": "0",
        "question": "What does C do?",
        "video_idx": name,
        "option": options,
        "answer": answer,
    }


@pytest.fixture
def ego_hub(tmp_path: Path) -> Path:
    """The hub's layout: two questions with answers, three without, one video on disk."""
    root = tmp_path / "hub"
    subset = [ego_hub_row("q-1", "2"), ego_hub_row("q-2", "0")]
    full = [*({**row, "answer": None} for row in subset), ego_hub_row("q-3", None)]
    write_parquet(root / "Subset" / "test-00000-of-00001.parquet", subset)
    write_parquet(root / "MC" / "test-00000-of-00001.parquet", full)
    touch(root / "videos" / "q-1.MP4")
    return root


@pytest.fixture
def ego_original(tmp_path: Path) -> Path:
    """The same in the original layout."""
    root = tmp_path / "original"
    rows = [
        {"q_uid": name, "google_drive_id": "x", "question": "What does C do?"}
        | {f"option {number}": text for number, text in enumerate(EGO_OPTIONS)}
        for name in ("q-1", "q-2", "q-3")
    ]
    write_json(root / "questions.json", rows)
    write_json(root / "subset_answers.json", {"q-1": 2, "q-2": 0})
    touch(root / "videos" / "q-1.mp4")
    return root


def test_egoschema_is_the_same_out_of_both_layouts(ego_hub: Path, ego_original: Path) -> None:
    hub, original = load_qa("egoschema", ego_hub), load_qa("egoschema", ego_original)
    assert hub.questions == original.questions
    assert [(q.question_id, q.answer) for q in hub.questions] == [("q-1", "C"), ("q-2", "A")]
    assert hub.questions[0].options == tuple(EGO_OPTIONS)
    assert hub.missing_videos == original.missing_videos == ("q-2",)
    assert hub.source.startswith("lmms-eval layout: test-00000-of-00001.parquet sha256:")
    assert original.source.startswith("original layout: questions.json sha256:")
    assert "subset_answers.json sha256:" in original.source


@pytest.mark.parametrize("layout", ["ego_hub", "ego_original"])
def test_egoschema_full_set_hides_its_answers(layout: str, request: pytest.FixtureRequest) -> None:
    benchmark = load_qa("egoschema", request.getfixturevalue(layout), split="full")
    assert [(q.question_id, q.answer) for q in benchmark.questions] == [
        ("q-1", None),
        ("q-2", None),
        ("q-3", None),
    ]


def test_egoschema_uses_the_layout_that_was_asked_for(ego_hub: Path, ego_original: Path) -> None:
    with pytest.raises(UsageError, match=r"questions\.json"):
        load_qa("egoschema", ego_hub, layout="original")
    with pytest.raises(UsageError, match="Subset"):
        load_qa("egoschema", ego_original, layout="lmms-eval")
    with pytest.raises(UsageError, match=r"MC/.*questions\.json"):
        load_qa("egoschema", ego_hub / "videos")


def test_egoschema_flags_the_reply_that_its_harness_guesses_on(ego_hub: Path) -> None:
    benchmark = load_qa("egoschema", ego_hub)
    question = benchmark.questions[0]
    graded = grade(
        "egoschema-lmms-eval@75571cf",
        "**C**",
        question_id=question.question_id,
        video_id=question.video_id,
        gold=question.answer or "",
        letters=question.letters,
        choices=question.options,
    )
    assert (graded.picked, graded.chance) == (None, 0.2)
    assert accuracy([graded]).num_unparsed == 1


def test_egoschema_submission_has_numbers_and_minus_one_for_no_letter() -> None:
    assert submission({"q-1": "C", "q-2": None, "q-3": "A"}) == {"q-1": 2, "q-2": -1, "q-3": 0}


@pytest.mark.parametrize("answer", ["5", "C", "", "-1", None])
def test_egoschema_refuses_an_answer_of_the_subset_that_is_no_option(
    ego_hub: Path, answer: str | None
) -> None:
    rows = [ego_hub_row("q-1", "2"), ego_hub_row("q-2", answer)]
    path = write_parquet(ego_hub / "Subset" / "test-00000-of-00001.parquet", rows)
    with pytest.raises(UsageError, match="answer") as raised:
        load_qa("egoschema", ego_hub)
    assert str(raised.value).startswith(f"{path} row 2")


def test_egoschema_refuses_options_that_are_not_five_or_not_lettered(ego_hub: Path) -> None:
    path = ego_hub / "Subset" / "test-00000-of-00001.parquet"
    row = ego_hub_row("q-1", "2")
    write_parquet(path, [row | {"option": ["A. knits", "B. cooks"]}])
    with pytest.raises(UsageError, match=r"row 1.*2 options"):
        load_qa("egoschema", ego_hub)
    write_parquet(path, [row | {"option": EGO_OPTIONS}])
    with pytest.raises(UsageError, match=r"row 1.*begins with A\."):
        load_qa("egoschema", ego_hub)


def test_egoschema_original_answers_must_be_of_its_questions(ego_original: Path) -> None:
    write_json(ego_original / "subset_answers.json", {"q-1": 2, "q-9": 1})
    with pytest.raises(UsageError, match="q-9"):
        load_qa("egoschema", ego_original)
    write_json(ego_original / "subset_answers.json", {"q-1": True})
    with pytest.raises(UsageError, match="q-1"):
        load_qa("egoschema", ego_original)
    rows = json.loads((ego_original / "questions.json").read_text())
    write_json(ego_original / "questions.json", [*rows, rows[0]])
    with pytest.raises(UsageError, match=r"row 4.*twice"):
        load_qa("egoschema", ego_original, split="full")


def test_a_parquet_file_that_is_none_or_lacks_a_column_is_named(ego_hub: Path) -> None:
    path = ego_hub / "Subset" / "test-00000-of-00001.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(UsageError, match=r"test-00000-of-00001\.parquet"):
        load_qa("egoschema", ego_hub)
    rows = [{"video_idx": "q-1", "question": "?"}]
    write_parquet(path, rows)
    with pytest.raises(UsageError, match="no column 'option'"):
        load_qa("egoschema", ego_hub)


# HourVideo


def hourvideo_row(qid: str, task: str, **changes: object) -> dict[str, object]:
    answers = {f"answer_{number}": f"choice {number}" for number in range(1, 6)}
    return {
        "qid": qid,
        "task": task,
        "question": "What happens?",
        "mcq_test": "What happens?\nA) ...",
        "correct_answer_label": "B",
        "relevant_timestamps": None,
        "video_uid": "written again",
        **answers,
    } | changes


PICTURES = {f"answer_{n}": f"images/layout/{n}.png" for n in range(1, 6)}


@pytest.fixture
def hourvideo(tmp_path: Path) -> Path:
    """Two videos, a remark, a predictive and an image question, one video and one picture here."""
    release = {
        "remark": "a marker that must stay in any copy",
        "uid-1": {
            "video_metadata": {"duration_in_seconds": 3600.5, "scenarios": ["Cooking"]},
            "benchmark_dataset": [
                hourvideo_row("1", "perception/tracking", relevant_timestamps="00:01:00-00:02:30"),
                hourvideo_row(
                    "2",
                    "reasoning/predictive",
                    relevant_timestamps=["00:40:00-00:41:00", "00:50:00-00:50:10"],
                ),
            ],
        },
        "uid-2": {
            "video_metadata": {"duration_in_seconds": 1800},
            "benchmark_dataset": [hourvideo_row("1", "reasoning/spatial/layout", **PICTURES)],
        },
    }
    folder = tmp_path / "v1.0_release"
    write_json(folder / "json" / "dev_v1.0_annotations.json", release)
    for entry in ("uid-1", "uid-2"):
        for row in release[entry]["benchmark_dataset"]:  # type: ignore[index]
            del row["correct_answer_label"]
    write_json(folder / "json" / "test_v1.0.json", release)
    touch(folder / "images" / "layout" / "1.png", tmp_path / "ego4d" / "v2" / "uid-2.mp4")
    return tmp_path


def test_hourvideo_reads_questions_times_and_groups(hourvideo: Path) -> None:
    benchmark = load_qa("hourvideo", hourvideo)
    tracking, predictive, layout = benchmark.questions
    assert tracking.question_id == "uid-1/1"
    assert layout.question_id == "uid-2/1"
    assert tracking.answer == "B"
    assert tracking.evidence == (Moment("uid-1", TimeSpan(60, 150)),)
    assert tracking.groups["task"] == ("perception/tracking",)
    assert tracking.groups["suite"] == ("perception",)
    assert layout.evidence == ()
    assert [m.span.start_seconds for m in predictive.evidence] == [2400, 3000]
    assert benchmark.videos["uid-1"].duration_seconds == 3600.5
    assert benchmark.missing_videos == ("uid-1",)
    assert benchmark.rules == ("strict",)


def test_hourvideo_cuts_the_video_of_a_predictive_question_at_its_evidence(
    hourvideo: Path,
) -> None:
    tracking, predictive, layout = load_qa("hourvideo", hourvideo).questions
    assert shown_seconds(predictive) == 2400
    assert shown_seconds(tracking) is None
    assert shown_seconds(layout) is None


def test_hourvideo_says_which_questions_have_pictures_as_options(hourvideo: Path) -> None:
    tracking, _, layout = load_qa("hourvideo", hourvideo).questions
    assert tracking.groups["options"] == ("text",)
    assert layout.groups["options"] == ("image",)
    assert image_options(tracking, hourvideo) == ()
    pictures = image_options(layout, hourvideo)
    assert [path.is_file() for path in pictures] == [True, False, False, False, False]

    without = load_qa("hourvideo", hourvideo, images="leave-out")
    assert [q.question_id for q in without.questions] == ["uid-1/1", "uid-1/2"]
    assert without.split == "dev-without-images"


def test_hourvideo_canary_is_in_nothing_that_the_loader_returns(hourvideo: Path) -> None:
    benchmark = load_qa("hourvideo", hourvideo)
    assert "marker" not in repr(benchmark)
    assert set(benchmark.videos) == {"uid-1", "uid-2"}
    release = json.loads(
        (hourvideo / "v1.0_release" / "json" / "dev_v1.0_annotations.json").read_text()
    )
    assert release["remark"], "reading must leave the file as it is"


def test_hourvideo_test_split_hides_its_answers(hourvideo: Path) -> None:
    benchmark = load_qa("hourvideo", hourvideo, split="test")
    assert [q.answer for q in benchmark.questions] == [None, None, None]
    with pytest.raises(UsageError, match=r"samples_v1\.0\.json"):
        load_qa("hourvideo", hourvideo, split="sample")


def test_hourvideo_counts_a_task_without_replies_as_wrong(hourvideo: Path) -> None:
    """The official scorer gives a missing result file 0, and the overall figure is micro."""
    benchmark = load_qa("hourvideo", hourvideo)
    replies = {"uid-1/1": "B", "uid-1/2": "Answer: B"}
    graded = [
        grade(
            "strict",
            replies.get(q.question_id),
            question_id=q.question_id,
            video_id=q.video_id,
            gold=q.answer or "",
            letters=q.letters,
            groups=q.groups,
        )
        for q in benchmark.questions
    ]
    assert accuracy(graded).full == pytest.approx(2 / 3)
    assert accuracy_by(graded, "task")["reasoning/spatial/layout"].full == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "reasoning/magic"}, "reasoning/magic"),
        ({"relevant_timestamps": "2 min"}, "2 min"),
        ({"relevant_timestamps": "00:75:00"}, "relevant_timestamps"),
        ({"relevant_timestamps": 60}, "relevant_timestamps"),
        ({"correct_answer_label": "F"}, "correct_answer_label"),
        ({"correct_answer_label": None}, "correct_answer_label"),
        ({"answer_5": None}, "answer_5"),
        ({"answer_1": "images/1.png"}, "texts and pictures"),
        ({**PICTURES, "answer_3": "../../x.png"}, "answer_3"),
        ({"task": "reasoning/predictive"}, "relevant_timestamps"),
    ],
)
def test_hourvideo_refuses_a_wrong_row_by_video_and_number(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    rows = [
        hourvideo_row("1", "perception/tracking"),
        hourvideo_row("2", "perception/tracking") | changes,
    ]
    entry = {"video_metadata": {"duration_in_seconds": 60}, "benchmark_dataset": rows}
    path = write_json(tmp_path / "dev_v1.0_annotations.json", {"uid-1": entry})
    with pytest.raises(UsageError, match=message) as raised:
        load_qa("hourvideo", tmp_path)
    assert str(raised.value).startswith(f"{path} uid-1 benchmark_dataset 2")


def test_hourvideo_times_may_be_a_list_several_or_one_moment(tmp_path: Path) -> None:
    told = ["00:00:10-00:00:20, 00:01:00-00:01:05", "01:00:00"]
    row = hourvideo_row("1", "perception/tracking", relevant_timestamps=told)
    entry = {"video_metadata": {"duration_in_seconds": 4000}, "benchmark_dataset": [row]}
    write_json(tmp_path / "dev_v1.0_annotations.json", {"uid-1": entry})
    (question,) = load_qa("hourvideo", tmp_path).questions
    spans = [(m.span.start_seconds, m.span.stop_seconds) for m in question.evidence]
    # The clock counts whole seconds, so one of its readings is a second long.
    assert spans == [(10, 20), (60, 65), (3600, 3601)]


def test_hourvideo_times_that_hold_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    told = "00:02:00-00:01:00, 01:06:00-01:10:00, 02:00:00, 00:00:10-00:00:20"
    rows = [
        hourvideo_row("1", "perception/tracking", relevant_timestamps=told),
        hourvideo_row("2", "perception/tracking", relevant_timestamps="00:02:00-00:01:00"),
        hourvideo_row("3", "perception/tracking", relevant_timestamps="00:00:01"),
    ]
    entry = {"video_metadata": {"duration_in_seconds": 4000}, "benchmark_dataset": rows}
    path = write_json(tmp_path / "dev_v1.0_annotations.json", {"uid-1": entry})
    benchmark = load_qa("hourvideo", tmp_path)
    first, second, _ = benchmark.questions
    spans = [(m.span.start_seconds, m.span.stop_seconds) for m in first.evidence]
    assert spans == [(3960, 4000), (10, 20)]
    assert first.num_unusable_evidence == 2
    assert second.evidence == ()
    assert benchmark.unusable_evidence == ("uid-1/1", "uid-1/2")

    rows[1]["task"] = "reasoning/predictive"
    write_json(path, {"uid-1": entry})
    with pytest.raises(UsageError, match=r"benchmark_dataset 2: has no usable relevant_timestamps"):
        load_qa("hourvideo", tmp_path)


def test_hourvideo_refuses_a_release_without_a_video(tmp_path: Path) -> None:
    write_json(tmp_path / "dev_v1.0_annotations.json", {"canary": "x"})
    with pytest.raises(UsageError, match="no video"):
        load_qa("hourvideo", tmp_path)
    write_json(tmp_path / "dev_v1.0_annotations.json", {"uid-1": {"benchmark_dataset": []}})
    with pytest.raises(UsageError, match="video_metadata"):
        load_qa("hourvideo", tmp_path)


# Video-MMMU


def mmmu_row(name: str, **changes: object) -> dict[str, object]:
    return {
        "id": name,
        "question": "Which style is this?",
        "options": ["Cubism", "Realism"],
        "answer": "B",
        "question_type": "multiple-choice",
        "qa_type": "Perception",
    } | changes


TEN = [f"{letter}. option {letter}" for letter in "ABCDEFGHIJ"]


@pytest.fixture
def videommmu(tmp_path: Path) -> Path:
    """A question of two videos in each track, one of them open, ten options in another."""
    names = ("validation_Art_Theory_3", "dev_Math_2")
    for track in ("Perception", "Comprehension"):
        rows = [mmmu_row(names[0], question_type="perception"), mmmu_row(names[1])]
        write_parquet(tmp_path / track / "test-00000-of-00001.parquet", rows)
    rows = [
        mmmu_row(names[0], options=TEN, answer="J"),
        mmmu_row(names[1], options=[], answer="3,000", question_type="open"),
    ]
    write_parquet(tmp_path / "Adaptation" / "test-00000-of-00001.parquet", rows)
    touch(
        tmp_path / "Art" / "validation_Art_Theory_3.mp4",
        tmp_path / "question_only" / "dev_Math_2_image.mp4",
    )
    return tmp_path


def test_videommmu_asks_three_questions_of_each_video(videommmu: Path) -> None:
    benchmark = load_qa("videommmu", videommmu)
    assert len(benchmark.questions) == 6
    assert benchmark.questions[0].question_id == "perception/validation_Art_Theory_3"
    assert {q.video_id for q in benchmark.questions} == set(benchmark.videos)
    assert benchmark.missing_videos == ("dev_Math_2",)
    assert benchmark.source.count("sha256:") == 3


def test_videommmu_reads_subject_and_domain_out_of_ids_with_underscores(videommmu: Path) -> None:
    art, math = load_qa("videommmu", videommmu, split="perception").questions
    assert art.groups["subject"] == ("Art_Theory",)
    assert art.groups["domain"] == ("Art and Design",)
    assert math.groups["subject"] == ("Math",)
    assert math.groups["domain"] == ("Science",)


def test_videommmu_takes_what_has_options_as_multiple_choice(videommmu: Path) -> None:
    art = load_qa("videommmu", videommmu, split="perception").questions[0]
    assert (art.options, art.answer) == (("Cubism", "Realism"), "B")
    assert art.groups["form"] == ("multiple-choice",)


def test_videommmu_reads_ten_lettered_options_and_an_open_answer(videommmu: Path) -> None:
    many, open_one = load_qa("videommmu", videommmu, split="adaptation").questions
    assert many.options == tuple(f"option {letter}" for letter in "ABCDEFGHIJ")
    assert extract("mcq-lmms-eval@75571cf", "The answer is J.", many.letters) == "J"
    assert (open_one.options, open_one.answer) == ((), "3,000")
    assert open_one.groups["form"] == ("open",)


def test_videommmu_says_that_adaptation_needs_the_last_frame(videommmu: Path) -> None:
    needs = {
        q.groups["track"][0]: q.groups["needs"] for q in load_qa("videommmu", videommmu).questions
    }
    assert needs == {
        "Perception": ("video",),
        "Comprehension": ("video",),
        "Adaptation": ("last-frame",),
    }


def test_videommmu_question_only_videos_are_those_of_the_run_before(videommmu: Path) -> None:
    before = load_qa("videommmu", videommmu, split="adaptation", videos="question-only")
    assert before.missing_videos == ("validation_Art_Theory_3",)
    path = before.videos["dev_Math_2"].path
    assert path is not None
    assert path.name == "dev_Math_2_image.mp4"
    assert before.split == "adaptation-question-only"
    with pytest.raises(UsageError, match="question-only"):
        load_qa("videommmu", videommmu, videos="question-only")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "validation_Astrology_3"}, "validation_Astrology_3"),
        ({"id": "Math"}, "Math"),
        ({"answer": "C"}, "answer"),
        ({"answer": ""}, "answer"),
        ({"question": ""}, "question"),
        ({"options": [str(n) for n in range(30)], "answer": "A"}, "30 texts"),
    ],
)
def test_videommmu_refuses_a_wrong_row(
    videommmu: Path, changes: dict[str, object], message: str
) -> None:
    rows = [mmmu_row("dev_Math_2"), mmmu_row("dev_Music_2") | changes]
    path = write_parquet(videommmu / "Perception" / "test-00000-of-00001.parquet", rows)
    with pytest.raises(UsageError, match=message) as raised:
        load_qa("videommmu", videommmu, split="perception")
    assert str(raised.value).startswith(f"{path} row 2")


def test_videommmu_refuses_options_that_are_one_text(videommmu: Path) -> None:
    """MMMU's own files hold lists as text; turning those into lists would need eval."""
    rows = [mmmu_row("dev_Math_2", options="['Cubism', 'Realism']")]
    write_parquet(videommmu / "Perception" / "test-00000-of-00001.parquet", rows)
    with pytest.raises(UsageError, match=r"row 1.*options"):
        load_qa("videommmu", videommmu, split="perception")


# All of them


@pytest.mark.parametrize("name", ["cgbench", "egoschema", "hourvideo", "videommmu"])
def test_loaders_take_text_options_and_are_no_retrieval_benchmarks(
    name: str, cgbench: Path
) -> None:
    options = load_options(name)
    assert options["split"]
    assert all(isinstance(value, str) for value in options.values())
    with pytest.raises(UsageError):
        load_retrieval(name, cgbench)
    with pytest.raises(UsageError, match="nowhere"):
        load_qa(name, cgbench / "nowhere")
