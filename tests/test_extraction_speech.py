"""The rule of --speech over real files: which source is taken, and what is said about it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from clamr_rag.config import SpeechOptions
from clamr_rag.errors import ExtractionError, ModelMissingError
from clamr_rag.extraction import Transcriber
from clamr_rag.extraction.fake import ScriptedTranscriber
from clamr_rag.extraction.speech import (
    UnheardSpeech,
    find_speech,
    read_transcript,
    transcribe_windows,
)
from clamr_rag.media import MediaInfo, Sidecar, find_sidecars, probe
from clamr_rag.types import Cue, Transcript

SRT = "1\n00:00:00,500 --> 00:00:02,000\nHello from the {name}.\n\n"


def make_video(path: Path, *, seconds: int = 6, sound: bool = True) -> Path:
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=5)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        tone = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for _ in range(seconds * 5):
            pixels = np.full((48, 64, 3), 90, np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(picture.encode(None))
        if tone is not None:
            wave = 0.1 * np.sin(np.arange(seconds * 16_000) / 20)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            container.mux(tone.encode(frame))
            container.mux(tone.encode(None))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "Film.mp4")


def write_sidecar(video: Path, marks: str = "") -> str:
    name = f"{video.stem}{marks}.srt"
    (video.parent / name).write_text(SRT.format(name=name), encoding="utf-8")
    return name


def found_for(
    video: Path, speech: str = "auto", *, language: str | None = None, asr_is_here: bool = False
) -> Transcript | UnheardSpeech:
    options = SpeechOptions.model_validate({"speech": speech, "language": language})
    return find_speech(
        video, probe(video), find_sidecars(video), options, asr_is_here=lambda _: asr_is_here
    )


def transcript(found: Transcript | UnheardSpeech) -> Transcript:
    assert isinstance(found, Transcript)
    return found


@pytest.mark.parametrize("asr_is_here", [False, True])
def test_auto_takes_subtitles_that_people_wrote(video: Path, asr_is_here: bool) -> None:
    name = write_sidecar(video, ".en")
    found = transcript(found_for(video, asr_is_here=asr_is_here))
    assert (found.source, found.language, found.warning) == (name, "en", None)
    assert [cue.text for cue in found.cues] == [f"Hello from the {name}."]


def test_auto_takes_recognition_where_there_are_no_subtitles(video: Path) -> None:
    found = found_for(video, asr_is_here=True, language="de")
    assert found == UnheardSpeech("faster-whisper small", "de")


def test_auto_says_plainly_that_speech_is_missing(video: Path) -> None:
    found = transcript(found_for(video))
    assert found.cues == ()
    assert found.source == "none (no subtitles, and the speech model 'small' is not here)"
    assert found.warning is not None
    assert "Film.srt" in found.warning
    assert "hf download Systran/faster-whisper-small" in found.warning
    assert "\n" not in found.warning


def test_auto_does_not_ask_for_a_model_for_a_silent_film(tmp_path: Path) -> None:
    silent = make_video(tmp_path / "Silent.mp4", sound=False)
    found = transcript(found_for(silent, asr_is_here=True))
    assert found.source == "none (the video has no sound and no subtitles)"
    assert found.warning is not None


def test_an_unreadable_file_is_passed_over_and_named(video: Path) -> None:
    (video.parent / "Film.srt").write_bytes(b"\x00\x01 this is no subtitle file")
    good = write_sidecar(video, ".en")
    found = transcript(found_for(video))
    assert found.source == good
    assert found.warning is not None
    assert "Film.srt" in found.warning
    assert found.warning.endswith(f"used {good}")


def test_a_broken_file_is_named_whatever_takes_its_place(video: Path) -> None:
    (video.parent / "Film.srt").write_bytes(b"\x00\x01 this is no subtitle file")
    (video.parent / "Film.de.srt").write_text("", encoding="utf-8")
    unheard = found_for(video, asr_is_here=True)
    missing = transcript(found_for(video))
    for warning in (unheard.warning, missing.warning):
        assert warning is not None
        assert "Film.srt" in warning
        assert "Film.de.srt" in warning
    with pytest.raises(ExtractionError, match=r"no usable subtitles; Film\.srt"):
        found_for(video, "subtitles")


def test_machine_made_subtitles_are_better_than_none_and_are_called_so(video: Path) -> None:
    name = write_sidecar(video, ".auto")
    made = Sidecar(video.parent / name, "subtitles", "en")
    options = SpeechOptions()
    found = transcript(
        find_speech(video, probe(video), [made], options, asr_is_here=lambda _: False)
    )
    assert (found.source, found.warning) == (name, f"{name} was made by a machine")
    heard = find_speech(video, probe(video), [made], options, asr_is_here=lambda _: True)
    assert isinstance(heard, UnheardSpeech)


def test_other_languages_are_not_taken_for_the_one_asked_for(video: Path) -> None:
    write_sidecar(video, ".en")
    assert isinstance(found_for(video, language="de", asr_is_here=True), UnheardSpeech)
    with pytest.raises(ExtractionError, match=r"no usable subtitles in 'de'.*languages there: en"):
        found_for(video, "subtitles", language="de")


def test_subtitles_asked_for_and_not_there_is_an_error(video: Path) -> None:
    with pytest.raises(ExtractionError, match=r"Film\.mp4 has no usable subtitles.*--speech auto"):
        found_for(video, "subtitles", asr_is_here=True)


def test_subtitles_asked_for_and_there_are_read(video: Path) -> None:
    name = write_sidecar(video)
    assert transcript(found_for(video, "subtitles")).source == name


def test_recognition_asked_for_ignores_subtitles(video: Path) -> None:
    write_sidecar(video)
    assert found_for(video, "asr", asr_is_here=True) == UnheardSpeech("faster-whisper small")


def test_recognition_asked_for_without_its_model_is_an_error(video: Path) -> None:
    write_sidecar(video)
    with pytest.raises(ModelMissingError, match="hf download Systran/faster-whisper-small"):
        found_for(video, "asr")


def test_none_reads_nothing_and_is_no_warning(video: Path) -> None:
    write_sidecar(video)
    assert found_for(video, "none") == Transcript(source="none (--speech none)")


@pytest.fixture
def script() -> ScriptedTranscriber:
    return ScriptedTranscriber(
        [Cue(float(second), second + 0.5, f"At {second}.") for second in range(6)]
    )


def test_windows_are_heard_one_by_one_and_cover_the_sound(
    video: Path, script: ScriptedTranscriber
) -> None:
    heard = list(transcribe_windows(video, script, SpeechOptions(window_seconds=2.0)))
    assert [window.span.start_seconds for window in heard][:3] == [0.0, 2.0, 4.0]
    assert heard[0].span.stop_seconds == 2.0
    assert all(
        one.span.stop_seconds == two.span.start_seconds for one, two in itertools.pairwise(heard)
    )
    assert [cue.text for window in heard for cue in window.cues] == [f"At {n}." for n in range(6)]


def test_a_run_that_is_resumed_hears_the_same(video: Path, script: ScriptedTranscriber) -> None:
    options = SpeechOptions(window_seconds=2.0)
    whole = list(transcribe_windows(video, script, options))
    script.windows.clear()
    rest = list(transcribe_windows(video, script, options, start_seconds=2.0))
    assert rest == whole[1:]
    assert script.windows[0] == (2.0, 4.0), "what was heard is not heard again"


def test_a_run_can_be_left_at_any_window(video: Path, script: ScriptedTranscriber) -> None:
    windows = transcribe_windows(video, script, SpeechOptions(window_seconds=2.0))
    next(windows)
    windows.close()  # type: ignore[attr-defined]
    assert len(script.windows) == 1


def read_all(
    video: Path, make_transcriber: Callable[[SpeechOptions], Transcriber], asr_is_here: bool
) -> Transcript:
    info: MediaInfo = probe(video)
    return read_transcript(
        video,
        info,
        find_sidecars(video),
        SpeechOptions(window_seconds=2.0),
        make_transcriber=make_transcriber,
        asr_is_here=lambda _: asr_is_here,
    )


def test_a_whole_transcript_is_heard_if_need_be(video: Path, script: ScriptedTranscriber) -> None:
    found = read_all(video, lambda _: script, True)
    assert found.source == "faster-whisper small"
    assert len(found.cues) == 6


def test_no_recogniser_is_made_where_subtitles_are_there(video: Path) -> None:
    name = write_sidecar(video)

    def make_none(_: SpeechOptions) -> Transcriber:
        raise AssertionError("not needed")

    assert read_all(video, make_none, True).source == name
