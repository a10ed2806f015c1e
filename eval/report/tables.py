"""A table of texts, as Markdown, LaTeX and HTML; every cell is text and shows as such."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass

_MARKDOWN_SIGNS = re.compile(r"([\\`*<|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|\](?=[(\[:]))")
"""Signs that Markdown reads as orders within a line; an underscore within a word is none, nor are
brackets that no address follows."""
_LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "−": r"$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "·": r"\textperiodcentered{}",
    "…": r"\ldots{}",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "\ufffd": "?",
}
"""Signs that LaTeX reads as orders, joins ("--" to a dash) or has no letter for."""
_HARMLESS = "\n\t\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under a title."""

    name: str
    """Of its file, and of its label in LaTeX: lower-case words with hyphens."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Sentences that the reader of the figures needs, below the table."""
    num_text_columns: int = 1
    """From the left; all others hold figures and are set flush right."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"got {len(row)} cells for {len(self.columns)} columns: {row}")


def markdown_table(table: Table) -> str:
    """As GitHub reads it, with a heading."""
    notes = [f"{markdown_text(note)}\n" for note in table.notes]
    return "\n".join([f"## {markdown_text(table.title)}\n", markdown_rows(table), *notes])


def markdown_rows(table: Table) -> str:
    """The rows alone, under the names of their columns."""
    rule = ["---"] * table.num_text_columns
    rule += ["---:"] * (len(table.columns) - table.num_text_columns)
    lines = [_markdown_row(table.columns), f"| {' | '.join(rule)} |"]
    return "".join(f"{line}\n" for line in (*lines, *map(_markdown_row, table.rows)))


def latex_table(table: Table, *, prefix: str) -> str:
    """A ``table`` float in the manner of booktabs.

    Args:
        table: What to set.
        prefix: Of its label, as names of tables are unique within a benchmark only.
    """
    columns = "l" * table.num_text_columns + "r" * (len(table.columns) - table.num_text_columns)
    notes = " ".join(latex_text(note) for note in table.notes)
    caption = latex_text(table.title) + (f". {notes}" if notes else "")
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            rf"  \label{{tab:{prefix}-{table.name}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {_latex_row(table.columns)}",
            r"    \midrule",
            *(f"    {_latex_row(row)}" for row in table.rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def html_table(table: Table, *, prefix: str = "") -> str:
    """A section with a heading; wide tables scroll by themselves.

    Args:
        table: What to show.
        prefix: Of its anchor, as names of tables are unique within a benchmark only.
    """
    head = "".join(
        f'<th scope="col" class="{"text" if place < table.num_text_columns else "figure"}">'
        f"{html_text(column)}</th>"
        for place, column in enumerate(table.columns)
    )
    body = "\n".join(_html_row(row, table.num_text_columns) for row in table.rows)
    notes = "".join(f'<p class="note">{html_text(note)}</p>' for note in table.notes)
    return (
        f'<section id="{html_text(prefix + table.name)}"><h2>{html_text(table.title)}</h2>\n'
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n'
        f"</tbody></table></div>{notes}</section>\n"
    )


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKDOWN_SIGNS.sub(r"\\\1", _one_line(text))


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    return "".join(_LATEX_SIGNS.get(sign, sign) for sign in _one_line(text))


def html_text(text: str) -> str:
    """Text that a page shows as it is, also within an attribute; line breaks stay."""
    return html.escape(visible(text))


def _markdown_row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(markdown_text, cells))} |"


def _latex_row(cells: tuple[str, ...]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def _html_row(cells: tuple[str, ...], num_text_columns: int) -> str:
    heads = "".join(f'<th scope="row">{html_text(cell)}</th>' for cell in cells[:num_text_columns])
    return (
        f"<tr>{heads}{''.join(f'<td>{html_text(c)}</td>' for c in cells[num_text_columns:])}</tr>"
    )


def _one_line(text: str) -> str:
    return " ".join(visible(text).split())


def visible(text: str) -> str:
    """Text without signs that could hide or turn round what stands beside them.

    Lone surrogates cannot be written at all; joiners are part of words and pictures.
    """
    return "".join(
        "\ufffd"
        if unicodedata.category(sign) in ("Cc", "Cf", "Cs") and sign not in _HARMLESS
        else sign
        for sign in text
    )
