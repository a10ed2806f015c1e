"""Scores of eval-protocols reproduced exactly, and the laws that the figures keep."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction

import ir_measures
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clamr_rag.types import Modality, TimeSpan
from eval.extractors.cgbench import clue_intervals
from eval.metrics.accuracy import (
    Graded,
    accuracy,
    accuracy_by,
    grade,
    knowledge_gain,
    macro,
    pooled,
)
from eval.metrics.attribution import attribution
from eval.metrics.calibration import (
    Stated,
    abstention,
    expected_calibration_error,
    reliability,
    risk_coverage,
)
from eval.metrics.moments import (
    Moment,
    accuracy_at_iou,
    cell_precision,
    claims,
    clue_recovery,
    coverage,
    first_hit_rank,
    hit_at,
    intervals_iou,
    mean_iou,
    moment_judgements,
    recall_at_iou,
)
from eval.metrics.rankings import average_ndcg, score_rankings
from eval.metrics.video_groups import GroupQuestion, logic_points, relevance_points, score_groups

LAWS = settings(max_examples=60, deadline=None)


# Accuracy


def graded(rule: str, replies: list[str | None], gold: str = "C", letters: str = "ABCD", **groups):
    """One question of its own video per reply; a group has one label per reply."""
    return [
        grade(
            rule,
            reply,
            question_id=f"{number:03d}-1",
            video_id=f"{number:03d}",
            gold=gold,
            letters=letters,
            groups={name: (labels[number],) for name, labels in groups.items()},
        )
        for number, reply in enumerate(replies)
    ]


VIDEO_MME = [
    "C",
    "Best answer: C",
    "sorry, but the frames say nothing about what was asked for here",
]


@pytest.mark.parametrize(
    ("rule", "official", "full"),
    [
        ("videomme-official", "50.0", "33.3"),
        ("mcq-lmms-eval@75571cf", "66.7", "66.7"),
        ("videomme-vlmevalkit@e8e78f0", "33.3", "33.3"),
        ("strict", "66.7", "66.7"),
    ],
)
def test_videomme_reads_33_50_or_67_by_rule(rule: str, official: str, full: str) -> None:
    score = accuracy(graded(rule, VIDEO_MME))
    assert score.official is not None
    assert (f"{100 * score.official:.1f}", f"{100 * score.full:.1f}") == (official, full)
    assert score.num_unparsed == 1


def test_mlvu_reads_62_or_40_by_average() -> None:
    questions = graded("mlvu-official", ["C", "A", "B", "D", "C"], task=["count"] * 4 + ["needle"])
    assert 100 * macro(accuracy_by(questions, "task")) == 62.5
    assert 100 * accuracy(questions).full == 40.0


def test_longvideobench_counts_every_sample_twice_and_reads_answer_c_as_a() -> None:
    questions = [
        *graded(
            "longvideobench-lmms-eval@75571cf",
            ["A", "B", "Answer: C"],
            gold="A",
            letters="ABCDE",
            duration=["15", "15", "600"],
            category=["S2E", "E3E", "E3E"],
        )
    ]
    both = [*accuracy_by(questions, "duration").values()]
    both += accuracy_by(questions, "category").values()
    assert round(pooled(both).full, 5) == 0.66667
    assert pooled(both).num_questions == 6


def test_a_guessing_scorer_wins_what_chance_gives() -> None:
    score = accuracy(graded("egoschema-lmms-eval@75571cf", ["**C**", "C"], letters="ABCDE"))
    assert score.full == 0.5
    assert score.official == pytest.approx((1 + 1 / 5) / 2)
    assert score.num_unparsed == 1


def test_videommmu_drops_failed_calls_and_counts_unread_replies() -> None:
    score = accuracy(graded("videommmu-vlmevalkit@e8e78f0", ["C", "", "no idea", "API Error"]))
    assert (score.full, score.official, score.num_dropped) == (0.25, 0.5, 2)


def test_lvbench_counts_answered_questions_once_in_each_of_their_types() -> None:
    common = {"letters": "ABCD", "gold": "C"}
    questions = [
        grade(
            "lvbench-official",
            reply,
            question_id=uid,
            video_id="v",
            groups={"type": types},
            **common,
        )
        for uid, reply, types in [
            ("1", "(C) a cat", ("ER", "TG")),
            ("2", "B", ("TG",)),
            ("3", None, ("ER", "ER")),
        ]
    ]
    types = accuracy_by(questions, "type")
    assert {name: score.official for name, score in types.items()} == {"ER": 1.0, "TG": 0.5}
    assert types["ER"].full == 0.5
    score = accuracy(questions)
    assert (score.official, score.full) == (0.5, 1 / 3)


def test_where_nothing_counts_there_is_no_official_figure() -> None:
    score = accuracy(graded("videomme-official", [None, "x"], task=["a", "a"]))
    assert (score.official, score.full) == (None, 0.0)
    questions = graded("videomme-official", ["C", "x"], task=["a", "b"])
    assert macro(accuracy_by(questions, "task"), "official") == 1.0
    assert macro(accuracy_by(questions, "task"), "full") == 0.5


@pytest.mark.parametrize("gold", ["E", "", "AB"])
def test_a_gold_letter_that_is_no_option_is_refused(gold: str) -> None:
    with pytest.raises(ValueError, match=r"question 000-1: got gold .* one of ABCD"):
        graded("strict", ["C"], gold=gold)


def test_accuracy_refuses_what_it_cannot_count() -> None:
    with pytest.raises(ValueError, match="no questions"):
        accuracy([])
    with pytest.raises(ValueError, match="question twice"):
        accuracy(graded("strict", ["C"]) * 2)
    with pytest.raises(ValueError, match="question 000-1 has no 'task' label"):
        accuracy_by(graded("strict", ["C"]), "task")
    with pytest.raises(ValueError, match="no group"):
        macro({})


verdicts = st.lists(
    st.tuples(st.sampled_from("AB"), st.none() | st.sampled_from("AB"), st.sampled_from("xyz")),
    min_size=1,
    max_size=30,
)


@LAWS
@given(verdicts, st.randoms())
def test_accuracy_laws(rows: list[tuple[str, str | None, str]], shuffler: random.Random) -> None:
    questions = [
        Graded(str(number), label, gold, picked, picked is None, groups={"g": (label,)})
        for number, (gold, picked, label) in enumerate(rows)
    ]
    score, groups = accuracy(questions), accuracy_by(questions, "g")
    assert pooled(groups.values()) == score
    assert score.official is None or score.official >= score.full
    parts = [group.full for group in groups.values()]
    assert min(parts) - 1e-12 <= macro(groups) <= max(parts) + 1e-12
    assert min(parts) - 1e-12 <= score.full <= max(parts) + 1e-12
    shuffler.shuffle(questions)
    assert accuracy(questions) == score
    assert accuracy_by(questions, "g") == groups


def test_knowledge_gain() -> None:
    assert knowledge_gain(0.2, 0.6) == pytest.approx(0.5)
    assert knowledge_gain(0.5, 0.25) == -0.5
    with pytest.raises(ValueError, match=r"got 1\.0 before"):
        knowledge_gain(1.0, 1.0)


# Video-MME-v2


LINE, MIDDLE, HEAD = "[1, 2, 3, 4]", "[1, [2, 3], 4]", "[[1, 2], 3, 4]"


@pytest.mark.parametrize(("count", "points"), [*enumerate((0.0, 6.25, 25.0, 56.25, 100.0))])
def test_relevance_points(count: int, points: float) -> None:
    for right in itertools.product([True, False], repeat=4):
        if sum(right) == count:
            assert relevance_points(right) == points


LOGIC = [
    *[(LINE, "10xx", 6.25), (LINE, "110x", 25), (LINE, "1110", 56.25), (LINE, "1111", 100)],
    *[(LINE, "0xxx", 0), (MIDDLE, "100x", 8.33), (MIDDLE, "101x", 33.33), (MIDDLE, "110x", 33.33)],
    *[(MIDDLE, "1110", 58.33), (MIDDLE, "1111", 100), (MIDDLE, "0xxx", 0), (MIDDLE, "1011", 33.33)],
    *[(HEAD, "01xx", 10), (HEAD, "10xx", 10), (HEAD, "110x", 20), (HEAD, "1110", 50)],
    *[(HEAD, "1111", 100), (HEAD, "00xx", 0)],
]


@pytest.mark.parametrize(("structure", "pattern", "points"), LOGIC)
def test_logic_points(structure: str, pattern: str, points: float) -> None:
    for free in itertools.product("01", repeat=pattern.count("x")):
        filler = iter(free)
        right = [(next(filler) if mark == "x" else mark) == "1" for mark in pattern]
        assert round(logic_points(right, structure), 2) == points


def test_the_logic_table_speaks_of_every_pattern() -> None:
    for structure in (LINE, MIDDLE, HEAD):
        covered = [
            "".join(bits)
            for bits in itertools.product("01", repeat=4)
            for known, pattern, _ in LOGIC
            if known == structure
            and all(mark in ("x", bit) for mark, bit in zip(pattern, bits, strict=True))
        ]
        assert len(set(covered)) == 16


def group(video: str, right: str, kind: str, structure: str, level: str) -> list[GroupQuestion]:
    """Four questions; only the last one has the group's level."""
    return [
        GroupQuestion(
            f"{video}-{place}",
            video,
            kind,  # type: ignore[arg-type]
            structure,
            mark == "1",
            level=level if place == 4 else "1",
            second_head="late" if place == 4 else "early",
        )
        for place, mark in enumerate(right, 1)
    ]


