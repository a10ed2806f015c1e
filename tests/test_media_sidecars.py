"""Files beside a video: found by exact name, never another film's, read within limits."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError, MediaLimitError
from clamr_rag.media import (
    Chapter,
    InfoJson,
    Nfo,
    Sidecar,
    find_sidecars,
    read_chapters,
    read_info_json,
    read_nfo,
)
from clamr_rag.media.languages import is_known_language, language_code
from clamr_rag.types import TimeSpan


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "Film.mp4"
    path.write_bytes(b"a film")
    return path


def found(film: Path, *names: str) -> dict[str, Sidecar]:
    for name in names:
        (film.parent / name).write_text("x")
    return {sidecar.path.name: sidecar for sidecar in find_sidecars(film)}


@pytest.mark.parametrize(
    ("name", "language", "flags"),
    [
        ("Film.srt", None, ()),
        ("Film.en.srt", "en", ()),
        ("Film.EN.SRT", "en", ()),
        ("Film.eng.vtt", "en", ()),
        ("Film.ger.ass", "de", ()),
        ("Film.de.forced.srt", "de", ("forced",)),
        ("Film.forced.de.ssa", "de", ("forced",)),
        ("Film.en.sdh.default.srt", "en", ("sdh", "default")),
        ("Film.en.hi.srt", "en", ("sdh",)),
        ("Film.en.cc.srt", "en", ("sdh",)),
        ("Film.hi.srt", "hi", ()),
        ("Film.pt-BR.srt", "pt-BR", ()),
        ("Film.zh-Hant.srt", "zh-Hant", ()),
        ("Film.default.srt", None, ("default",)),
    ],
)
def test_subtitle_names(
    film: Path, name: str, language: str | None, flags: tuple[str, ...]
) -> None:
    assert found(film, name) == {
        name: Sidecar(film.parent / name, "subtitles", language, frozenset(flags))
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Film.info.json", "info_json"),
        ("Film.nfo", "nfo"),
        ("Film.NFO", "nfo"),
        ("Film.chapters", "chapters"),
        ("Film.chapters.txt", "chapters"),
    ],
)
def test_other_names(film: Path, name: str, kind: str) -> None:
    assert [s.kind for s in found(film, name).values()] == [kind]


@pytest.mark.parametrize(
    "name",
    [
        "Film2.srt",
        "film.srt",
        "Film .srt",
        "Film.Part2.srt",
        "Film.Director's Cut.en.srt",
        "Film.2024.srt",
        "Film.en.fr.srt",
        "AFilm.srt",
        "Film-en.srt",
        "Film.json",
        "Film.txt",
        "Film.en.nfo",
        "Film.srt.bak",
        ".srt",
        "movie.nfo",
    ],
)
def test_other_films_files_are_left_alone(film: Path, name: str) -> None:
    assert found(film, name) == {}


def test_the_longer_name_wins_its_own_files(film: Path) -> None:
    (film.parent / "Film.en.mkv").write_bytes(b"another film")
    assert list(found(film, "Film.srt", "Film.en.srt", "Film.en.forced.srt")) == ["Film.srt"]
    theirs = find_sidecars(film.parent / "Film.en.mkv")
    assert [s.path.name for s in theirs] == ["Film.en.forced.srt", "Film.en.srt"]


def test_a_name_with_dots_and_wild_cards(tmp_path: Path) -> None:
    film = tmp_path / "The.Film.[2024].*.mp4"
    film.write_bytes(b"a film")
    assert list(found(film, "The.Film.[2024].*.en.srt", "The.Film.2.x.en.srt", "The.srt")) == [
        "The.Film.[2024].*.en.srt"
    ]


def test_only_regular_files_of_this_folder(film: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.srt").write_text("secret")
    (film.parent / "Film.en.srt").symlink_to(elsewhere / "secret.srt")
    (film.parent / "Film.de.srt").mkdir()
    os.mkfifo(film.parent / "Film.fr.srt")
    (film.parent / "Film.it.srt").symlink_to(film.parent / "missing.srt")
    (film.parent / "Film.es.srt").symlink_to(film.parent / "Film.es.srt")
    assert found(film) == {}
    (film.parent / "Film.nl.srt").symlink_to(film.parent / "Film.srt")
    assert list(found(film, "Film.srt")) == ["Film.nl.srt", "Film.srt"]


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    film = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Fi\xfflm.mp4"))
    film.write_bytes(b"a film")
    film.with_suffix(".srt").write_text("x")
    assert [s.path for s in find_sidecars(film)] == [film.with_suffix(".srt")]


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("eng", "en"),
        ("EN", "en"),
        ("ger", "de"),
        ("deu", "de"),
        ("pt-br", "pt-BR"),
        ("pt_BR", "pt-BR"),
        ("zh-hant", "zh-Hant"),
        ("nds", "nds"),
        ("und", None),
        ("", None),
        ("english", None),
        ("e1", None),
        ("xx", None),
    ],
)
def test_language_codes(tag: str, code: str | None) -> None:
    assert language_code(tag) == code


@given(st.text(max_size=12))
def test_known_languages_have_a_code(tag: str) -> None:
    assert not is_known_language(tag) or language_code(tag) is not None


def test_info_json(tmp_path: Path) -> None:
    fields = {
        "title": "Q3 review",
        "description": "Revenue & churn",
        "tags": ["finance", 3, "", "q3"],
        "uploader": "Ada",
        "upload_date": "20240131",
        "duration": 60,
        "chapters": [
            {"title": "Intro", "start_time": 0, "end_time": 10.5},
            {"title": "Churn", "start_time": 10.5},
            {"title": "Endless", "start_time": 20, "end_time": float("inf")},
            {"title": "Nowhere", "start_time": float("nan")},
            {"title": 7, "start_time": 1},
            {"title": "Lost"},
            "no chapter",
        ],
    }
    (tmp_path / "a.info.json").write_text(json.dumps(fields))
    assert read_info_json(tmp_path / "a.info.json") == InfoJson(
        title="Q3 review",
        description="Revenue & churn",
        tags=("finance", "q3"),
        uploader="Ada",
        upload_date="20240131",
        chapters=(
            Chapter("Intro", TimeSpan(0, 10.5)),
            Chapter("Churn", TimeSpan(10.5, 20)),
            Chapter("Endless", TimeSpan(20, 20)),
        ),
    )


def test_info_json_with_nothing_of_use(tmp_path: Path) -> None:
    (tmp_path / "a.info.json").write_text('{"title": null, "tags": "x", "chapters": {"a": 1}}')
    assert read_info_json(tmp_path / "a.info.json") == InfoJson()


def test_long_texts_are_cut(tmp_path: Path) -> None:
    (tmp_path / "a.info.json").write_text(json.dumps({"description": "x" * 100_000}))
    assert len(read_info_json(tmp_path / "a.info.json").description or "") == 20_000


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[1, 2]",
        b'"text"',
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"title": ' + b"9" * 10_000 + b"}",
    ],
    ids=["cut", "list", "string", "no text", "deep list", "deep object", "endless number"],
)
def test_info_json_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.info.json").write_bytes(content)
    with pytest.raises(MediaError, match="JSON"):
        read_info_json(tmp_path / "a.info.json")


NFO = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<movie>
  <title>Q3 review</title><tagline>All figures</tagline>
  <plot>Revenue &amp; churn
in one hour.</plot>
  <genre>Business</genre><genre>Talk</genre><tag>q3</tag>
  <director>Grace</director><credits>Alan</credits>
  <actor><name>Ada</name><role>Speaker</role></actor>
  <actor><name>Grace</name></actor>
  <premiered>2024-01-31</premiered>
</movie>
"""


