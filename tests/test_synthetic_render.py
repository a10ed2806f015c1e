"""A rendered world: pictures show what they should, and the product reads what was written."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from clamr_rag.config import OcrOptions
from clamr_rag.errors import UsageError
from clamr_rag.extraction.ocr import RapidOcrRecognizer
from clamr_rag.media import iter_frames, probe, read_info_json, read_sidecar_subtitles
from clamr_rag.types import ByteArray, Frame, Modality
from eval.synthetic import (
    DATA_VERSION,
    SPLITS,
    WorldClip,
    check_folder,
    clip_input,
    frame_seconds,
    frames_of,
    make_questions,
    make_world,
    read_questions,
    read_world,
    render,
)
from eval.synthetic.lexicon import Color, read_lexicon
from eval.synthetic.shapes import FAMILIES, thing
from eval.synthetic.staging import Kind, Paint, Staging

RED, BLUE, WHITE = (Paint("red", "red", (220, 20, 20)), Paint("blue", "blue", (20, 20, 220)),
                    Paint("white", "white", (255, 255, 255)))  # fmt: skip
BALL, BOOK = Kind("ball", "ball", "balls", 4), Kind("book", "book", "books", 0)
BOX = Kind("box", "box", "boxes", 0)
WORLD = make_world(seed=2, hours=0.2, split="test")
PLAIN = next(clip for clip in WORLD.clips if clip.board is None)


def clip_of(**details: object) -> WorldClip:
    """A clip without texts: one small red ball left of a blue book, but for what is said."""
    staging = Staging(
        count=1, size="small", colour=RED, kind=BALL, motion="still", relation="left",
        companion_colour=BLUE, companion=BOOK, backdrop="plain", trim=WHITE, corner=0, wording=0,
    )  # fmt: skip
    return replace(PLAIN, staging=replace(staging, **details))  # type: ignore[arg-type]


def mask(frame: ByteArray, color: Color) -> np.ndarray:
    distance = np.abs(frame.astype(int) - color).sum(axis=2)
    return distance < 60


def middle(frame: ByteArray, color: Color) -> tuple[float, float]:
    """Mean x and y of what has a colour."""
    ys, xs = np.nonzero(mask(frame, color))
    return float(xs.mean()), float(ys.mean())


def area(frame: ByteArray, color: Color) -> int:
    return int(mask(frame, color).sum())


# -- pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(640, 360), (320, 180), (128, 72), (64, 64)])
def test_frames_have_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    for clip in WORLD.clips[:8]:
        frames = frames_of(clip, 3, size)
        assert frames.shape == (3, size[1], size[0], 3)
        assert frames.dtype == np.uint8
        assert frames.std() > 10
    assert frames_of(PLAIN, 0).shape == (0, 360, 640, 3)


def test_frame_times_are_the_middles_of_equal_parts() -> None:
    times = frame_seconds(PLAIN, 4)
    span = PLAIN.span
    assert times[0] - span.start_seconds == pytest.approx(span.duration_seconds / 8)
    assert np.diff(times) == pytest.approx(span.duration_seconds / 4)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("relation", ["left", "above", "inside"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_as_many_things_are_seen_as_there_are(count: int, relation: str, size: str) -> None:
    companion = BOX if relation == "inside" else BOOK
    clip = clip_of(count=count, relation=relation, companion=companion, size=size)
    red = ndimage.binary_opening(mask(frames_of(clip, 1)[0], RED.rgb), iterations=2)
    assert ndimage.label(red)[1] == count


@pytest.mark.parametrize(
    ("relation", "axis", "sign"),
    [("left", 0, -1), ("right", 0, 1), ("above", 1, -1), ("below", 1, 1)],
)
def test_things_are_where_their_relation_says(relation: str, axis: int, sign: int) -> None:
    for count in range(1, 6):
        frame = frames_of(clip_of(relation=relation, count=count), 1)[0]
        apart = middle(frame, RED.rgb)[axis] - middle(frame, BLUE.rgb)[axis]
        assert sign * apart > 40


def test_things_inside_are_within_their_companion() -> None:
    clip = clip_of(relation="inside", companion=BOX, count=5, size="large")
    frame = frames_of(clip, 1)[0]
    (ys, xs), (around_y, around_x) = (np.nonzero(mask(frame, c.rgb)) for c in (RED, BLUE))
    assert around_x.min() < xs.min()
    assert xs.max() < around_x.max()
    assert around_y.min() < ys.min()
    assert ys.max() < around_y.max()


def test_a_large_thing_is_larger_than_a_small_one() -> None:
    small, large = (area(frames_of(clip_of(size=s), 1)[0], RED.rgb) for s in ("small", "large"))
    assert large > 2 * small


@pytest.mark.parametrize("count", range(2, 11))
def test_motions_are_seen_in_any_number_of_frames(count: int) -> None:
    def courses(motion: str) -> tuple[list[float], list[float], list[int]]:
        frames = frames_of(clip_of(motion=motion, kind=BOOK, companion=BALL), count)
        shown = [frame for frame in frames if area(frame, RED.rgb)]
        places = [middle(frame, RED.rgb) for frame in shown]
        areas = [area(frame, RED.rgb) for frame in frames]
        return [x for x, _ in places], [y for _, y in places], areas

    assert len({tuple(course) for course in zip(*courses("still"), strict=True)}) == 1
    assert all(np.diff(courses("rise")[1]) < 0)
    assert all(np.diff(courses("sink")[1]) > 0)
    assert all(np.diff(courses("grow")[2]) > 0)
    assert all(np.diff(courses("shrink")[2]) < 0)
    assert np.ptp(courses("sway")[0]) > 5
    assert min(courses("blink")[2]) == 0 < max(courses("blink")[2])
    turned = frames_of(clip_of(motion="spin", kind=BOOK), count)
    assert any(not np.array_equal(turned[0], frame) for frame in turned[1:])


def test_the_border_and_the_mark_are_drawn() -> None:
    frame = frames_of(clip_of(trim=BLUE), 1)[0]
    assert (frame[[0, -1], :] == BLUE.rgb).all()
    assert (frame[:, [0, -1]] == BLUE.rgb).all()
    for corner, (across, down) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        x, y = middle(frames_of(clip_of(corner=corner), 1)[0], (60, 60, 70))
        assert (x > 320, y > 180) == (across, down)


def test_backdrops_are_told_apart() -> None:
    patterns = ("stripes", "dots", "checks", "waves", "bricks", "hills", "rays", "plain")
    frames = [frames_of(clip_of(backdrop=name), 1)[0].astype(int) for name in patterns]
    for one, other in combinations(frames, 2):
        assert (np.abs(one - other).sum(axis=2) > 30).mean() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", range(5))
def test_things_keep_their_colour(family: str, form: int) -> None:
    drawing = np.asarray(thing(family, form, RED.rgb, 64)).astype(int)
    seen = drawing[..., 3] > 128
    reddish = (drawing[..., 0] > drawing[..., 1] + 50) & seen
    assert 0.05 < seen.mean() < 0.95
    assert reddish.sum() > 0.25 * seen.sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_no_split_draws_a_thing_as_another_does(family: str) -> None:
    drawings = []
    for split in SPLITS:
        lexicon = read_lexicon(split)
        forms = [lexicon.form_of(family, n) for n in range(len(lexicon.kinds.get(family, ())))]
        drawings.append([np.asarray(thing(family, form, RED.rgb, 64)) for form in forms])
    for some, others in combinations(drawings, 2):
        for one, other in product(some, others):
            changed = np.abs(one.astype(int) - other.astype(int)).sum(axis=2) > 60
            assert changed.mean() > 0.01


def test_near_duplicates_look_different() -> None:
    by_group: dict[int, list[WorldClip]] = {}
    for clip in WORLD.clips:
        if clip.group is not None:
            # Without their texts and their backdrops only the detail is left.
            staging = replace(clip.staging, backdrop="plain", trim=WHITE, corner=0, wording=0)
            by_group.setdefault(clip.group, []).append(replace(PLAIN, staging=staging))
    for members in by_group.values():
        for one, other in combinations(members, 2):
            frames = [frames_of(clip, 4).astype(int) for clip in (one, other)]
            changed = np.abs(frames[0] - frames[1]).sum(axis=3) > 60
            assert changed.max(axis=0).sum() > 80


def test_an_encoder_gets_all_modalities() -> None:
    clip = next(clip for clip in WORLD.clips if len(clip.facts) == 3)
    given = clip_input(clip, 2, (160, 90))
    assert [frame.shape for frame in given.frames] == [(90, 160, 3)] * 2
    assert given.frame_seconds == frame_seconds(clip, 2)
    for modality in (Modality.ASR, Modality.OCR, Modality.DESCRIPTION):
        fact = clip.fact(modality)
        assert fact is not None
        assert fact.told() in (given.text(modality) or "")
    bare = clip_input(PLAIN, 0)
    assert (bare.frames, bare.ocr) == ((), None)


# -- files ----------------------------------------------------------------------------------

SMALL = make_world(seed=4, hours=1 / 30, split="test", video_minutes=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rendered videos of a minute."""
    folder = tmp_path_factory.mktemp("synthetic") / "world"
    render(SMALL, folder)
    return folder