def test_groups_are_averaged_and_take_their_labels_from_the_last_question() -> None:
    questions = group("001", "1010", "relevance", "", "2") + group(
        "002", "1011", "logic", LINE, "3"
    )
    random.Random(3).shuffle(questions)
    report = score_groups(questions)
    assert (report.relevance, report.logic) == (25.0, 6.25)
    assert report.overall == (25 + 6.25) / 2
    assert report.relevance_linear == 50.0
    assert report.accuracy == 62.5
    assert report.by_level == {"2": 25.0, "3": 6.25}
    assert report.by_second_head == {"late": 15.625}
    assert report.by_third_head == {}


def test_questions_of_a_group_stand_in_order_of_their_number() -> None:
    questions = group("9", "0111", "logic", LINE, "1")
    assert score_groups(questions[::-1]).overall == 0.0


def test_groups_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(ValueError, match="video 001 needs 4 questions, got 3"):
        score_groups(group("001", "1010", "relevance", "", "1")[1:])
    with pytest.raises(ValueError, match=r"got group structure '\[4\]'; allowed: \[1,2,3,4\]"):
        logic_points([True] * 4, "[4]")
    with pytest.raises(ValueError, match="got question id 'x'"):
        score_groups([GroupQuestion("x", "1", "logic", LINE, True)])
    with pytest.raises(ValueError, match="no questions"):
        score_groups([])


