from __future__ import annotations

from pathlib import Path

import pytest

from clamr_rag.cli.options import FLAGS
from clamr_rag.cli.settings import (
    STAGES,
    Setting,
    Settings,
    field_of,
    library_folder,
    load_settings,
    parse_assignment,
)
from clamr_rag.config import LibraryOptions, Options
from clamr_rag.errors import UsageError

FLAG = Setting("search", "top_k", "1", "--top-k")
VARIABLE = "CLAMR_RAG_SEARCH__TOP_K"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "clamr-rag.toml", tmp_path / "config.toml"


def load(
    files: tuple[Path, ...] = (), flags: tuple[Setting, ...] = (), **variables: str
) -> Settings:
    return load_settings(flags, environment=variables, files=files)


def test_nothing_given_is_the_defaults() -> None:
    settings = load()
    assert settings.options == Options()
    assert settings.library == LibraryOptions()
    assert settings.origin("search", "top_k") == "default"


@pytest.mark.parametrize("num_sources", [1, 2, 3, 4])
def test_the_stronger_source_wins(files: tuple[Path, Path], num_sources: int) -> None:
    """Flag over variable over project file over user file, whichever of them are there."""
    project, user = files
    user.write_text("[search]\ntop_k = 4\n")
    expected = [(4, str(user)), (3, str(project)), (2, VARIABLE), (1, "--top-k")]
    if num_sources >= 2:
        project.write_text("[search]\ntop_k = 3\n")
    variables = {VARIABLE: "2"} if num_sources >= 3 else {}
    flags = (FLAG,) if num_sources == 4 else ()
    settings = load(files, flags, **variables)
    value, origin = expected[num_sources - 1]
    assert settings.options.search.top_k == value
    assert settings.origin("search", "top_k") == origin


def test_sources_mix_per_option(files: tuple[Path, Path]) -> None:
    files[1].write_text('[speech]\nspeech = "none"\n[ocr]\nocr = "none"\n')
    settings = load(files, CLAMR_RAG_OCR__OCR="rapidocr")
    assert settings.options.speech.speech == "none"
    assert settings.options.ocr.ocr == "rapidocr"


@pytest.mark.parametrize(
    ("setting", "got", "allowed"),
    [
        (Setting("speech", "speech", "foo", "--speech"), "--speech foo", "auto, subtitles, asr"),
        (FLAG.__class__("search", "top_k", "0", "--top-k"), "--top-k 0", "greater than 0"),
        (Setting("search", "top_k", "five", "--top-k"), "--top-k five", "integer"),
        (Setting("answer", "abstain_below", "1.5", "--set"), "--set answer.abstain_below=1.5",
         "less than or equal to 1"),
        (Setting("segmentation", "min_seconds", "nan", "--min-seconds"), "--min-seconds nan",
         "greater than 0"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_told_as_it_was_given(
    setting: Setting, got: str, allowed: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(flags=(setting,))
    assert caught.value.exit_code == 2
    assert got in caught.value.got
    assert allowed in caught.value.allowed


def test_an_unknown_key_names_file_and_key(files: tuple[Path, Path]) -> None:
    files[0].write_text("[search]\ntopk = 3\n")
    with pytest.raises(UsageError, match=r"search\.topk") as caught:
        load(files)
    assert str(files[0]) in str(caught.value)
    assert "did you mean search.top_k?" in caught.value.hint


def test_an_unknown_stage_and_a_bare_value_are_refused(files: tuple[Path, Path]) -> None:
    files[0].write_text("[serching]\ntop_k = 3\n")
    with pytest.raises(UsageError, match=r"serching\.top_k"):
        load(files)
    files[0].write_text("top_k = 3\n")
    with pytest.raises(UsageError, match=r"\[search\]"):
        load(files)


def test_an_unknown_variable_is_refused_but_others_of_ours_are_not() -> None:
    with pytest.raises(UsageError, match="CLAMR_RAG_SEARCH__TOPK=3"):
        load(CLAMR_RAG_SEARCH__TOPK="3")
    assert load(CLAMR_RAG_HOME="/x", PATH="/y").options == Options()


@pytest.mark.parametrize("content", [b"[search\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_no_toml_is_named(files: tuple[Path, Path], content: bytes) -> None:
    files[0].write_bytes(content)
    with pytest.raises(UsageError, match=str(files[0])):
        load(files)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=str(tmp_path)):
        load((tmp_path,))


def test_an_empty_text_is_none_where_none_is_allowed() -> None:
    settings = load(CLAMR_RAG_SPEECH__LANGUAGE="", CLAMR_RAG_SEARCH__CHROMA_URL="")
    assert settings.options.speech.language is None
    assert settings.options.search.chroma_url is None


def test_assignments() -> None:
    setting = parse_assignment("encoder.query_tokens=32")
    assert load(flags=(setting,)).options.encoder.query_tokens == 32
    assert parse_assignment("speech.asr_model=a=b").value == "a=b"
    for text in ("top_k=3", "search.top_k", ""):
        with pytest.raises(UsageError, match="--set"):
            parse_assignment(text)


def test_every_flag_sets_an_option_and_no_two_the_same() -> None:
    for key in FLAGS.values():
        stage, _, name = key.partition(".")
        assert field_of(stage, name).description, key
    assert len(set(FLAGS.values())) == len(FLAGS)


def test_every_stage_of_the_options_can_be_set() -> None:
    assert set(STAGES) == {"library", *Options.model_fields}


def test_the_library_is_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLAMR_RAG_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert library_folder(LibraryOptions()).is_relative_to(tmp_path / "data")
    monkeypatch.setenv("CLAMR_RAG_HOME", str(tmp_path / "home"))
    assert library_folder(LibraryOptions()) == tmp_path / "home" / "library"
    assert library_folder(LibraryOptions(path="/there")) == Path("/there")
