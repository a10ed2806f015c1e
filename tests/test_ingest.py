"""From a file to clips: idempotent, resumable, the same however often it was interrupted."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import write_talk
from slide_videos import SLIDES, SPEECH, write_meeting

from clamr_rag import Options, VideoLibrary
from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.clip_reading import FramesWanted
from clamr_rag.encoder.mini import MiniEncoder, load_mini
from clamr_rag.errors import ClamrError, LibraryLockedError, MediaError, UsageError
from clamr_rag.index.store import Store
from clamr_rag.ingest import Progress
from clamr_rag.types import Clip, ClipInput, Modality, MultiVector, Transcript

# Small parts and batches, so that a short video has many places to be interrupted at.
OPTIONS = Options.model_validate(
    {
        "scan": {"chunk_seconds": 8.0},
        "encoder": {"batch_clips": 1},
        "segmentation": {"min_seconds": 4.0, "max_seconds": 10.0},
    }
)

# The meeting in clips of 5 s, one more than two windows of single-clip batches hold; texts alone.
NINE_CLIPS = Options.model_validate(
    {
        "ocr": {"ocr": "none"},
        "encoder": {"batch_clips": 1},
        "segmentation": {"segmenter": "fixed", "min_seconds": 4.0, "max_seconds": 5.0},
    }
)


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meeting(tmp_path_factory.mktemp("meeting"))


@pytest.fixture(scope="module")
def undisturbed(meeting: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that holds the meeting, indexed in one go."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with VideoLibrary.open(folder, options=OPTIONS) as library:
        report = library.add(meeting)
    assert report.status == "indexed"
    return folder


def contents(folder: Path) -> list[tuple[Clip, list[list[float]]]]:
    with Store.open(folder, create=False) as store:
        [record] = store.videos()
        assert record.status == "indexed"
        clips = store.clips(record.video.video_id)
        return [(clip, store.vectors(clip.clip_id).vectors.tolist()) for clip in clips]


def test_every_text_is_in_its_clip(undisturbed: Path) -> None:
    clips = [clip for clip, _ in contents(undisturbed)]
    assert clips[0].span.start_seconds == 0
    assert clips[-1].span.stop_seconds == pytest.approx(40, abs=0.2)
    for before, after in pairwise(clips):
        assert before.span.stop_seconds == after.span.start_seconds
    said = [cue.text for clip in clips for cue in clip.cues]
    assert said == list(SPEECH), "each cue in exactly one clip"
    for number, slide in enumerate(SLIDES):
        middle = number * 10.0 + 5.0
        [clip] = [clip for clip in clips if clip.span.contains(middle)]
        shown = [line.text for line in clip.ocr_lines]
        assert slide.title in shown
        other = SLIDES[(number + 1) % 4].title
        assert other not in shown
    assert "Chapter: Treasurer" in [line.text for line in clips[-1].metadata]
    assert "Chapter: Treasurer" not in [line.text for line in clips[0].metadata]
    assert "Title: Bee keepers 2026" in [line.text for line in clips[0].metadata]


def test_report_says_what_was_used(meeting: Path, undisturbed: Path) -> None:
    with VideoLibrary.open(undisturbed, options=OPTIONS) as library:
        report = library.add(meeting)
    assert report.status == "unchanged"
    assert report.speech_source == "meeting.srt"
    assert report.screen_source == "rapidocr"
    assert report.num_clips == len(contents(undisturbed))


def test_answers_from_every_modality(undisturbed: Path) -> None:
    with VideoLibrary.open(undisturbed, options=OPTIONS) as library:
        spoken = library.ask("Why did glass become expensive?")
        shown = library.ask("How many jars was the yield of the honey harvest?")
        told = library.ask("Who does the opening?")
        absent = library.ask("Which programming language did NASA choose?")
    assert spoken.citations[0].modality == Modality.ASR
    assert "Zwiesel" in (spoken.citations[0].text or "")
    assert 20 <= spoken.citations[0].span.start_seconds < 30
    assert "Yield: 4200 jars" in (shown.citations[0].text or "")
    assert told.citations[0].text == "Chapter: Opening by Theodora"
    assert absent.abstained


def test_a_moved_file_is_the_same_video(meeting: Path, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    shutil.copytree(undisturbed, folder)
    first = shutil.copytree(meeting.parent, tmp_path / "first") / "meeting.mp4"
    with VideoLibrary.open(folder, options=OPTIONS) as library:
        library.store.relink(library.videos()[0].video.video_id, str(first))
        moved = first.parent.rename(tmp_path / "elsewhere") / "meeting.mp4"
        assert library.add(moved).status == "unchanged"
        [record] = library.videos()
    assert record.video.path == str(moved)


@pytest.mark.parametrize("change", ["subtitles", "options"])
def test_what_clips_depend_on_makes_them_anew(
    meeting: Path, undisturbed: Path, tmp_path: Path, change: str
) -> None:
    folder, videos = tmp_path / "library", tmp_path / "videos"
    shutil.copytree(undisturbed, folder)
    shutil.copytree(meeting.parent, videos)
    options = OPTIONS
    if change == "subtitles":
        text = (videos / "meeting.srt").read_text(encoding="utf-8")
        (videos / "meeting.srt").write_text(text.replace("Zwiesel", "Weiden"), encoding="utf-8")
    else:
        options = OPTIONS.model_copy(update={"ocr": OPTIONS.ocr.model_copy(update={"ocr": "none"})})
    with VideoLibrary.open(folder, options=options) as library:
        report = library.add(videos / "meeting.mp4")
        clips = library.store.clips(report.video_id)
    assert report.status == "indexed"
    if change == "subtitles":
        assert any("Weiden" in cue.text for clip in clips for cue in clip.cues)
        assert any(clip.ocr_lines for clip in clips), "the screen was not read again for nothing"
    else:
        assert not any(clip.ocr_lines for clip in clips)
        assert report.screen_source == "none (--ocr none)"


def test_a_question_takes_a_video_as_it_was_indexed(
    meeting: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder, videos = tmp_path / "library", tmp_path / "videos"
    shutil.copytree(undisturbed, folder)
    shutil.copytree(meeting.parent, videos)
    with VideoLibrary.open(folder) as library:
        assert library.add(videos / "meeting.mp4", any_options=True).status == "unchanged"
        (videos / "meeting.de.srt").write_text("1\n00:00:01,000 --> 00:00:03,000\nHallo.\n")
        assert library.add(videos / "meeting.mp4", any_options=True).status == "indexed"


def test_force_starts_from_nothing(meeting: Path, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    shutil.copytree(undisturbed, folder)
    looked = []
    with VideoLibrary.open(folder, options=OPTIONS) as library:
        report = library.add(meeting, force=True, on_progress=looked.append)
    assert report.status == "indexed"
    assert {progress.stage for progress in looked} == {"speech", "screen", "clips"}
    assert contents(folder) == contents(undisturbed)


@pytest.mark.parametrize(
    "options",
    [{"speech": {"speech": "asr"}}, {"ocr": {"ocr": "easyocr"}},
     {"segmentation": {"min_seconds": 40, "max_seconds": 30}}],
)  # fmt: skip
def test_options_that_cannot_be_honoured_cost_nothing(
    meeting: Path, undisturbed: Path, tmp_path: Path, options: dict[str, dict[str, object]]
) -> None:
    folder = tmp_path / "library"
    shutil.copytree(undisturbed, folder)
    with VideoLibrary.open(folder, options=Options.model_validate(options)) as library:
        for force in (False, True):
            with pytest.raises(ClamrError):
                library.add(meeting, force=force)
    assert contents(folder) == contents(undisturbed)


def test_a_file_that_was_replaced_leaves_no_twin(
    meeting: Path, undisturbed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "news.mp4"
    shutil.copy(meeting, path)
    with VideoLibrary.open(tmp_path / "library", options=OPTIONS) as library:
        first = library.add(path)
        write_talk(path)
        second = library.add(path)
        [record] = library.videos()
    assert first.video_id != second.video_id == record.video.video_id
    assert any("earlier video" in warning for warning in second.warnings)


def test_a_model_that_has_come_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clamr_rag import ingest

    path = tmp_path / "mute.mp4"
    write_talk(path)
    options = Options.model_validate({"speech": {"language": "fr"}, "ocr": {"ocr": "none"}})
    monkeypatch.setattr(ingest, "find_speech", lambda *_, **__: Transcript(
        f"{ingest.MISSING_MODEL} 'small' is not here)"))  # fmt: skip
    with VideoLibrary.open(tmp_path / "library", options=options) as library:
        assert library.add(path).status == "indexed"
        assert library.add(path).status == "unchanged"
        monkeypatch.setattr(ingest, "model_is_here", lambda name: True)
        monkeypatch.setattr(ingest, "find_speech", lambda *_, **__: Transcript("faster-whisper"))
        assert library.add(path).speech_source == "faster-whisper"


def test_a_question_about_a_copy_does_not_wait_for_the_writer(
    meeting: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "library"
    shutil.copytree(undisturbed, folder)
    copy = shutil.copytree(meeting.parent, tmp_path / "copy") / "meeting.mp4"
    with (
        Store.open(folder) as other,
        other.writing(),
        VideoLibrary.open(folder, options=OPTIONS) as library,
    ):
        assert library.add(copy).status == "unchanged"
        assert library.videos()[0].video.path == str(meeting), "the first is still there"


def test_an_empty_sidecar_is_no_fault_of_the_video(tmp_path: Path) -> None:
    path = write_meeting(tmp_path, "empty", subtitles=False)
    path.with_suffix(".srt").touch()
    with VideoLibrary.open(tmp_path / "library", options=OPTIONS) as library:
        assert library.add(path).status == "indexed"


def test_search_takes_names_and_refuses_unknown_ones(meeting: Path, undisturbed: Path) -> None:
    with VideoLibrary.open(undisturbed, options=OPTIONS) as library:
        assert library.search("honey", videos=[meeting.name])
        with pytest.raises(UsageError, match="no video"):
            library.search("honey", videos=["other.mp4"])
        with pytest.raises(UsageError, match="top_k"):
            library.search("honey", top_k=0)


class Stopped(Exception):
    """What the tests raise from a progress callback."""


def test_interrupted_anywhere_ends_the_same(
    meeting: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    original = MiniEncoder.encode_clips

    def counted(
        self: MiniEncoder, clips: Sequence[ClipInput], **options: bool
    ) -> list[MultiVector]:
        encoded.extend(clip.asr or "" for clip in clips)
        return original(self, clips, **options)

    monkeypatch.setattr(MiniEncoder, "encode_clips", counted)
    rng = random.Random(3)
    runs = 0
    while True:
        runs += 1
        stop_at = rng.randrange(1, 25)
        told: list[Progress] = []

        def stop(progress: Progress, told: list[Progress] = told, limit: int = stop_at) -> None:
            told.append(progress)
            if len(told) >= limit:
                raise Stopped

        with VideoLibrary.open(tmp_path, options=OPTIONS) as library:
            try:
                report = library.add(meeting, on_progress=stop)
                break
            except Stopped:
                [record] = library.videos()
                assert record.status == "indexing"
                assert library.search("honey") == [], "an unfinished video is not searched"
        assert runs < 60, "no headway"
    assert runs > 3
    assert report.status == "resumed"
    assert contents(tmp_path) == contents(undisturbed)
    assert len(encoded) == report.num_clips, "no finished clip was encoded twice"


def test_batches_of_several_clips_are_the_same_after_an_interruption(
    meeting: Path, tmp_path: Path
) -> None:
    """Vectors depend, in their last bits, on the clips beside them: a batch must not change."""
    options = NINE_CLIPS.model_copy(update={"encoder": EncoderOptions(batch_clips=2)})
    with VideoLibrary.open(tmp_path / "undisturbed", options=options) as library:
        library.add(meeting)
    for clips_done in (1, 3, 5):
        folder = tmp_path / f"stopped-{clips_done}"

        def stop(progress: Progress, limit: int = clips_done) -> None:
            if progress.stage == "clips" and progress.done >= limit:
                raise Stopped

        with VideoLibrary.open(folder, options=options) as library:
            with pytest.raises(Stopped):
                library.add(meeting, on_progress=stop)
            assert library.add(meeting).status == "resumed"
        assert contents(folder) == contents(tmp_path / "undisturbed")


def test_kill_minus_nine_anywhere_ends_the_same(meeting: Path, tmp_path: Path) -> None:
    """As a fresh process that nobody killed: after many tests, pytest's has other last bits."""
    code = (
        "import sys; from clamr_rag import Options, VideoLibrary\n"
        "options = Options.model_validate_json(sys.argv[3])\n"
        "VideoLibrary.open(sys.argv[1], options=options).add(sys.argv[2])"
    )
    folder, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    command = [sys.executable, "-c", code, str(folder), str(meeting), OPTIONS.model_dump_json()]
    subprocess.run([*command[:3], str(undisturbed), *command[4:]], check=True)
    rng = random.Random(9)
    kills = 0
    while kills < 40:
        process = subprocess.Popen(command, start_new_session=True)
        try:
            # Later runs get more time, so that a slow machine gets through at last.
            process.wait(timeout=rng.uniform(0.5, 2.0 + kills))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            assert process.returncode == 0
            break
    assert kills >= 2, "some runs must have been killed"
    assert contents(folder) == contents(undisturbed)
    assert not _decoders_of(meeting), "no decoder outlives its parent"