@given(st.lists(st.booleans(), min_size=4, max_size=4), st.sampled_from([LINE, MIDDLE, HEAD]))
def test_one_more_right_answer_never_costs_points(right: list[bool], structure: str) -> None:
    for place in range(4):
        better = [*right[:place], True, *right[place + 1 :]]
        assert logic_points(better, structure) >= logic_points(right, structure)
        assert relevance_points(better) >= relevance_points(right)


# Rankings


def test_rankings_without_ties() -> None:
    report = score_rankings(
        {"p": {"a": 1}, "q": {"b": 1, "c": 1}},
        {"p": {"a": 0.9, "b": 0.1}, "q": {"a": 3.0, "b": 2.0}},
        ("nDCG@10", "R@1", "R@10", "RR", "AP"),
    )
    assert report.worst == report.best
    assert (report.num_queries, report.num_tied, report.num_unanswered) == (2, 0, 0)
    assert report.per_query["p"] == {"nDCG@10": 1, "R@1": 1, "R@10": 1, "RR": 1, "AP": 1}
    ndcg = (1 / 1.5849625007211562) / (1 + 1 / 1.5849625007211562)
    second = {"nDCG@10": ndcg, "R@1": 0.0, "R@10": 0.5, "RR": 0.5, "AP": 0.25}
    assert report.per_query["q"] == pytest.approx(second)
    assert report.worst["RR"] == 0.75


