"""A synthetic world: its splits share no words, its facts stand where they should, once."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.errors import UsageError
from clamr_rag.types import Cue, Modality
from eval.synthetic import SPLITS, Question, Split, World, WorldClip, check, make_world
from eval.synthetic.asking import make_questions
from eval.synthetic.asks import FREE_ASKS, answer_of
from eval.synthetic.checks import choices_by_words, clips_by_words, near_duplicates_by_words
from eval.synthetic.lexicon import Lexicon, read_lexicon
from eval.synthetic.staging import STATED, phrase
from eval.synthetic.words import FUNCTION_WORDS, content_words, grammatical, stem

TEXTS = {"asr": Modality.ASR, "ocr": Modality.OCR, "description": Modality.DESCRIPTION}
PAIRS = list(combinations(SPLITS, 2))

WORLD = make_world(seed=7, hours=1, split="test")
QUESTIONS = make_questions(WORLD)
CLIPS = {clip.clip_id: clip for clip in WORLD.clips}
LEXICON = read_lexicon("test")


def gold(question: Question) -> WorldClip:
    return CLIPS[question.clip_ids[0]]


def told(question: Question, *, home: bool) -> set[str]:
    """Words of the gold clip's texts in, or outside of, the modality that answers."""
    names = [name for name in TEXTS if (name == question.modalities[-1]) == home]
    return content_words("\n".join(gold(question).text(TEXTS[name]) for name in names))


# -- splits ---------------------------------------------------------------------------------


def plain(text: str) -> str:
    return re.sub(r"\{\w+\}", " ", text)


def lexicon_words(lexicon: Lexicon) -> set[str]:
    return set().union(*(content_words(plain(text)) for text in lexicon.texts()))


def world_words(split: Split) -> set[str]:
    """All that is said, shown, told and asked in a drawn world."""
    world = make_world(seed=1, hours=0.3, split=split)
    told = [clip.text(modality) for clip in world.clips for modality in TEXTS.values()]
    asked = [f"{q.question} {q.query} {' '.join(q.choices)}" for q in make_questions(world)]
    words = content_words("\n".join(told + asked))
    # The product's own labels of metadata lines, and numbers, which every split needs.
    return {w for w in words if not w.isdigit()} - content_words("Title Description Chapter")


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_splits_share_no_words_but_function_words(one: Split, other: Split) -> None:
    assert not lexicon_words(read_lexicon(one)) & lexicon_words(read_lexicon(other))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_drawn_worlds_of_two_splits_share_no_words(one: Split, other: Split) -> None:
    labels = content_words("Title Description Chapter")
    shared = world_words(one) & world_words(other)
    assert not shared - labels, "names, facts, questions and speech are of one split each"


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_splits_share_no_phrasing(one: Split, other: Split) -> None:
    def phrasings(split: Split) -> set[str]:
        texts = read_lexicon(split).texts()
        # What has but one hole and no word of its own ("{value}") phrases nothing.
        return {text for text in texts if "{" in text and content_words(plain(text))}

    assert not phrasings(one) & phrasings(other)
    assert len(phrasings(one)) > 30


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_splits_share_no_drawing(one: Split, other: Split) -> None:
    def drawings(split: Split) -> set[tuple[str, int]]:
        lexicon = read_lexicon(split)
        return {
            (family, lexicon.form_of(family, number))
            for family, kinds in lexicon.kinds.items()
            for number in range(len(kinds))
        }

    assert not drawings(one) & drawings(other)


def test_no_split_shows_a_family_that_training_does_not() -> None:
    """A vision stem can meet new forms of a thing, but not a thing of a new sort."""
    trained = read_lexicon("train")
    for split in ("dev", "test"):
        lexicon = read_lexicon(split)
        assert set(lexicon.kinds) <= set(trained.kinds)
        assert set(lexicon.colours) == set(trained.colours)
        assert set(lexicon.motions) == set(trained.motions)
        assert set(lexicon.backdrops) == set(trained.backdrops)


