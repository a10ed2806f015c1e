"""Where a video's speech text comes from: the rule of ``--speech auto|subtitles|asr|none``.

Subtitles that people wrote come first, beside the file before inside it; then speech recognition
if its model is here; then subtitles that a machine wrote; and last a plain word that speech is
missing. `find_speech` applies the rule and reads subtitles; what must be recognised is then
heard window by window with `transcribe_windows`, so that the work can be saved and resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clamr_rag.errors import ExtractionError, MediaError, ModelMissingError
from clamr_rag.extraction import Transcriber
from clamr_rag.extraction.asr import asr_name, how_to_fetch, model_is_here
from clamr_rag.extraction.subtitle_choice import Subtitles, rank_subtitles
from clamr_rag.types import Cue, TimeSpan, Transcript

if TYPE_CHECKING:
    from clamr_rag.config import MediaOptions, SpeechOptions
    from clamr_rag.media import MediaInfo, Sidecar


MISSING_MODEL = "none (no subtitles, and the speech model"
"""How a transcript's source begins when nothing but a model was missing."""


@dataclass(frozen=True, slots=True)
class UnheardSpeech:
    """The choice fell on speech recognition: the sound is still to be heard."""

    source: str
    """As `Transcript.source` will say, e.g. ``"faster-whisper small"``."""
    language: str | None = None
    """As asked for; None detects it."""
    warning: str | None = None
    """One line for the user where something better was to be expected."""


@dataclass(frozen=True, slots=True)
class HeardWindow:
    """The speech of one window of sound."""

    span: TimeSpan
    cues: tuple[Cue, ...]


def find_speech(
    path: str | Path,
    info: MediaInfo,
    sidecars: Sequence[Sidecar],
    options: SpeechOptions,
    *,
    media_options: MediaOptions | None = None,
    asr_is_here: Callable[[str], bool] = model_is_here,
) -> Transcript | UnheardSpeech:
    """Chooses the best source of speech; reads it if it is subtitles.

    Returns:
        The transcript, or `UnheardSpeech` if recognition is to make it. Without any source the
        transcript has no cues and its warning says what to do.

    Raises:
        ExtractionError: Subtitles were asked for and there are none that can be used.
        ModelMissingError: Recognition was asked for and its model is not here.
    """
    if options.speech == "none":
        return Transcript(source="none (--speech none)")
    if options.speech == "asr":
        return _asr_or_error(info, options, asr_is_here)
    ranked = rank_subtitles(Path(path).stem, sidecars, info.subtitle_tracks, options.language)
    if options.speech == "subtitles":
        transcript, problems = _read_first(path, ranked, media_options)
        return transcript or _no_subtitles(path, info, sidecars, options, problems)
    # A model that is here beats what some other machine wrote, but not what a person wrote.
    written = [choice for choice in ranked if not choice.machine_made]
    transcript, problems = _read_first(path, written, media_options)
    if transcript is not None:
        return transcript
    if info.audio_tracks and asr_is_here(options.asr_model):
        return UnheardSpeech(
            asr_name(options.asr_model), options.language, "; ".join(problems) or None
        )
    machine_made = [choice for choice in ranked if choice.machine_made]
    transcript, problems = _read_first(path, machine_made, media_options, problems)
    if transcript is not None:
        warning = f"{transcript.source} was made by a machine"
        return replace(transcript, warning="; ".join((*problems, warning)))
    missing = _missing_speech(info, options)
    return replace(missing, warning="; ".join((*problems, missing.warning or "")))


def transcribe_windows(
    path: str | Path,
    transcriber: Transcriber,
    options: SpeechOptions,
    *,
    start_seconds: float = 0.0,
    track: int | None = None,
    media_options: MediaOptions | None = None,
) -> Iterator[HeardWindow]:
    """Yields the speech of each window of sound, in order of time.

    Windows are heard one by one, so a run that starts at the end of any window yields the same
    as a whole run does from there.

    Args:
        path: The video.
        transcriber: What hears.
        options: Gives the length of a window.
        start_seconds: A multiple of the window's length: where an earlier run stopped.
        track: Which sound track; None is the default one.
        media_options: Limits of the decoder.
    """
    from clamr_rag.media import iter_audio

    windows = iter_audio(
        path,
        window_seconds=options.window_seconds,
        start_seconds=start_seconds,
        track=track,
        options=media_options,
    )
    for window in windows:
        stop_seconds = window.start_seconds + len(window.samples) / 16_000
        cues = transcriber.transcribe(window)
        yield HeardWindow(TimeSpan(window.start_seconds, stop_seconds), cues)