def test_a_tie_is_said_and_bounded() -> None:
    report = score_rankings({"q": {"b": 1}}, {"q": {"a": 0.5, "b": 0.5, "c": 0.5}}, ("R@1", "RR"))
    assert report.worst == pytest.approx({"R@1": 0.0, "RR": 1 / 3})
    assert report.best == {"R@1": 1.0, "RR": 1.0}
    assert report.num_tied == 1


def test_ties_of_equal_relevance_change_nothing_and_are_not_counted() -> None:
    report = score_rankings({"q": {"a": 1}}, {"q": {"a": 0.9, "b": 0.5, "c": 0.5}})
    assert report.num_tied == 0
    assert report.worst == report.best


def test_left_to_themselves_the_tools_break_one_tie_both_ways() -> None:
    """Why ties never reach ir_measures: its providers disagree about the same two scores."""
    qrels = [ir_measures.Qrel("q", "a", 1)]
    run = [ir_measures.ScoredDoc("q", name, 0.5) for name in "ab"]
    names = [ir_measures.parse_measure(name) for name in ("R@1", "RR@10")]
    found = ir_measures.calc_aggregate(names, qrels, run)
    assert [found[name] for name in names] == [0.0, 1.0]


def test_a_query_that_the_run_lacks_counts_as_nothing_found() -> None:
    report = score_rankings({"p": {"a": 1}, "q": {"a": 1}}, {"p": {"a": 1.0}}, ("R@1",))
    assert (report.worst["R@1"], report.num_unanswered) == (0.5, 1)
    assert score_rankings({"p": {"a": 1}}, {"p": {}}, ("RR",)).worst == {"RR": 0.0}


def test_rankings_refuse_what_has_no_score() -> None:
    with pytest.raises(ValueError, match="'q' has nothing relevant"):
        score_rankings({"q": {"a": 0}}, {})
    with pytest.raises(ValueError, match="1 queries without judgements, first 'x'"):
        score_rankings({"q": {"a": 1}}, {"x": {"a": 1.0}})
    with pytest.raises(ValueError, match="score that is NaN"):
        score_rankings({"q": {"a": 1}}, {"q": {"a": float("nan")}})
    with pytest.raises(ValueError, match="no judged queries"):
        average_ndcg({}, {})


candidates = st.dictionaries(
    st.sampled_from("abcdef"), st.sampled_from([0.0, 0.5, 1.0]), min_size=1
)
relevances = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([0, 1, 2]), min_size=1)


@LAWS
@given(candidates, relevances, st.randoms())
def test_every_order_of_equal_scores_lies_between_worst_and_best(
    found: dict[str, float], relevance: dict[str, int], shuffler: random.Random
) -> None:
    assume(any(relevance.values()))
    measures = ("nDCG@3", "R@2", "RR", "AP")
    report = score_rankings({"q": relevance}, {"q": found}, measures)
    order = list(found)
    shuffler.shuffle(order)
    assert score_rankings({"q": relevance}, {"q": {n: found[n] for n in order}}, measures) == report
    order.sort(key=lambda name: -found[name])
    broken = {name: float(-place) for place, name in enumerate(order)}
    some = score_rankings({"q": relevance}, {"q": broken}, measures)
    for name in measures:
        assert report.worst[name] - 1e-9 <= some.worst[name] <= report.best[name] + 1e-9
    if not report.num_tied:
        assert report.worst == report.best