def test_shared_words_are_closed_class_only() -> None:
    """The list of what may be shared is short, and holds none of the words that answer."""
    assert len(FUNCTION_WORDS) < 200
    for split in SPLITS:
        lexicon = read_lexicon(split)
        answers = [word for words in lexicon.colours.values() for word, _ in words]
        answers += [noun for kinds in lexicon.kinds.values() for noun, _ in kinds]
        answers += [*lexicon.motions.values(), *lexicon.sizes.values()]
        assert all(content_words(answer) for answer in answers)
        assert len(set(answers)) == len(answers)


@pytest.mark.parametrize(
    ("word", "expected"), [("says", "say"), ("boxes", "box"), ("rising", "ris"), ("bus", "bus")]
)
def test_endings_do_not_make_another_word(word: str, expected: str) -> None:
    assert stem(word) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a orange fish", "An orange fish"),
        ("below a umbrella", "Below an umbrella"),
        ("A otter", "An otter"),
        ("a unit", "A unit"),
        ("saga owl", "Saga owl"),
    ],
)
def test_articles_fit_their_words(text: str, expected: str) -> None:
    assert grammatical(text) == expected


# -- the same again -------------------------------------------------------------------------

_DIGEST = """
import hashlib
from eval.synthetic import frames_of, make_questions, make_world
world = make_world(5, 0.1, "dev")
digest = hashlib.sha256(repr((world, make_questions(world))).encode())
for clip in world.clips:
    digest.update(frames_of(clip, 2, (160, 90)).tobytes())
print(digest.hexdigest())
"""


def test_a_seed_makes_the_same_world_in_any_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == hashlib.sha256().digest_size * 2


def test_other_arguments_make_another_world() -> None:
    world = make_world(5, 0.05, "test")
    assert make_world(5, 0.05, "test") == world
    assert make_world(6, 0.05, "test") != world
    assert make_world(5, 0.05, "dev") != world
    assert make_world(5, 1, "test") == make_world(5, 1.0, "test")


