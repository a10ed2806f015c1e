"""Laws of the clustered bootstrap, and the exact test against scipy's."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from eval.stats import bootstrap, bootstrap_difference, mcnemar

LAWS = settings(max_examples=40, deadline=None)
rows = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0]) | st.floats(-5, 5, allow_nan=False), st.sampled_from("abcdefgh")
    ),
    min_size=1,
    max_size=40,
)


@LAWS
@given(rows, st.integers(0, 5), st.randoms())
def test_the_interval_holds_the_mean_and_no_order_changes_it(
    pairs: list[tuple[float, str]], seed: int, shuffler: random.Random
) -> None:
    found = bootstrap(*zip(*pairs, strict=True), seed=seed, num_resamples=400)
    values = [value for value, _ in pairs]
    assert found.mean == pytest.approx(sum(values) / len(values))
    slack = 1e-9
    assert min(values) - slack <= found.low <= found.mean + slack
    assert found.mean - slack <= found.high <= max(values) + slack
    assert (found.num_values, found.num_clusters) == (len(pairs), len({c for _, c in pairs}))
    shuffler.shuffle(pairs)
    assert bootstrap(*zip(*pairs, strict=True), seed=seed, num_resamples=400) == found


def test_sums_that_depend_on_their_order_are_taken_exactly() -> None:
    assert sum([0.1, 0.2, 0.3]) != sum([0.3, 0.2, 0.1])
    one = bootstrap([0.1, 0.2, 0.3, 0.0], ["a", "a", "a", "b"])
    assert bootstrap([0.0, 0.3, 0.2, 0.1], ["b", "a", "a", "a"]) == one


def test_a_seed_is_a_seed() -> None:
    values = [float(number % 7 < 2) for number in range(31)]
    clusters = [str(number // 3) for number in range(31)]
    draws = [bootstrap(values, clusters, seed=seed, num_resamples=50) for seed in range(8)]
    assert bootstrap(values, clusters, seed=3, num_resamples=50) == draws[3]
    assert len({(found.low, found.high) for found in draws}) > 1


def test_the_names_of_clusters_do_not_matter_beyond_their_order() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    one = bootstrap(values, ["a", "a", "b", "c", "c"])
    assert bootstrap(values, ["1", "1", "2", "3", "3"]) == one


def test_questions_that_fall_together_make_the_interval_wider() -> None:
    values = [float(number // 10 % 2) for number in range(200)]
    clustered = bootstrap(values, [str(number // 10) for number in range(200)])
    alone = bootstrap(values, [str(number) for number in range(200)])
    assert clustered.mean == alone.mean == 0.5
    ratio = (clustered.high - clustered.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(10**0.5, rel=0.2)  # ten questions that are one draw


def test_a_single_video_says_nothing_about_others() -> None:
    found = bootstrap([0.0, 1.0, 1.0, 1.0], ["v"] * 4)
    assert (found.low, found.mean, found.high) == (0.75, 0.75, 0.75)


def test_the_interval_is_that_of_the_binomial_where_questions_are_independent() -> None:
    values = [1.0] * 60 + [0.0] * 40
    found = bootstrap(values, [str(number) for number in range(100)], num_resamples=4000)
    half = 1.96 * (0.6 * 0.4 / 100) ** 0.5
    assert found.low == pytest.approx(0.6 - half, abs=0.015)
    assert found.high == pytest.approx(0.6 + half, abs=0.015)


def test_nominal_coverage_is_met_on_clustered_draws() -> None:
    """Of 200 drawn benchmarks (40 videos of 3 questions) about 95 % hold the true mean."""
    rng, held = random.Random(7), 0
    for _ in range(200):
        shares = [rng.choice([0.2, 0.5, 0.8]) for _ in range(40)]
        values = [float(rng.random() < share) for share in shares for _ in range(3)]
        clusters = [str(video) for video in range(40) for _ in range(3)]
        found = bootstrap(values, clusters, num_resamples=300)
        held += found.low <= 0.5 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_a_higher_level_is_wider() -> None:
    values, clusters = [0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0], list("abcdefg")
    wide, narrow = (bootstrap(values, clusters, level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low <= narrow.high < wide.high


@pytest.mark.parametrize(
    ("values", "clusters", "options", "message"),
    [
        ([], [], {}, "got 0 values and 0 clusters"),
        ([1.0], ["a", "b"], {}, "got 1 values and 2 clusters"),
        ([float("nan")], ["a"], {}, "not finite"),
        ([1.0], ["a"], {"level": 1.0}, "level 1.0"),
        ([1.0], ["a"], {"num_resamples": 0}, "0 resamples"),
    ],
)
def test_what_has_no_interval_is_refused(values, clusters, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap(values, clusters, **options)


def test_the_difference_of_a_run_and_itself_is_nothing() -> None:
    run = {str(number): float(number % 2) for number in range(10)}
    videos = {question: question[-1] for question in run}
    found = bootstrap_difference(run, run, videos)
    assert (found.low, found.mean, found.high) == (0.0, 0.0, 0.0)


def test_pairing_sees_what_two_separate_intervals_cannot() -> None:
    videos = {str(number): str(number) for number in range(100)}
    first = {question: float(number < 55) for number, question in enumerate(videos)}
    second = {question: float(number < 47) for number, question in enumerate(videos)}
    found = bootstrap_difference(first, second, videos)
    assert found.mean == pytest.approx(0.08)
    assert found.low > 0
    one, two = (bootstrap(list(run.values()), list(videos.values())) for run in (first, second))
    assert one.low < two.high
    swapped = bootstrap_difference(second, first, videos)
    assert swapped.mean == -found.mean
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def split(
    only_first: int, only_second: int, both: int = 3
) -> tuple[dict[str, bool], dict[str, bool]]:
    pattern = [(True, False)] * only_first + [(False, True)] * only_second + [(True, True)] * both
    first = {str(number): pair[0] for number, pair in enumerate(pattern)}
    return first, {str(number): pair[1] for number, pair in enumerate(pattern)}


@LAWS
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 5))
def test_mcnemar_is_the_exact_binomial_test(some: int, others: int, both: int) -> None:
    found = mcnemar(*split(some, others, both))
    assert (found.only_first, found.only_second) == (some, others)
    expected = binomtest(some, some + others, 0.5).pvalue if some + others else 1.0
    assert found.p_value == pytest.approx(expected)
    assert mcnemar(*reversed(split(some, others, both))).p_value == found.p_value


def test_mcnemar_by_hand_and_at_size() -> None:
    assert mcnemar(*split(5, 0)).p_value == 2 / 32
    assert mcnemar(*split(0, 0)).p_value == 1.0
    assert 0 < mcnemar(*split(1500, 1000)).p_value < 1e-20


def test_runs_over_other_questions_are_not_compared() -> None:
    first, second = split(2, 1)
    del second["1"]
    with pytest.raises(ValueError, match="1 questions are in one run only, first '1'"):
        mcnemar(first, second)
    with pytest.raises(ValueError, match="1 questions are in one run only"):
        bootstrap_difference(first, second, dict.fromkeys(first, "v"))
    with pytest.raises(ValueError, match="no questions"):
        mcnemar({}, {})