def read_transcript(
    path: str | Path,
    info: MediaInfo,
    sidecars: Sequence[Sidecar],
    options: SpeechOptions,
    *,
    make_transcriber: Callable[[SpeechOptions], Transcriber],
    media_options: MediaOptions | None = None,
    asr_is_here: Callable[[str], bool] = model_is_here,
) -> Transcript:
    """Finds the speech and hears it to the end if need be; for callers that need not resume."""
    found = find_speech(
        path, info, sidecars, options, media_options=media_options, asr_is_here=asr_is_here
    )
    if isinstance(found, Transcript):
        return found
    heard = transcribe_windows(
        path, make_transcriber(options), options, media_options=media_options
    )
    cues = tuple(cue for window in heard for cue in window.cues)
    return Transcript(found.source, cues, found.language, found.warning)


def _asr_or_error(
    info: MediaInfo, options: SpeechOptions, asr_is_here: Callable[[str], bool]
) -> Transcript | UnheardSpeech:
    if not asr_is_here(options.asr_model):
        raise ModelMissingError(
            f"--speech asr, but the speech model '{options.asr_model}' is not on this machine",
            hint=how_to_fetch(options.asr_model),
        )
    if not info.audio_tracks:
        return _missing_speech(info, options)
    return UnheardSpeech(asr_name(options.asr_model), options.language)


def _read_first(
    path: str | Path,
    choices: Sequence[Subtitles],
    media_options: MediaOptions | None,
    problems: tuple[str, ...] = (),
) -> tuple[Transcript | None, tuple[str, ...]]:
    """The first subtitles that can be read and are not empty, and why others were passed over."""
    for choice in choices:
        try:
            cues = _read(path, choice, media_options)
        except MediaError as error:
            # Said in the output: a fallback that nobody hears of would be a silent one.
            problems = (*problems, f"{choice.name} cannot be read ({error.got})")
            continue
        if cues:
            warning = "; ".join((*problems, f"used {choice.name}")) if problems else None
            return Transcript(choice.name, cues, choice.language, warning), problems
        problems = (*problems, f"{choice.name} is empty")
    return None, problems


def _read(
    path: str | Path, choice: Subtitles, media_options: MediaOptions | None
) -> tuple[Cue, ...]:
    from clamr_rag.media import read_sidecar_subtitles, read_subtitle_track

    if choice.sidecar is not None:
        return read_sidecar_subtitles(choice.sidecar.path, media_options)
    assert choice.track is not None
    return read_subtitle_track(path, choice.track.index, media_options)


def _missing_speech(info: MediaInfo, options: SpeechOptions) -> Transcript:
    if not info.audio_tracks:
        return Transcript(
            source="none (the video has no sound and no subtitles)",
            warning="speech is missing: the video has no sound and no subtitles",
        )
    return Transcript(
        source=f"{MISSING_MODEL} '{options.asr_model}' is not here)",
        warning=(
            "speech is missing: put subtitles beside the video (Film.srt for Film.mp4), or for "
            f"speech recognition {how_to_fetch(options.asr_model)}"
        ),
    )


def _no_subtitles(
    path: str | Path,
    info: MediaInfo,
    sidecars: Sequence[Sidecar],
    options: SpeechOptions,
    problems: tuple[str, ...],
) -> Transcript:
    """Says which subtitles there would have been.

    Raises:
        ExtractionError: Always.
    """
    languages = {track.language for track in info.subtitle_tracks}
    languages |= {sidecar.language for sidecar in sidecars if sidecar.kind == "subtitles"}
    there = ", ".join(sorted(language or "unknown" for language in languages)) or "none"
    wanted = f" in '{options.language}'" if options.language else ""
    raise ExtractionError(
        "; ".join(
            (
                f"--speech subtitles, but {Path(path).name} has no usable subtitles{wanted}",
                *problems,
            )
        ),
        allowed=f"languages there: {there}",
        hint="put Film.srt beside Film.mp4, or use --speech auto",
    )