@LAWS
@given(candidates, relevances)
def test_average_ndcg_is_the_mean_over_all_orders_of_equal_scores(
    found: dict[str, float], relevance: dict[str, int]
) -> None:
    assume(any(relevance.values()))
    judged, values = {"q": relevance}, []
    for order in itertools.permutations(found):
        if [found[name] for name in order] == sorted(found.values(), reverse=True):
            scores = {name: float(-place) for place, name in enumerate(order)}
            values.append(average_ndcg(judged, {"q": scores}, cutoff=3))
    mean = sum(values) / len(values)
    assert average_ndcg(judged, {"q": found}, cutoff=3) == pytest.approx(mean)
    report = score_rankings(judged, {"q": found}, ("nDCG@3",))
    assert report.worst["nDCG@3"] - 1e-9 <= mean <= report.best["nDCG@3"] + 1e-9


# Moments


def moment(start: float, stop: float, video: str = "v") -> Moment:
    return Moment(video, TimeSpan(start, stop))


def test_spans_that_touch_and_other_videos_do_not_hit() -> None:
    gold = [moment(10, 20)]
    assert not hit_at([moment(0, 10), moment(20, 30), moment(10, 20, "w")], gold, rank=3)
    assert hit_at([moment(0, 10), moment(19.9, 30)], gold, rank=2)
    assert not hit_at([moment(0, 10), moment(19.9, 30)], gold, rank=1)


def test_a_gold_moment_is_claimed_once_by_the_earliest_hit() -> None:
    gold = [moment(10, 20), moment(30, 40)]
    ranked = [moment(12, 18), moment(10, 20), moment(15, 40), moment(0, 5)]
    assert claims(ranked, gold) == (0, None, 1, None)
    assert claims(ranked, gold, min_iou=0.61) == (None, 0, None, None)
    assert claims([moment(0, 100)], gold) == (0,)
    assert claims([moment(18, 38)], gold) == (1,)


def test_first_hit_and_minimal_overlap() -> None:
    ranked, gold = [moment(0, 9), moment(15, 25), moment(10, 20)], [moment(10, 20)]
    assert first_hit_rank(ranked, gold) == 2
    assert first_hit_rank(ranked, gold, min_iou=1 / 3) == 2
    assert first_hit_rank(ranked, gold, min_iou=0.34) == 3
    assert first_hit_rank(ranked[:1], gold) is None


def test_average_precision_divides_by_the_gold_moments() -> None:
    gold = [moment(10, 20), moment(30, 40), moment(50, 60), moment(70, 80)]
    ranked = [moment(12, 14), moment(14, 16), moment(31, 33)]
    judged, scores = moment_judgements(ranked, gold)
    report = score_rankings({"q": judged}, {"q": scores}, ("AP", "R@3", "RR"))
    assert report.worst == pytest.approx({"AP": (1 + 2 / 3) / 4, "R@3": 0.5, "RR": 1.0})


def test_coverage_counts_seconds_once() -> None:
    gold = [moment(10, 20), moment(15, 30), moment(0, 20, "w")]
    ranked = [moment(5, 15), moment(10, 15), moment(0, 10, "w")]
    assert coverage(ranked, gold) == pytest.approx(15 / 40)
    assert coverage(ranked, gold, top_k=1) == pytest.approx(5 / 40)
    assert coverage([], gold) == 0.0
    with pytest.raises(ValueError, match="without length"):
        coverage(ranked, [moment(3, 3)])


def test_a_whole_video_is_no_precise_find() -> None:
    gold = [moment(10, 20)]
    assert cell_precision([moment(0, 100)], gold) == 0.1
    assert cell_precision([moment(10, 15), moment(11, 14)], gold) == 1.0
    assert cell_precision([moment(5, 15)], gold) == 0.5
    assert cell_precision([moment(20, 25)], gold) == 0.0
    assert cell_precision([moment(0, 7)], [moment(5, 6)]) == 0.5
    assert cell_precision([], gold) == 0.0


