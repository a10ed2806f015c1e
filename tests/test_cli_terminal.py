from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from clamr_rag.cli.terminal import Terminal, one_line, safe

HOSTILE = (
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31mC1",
    "title\x07bell",
    "over\rwrite",
    "two\nlines",
    "tab\tand\x0bvertical",
    "\u202egnp.exe",
    "\u2066isolate\u2069",
    "line\u2028separator",
    "tag\U000e0041",
    "byte\udcff",
)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(codec=None)))
def test_safe_text_has_nothing_that_a_terminal_obeys(text: str) -> None:
    kept = safe(text)
    bad = {c for c in kept if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert bad <= set("\u200c\u200d")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Mn"))))
def test_safe_leaves_ordinary_text_as_it_is(text: str) -> None:
    assert safe(text) == text


def test_safe_keeps_joiners_and_drops_overrides() -> None:
    assert safe("می\u200cخواهم") == "می\u200cخواهم"
    assert safe("a\u202eb") == "ab"
    assert safe("name\udcff.mp4") == "name\ufffd.mp4"


def test_one_line_cuts_and_folds() -> None:
    assert one_line("a \n\n  b\t c") == "a b c"
    assert one_line("x" * 300, 200) == "x" * 199 + "…"


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_passes_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal("always")
    terminal.say(text)
    terminal.note(text)
    terminal.warn(text)
    terminal.error(text)
    told = capsys.readouterr()
    for line in (told.out, told.err):
        # Only our own colours may be left.
        for code in ("\x1b[2m", "\x1b[0m", "\x1b[33m", "\x1b[1;31m"):
            line = line.replace(code, "")
        assert "\x1b" not in line
        assert not set(line) & set("\x07\r\x9b\u202e\u2066\u2028\U000e0041")
    assert told.out.count("\n") == 1
    assert told.err.count("\n") == 3


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.say("[bold]not bold[/bold] :smile:")
    terminal.error("[link=http://evil]x[/link]")
    told = capsys.readouterr()
    assert told.out == "[bold]not bold[/bold] :smile:\n"
    assert "[link=http://evil]x[/link]" in told.err


def test_long_lines_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().say("word " * 100)
    assert capsys.readouterr().out.count("\n") == 1


def test_quiet_leaves_out_notes_only(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(quiet=True)
    terminal.note("helps")
    terminal.warn("matters")
    assert capsys.readouterr().err == "warning: matters\n"


@pytest.mark.parametrize(
    ("color", "no_color", "colored"),
    [("always", "", True), ("never", "", False), ("auto", "", False), ("auto", "1", False)],
)
def test_colours(
    color: str,
    no_color: str,
    colored: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    Terminal(color).say(Text("bold", style="bold red"))  # type: ignore[arg-type]
    assert ("\x1b" in capsys.readouterr().out) is colored


def test_no_color_holds_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    for no_color, colored in (("1", False), ("", True)):
        screen = Screen()
        monkeypatch.setattr("sys.stdout", screen)
        monkeypatch.setenv("NO_COLOR", no_color)
        Terminal().say(Text("bold", style="bold red"))
        assert ("\x1b" in screen.getvalue()) is colored