@pytest.mark.parametrize("tail", ["", "https://www.example.org/title/1\n"])
def test_nfo(tmp_path: Path, tail: str) -> None:
    (tmp_path / "a.nfo").write_text(NFO + tail)
    assert read_nfo(tmp_path / "a.nfo") == Nfo(
        title="Q3 review",
        plot="Revenue & churn\nin one hour.",
        tagline="All figures",
        genres=("Business", "Talk"),
        tags=("q3",),
        people=("Grace", "Alan", "Ada"),
        premiered="2024-01-31",
    )


def test_nfo_in_utf_16(tmp_path: Path) -> None:
    (tmp_path / "a.nfo").write_bytes(NFO.replace("UTF-8", "UTF-16").encode("utf-16"))
    assert read_nfo(tmp_path / "a.nfo").title == "Q3 review"


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><movie><title>&b;</title></movie>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><movie><title>&x;</title></movie>'


@pytest.mark.parametrize(
    "content",
    [
        "https://www.example.org/title/1",
        "Ripped by XYZ <3 2024",
        "<movie><title>cut",
        "<movie><title>a</plot></movie>",
        LAUGHS,
        OUTSIDE,
        "<a>" * 100_000,
        "<a>" * 50 + "</a>" * 50,
    ],
    ids=["link", "text", "cut", "crossed", "laughs", "outside", "deep and open", "deep"],
)
def test_nfo_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.nfo").write_text(content)
    with pytest.raises(MediaError, match="XML"):
        read_nfo(tmp_path / "a.nfo")