def test_iou_of_cgbench() -> None:
    assert intervals_iou([(10, 20)], [(15, 25)]) == pytest.approx(1 / 3)
    assert intervals_iou([(0, 10), (5, 20)], [(10, 30)]) == pytest.approx(1 / 3)
    assert intervals_iou([(10, 20)], [(20, 30)]) == 0.0
    shares = clue_intervals('```json\n{"result": [[0.1, 0.2]]}\n```', 100.0)
    assert intervals_iou(shares or (), [(10, 20)]) == 1.0
    clock = clue_intervals("00:15-00:25", 100.0)
    assert intervals_iou(clock or (), [(10, 20)]) == 0.4


def test_reversed_and_empty_intervals_have_no_length() -> None:
    assert intervals_iou([(20, 10), (10, 15), (3, 3)], [(10, 20)]) == 0.5
    assert intervals_iou([(20, 10)], []) == 0.0


def test_both_means_of_iou() -> None:
    ious = [0.35, None, 1.0, 0.0]
    assert mean_iou(ious).full == pytest.approx(1.35 / 4)
    assert mean_iou(ious).official == pytest.approx(1.35 / 3)
    assert mean_iou(ious).num_unparsed == 1
    assert recall_at_iou(ious).official == pytest.approx((0.6 + 1.0 + 0.0) / 3)
    assert mean_iou([None]).official is None
    with pytest.raises(ValueError, match="no questions"):
        mean_iou([])


def test_iou_must_be_greater_than_the_threshold() -> None:
    assert recall_at_iou([0.5]).full == pytest.approx(4 / 5)
    assert recall_at_iou([0.1]).full == 0.0


def test_accuracy_at_iou_wants_right_and_grounded() -> None:
    found = accuracy_at_iou([(True, 0.25), (False, 0.9), (True, None), (None, 0.9)])
    assert found.official == pytest.approx((2 / 5) / 2)
    assert found.full == pytest.approx((2 / 5) / 4)
    assert clue_recovery(0.3, 0.6) == 0.5
    assert clue_recovery(0.7, 0.6) == 1.0
    assert clue_recovery(0.3, 0.0) == 0.0


whole_seconds = st.tuples(st.integers(0, 30), st.integers(1, 10)).map(
    lambda pair: (float(pair[0]), float(pair[0] + pair[1]))
)
some_intervals = st.lists(whole_seconds, min_size=1, max_size=6)


@LAWS
@given(some_intervals, some_intervals, st.randoms())
def test_iou_equals_the_count_of_whole_seconds(
    some: list[tuple[float, float]], others: list[tuple[float, float]], shuffler: random.Random
) -> None:
    one, two = (
        {second for start, stop in side for second in range(int(start), int(stop))}
        for side in (some, others)
    )
    iou = intervals_iou(some, others)
    assert iou == pytest.approx(float(Fraction(len(one & two), len(one | two))))
    shuffler.shuffle(some)
    assert intervals_iou(others, some) == pytest.approx(iou)
    moments = [[moment(*pair) for pair in side] for side in (some, others)]
    assert coverage(*moments) == pytest.approx(len(one & two) / len(two))
    assert cell_precision(*moments, cell_seconds=1.0) == pytest.approx(len(one & two) / len(one))


@LAWS
@given(some_intervals, some_intervals, st.sampled_from([0.0, 0.3]))
def test_claims_are_hits_and_each_gold_is_claimed_at_most_once(
    some: list[tuple[float, float]], others: list[tuple[float, float]], min_iou: float
) -> None:
    ranked, gold = ([moment(*pair) for pair in side] for side in (some, others))
    claimed = claims(ranked, gold, min_iou)
    taken = [index for index in claimed if index is not None]
    assert len(set(taken)) == len(taken)
    for found, index in zip(ranked, claimed, strict=True):
        assert index is None or found.iou(gold[index]) >= min_iou
    first = next((rank for rank, index in enumerate(claimed, 1) if index is not None), None)
    assert first_hit_rank(ranked, gold, min_iou) == first
    ranks = [hit_at(ranked, gold, rank, min_iou) for rank in range(1, len(ranked) + 1)]
    assert ranks == sorted(ranks)


