"""Which subtitles are used, best first."""

from __future__ import annotations

from pathlib import Path

import pytest

from clamr_rag.extraction.subtitle_choice import rank_subtitles
from clamr_rag.media import Sidecar, SubtitleTrack


def sidecar(name: str, language: str | None = None, *flags: str) -> Sidecar:
    return Sidecar(Path("/videos") / name, "subtitles", language, frozenset(flags))


def track(
    index: int,
    language: str | None = None,
    title: str | None = None,
    *,
    default: bool = False,
    forced: bool = False,
    is_text: bool = True,
) -> SubtitleTrack:
    return SubtitleTrack(index, "subrip", language, title, default, forced, is_text)


def names(
    *given: Sidecar | SubtitleTrack, language: str | None = None, stem: str = "Film"
) -> list[str]:
    files = [one for one in given if isinstance(one, Sidecar)]
    tracks = [one for one in given if isinstance(one, SubtitleTrack)]
    return [subtitles.name for subtitles in rank_subtitles(stem, files, tracks, language)]


def test_a_file_beside_the_video_is_better_than_a_track_inside() -> None:
    assert names(track(0, "en", default=True), sidecar("Film.srt")) == [
        "Film.srt",
        "subtitle track 1 (en)",
    ]


def test_the_default_track_is_better_than_the_first() -> None:
    assert names(track(0, "de"), track(1, "en", default=True))[0] == "subtitle track 2 (en)"


def test_forced_subtitles_and_pictures_and_commentaries_are_left_out() -> None:
    given = (
        sidecar("Film.de.forced.srt", "de", "forced"),
        track(0, "en", forced=True),
        track(1, "en", "Forced"),
        track(2, "en", "Signs & Songs"),
        track(3, "en", is_text=False),
        track(4, "en", "Director's commentary"),
    )
    assert names(*given) == []


def test_other_sidecars_are_not_subtitles() -> None:
    assert names(Sidecar(Path("Film.info.json"), "info_json")) == []


@pytest.mark.parametrize("machine", ["Film.en.auto.srt", "Film.en-auto.srt", "Film.en.autogen.srt"])
def test_machine_made_files_come_last(machine: str) -> None:
    ranked = names(sidecar(machine, "en"), track(0, "en"), sidecar("Film.de.srt", "de"))
    assert ranked == ["Film.de.srt", "subtitle track 1 (en)", machine]


@pytest.mark.parametrize("title", ["English (auto-generated)", "Auto captions", "ASR"])
def test_machine_made_tracks_come_last(title: str) -> None:
    made = track(0, "en", title, default=True)
    assert names(made, track(1, "en")) == ["subtitle track 2 (en)", "subtitle track 1 (en)"]
    (last,) = rank_subtitles("Film", [], [made], None)
    assert last.machine_made


def test_a_film_that_is_called_auto_has_no_machine_made_subtitles() -> None:
    (only,) = rank_subtitles("The.auto.show", [sidecar("The.auto.show.en.srt", "en")], [], None)
    assert not only.machine_made


def test_only_the_language_asked_for_or_an_unknown_one() -> None:
    given = (sidecar("Film.srt"), sidecar("Film.de.srt", "de"), sidecar("Film.en.srt", "en"))
    assert names(*given, language="de") == ["Film.de.srt", "Film.srt"]
    assert names(*given, language="fr") == ["Film.srt"]


@pytest.mark.parametrize("language", ["pt", "pt-BR", "por", "PT"])
def test_languages_match_whatever_their_spelling(language: str) -> None:
    assert names(sidecar("Film.pt-BR.srt", "pt-BR"), language=language) == ["Film.pt-BR.srt"]


def test_without_a_language_the_unmarked_file_is_the_videos_own() -> None:
    given = (sidecar("Film.de.srt", "de"), sidecar("Film.srt"), sidecar("Film.en.srt", "en"))
    assert names(*given) == ["Film.srt", "Film.de.srt", "Film.en.srt"]


def test_plain_subtitles_are_better_than_those_for_the_deaf() -> None:
    assert names(sidecar("Film.en.sdh.srt", "en", "sdh"), sidecar("Film.en.srt", "en")) == [
        "Film.en.srt",
        "Film.en.sdh.srt",
    ]
    assert names(track(0, "en", "English SDH"), track(1, "en", "English"))[0].startswith(
        "subtitle track 2"
    )


def test_the_order_does_not_depend_on_the_order_given() -> None:
    given = [
        sidecar("Film.srt"),
        sidecar("Film.en.srt", "en", "default"),
        sidecar("Film.de.srt", "de"),
        track(0, "en"),
        track(1, "de", default=True),
    ]
    assert names(*given) == names(*given[::-1])