def _decoders_of(path: Path) -> list[str]:
    deadline = time.monotonic() + 5
    while True:
        done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        left = [line for line in done.stdout.splitlines() if "clamr_rag.media" in line]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def test_an_unreadable_file_is_an_error_and_leaves_no_video(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video" * 100)
    with VideoLibrary.open(tmp_path / "library") as library:
        with pytest.raises(MediaError, match=r"broken\.mp4"):
            library.add(broken)
        assert library.videos() == ()


def test_only_one_process_indexes(meeting: Path, tmp_path: Path) -> None:
    with (
        Store.open(tmp_path) as other,
        other.writing(),
        VideoLibrary.open(tmp_path, options=OPTIONS) as library,
        pytest.raises(LibraryLockedError, match=str(os.getpid())),
    ):
        library.add(meeting)


def test_a_locked_library_still_answers(meeting: Path, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    shutil.copytree(undisturbed, folder)
    with (
        Store.open(folder) as other,
        other.writing(),
        VideoLibrary.open(folder, options=OPTIONS) as library,
    ):
        assert library.add(meeting).status == "unchanged"
        assert not library.ask("Why did glass become expensive?").abstained


def test_without_subtitles_the_missing_speech_is_said(tmp_path: Path) -> None:
    path = write_meeting(tmp_path, "silent", subtitles=False)
    with VideoLibrary.open(tmp_path / "library", options=OPTIONS) as library:
        report = library.add(path)
        clips = library.store.clips(report.video_id)
    assert report.speech_source.startswith("none")
    assert any("speech is missing" in warning for warning in report.warnings)
    assert not any(clip.cues for clip in clips)


class CallsEncoder(MiniEncoder):
    """`mini` that claims to look, and notes what it gets per call."""

    def __init__(self, mini: MiniEncoder, *, looks: bool, seconds_per_call: float = 0.0) -> None:
        self.__dict__.update(mini.__dict__)
        self.reads = mini.reads | ({Modality.VIDEO} if looks else set())
        self.seconds_per_call = seconds_per_call
        self.calls: list[list[ClipInput]] = []

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        self.calls.append(list(clips))
        time.sleep(self.seconds_per_call)
        return super().encode_clips(clips, keep_other=keep_other)


@pytest.mark.parametrize(
    ("looks", "slow", "sizes"),
    [(False, False, [1] * 9), (True, False, [1, 3, 4, 1]), (True, True, [1] * 9)],
)
def test_an_encoder_that_looks_gets_several_batches_while_it_is_quick(
    meeting: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    looks: bool,
    slow: bool,
    sizes: list[int],
) -> None:
    from clamr_rag import ingest

    monkeypatch.setattr(ingest, "_CALL_SECONDS", 0.02 if slow else 3600.0)
    options = NINE_CLIPS
    encoder = CallsEncoder(
        load_mini(options.encoder), looks=looks, seconds_per_call=0.03 if slow else 0.0
    )
    told: list[float] = []

    def note(progress: Progress) -> None:
        if progress.stage == "clips":
            told.append(progress.done)

    with Store.open(tmp_path) as store:
        ingest.index_video(store, encoder, meeting, options, on_progress=note)
        [record] = store.videos()
        assert not store.pending_clips(record.video.video_id)
    assert [len(call) for call in encoder.calls] == sizes
    assert told == np.cumsum(sizes).tolist(), "what is encoded is stored before the next call"
    assert all(bool(clip.frames) == looks for call in encoder.calls for clip in call)


class FramesEncoder:
    """A stand-in for an encoder that looks: one row per frame, from its mean colour."""

    name = "looks"
    fingerprint = "looks/1"
    running_on = "cpu, float32"
    dim = 3
    reads = frozenset({Modality.VIDEO})
    frames_wanted = FramesWanted(OPTIONS.encoder.max_frames, 768)

    def encode_query(self, text: str) -> MultiVector:
        row = np.array([[1, 0, 0]], np.float32)
        return MultiVector(row, np.zeros(1, np.uint8), np.full(1, np.nan, np.float32), (text,))

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        vectors = []
        for clip in clips:
            colors = np.array([frame.mean((0, 1)) + 1 for frame in clip.frames], np.float32)
            rows = colors / np.linalg.norm(colors, axis=1, keepdims=True)
            modalities = np.full(len(rows), Modality.VIDEO, np.uint8)
            vectors.append(MultiVector(rows, modalities, np.array(clip.frame_seconds, np.float32)))
        return vectors


def test_an_encoder_that_looks_gets_the_frames_of_its_clips(meeting: Path, tmp_path: Path) -> None:
    from clamr_rag.ingest import index_video

    with Store.open(tmp_path) as store:
        report = index_video(store, FramesEncoder(), meeting, OPTIONS)
        for clip in store.clips(report.video_id):
            vectors = store.vectors(clip.clip_id)
            assert len(vectors) == OPTIONS.encoder.max_frames
            for second in vectors.seconds:
                assert clip.span.start_seconds - 0.11 <= second < clip.span.stop_seconds
