"""One contract for every segmenter: spans tile the video, and keep within their lengths."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.config import SegmentationOptions
from clamr_rag.errors import UsageError
from clamr_rag.segmentation import Segmenter, make_segmenter
from clamr_rag.types import Cue, TimeSpan

NAMES = ("fixed", "shots", "speech", "combined")
SLACK_SECONDS = 1e-5

any_seconds = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(min_value=-10, max_value=500),
    st.sampled_from([0.0, -0.0, 10.0, 30.0, math.nan, math.inf, -math.inf]),
)
durations = st.one_of(
    st.just(0.0),
    st.floats(min_value=0, max_value=400),
    st.floats(min_value=0, max_value=1e-6),
    st.sampled_from([9.999999, 10.0, 10.000001, 16.0, 19.99, 30.0, 30.000001, 3_600.0]),
)
cue_strategy = st.builds(
    lambda start, length, text: Cue(start, start + length, text),
    st.floats(min_value=0, max_value=450),
    st.floats(min_value=0, max_value=60),
    st.sampled_from(["Yes.", "and then", "", "Why?"]),
)


def segmenter(name: str, min_seconds: float = 10.0, max_seconds: float = 30.0) -> Segmenter:
    return make_segmenter(
        SegmentationOptions.model_validate(
            {"segmenter": name, "min_seconds": min_seconds, "max_seconds": max_seconds}
        )
    )


def borders(spans: tuple[TimeSpan, ...]) -> list[float]:
    return [span.start_seconds for span in spans[1:]]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(
    duration=durations,
    shot_cuts=st.lists(any_seconds, max_size=40).map(tuple),
    cues=st.lists(cue_strategy, max_size=30).map(tuple),
    lengths=st.tuples(st.floats(min_value=0.5, max_value=40), st.floats(min_value=0, max_value=40)),
)
def test_spans_tile_the_video_within_the_lengths(
    name: str,
    duration: float,
    shot_cuts: tuple[float, ...],
    cues: tuple[Cue, ...],
    lengths: tuple[float, float],
) -> None:
    shortest, longest = lengths[0], lengths[0] + lengths[1]
    spans = segmenter(name, shortest, longest).segment(duration, shot_cuts=shot_cuts, cues=cues)
    if duration == 0:
        assert spans == ()
        return
    assert spans[0].start_seconds == 0.0
    assert spans[-1].stop_seconds == duration
    assert all(one.stop_seconds == two.start_seconds for one, two in pairwise(spans))
    assert all(span.duration_seconds > 0 for span in spans)
    assert all(span.duration_seconds <= longest + SLACK_SECONDS for span in spans)
    assert all(span.duration_seconds >= shortest - SLACK_SECONDS for span in spans[:-1])
    if max(1, math.ceil(duration / longest)) <= math.floor(duration / shortest):
        assert spans[-1].duration_seconds >= shortest - SLACK_SECONDS


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_spans_in_any_order_of_cuts(name: str) -> None:
    cuts = (17.0, 41.5, 3.0, 17.0, 88.0)
    cues = tuple(Cue(start, start + 4.0, "So.") for start in range(0, 100, 5))
    one = segmenter(name).segment(100.0, shot_cuts=cuts, cues=cues)
    other = segmenter(name).segment(100.0, shot_cuts=cuts[::-1], cues=cues)
    assert one == other


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("duration", [math.nan, math.inf, -1.0])
def test_a_length_that_no_video_has_is_refused(name: str, duration: float) -> None:
    with pytest.raises(ValueError, match="duration"):
        segmenter(name).segment(duration, shot_cuts=(), cues=())


@pytest.mark.parametrize("name", NAMES)
def test_ten_hours_with_a_hundred_thousand_cues_and_cuts(name: str) -> None:
    cues = tuple(
        Cue(n * 0.36, n * 0.36 + 0.3, "word." if n % 7 == 0 else "a") for n in range(100_000)
    )
    cuts = tuple(n * 0.36 + 0.1 for n in range(100_000))
    spans = segmenter(name).segment(36_000.0, shot_cuts=cuts, cues=cues)
    assert 1200 <= len(spans) <= 3600
    assert spans[-1].stop_seconds == 36_000.0


def test_fixed_windows_are_equal_and_ignore_what_happens() -> None:
    spans = segmenter("fixed").segment(
        100.0, shot_cuts=(17.0,), cues=(Cue(15.0, 22.0, "Still talking."),)
    )
    assert borders(spans) == [20.0, 40.0, 60.0, 80.0]


def test_shots_cut_at_shot_cuts_that_are_far_enough_apart() -> None:
    spans = segmenter("shots").segment(75.0, shot_cuts=(17.0, 41.0, 43.0, 60.0), cues=())
    assert set(borders(spans)) & {17.0, 60.0} == {17.0, 60.0}
    assert len({41.0, 43.0} & set(borders(spans))) == 1


def test_a_shot_that_is_too_long_is_divided_evenly() -> None:
    spans = segmenter("shots").segment(100.0, shot_cuts=(20.0, 80.0), cues=())
    assert {20.0, 80.0} <= set(borders(spans))
    inner = [span.duration_seconds for span in spans if 20.0 <= span.start_seconds < 80.0]
    assert max(inner) - min(inner) <= 1.0


def test_shots_do_not_look_at_speech() -> None:
    cues = (Cue(12.0, 19.0, "Talking over the cut."), Cue(19.0, 25.0, "And on."))
    with_speech = segmenter("shots").segment(60.0, shot_cuts=(17.0, 40.0), cues=cues)
    assert with_speech == segmenter("shots").segment(60.0, shot_cuts=(17.0, 40.0), cues=())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(min_value=0.5, max_value=6), st.floats(min_value=0.1, max_value=2)),
        min_size=1,
        max_size=60,
    )
)
def test_speech_never_cuts_inside_a_cue_if_cues_are_short(
    lengths: list[tuple[float, float]],
) -> None:
    cues, now = [], 0.0
    for spoken, pause in lengths:
        cues.append(Cue(now, now + spoken, "words without an end"))
        now += spoken + pause
    spans = segmenter("speech").segment(now, shot_cuts=(), cues=tuple(cues))
    for border in borders(spans):
        assert not any(cue.start_seconds < border < cue.stop_seconds for cue in cues)


def test_speech_prefers_the_end_of_a_sentence_to_the_end_of_a_cue() -> None:
    cues = (
        Cue(0.0, 9.0, "This is a long sentence"),
        Cue(9.0, 18.0, "that ends here."),
        Cue(18.0, 22.0, "The next one"),
        Cue(22.0, 36.0, "goes on and on."),
    )
    assert borders(segmenter("speech").segment(36.0, shot_cuts=(), cues=cues)) == [18.0]


def test_speech_looks_through_overlapping_cues() -> None:
    # The second cue ends inside the first: its end is no place to cut.
    cues = (Cue(0.0, 24.0, "One speaker."), Cue(10.0, 20.0, "Another."), Cue(25.0, 40.0, "End."))
    (border,) = borders(segmenter("speech").segment(40.0, shot_cuts=(), cues=cues))
    assert 24.0 <= border <= 25.0


def test_combined_moves_a_cut_from_the_middle_of_a_sentence_to_its_end() -> None:
    cues = (Cue(12.0, 20.8, "She goes on over the change."), Cue(21.0, 39.0, "Then the rest."))
    (border,) = borders(segmenter("combined").segment(40.0, shot_cuts=(20.0,), cues=cues))
    assert border == 20.8


def test_combined_takes_a_shot_cut_in_silence() -> None:
    cues = (Cue(0.0, 5.0, "Hello."), Cue(30.0, 35.0, "Goodbye."))
    (border,) = borders(segmenter("combined").segment(40.0, shot_cuts=(18.0,), cues=cues))
    assert border == 18.0


def test_combined_prefers_a_cut_that_both_shot_and_sentence_want() -> None:
    cues = tuple(Cue(start, start + 4.0, "A sentence.") for start in range(0, 60, 4))
    spans = segmenter("combined").segment(60.0, shot_cuts=(16.0, 44.0), cues=cues)
    assert {16.0, 44.0} <= set(borders(spans))


def test_combined_without_shots_and_speech_is_even() -> None:
    spans = segmenter("combined").segment(90.0, shot_cuts=(), cues=())
    assert max(s.duration_seconds for s in spans) - min(s.duration_seconds for s in spans) <= 1.0


def test_a_shortest_length_above_the_longest_is_refused() -> None:
    with pytest.raises(UsageError, match="min_seconds <= max_seconds"):
        make_segmenter(SegmentationOptions(min_seconds=40.0, max_seconds=30.0))
