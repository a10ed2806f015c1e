"""Which of a video's subtitles tell its speech best: a pure rule over their names and flags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clamr_rag.media import Sidecar, SubtitleTrack

_MACHINE_MADE = re.compile(
    r"\bauto\b|\bauto[-_ ]?(gen|caption|translat)|\basr\b|machine|speech[-_ ]to[-_ ]text",
    re.IGNORECASE,
)
_FORCED = re.compile(r"\bforced\b|\bsigns\b", re.IGNORECASE)
_FOR_THE_DEAF = re.compile(r"\bsdh\b|\bcc\b|hearing", re.IGNORECASE)
_COMMENTARY = re.compile(r"\bcommentary\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Subtitles:
    """Subtitles that may be used: a file beside the video or a track inside it."""

    name: str
    """As said in the output: ``"lecture.en.srt"`` or ``"subtitle track 2 (en)"``."""
    language: str | None
    machine_made: bool
    """Whether name or title say that nobody wrote them."""
    sidecar: Sidecar | None = None
    track: SubtitleTrack | None = None


def rank_subtitles(
    stem: str,
    sidecars: Sequence[Sidecar],
    tracks: Sequence[SubtitleTrack],
    language: str | None,
) -> tuple[Subtitles, ...]:
    """Usable subtitles, the best first.

    Written by people before machine-made, beside the file before inside it, the asked-for language
    before an unknown one, default before other, plain before those for the deaf. Left out are
    other languages than the asked-for, forced ones (they hold foreign speech only), commentaries
    and pictures of text.

    Args:
        stem: The video's name without its ending: a film called "Auto" has no machine-made text.
        sidecars: Files beside the video, of any kind.
        tracks: Subtitle tracks inside it.
        language: The one that is asked for; None takes any.
    """
    files = [
        _from_sidecar(sidecar, stem)
        for sidecar in sidecars
        if sidecar.kind == "subtitles"
        and "forced" not in sidecar.flags
        and _may_be(sidecar.language, language)
    ]
    inside = [
        _from_track(track)
        for track in tracks
        if track.is_text and _tells_speech(track) and _may_be(track.language, language)
    ]
    return tuple(sorted([*files, *inside], key=lambda subtitles: _rank(subtitles, language)))


def _from_sidecar(sidecar: Sidecar, stem: str) -> Subtitles:
    # Flags and languages stand between the video's own name and the ending.
    marks = sidecar.path.stem.removeprefix(stem).replace(".", " ")
    return Subtitles(
        name=sidecar.path.name,
        language=sidecar.language,
        machine_made="auto" in sidecar.flags or bool(_MACHINE_MADE.search(marks)),
        sidecar=sidecar,
    )


def _from_track(track: SubtitleTrack) -> Subtitles:
    note = track.language or track.title
    return Subtitles(
        name=f"subtitle track {track.index + 1}" + (f" ({note})" if note else ""),
        language=track.language,
        machine_made=bool(_MACHINE_MADE.search(track.title or "")),
        track=track,
    )


def _rank(subtitles: Subtitles, language: str | None) -> tuple[bool | str | int, ...]:
    """Sorts the best first."""
    if language is None:
        # A file without a mark is in the video's own language.
        worse_language = subtitles.language is not None and subtitles.track is None
    else:
        worse_language = subtitles.language is None
    return (
        subtitles.machine_made,
        subtitles.track is not None,
        worse_language,
        *_flags(subtitles),
        subtitles.track.index if subtitles.track else 0,
        subtitles.name,
    )


def _flags(subtitles: Subtitles) -> tuple[bool, bool]:
    """Whether they are not the default, and whether they are for the deaf."""
    if subtitles.sidecar is not None:
        return "default" not in subtitles.sidecar.flags, "sdh" in subtitles.sidecar.flags
    assert subtitles.track is not None
    return not subtitles.track.default, bool(_FOR_THE_DEAF.search(subtitles.track.title or ""))


def _tells_speech(track: SubtitleTrack) -> bool:
    title = track.title or ""
    return not (track.forced or _FORCED.search(title) or _COMMENTARY.search(title))


def _may_be(language: str | None, wanted: str | None) -> bool:
    return wanted is None or language is None or _same_language(language, wanted)


def _same_language(language: str, wanted: str) -> bool:
    """Whether two codes name one language, regions aside: ``pt-BR`` and ``pt``."""
    return _primary(language) == _primary(wanted)


def _primary(code: str) -> str:
    from clamr_rag.media.languages import language_code

    return (language_code(code) or code.lower()).split("-")[0]