OGM = """CHAPTER01=00:00:00.000
CHAPTER01NAME=Intro
CHAPTER02=00:01:30.500
CHAPTER02NAME=Churn & revenue
CHAPTER03=01:00:00
"""
PLAIN = """Chapters of the talk
00:00 Intro
1:30.5 - Churn & revenue
[01:00:00] Chapter 3
and no more
"""


@pytest.mark.parametrize(
    "text", [OGM, OGM.lower().replace("intro", "Intro").replace("churn", "Churn"), PLAIN]
)
def test_chapters(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.chapters").write_text(text, encoding="utf-8-sig")
    assert read_chapters(tmp_path / "a.chapters") == (
        Chapter("Intro", TimeSpan(0, 90.5)),
        Chapter("Churn & revenue", TimeSpan(90.5, 3600)),
        Chapter("Chapter 3", TimeSpan(3600, 3600)),
    )


@pytest.mark.parametrize("text", ["no chapters", "12 monkeys", "99999999:00 x", "CHAPTER01=soon"])
def test_no_chapters_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.chapters").write_text(text)
    with pytest.raises(MediaError, match="no chapters found"):
        read_chapters(tmp_path / "a.chapters")


@pytest.mark.parametrize("read", [read_info_json, read_nfo, read_chapters])
def test_sidecars_have_a_largest_size(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a"
    path.write_text("x" * 101)
    with pytest.raises(MediaLimitError, match=r"allowed: 100 bytes"):
        read(path, MediaOptions(max_sidecar_bytes=100))


@pytest.mark.parametrize("read", [read_info_json, read_nfo, read_chapters])
def test_sidecars_must_be_files(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing"):
        with pytest.raises(MediaError):
            read(path)


@settings(max_examples=15, deadline=None)
@given(content=st.binary(min_size=1, max_size=300), keep=st.integers(0, 400))
def test_mangled_sidecars_raise_only_media_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, keep: int
) -> None:
    path = tmp_path_factory.mktemp("mangled") / "a"
    for read, start in (
        (read_info_json, b'{"title": "x", "tags": ["a"], "chapters": [{"title": "t"}]}'),
        (read_nfo, NFO.encode()),
        (read_chapters, OGM.encode()),
    ):
        path.write_bytes(start[:keep] + content + start[keep:])
        # Anything but a value or a MediaError is a traceback.
        with contextlib.suppress(MediaError):
            read(path)
