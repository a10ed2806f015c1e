from __future__ import annotations

import os
from pathlib import Path

import pytest

from clamr_rag.cli.paths import VIDEO_EXTENSIONS, Wanted, expand, parse_extensions


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Videos on two levels, other files, hidden ones, and links in and out."""
    root = tmp_path / "films"
    for name in ("b.mp4", "a.MKV", "notes.txt", ".hidden.mp4", "sub/c.webm", ".git/d.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.mp4").write_bytes(b"x")
    (root / "out.mp4").symlink_to(tmp_path / "outside" / "secret.mp4")
    (root / "in.mp4").symlink_to(root / "b.mp4")
    (root / "outdir").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    (root / "gone.mp4").symlink_to(root / "nothing")
    os.mkfifo(root / "pipe.mp4")
    monkeypatch.chdir(tmp_path)
    return root


def names(paths: tuple[Path, ...], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in paths]


def test_a_folder_is_walked_in_order_without_hidden_files_and_foreign_links(folder: Path) -> None:
    found = expand([str(folder)], Wanted(recursive=True))
    assert names(found, folder) == ["a.MKV", "b.mp4", "in.mp4", "sub/c.webm"]


def test_a_folder_stands_for_itself_unless_it_is_to_be_searched(folder: Path) -> None:
    assert expand([str(folder)], Wanted()) == (folder,)


def test_extensions_and_exclusions(folder: Path) -> None:
    only = Wanted(recursive=True, extensions=parse_extensions(["mkv,.webm"]))
    assert names(expand([str(folder)], only), folder) == ["a.MKV", "sub/c.webm"]
    without = Wanted(recursive=True, exclude=("sub/*", "a.*"))
    assert names(expand([str(folder)], without), folder) == ["b.mp4", "in.mp4"]
    assert parse_extensions([]) == VIDEO_EXTENSIONS


def test_patterns_are_expanded_and_names_that_look_like_patterns_are_not(folder: Path) -> None:
    assert names(expand([f"{folder}/*.MKV"], Wanted()), folder) == ["a.MKV"]
    assert expand(["no/*.mp4"], Wanted()) == (Path("no/*.mp4"),)
    odd = folder / "[x]*.mp4"
    odd.write_bytes(b"x")
    assert expand([str(odd)], Wanted()) == (odd,)


def test_a_list_from_stdin(folder: Path) -> None:
    found = expand(["-", "z.mp4"], Wanted(), ["a b.mp4\n", "\n", "\u00fc.mkv\r\n"])
    assert found == (Path("a b.mp4"), Path("\u00fc.mkv"), Path("z.mp4"))


def test_each_file_once(folder: Path) -> None:
    word = str(folder / "b.mp4")
    assert expand([word, word, f"{folder}/b*"], Wanted()) == (folder / "b.mp4",)


def test_a_name_that_cannot_be_a_path_is_left_to_its_reader() -> None:
    words = ["\0*.mp4", "x" * 5000, "y" * 300]
    assert expand(words, Wanted(recursive=True)) == tuple(map(Path, words))