def test_a_folder_holds_what_was_made(folder: Path) -> None:
    assert read_world(folder) == SMALL
    assert read_questions(folder) == make_questions(SMALL)
    assert check_folder(folder)[1] == []
    names = {path.name for path in (folder / "videos").iterdir()}
    assert len(names) == 3 * len(SMALL.videos)
    made = json.loads((folder / "world.json").read_text())
    assert made["data_version"] == DATA_VERSION
    assert (made["seed"], made["num_clips"]) == (4, len(SMALL.clips))
    spans = [clip for video in made["videos"] for clip in video["clips"]]
    assert [clip[0] for clip in spans] == [clip.clip_id for clip in SMALL.clips]


def test_rendering_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    render(SMALL, tmp_path)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            again = tmp_path / path.relative_to(folder)
            assert again.read_bytes() == path.read_bytes(), path.name


def test_videos_are_as_long_as_their_clips(folder: Path) -> None:
    for video in SMALL.videos:
        found = probe(folder / "videos" / video.name)
        assert found.duration_seconds == pytest.approx(video.duration_seconds, abs=0.3)
        assert found.video is not None
        assert (found.video.codec, found.video.width, found.video.height) == ("h264", 640, 360)


def test_a_file_shows_what_frames_of_gives(folder: Path) -> None:
    video = SMALL.videos[0]
    for frame in iter_frames(folder / "videos" / video.name, [2.0, 17.25, 30.5, 44.75, 58.0]):
        clip = next(clip for clip in video.clips if clip.span.contains(frame.seconds))
        others = [other for other in video.clips if other is not clip]
        nearest = _distance(frame, clip)
        assert nearest < 12
        assert all(_distance(frame, other) > 2 * nearest for other in others)


