"""The two streams a user sees, and the guard that keeps foreign text from steering the terminal."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import Literal, NoReturn, TextIO

from rich.console import Console
from rich.text import Text

ColorMode = Literal["auto", "always", "never"]

# Zero-width joiners shape letters of Persian and Indic scripts; all other format characters,
# bidirectional overrides above all, only serve to make a text look like another one.
_JOINERS = "\u200c\u200d"


def safe(text: str) -> str:
    """Returns text from a video, a file name or a model without what a terminal would obey.

    Control characters and line breaks become spaces, format characters (bidirectional overrides,
    tags, zero-width marks) vanish, and bytes of a name that are no UTF-8 become U+FFFD.
    """
    return text if text.isprintable() else "".join(map(_safe_character, text))


def one_line(text: str, max_characters: int = 200) -> str:
    """As `safe`, white space folded, and cut where nobody would read on."""
    line = " ".join(safe(text).split())
    return line if len(line) <= max_characters else line[: max_characters - 1] + "…"


def _safe_character(character: str) -> str:
    if character in _JOINERS:
        return character
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp":
            return " "
        case "Cf":
            return ""
        case "Cs":
            return "\ufffd"
    return character


class OutputClosedError(Exception):
    """Whoever read our stdout has left (``| head``): there is nobody to tell anything."""


class _Stream(Console):
    """A console that never wraps, guesses no colours and reads no markup in what it prints."""

    def __init__(self, file: TextIO, color: ColorMode) -> None:
        plain = color == "never" or (color == "auto" and bool(os.environ.get("NO_COLOR")))
        super().__init__(
            file=file,
            force_terminal=True if color == "always" else None,
            color_system=None if plain else "auto",
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
        )

    def on_broken_pipe(self) -> NoReturn:
        self.quiet = True
        raise OutputClosedError


class Terminal:
    """Data to stdout, words to stderr.

    Args:
        color: ``auto`` colours a terminal unless NO_COLOR or TERM=dumb speak against it.
        quiet: Leave out notes; warnings and errors remain.
    """

    def __init__(self, color: ColorMode = "auto", *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.out: Console = _Stream(sys.stdout, color)
        self.err: Console = _Stream(sys.stderr, color)
        self._in_line = False

    def say(self, *lines: Text | str) -> None:
        """Prints data."""
        for line in lines:
            self.out.print(line if isinstance(line, Text) else Text(safe(line)))

    def say_piece(self, text: str) -> None:
        """Prints a part of a text that is still being written; line breaks stay."""
        # Before it is written: Ctrl-C may come as soon as it is.
        self._in_line = not text.endswith("\n")
        self.out.file.write("\n".join(map(safe, text.split("\n"))))
        self.out.file.flush()

    def end_pieces(self) -> None:
        """Ends the line that the last piece left open, if one did."""
        if self._in_line:
            self._in_line = False
            self.out.file.write("\n")
            self.out.file.flush()

    def say_json(self, text: str) -> None:
        """Prints data for a program as it is; it must be ASCII."""
        self.out.file.write(text + "\n")

    def note(self, text: str) -> None:
        """Says something that helps but is not needed."""
        if not self.quiet:
            self.err.print(Text(one_line(text, 2000), style="dim"))

    def warn(self, text: str) -> None:
        """Says what the user should know although the work goes on."""
        self.err.print(Text.assemble(("warning: ", "yellow"), one_line(text, 2000)))

    def error(self, text: str) -> None:
        """Says in one line why the work stops."""
        self.err.print(Text.assemble(("error: ", "bold red"), one_line(text, 2000)))
