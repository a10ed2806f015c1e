"""The library file: what goes in comes out, stages, words, names, removal, health."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from library_values import add_video, clip_vectors, clips_of, small_library, video

from clamr_rag.errors import (
    EncoderMismatchError,
    LibraryDamagedError,
    LibraryError,
    UsageError,
)
from clamr_rag.index import derived
from clamr_rag.index.store import FILE_NAME, Store
from clamr_rag.types import Clip, Cue, MetadataLine, OcrLine, TimeSpan, Video, Word

FILM = video("f")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "library") as opened:
        yield opened


def vectors_for(clips: tuple[Clip, ...]) -> list[tuple[str, object]]:
    return [(clip.clip_id, clip_vectors([1, 3], clip.number)) for clip in clips]


# --- opening


def test_a_new_library_is_empty_and_healthy(store: Store) -> None:
    assert store.videos() == ()
    assert store.encoder is None
    assert store.verify() == ()
    assert list(store.iter_vectors()) == []


def test_the_file_says_what_it_is(store: Store) -> None:
    header = store.path.read_bytes()[:100]
    assert header[68:72] == b"ClRg"
    assert int.from_bytes(header[60:64], "big") == 1


def test_pragmas_that_keep_what_was_written(store: Store) -> None:
    values = {
        name: store._database.row(f"PRAGMA {name}")
        for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    }
    assert values == {
        "journal_mode": ("wal",),
        "synchronous": (2,),
        "foreign_keys": (1,),
        "secure_delete": (1,),
    }


@pytest.mark.parametrize("how", [{"create": False}, {"read_only": True}])
def test_a_library_that_is_not_there_is_only_made_when_asked(
    tmp_path: Path, how: dict[str, bool]
) -> None:
    with pytest.raises(UsageError, match="there is no library"):
        Store.open(tmp_path / "nowhere", **how)
    assert not (tmp_path / "nowhere").exists()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    small_library(tmp_path).close()
    with Store.open(tmp_path, read_only=True) as store:
        assert len(store.videos()) == 3
        assert store.verify() == ()
        with pytest.raises(LibraryError, match="reading only"):
            store.remove_video(video("a").video_id)
        assert len(store.videos()) == 3


def test_libraries_differ_in_their_id(tmp_path: Path) -> None:
    with Store.open(tmp_path / "one") as one, Store.open(tmp_path / "two") as two:
        assert one.library_id != two.library_id
        assert one.library_id


# --- the encoder


def test_one_encoder_per_library(store: Store) -> None:
    store.claim_encoder("mini", "mini:1")
    store.claim_encoder("clamr", "clamr:7")
    add_video(store, FILM, [clip_vectors([1], 1)])
    store.claim_encoder("clamr", "clamr:7")
    with pytest.raises(EncoderMismatchError, match=r"clamr \(clamr:7\), got mini \(mini:1\)"):
        store.claim_encoder("mini", "mini:1")
    store.remove_video(FILM.video_id)
    store.claim_encoder("mini", "mini:1")
    assert store.encoder == ("mini", "mini:1")


def test_a_checkpoint_that_was_moved_is_the_same_encoder(store: Store) -> None:
    """One folder has many names: relative, absolute, through a link, after a move."""
    store.claim_encoder("/models/clamr", "clamr:7")
    add_video(store, FILM, [clip_vectors([1], 1)])
    store.claim_encoder("clamr", "clamr:7")
    assert store.encoder == ("/models/clamr", "clamr:7")


def test_one_name_with_other_weights_is_not_told_to_use_itself(store: Store) -> None:
    store.claim_encoder("clamr", "clamr:7")
    add_video(store, FILM, [clip_vectors([1], 1)])
    with pytest.raises(EncoderMismatchError, match="got clamr \\(clamr:8\\)") as caught:
        store.claim_encoder("clamr", "clamr:8")
    assert "weights, adapter and encoder options" in caught.value.hint


def test_vectors_of_one_width(store: Store) -> None:
    add_video(store, FILM, [clip_vectors([1], 1, dim=16)])
    with pytest.raises(LibraryError, match="8 numbers; allowed: 16"):
        add_video(store, video("g"), [clip_vectors([1], 1, dim=8)])


# --- clips come back as they were

TEXTS = st.text(max_size=12)
SECONDS = st.floats(0, 1e6, allow_nan=False)


@st.composite
def spans(draw: st.DrawFn) -> TimeSpan:
    return TimeSpan(*sorted((draw(SECONDS), draw(SECONDS))))


@st.composite
def cues(draw: st.DrawFn) -> Cue:
    span = draw(spans())
    words = draw(st.lists(st.builds(Word, SECONDS, SECONDS, TEXTS), max_size=2))
    return Cue(span.start_seconds, span.stop_seconds, draw(TEXTS), tuple(words))


@st.composite
def ocr_lines(draw: st.DrawFn) -> OcrLine:
    left, right = sorted((draw(st.floats(0, 1)), draw(st.floats(0, 1))))
    span = draw(spans())
    box = (left, left, right, right)
    return OcrLine(draw(TEXTS), span.start_seconds, span.stop_seconds, box, draw(st.floats(0, 1)))


METADATA = st.builds(MetadataLine, TEXTS, TEXTS, st.none() | spans())


@given(
    spans(),
    st.lists(cues(), max_size=3),
    st.lists(ocr_lines(), max_size=3),
    st.lists(METADATA, max_size=3),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_clip_comes_back_exactly(
    store: Store,
    span: TimeSpan,
    speech: list[Cue],
    lines: list[OcrLine],
    metadata: list[MetadataLine],
) -> None:
    clip = Clip("film-00000", FILM.video_id, 0, span, tuple(speech), tuple(lines), tuple(metadata))
    store.begin_video(FILM, "options")
    store.plan_clips(FILM.video_id, [clip])
    assert store.clip("film-00000") == clip
    assert store.clips(FILM.video_id) == (clip,)
    assert store.verify() == ()


def test_names_that_are_not_utf_8_come_back_exactly(store: Store) -> None:
    strange = dataclasses.replace(FILM, path="/films/\udcff\udc80.mp4", title="x\udcfe\n'\";--")
    clip = dataclasses.replace(
        clips_of(strange, 1)[0], metadata=(MetadataLine("File: \udcff", "file name"),)
    )
    store.begin_video(strange, "options")
    store.plan_clips(FILM.video_id, [clip])
    assert store.video(FILM.video_id).video == strange
    assert store.clip(clip.clip_id) == clip
    assert store.find_video("\udcff\udc80.mp4").video == strange


# --- the life of a video


def test_a_video_is_found_only_once_it_is_finished(store: Store) -> None:
    clips = clips_of(FILM, 3)
    assert store.begin_video(FILM, "options").status == "indexing"
    store.plan_clips(FILM.video_id, clips)
    assert store.pending_clips(FILM.video_id) == clips
    store.put_vectors(FILM.video_id, vectors_for(clips[:2]))
    assert store.pending_clips(FILM.video_id) == clips[2:]
    assert list(store.iter_vectors()) == []
    assert store.search_text("spoken0") == ()
    with pytest.raises(LibraryError, match="vectors of 2 clips; allowed: all 3"):
        store.finish_video(FILM.video_id)
    store.put_vectors(FILM.video_id, vectors_for(clips[2:]))
    assert list(store.iter_vectors()) == []
    assert store.finish_video(FILM.video_id).status == "indexed"
    assert [clip_id for clip_id, _ in store.iter_vectors()] == [clip.clip_id for clip in clips]
    assert [hit.clip_id for hit in store.search_text("spoken0")] == [clips[0].clip_id]


def test_a_video_without_clips_can_be_finished(store: Store) -> None:
    add_video(store, FILM, [])
    assert store.video(FILM.video_id).status == "indexed"
    assert list(store.iter_vectors()) == []


def test_going_on_under_the_same_options_keeps_everything(store: Store) -> None:
    clips = clips_of(FILM, 3)
    store.begin_video(FILM, "options")
    store.plan_clips(FILM.video_id, clips)
    store.put_vectors(FILM.video_id, vectors_for(clips[:1]))
    store.fail_video(FILM.video_id, "power cut")
    assert store.video(FILM.video_id).error == "power cut"
    record = store.begin_video(FILM, "options")
    assert (record.status, record.error) == ("indexing", None)
    store.plan_clips(FILM.video_id, clips)
    assert store.pending_clips(FILM.video_id) == clips[1:]


def test_another_cut_drops_the_vectors(store: Store) -> None:
    add_video(store, FILM, [clip_vectors([1], n) for n in range(3)])
    clips = clips_of(FILM, 2)
    store.plan_clips(FILM.video_id, clips)
    assert store.video(FILM.video_id).status == "indexing"
    assert store.pending_clips(FILM.video_id) == clips
    assert list(store.iter_vectors()) == []


def test_other_options_start_over_but_keep_artefacts(store: Store) -> None:
    add_video(store, FILM, [clip_vectors([1], 1)])
    store.put_artefact(FILM.video_id, "speech", 0, "asr-1", b"words")
    record = store.begin_video(FILM, "other options")
    assert (record.status, record.num_clips) == ("indexing", 0)
    assert store.clips(FILM.video_id) == ()
    assert list(store.iter_vectors()) == []
    assert store.artefacts(FILM.video_id, "speech", "asr-1") == [(0, b"words")]


def test_a_finished_video_under_the_same_options_stays_found(store: Store) -> None:
    add_video(store, FILM, [clip_vectors([1], 1)])
    assert store.begin_video(FILM, "options").status == "indexed"
    assert len(list(store.iter_vectors())) == 1


def test_facts_of_a_video_can_change(store: Store) -> None:
    store.begin_video(FILM, "options")
    store.set_sources(FILM.video_id, speech="lecture.srt")
    store.set_sources(FILM.video_id, screen_text="rapidocr")
    store.update_video(dataclasses.replace(FILM, duration_seconds=7.0))
    store.relink(FILM.video_id, "/elsewhere/f.mp4")
    record = store.video(FILM.video_id)
    assert (record.speech_source, record.screen_text_source) == ("lecture.srt", "rapidocr")
    assert record.video == dataclasses.replace(FILM, duration_seconds=7.0, path="/elsewhere/f.mp4")


def test_clips_and_vectors_must_belong(store: Store) -> None:
    store.begin_video(FILM, "options")
    with pytest.raises(ValueError, match="is not of video"):
        store.plan_clips(FILM.video_id, clips_of(video("g"), 1))
    with pytest.raises(UsageError, match="was not planned"):
        store.put_vectors(FILM.video_id, [("clip-9", clip_vectors([1], 1))])
    for call in (store.video, store.clip, store.vectors, store.remove_video, store.finish_video):
        with pytest.raises(UsageError):
            call("unknown")


def test_a_batch_is_stored_whole_or_not_at_all(store: Store) -> None:
    clips = clips_of(FILM, 2)
    store.begin_video(FILM, "options")
    store.plan_clips(FILM.video_id, clips)
    with pytest.raises(UsageError):
        store.put_vectors(FILM.video_id, [*vectors_for(clips), ("no clip", clip_vectors([1], 1))])
    assert store.pending_clips(FILM.video_id) == clips


@pytest.mark.parametrize("codec", ["int8", "fp16"])
def test_vectors_come_back(store: Store, codec: str) -> None:
    clips = clips_of(FILM, 1)
    vectors = clip_vectors([1, 3, 0, 5], 4)
    store.begin_video(FILM, "options")
    store.plan_clips(FILM.video_id, clips)
    store.put_vectors(FILM.video_id, [(clips[0].clip_id, vectors)], codec=codec)
    back = store.vectors(clips[0].clip_id)
    assert back.vectors == pytest.approx(vectors.vectors, abs=0.01)
    assert np.array_equal(back.modalities, vectors.modalities)
    assert np.array_equal(back.seconds, vectors.seconds, equal_nan=True)


def test_vectors_come_by_video_and_in_time(store: Store) -> None:
    for name in "cab":
        add_video(store, video(name), [clip_vectors([1], n) for n in range(12)])
    ids = [clip_id for clip_id, _ in store.iter_vectors()]
    assert ids == sorted(ids)
    assert len(ids) == 36
    only = [clip_id for clip_id, _ in store.iter_vectors([video("a").video_id, "unknown"])]
    assert only == ids[:12]
    assert list(store.iter_vectors([])) == []


# --- finding a video by what a user types


def test_a_video_by_its_id_path_name_title_or_start_of_id(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "fg":
        store.begin_video(video(name), "options")
    monkeypatch.chdir("/")
    for reference in (FILM.video_id, "ffff", "/films/f.mp4", "films/f.mp4", "f.mp4", "The f"):
        assert store.find_video(reference).video == FILM


@pytest.mark.parametrize("reference", ["fff", "", "f.mkv", "%", "_ilm", "gg' OR 1=1"])
def test_what_means_no_video(store: Store, reference: str) -> None:
    store.begin_video(FILM, "options")
    with pytest.raises(UsageError, match="no video"):
        store.find_video(reference)


def test_what_means_several_videos_names_them(store: Store) -> None:
    for number in range(2):
        owner = dataclasses.replace(
            FILM, video_id=f"abcde{number}", path=f"/{number}/f.mp4", title="Talk"
        )
        store.begin_video(owner, "options")
    for reference in ("f.mp4", "Talk", "abcde"):
        with pytest.raises(UsageError, match=r"2 videos: /0/f.mp4, /1/f.mp4"):
            store.find_video(reference)
    assert store.find_video("/1/f.mp4").video.video_id == "abcde1"


# --- words


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("spoken3", [3]),
        ("SHOWN2", [2]),
        ("part1", [1]),
        ("uberraschung", [0, 1, 2, 3]),
        ("spoken1 part2", [1, 2]),
        ("zebra", []),
        ("", []),
        ('"*() - NEAR NOT :', []),
        ("spoken3'; DROP TABLE clip; --", [3]),
    ],
)
def test_clips_by_their_words(store: Store, words: str, numbers: list[int]) -> None:
    add_video(store, FILM, [clip_vectors([1], n) for n in range(4)])
    found = sorted(int(hit.clip_id[-5:]) for hit in store.search_text(words))
    assert found == numbers


def test_all_words_one_video_and_a_limit(store: Store) -> None:
    for name in "ab":
        add_video(store, video(name), [clip_vectors([1], n) for n in range(3)])
    assert store.search_text("spoken1 part2", match="all") == ()
    both = store.search_text("spoken1 part1", match="all")
    assert [hit.clip_id[-5:] for hit in both] == ["00001", "00001"]
    (only,) = store.search_text("spoken1", video_ids=[video("b").video_id])
    assert only.clip_id.startswith("b")
    assert len(store.search_text("town hall", limit=4)) == 4
    assert store.search_text("town", video_ids=[]) == ()


def test_a_rarer_word_weighs_more(store: Store) -> None:
    add_video(store, FILM, [clip_vectors([1], n) for n in range(4)])
    best, *others = store.search_text("town spoken2")
    assert best.clip_id.endswith("00002")
    assert all(best.score > other.score for other in others)


# --- stages


def test_a_stage_is_done_when_it_is_marked(store: Store) -> None:
    store.begin_video(FILM, "options")
    for part in (10, 9, 0):
        store.put_artefact(FILM.video_id, "speech", part, "asr-1", b"%d" % part)
    assert not store.stage_done(FILM.video_id, "speech", "asr-1")
    store.mark_stage_done(FILM.video_id, "speech", "asr-1")
    assert store.stage_done(FILM.video_id, "speech", "asr-1")
    assert not store.stage_done(FILM.video_id, "speech", "asr-2")
    assert not store.stage_done(FILM.video_id, "screen", "asr-1")
    found = store.artefacts(FILM.video_id, "speech", "asr-1")
    assert found == [(0, b"0"), (9, b"9"), (10, b"10")]
    assert store.artefacts(FILM.video_id, "speech", "asr-2") == []


def test_a_part_may_be_written_again_and_have_a_name(store: Store) -> None:
    store.begin_video(FILM, "options")
    for payload in (b"first", b"second"):
        store.put_artefact(FILM.video_id, "speech", "en", "asr-1", payload)
    assert store.artefacts(FILM.video_id, "speech", "asr-1") == [("en", b"second")]


def test_a_stage_without_parts_can_be_done(store: Store) -> None:
    store.begin_video(FILM, "options")
    store.mark_stage_done(FILM.video_id, "speech", "none")
    assert store.stage_done(FILM.video_id, "speech", "none")


def test_an_artefact_needs_its_video(store: Store) -> None:
    with pytest.raises(LibraryError, match="FOREIGN KEY"):
        store.put_artefact("unknown", "speech", 0, "asr-1", b"words")


# --- files made from a video


def test_derived_files_are_kept_checked_and_removed(store: Store) -> None:
    add_video(store, FILM, [clip_vectors([1], 1)])
    assert store.derived(FILM.video_id, "0001.jpg") is None
    path = store.put_derived(FILM.video_id, "0001.jpg", b"picture")
    assert store.derived(FILM.video_id, "0001.jpg") == b"picture"
    path.write_bytes(b"another")
    assert store.derived(FILM.video_id, "0001.jpg") is None
    assert [problem.what for problem in store.verify()] == ["is missing or was changed"]
    store.put_derived(FILM.video_id, "0001.jpg", b"new picture")
    assert store.derived(FILM.video_id, "0001.jpg") == b"new picture"
    assert store.verify() == ()
    assert [file.name for file in path.parent.iterdir()] == ["0001.jpg"]
    store.remove_video(FILM.video_id)
    assert not path.parent.exists()


@pytest.mark.parametrize("name", ["../0001.jpg", "/etc/passwd", "", ".", "..", "a/b", "a\0b"])
def test_derived_files_stay_in_their_folder(store: Store, name: str) -> None:
    store.begin_video(FILM, "options")
    with pytest.raises(ValueError, match="cannot be the name"):
        store.put_derived(FILM.video_id, name, b"x")
    with pytest.raises(ValueError, match="cannot be the name"):
        store.derived(name, "0001.jpg")


# --- removal


def test_a_removed_video_leaves_no_trace(tmp_path: Path) -> None:
    store = small_library(tmp_path, "ab")
    gone = video("a")
    marker = "zyxwvut"
    secret = dataclasses.replace(
        clips_of(gone, 1)[0], cues=(Cue(0.0, 1.0, f"my secret {marker} number"),)
    )
    vectors = clip_vectors([1, 3, 3], 4242)
    store.begin_video(dataclasses.replace(gone, title=f"title {marker}"), "other")
    store.plan_clips(gone.video_id, [secret])
    store.put_vectors(gone.video_id, [(secret.clip_id, vectors)])
    blob = store._database.row(
        "SELECT blob FROM vector JOIN clip ON position = clip WHERE clip_id = ?", secret.clip_id
    )
    assert blob is not None
    store.put_artefact(gone.video_id, "speech", 0, "x", f"artefact {marker}".encode())
    store.mark_stage_done(gone.video_id, "speech", "x")
    store.finish_video(gone.video_id)
    rows_before = blob[0][20:60]
    assert marker.encode() in _all_bytes(tmp_path)
    assert rows_before in _all_bytes(tmp_path)

    store.remove_video(gone.video_id)

    assert [record.video for record in store.videos()] == [video("b")]
    assert store.search_text(marker) == ()
    assert {clip_id[0] for clip_id, _ in store.iter_vectors()} == {"b"}
    assert marker.encode() not in _all_bytes(tmp_path)
    assert rows_before not in _all_bytes(tmp_path)
    assert gone.video_id.encode() not in _all_bytes(tmp_path)
    assert store.verify() == ()
    store.close()


def _all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_removing_a_video_removes_the_chroma_folder(tmp_path: Path) -> None:
    with small_library(tmp_path) as store:
        folder = tmp_path / derived.CHROMA_FOLDER
        folder.mkdir()
        (folder / "chroma.sqlite3").write_bytes(b"means of vectors")
        store.remove_video(video("a").video_id)
        assert not folder.exists()


# --- changes


def test_the_change_token_follows_what_can_be_found(store: Store) -> None:
    tokens = [store.change_token()]
    for change in (
        lambda: add_video(store, FILM, [clip_vectors([1], 1)]),
        lambda: store.begin_video(FILM, "other options"),
        lambda: add_video(store, FILM, [clip_vectors([1], 2)], options="other options"),
        lambda: store.fail_video(FILM.video_id, "gone"),
        lambda: add_video(store, video("g"), [clip_vectors([1], 1)]),
        lambda: store.remove_video(video("g").video_id),
    ):
        change()
        tokens.append(store.change_token())
    assert len(set(tokens)) == len(tokens)


def test_what_changes_nothing_that_can_be_found_keeps_the_token(store: Store) -> None:
    """Indexes of a server that runs meanwhile would be brought up to date for nothing."""
    add_video(store, FILM, [clip_vectors([1], 1)])
    token = store.change_token()
    other = video("g")
    store.begin_video(FILM, "options")
    store.plan_clips(FILM.video_id, clips_of(FILM, 1))
    store.relink(FILM.video_id, "/elsewhere.mp4")
    store.begin_video(other, "options")
    store.plan_clips(other.video_id, clips_of(other, 2))
    store.put_vectors(other.video_id, vectors_for(clips_of(other, 2)[:1]))
    store.put_artefact(other.video_id, "speech", 0, "x", b"words")
    store.fail_video(other.video_id, "no")
    store.remove_video(other.video_id)
    assert store.change_token() == token


def test_new_vectors_of_an_indexed_video_hide_it_until_it_is_finished(store: Store) -> None:
    add_video(store, FILM, [clip_vectors([1], 1)])
    token = store.change_token()
    store.put_vectors(FILM.video_id, vectors_for(clips_of(FILM, 1)))
    assert list(store.iter_vectors()) == []
    assert store.change_token() != token
    store.finish_video(FILM.video_id)
    assert len(list(store.iter_vectors())) == 1


def test_another_process_changes_the_token(tmp_path: Path) -> None:
    with Store.open(tmp_path) as reader, Store.open(tmp_path) as writer:
        before = reader.change_token()
        add_video(writer, FILM, [clip_vectors([1], 1)])
        assert reader.change_token() != before


def test_a_video_indexed_again_has_another_revision(store: Store) -> None:
    revisions = set()
    for options in ("one", "two"):
        add_video(store, FILM, [clip_vectors([1], 1)], options=options)
        revisions.add(store.video(FILM.video_id).revision)
    assert len(revisions) == 2


# --- a snapshot


def test_a_reader_sees_one_state(tmp_path: Path) -> None:
    with small_library(tmp_path) as writer, Store.open(tmp_path, read_only=True) as reader:
        with reader.reading():
            before = [clip_id for clip_id, _ in reader.iter_vectors()]
            writer.remove_video(video("a").video_id)
            add_video(writer, video("z"), [clip_vectors([1], 1)])
            assert [clip_id for clip_id, _ in reader.iter_vectors()] == before
            assert reader.clip(before[0]).video_id == video("a").video_id
        after = {clip_id[0] for clip_id, _ in reader.iter_vectors()}
        assert after == {"b", "c", "z"}


def test_the_snapshot_begins_where_it_is_asked_for(tmp_path: Path) -> None:
    with small_library(tmp_path) as writer, Store.open(tmp_path, read_only=True) as reader:
        with reader.reading():
            writer.remove_video(video("a").video_id)
            assert len(reader.videos()) == 3
        assert len(reader.videos()) == 2


def test_no_writing_inside_a_snapshot(store: Store) -> None:
    with pytest.raises(LibraryError, match="inside a reading snapshot"), store.reading():
        store.begin_video(FILM, "options")
    store.begin_video(FILM, "options")


# --- strangers' libraries


def test_a_library_with_a_trigger_in_it_is_refused(tmp_path: Path) -> None:
    small_library(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TRIGGER t AFTER UPDATE ON video BEGIN DELETE FROM vector; END")
    connection.commit()
    connection.close()
    with pytest.raises(LibraryDamagedError, match="tables are not those"):
        Store.open(tmp_path)


def test_videos_of_a_strangers_library_cannot_name_files_outside(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").write_text("keep me")
    with Store.open(tmp_path / "library") as store:
        hostile = Video("../../precious", "/x.mp4", "x", 1.0, 1)
        store.begin_video(hostile, "options")
        store.remove_video(hostile.video_id)
    assert (target / "file").exists()