# Attribution


def test_attribution() -> None:
    video, ocr, asr = Modality.VIDEO, Modality.OCR, Modality.ASR
    report = attribution([(video, video), (video, video), (video, ocr), (asr, None)])
    assert (report.micro, report.macro) == (0.5, 1 / 3)
    assert report.by_gold == {video: 2 / 3, asr: 0.0}
    assert report.confusion == {(video, video): 2, (video, ocr): 1, (asr, None): 1}
    assert report.num_unnamed == 1
    with pytest.raises(ValueError, match="no questions"):
        attribution([])


# Calibration


def test_reliability_by_hand() -> None:
    stated = [Stated(0.2, False), Stated(0.3, True), Stated(1.0, True), Stated(0.75, True)]
    low, high = reliability(stated, num_bins=4)[0], reliability(stated, num_bins=4)[-1]
    assert (low.low, low.high, low.num_answers, low.observed) == (0.0, 0.25, 1, 0.0)
    assert (high.num_answers, high.stated, high.observed) == (2, 0.875, 1.0)
    assert len(reliability(stated, num_bins=4)) == 3
    expected = (0.2 + 0.7 + 2 * 0.125) / 4
    assert expected_calibration_error(stated, num_bins=4) == pytest.approx(expected)


def test_abstention_by_hand() -> None:
    stated = [
        Stated(0.9, True),
        Stated(0.8, False),
        Stated(0.2, True),
        Stated(0.7, False, is_answerable=False),
        Stated(0.1, False, is_answerable=False),
    ]
    found = abstention(stated, 0.7)
    assert found.coverage == 0.6
    assert found.selective_accuracy == pytest.approx(1 / 3)
    assert found.answered_rightly == pytest.approx(1 / 3)
    assert found.declined_rightly == 0.5
    nothing = abstention(stated, 0.95)
    assert (nothing.coverage, nothing.selective_accuracy) == (0.0, None)
    assert nothing.declined_rightly == 1.0
    assert abstention(stated[:1], 0.5).declined_rightly is None
    assert abstention(stated[3:], 0.5).answered_rightly is None


def test_statements_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"got confidence 1\.5"):
        Stated(1.5, True)
    with pytest.raises(ValueError, match="right answer to a question that has none"):
        Stated(0.5, True, is_answerable=False)
    for call in (reliability, expected_calibration_error, lambda none: abstention(none, 0.5)):
        with pytest.raises(ValueError, match=r"got (0|no) answers"):
            call([])


confidences = st.lists(
    st.builds(Stated, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()),
    min_size=1,
    max_size=30,
)


@LAWS
@given(confidences, st.integers(1, 12), st.randoms())
def test_calibration_laws(stated: list[Stated], num_bins: int, shuffler: random.Random) -> None:
    bins = reliability(stated, num_bins)
    assert sum(bin_.num_answers for bin_ in bins) == len(stated)
    assert all(bin_.low - 1e-9 <= bin_.stated <= bin_.high + 1e-9 for bin_ in bins)
    error = expected_calibration_error(stated, num_bins)
    assert 0 <= error <= 1
    gap = abs(sum(s.confidence for s in stated) - sum(s.is_right for s in stated)) / len(stated)
    assert error >= gap - 1e-9  # one bin for all is the least that bins can show
    curve = risk_coverage(stated)
    assert [point.coverage for point in curve] == sorted({point.coverage for point in curve})
    assert curve[-1].coverage == 1.0
    shuffler.shuffle(stated)
    assert risk_coverage(stated) == curve
    assert expected_calibration_error(stated, num_bins) == pytest.approx(error)


def test_answers_as_sure_as_they_are_right_have_no_error() -> None:
    stated = [Stated(0.25, number == 0) for number in range(4)]
    stated += [Stated(1.0, True), Stated(0.0, False)]
    assert expected_calibration_error(stated) == 0.0