# -- time -----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    seconds=st.integers(60, 4000),
    minutes=st.floats(1, 30),
    seed=st.integers(0, 1 << 40),
    split=st.sampled_from(SPLITS),
)
def test_clips_tile_videos_of_any_length(
    seconds: int, minutes: float, seed: int, split: Split
) -> None:
    world = make_world(seed, seconds / 3600, split, video_minutes=minutes)
    assert sum(video.duration_seconds for video in world.videos) == seconds
    for video in world.videos:
        assert video.duration_seconds <= round(minutes * 60)
        assert video.clips[0].span.start_seconds == 0
        for clip, following in pairwise(video.clips):
            assert clip.span.stop_seconds == following.span.start_seconds
        for clip in video.clips:
            assert 14 <= clip.span.duration_seconds <= 24
            starts = [cue.start_seconds for cue in clip.cues]
            assert starts == sorted(starts)
            assert all(
                clip.span.start_seconds <= cue.start_seconds < cue.stop_seconds
                and cue.stop_seconds <= clip.span.stop_seconds
                for cue in clip.cues
            )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"seed": -1, "hours": 1}, "got seed -1"),
        ({"seed": 1, "hours": 0}, "got 0 hours"),
        ({"seed": 1, "hours": float("nan")}, "got nan hours"),
        ({"seed": 1, "hours": 1e9}, "got 1000000000.0 hours"),
        ({"seed": 1, "hours": 1, "split": "validation"}, "allowed: train, dev, test"),
        ({"seed": 1, "hours": 1, "video_minutes": 0.5}, "got videos of 0.5 minutes"),
    ],
)
def test_bounds_are_said(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        make_world(**arguments)  # type: ignore[arg-type]


# -- near-duplicates ------------------------------------------------------------------------


def groups() -> list[list[WorldClip]]:
    by_number = defaultdict(list)
    for clip in WORLD.clips:
        if clip.group is not None:
            by_number[clip.group].append(clip)
    return list(by_number.values())


def differing(one: WorldClip, other: WorldClip) -> list[str]:
    return [slot for slot in STATED if one.staging.detail(slot) != other.staging.detail(slot)]


def test_near_duplicates_differ_from_one_of_them_in_one_detail() -> None:
    for members in groups():
        assert len(members) == 4
        distances = [[len(differing(a, b)) for b in members if b is not a] for a in members]
        assert [1, 1, 1] in distances, "one of them is the base"
        assert all(1 <= d <= 2 for row in distances for d in row)


def test_every_detail_tells_some_near_duplicates_apart() -> None:
    seen = Counter(
        slot
        for members in groups()
        for a, b in combinations(members, 2)
        for slot in differing(a, b)
    )
    assert set(seen) == set(STATED)


def test_what_is_asked_differs_between_near_duplicates() -> None:
    for members in groups():
        for slot in FREE_ASKS:
            assert len({clip.staging.detail(slot) for clip in members}) == 4


def test_no_two_pictures_fit_one_description() -> None:
    assert len({clip.staging.details() for clip in WORLD.clips}) == len(WORLD.clips)


# -- questions ------------------------------------------------------------------------------


def test_questions_are_of_every_kind_and_modality() -> None:
    single = Counter(q.modalities[0] for q in QUESTIONS if q.kind in ("fact", "rival"))
    assert min(single[name] for name in TEXTS) > 100
    kinds = Counter(q.kind for q in QUESTIONS)
    assert kinds["near-duplicate"] == 4 * len(groups())
    assert kinds["picture"] == len(WORLD.clips) - 4 * len(groups())
    assert min(kinds["two"], kinds["absent"]) > 50
    assert kinds["chart"] > 10
    pairs = {q.modalities for q in QUESTIONS if q.kind == "two"}
    assert len(pairs) == 4 * 3, "any modality finds, any other answers"
    assert len({q.id for q in QUESTIONS}) == len(QUESTIONS)


def test_each_question_has_four_choices_and_one_right_one() -> None:
    for question in QUESTIONS:
        assert len(question.choices) == len(set(question.choices)) == 4
        if question.answer is None:
            assert (question.kind, question.spans, question.video) == ("absent", (), None)
        else:
            assert question.choices["ABCD".index(question.answer)] == question.answer_text
            assert question.spans == ((gold(question).span.start_seconds,
                                       gold(question).span.stop_seconds),)  # fmt: skip
            assert question.video == gold(question).video


def test_no_letter_is_a_good_guess() -> None:
    letters = Counter(q.answer for q in QUESTIONS if q.answer)
    assert max(letters.values()) < 0.32 * letters.total()


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_fact_stands_in_its_modality_and_in_no_other(name: str) -> None:
    asked = [q for q in QUESTIONS if q.modalities == (name,) and q.kind in ("fact", "rival")]
    assert asked
    for question in asked:
        fact = gold(question).fact(TEXTS[name])
        assert fact is not None
        needed = content_words(f"{fact.subject.written} {question.answer_text}")
        assert needed <= told(question, home=True)
        assert not needed & told(question, home=False)


def test_a_picture_fact_stands_in_no_text_of_its_clip() -> None:
    asked = [q for q in QUESTIONS if q.kind in ("picture", "near-duplicate")]
    for question in asked:
        words = content_words(phrase(LEXICON, gold(question).staging))
        words |= content_words(question.answer_text)
        assert not words & told(question, home=False)


def test_of_two_modalities_one_finds_and_the_other_answers() -> None:
    for question in QUESTIONS:
        if question.kind != "two":
            continue
        finder, teller = question.modalities
        answer = content_words(question.answer_text)
        assert not answer & told(question, home=False)
        assert not answer & content_words(question.question)
        if teller in TEXTS:
            assert answer <= told(question, home=True)
        if finder in TEXTS:
            fact = gold(question).fact(TEXTS[finder])
            assert fact is not None
            assert fact.subject.said in question.question


def test_near_duplicates_give_the_wrong_choices() -> None:
    for question in QUESTIONS:
        if question.kind != "near-duplicate":
            continue
        answers = {
            answer_of(LEXICON, CLIPS[name].staging, ask)
            for name in question.near_duplicate_ids
            for ask in FREE_ASKS
        }
        assert len(question.near_duplicate_ids) == 3
        assert len(answers & set(question.choices)) >= 2


def test_rivals_tell_otherwise_of_the_same_in_another_modality() -> None:
    asked = [q for q in QUESTIONS if q.kind == "rival"]
    assert asked
    for question in asked:
        mine = gold(question).fact(TEXTS[question.modalities[0]])
        assert mine is not None
        [rival] = [
            fact
            for name in question.rival_ids
            for fact in CLIPS[name].facts
            if fact.subject == mine.subject
        ]
        assert (rival.attribute, rival.modality == mine.modality) == (mine.attribute, False)
        assert rival.value != mine.value
        assert rival.value in question.choices


def test_absent_things_are_nowhere() -> None:
    texts = "\n".join(clip.text(modality) for clip in WORLD.clips for modality in TEXTS.values())
    subjects = {fact.subject for clip in WORLD.clips for fact in clip.facts}
    assert WORLD.unseen
    for fact in WORLD.unseen:
        assert fact.subject not in subjects
        assert fact.subject.written not in texts
    described = {phrase(LEXICON, clip.staging) for clip in WORLD.clips}
    for question in QUESTIONS:
        if question.kind == "absent" and question.modalities == ("video",):
            assert not any(text in question.question for text in described)


def test_names_of_absent_things_are_not_new() -> None:
    """An unknown name alone must not give away that a question has no answer."""
    names = {fact.subject.name for clip in WORLD.clips for fact in clip.facts}
    known = [fact.subject.name in names for fact in WORLD.unseen]
    assert sum(known) > 0.5 * len(known)


def test_decoys_speak_of_what_other_clips_show() -> None:
    """Speech that describes a picture is false of the picture it goes with."""
    described = {phrase(LEXICON, clip.staging): clip for clip in WORLD.clips}
    decoys = [
        (clip, shown)
        for clip in WORLD.clips
        for text, shown in described.items()
        if text in clip.text(Modality.ASR) or text in clip.text(Modality.OCR).lower()
    ]
    assert len(decoys) > 20
    assert all(clip is not shown for clip, shown in decoys)


# -- does it mean something -----------------------------------------------------------------


def test_words_alone_do_not_answer_what_pictures_answer() -> None:
    """The figures themselves: ``python -m eval.synthetic check DIR``."""
    assert near_duplicates_by_words(WORLD, QUESTIONS).share < 0.34
    assert choices_by_words(WORLD, QUESTIONS).share < 0.34
    assert check(WORLD, QUESTIONS)[1] == []


@pytest.mark.parametrize("split", ["train", "dev"])
def test_the_other_splits_mean_something_too(split: Split) -> None:
    world = make_world(seed=3, hours=0.5, split=split)
    _, wrong = check(world, make_questions(world))
    assert not wrong


def test_words_find_text_facts() -> None:
    for name in TEXTS:
        share = clips_by_words(WORLD, QUESTIONS, name)
        assert share.share > 0.3 > 10 * share.chance
        assert not share.is_chance


def spoiled(world: World, clip: WorldClip, text: str) -> World:
    cue = Cue(clip.span.start_seconds, clip.span.stop_seconds, text)
    videos = tuple(
        replace(
            video, clips=tuple(replace(c, cues=(cue,)) if c is clip else c for c in video.clips)
        )
        for video in world.videos
    )
    return replace(world, videos=videos)


def test_a_leak_is_found() -> None:
    question = next(q for q in QUESTIONS if q.kind == "fact" and q.modalities == ("ocr",))
    world = spoiled(WORLD, gold(question), f"By the way, {question.answer_text}.")
    assert f"the answer leaks: {question.id}" in check(world, QUESTIONS)[1]


def test_speech_that_describes_its_picture_is_found() -> None:
    world = WORLD
    for clip in WORLD.clips:
        world = spoiled(world, clip, phrase(LEXICON, clip.staging))
    wrong = check(world, QUESTIONS)[1]
    assert any("near-duplicates that BM25" in line for line in wrong)