def _distance(frame: Frame, clip: WorldClip) -> float:
    """Mean difference to the nearest of many frames of a clip."""
    drawn = frames_of(clip, 12).astype(int)
    return float(np.abs(drawn - frame.pixels.astype(int)).mean(axis=(1, 2, 3)).min())


def test_the_product_reads_speech_and_chapters(folder: Path) -> None:
    for video in SMALL.videos:
        path = folder / "videos" / video.name
        cues = read_sidecar_subtitles(path.with_suffix(".srt"))
        said = [cue for clip in video.clips for cue in clip.cues]
        assert [cue.text for cue in cues] == [cue.text for cue in said]
        for read, meant in zip(cues, said, strict=True):
            assert read.start_seconds == pytest.approx(meant.start_seconds, abs=0.002)
        told = read_info_json(path.with_suffix(".info.json"))
        assert (told.title, told.description) == (video.title, video.description)
        chapters = [(clip.chapter, clip.span) for clip in video.clips if clip.chapter]
        assert [(chapter.title, chapter.span) for chapter in told.chapters] == chapters


def test_the_product_reads_what_is_written(folder: Path) -> None:
    recognizer = RapidOcrRecognizer(OcrOptions())
    video = max(SMALL.videos, key=lambda v: sum(clip.board is not None for clip in v.clips))
    clips = [clip for clip in video.clips if clip.board][:3]
    seconds = [clip.span.start_seconds + 5 for clip in clips]
    frames = iter_frames(folder / "videos" / video.name, seconds)
    for clip, frame in zip(clips, frames, strict=True):
        lines = recognizer.recognize(frame)
        read = " ".join(line.text for line in lines).lower()
        words = clip.text(Modality.OCR).lower().replace(",", " ").replace(":", " ").split()
        missed = [word for word in words if word.strip(".") not in read]
        assert len(missed) <= 0.1 * len(words), (missed, read)


# -- what can go wrong with a folder ----------------------------------------------------------


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "thesis.txt"
    kept.write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        render(SMALL, tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        render(SMALL, kept)
    assert kept.read_text() == "years of work"


def test_a_folder_without_questions_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no questions\.jsonl .*eval\.synthetic make"):
        read_questions(tmp_path)
    with pytest.raises(UsageError, match=r"no world\.json"):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda row: "{", "line 2 is no question"),
        (lambda row: "[]", "line 2 is no question"),
        (lambda row: json.dumps(row | {"kind": "riddle"}), "kind: Input should be 'fact'"),
        (lambda row: json.dumps(row | {"spans": [[0]]}), "spans.0.1"),
        (lambda row: json.dumps(row | {"answer_text": "42"}), "not '42'"),
    ],
)
def test_a_damaged_question_is_named(tmp_path: Path, spoil: object, said: str) -> None:
    rows = [asdict(question) for question in make_questions(SMALL)[:2]]
    assert callable(spoil)
    text = f"{json.dumps(rows[0])}\n{spoil(rows[1])}\n"
    (tmp_path / "questions.jsonl").write_text(text)
    with pytest.raises(UsageError) as raised:
        read_questions(tmp_path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "tells of no world"),
        ("not json", "tells of no world"),
        (json.dumps({"data_version": "synthetic-0", "seed": 1, "hours": 1, "split": "test",
                     "video_minutes": 10}), "is of version 'synthetic-0'"),
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_world_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "world.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_world(tmp_path)


def test_changed_questions_and_lost_videos_are_found(folder: Path, tmp_path: Path) -> None:
    for name in ("world.json", "questions.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    lines = (tmp_path / "questions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "questions.jsonl").write_text("".join(lines[1:]))
    wrong = check_folder(tmp_path)[1]
    assert "questions.jsonl differs from what its seed makes" in wrong
    assert f"no such video: {SMALL.videos[0].name}" in wrong
