"""The list of a run's failures, and its filters by cause and type, which need no script.

Each filter is an anchor before the list; the style sheet hides what does not belong to the anchor
that the address names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.report.page_frame import page
from eval.report.tables import html_text

_ALL = "all"


@dataclass(frozen=True, slots=True)
class Entry:
    """One failure in the list."""

    question: str
    cause: str
    labels: Mapping[str, tuple[str, ...]]
    """Per grouping those that it counts in."""
    facts: tuple[str, ...]
    """What else the list says of it."""
    page_name: str | None
    """File of its page, beside this one; None where it has none."""


@dataclass(frozen=True, slots=True)
class _Type:
    """One label of a grouping."""

    grouping: str
    label: str
    css_class: str

    def holds(self, entry: Entry) -> bool:
        """Whether a failure counts in it."""
        return self.label in entry.labels.get(self.grouping, ())


def failure_index(
    entries: Sequence[Entry], run_name: str, causes: Sequence[str], *, num_questions: int
) -> str:
    """The page that leads to the pages of a run's failures.

    Args:
        entries: One per failure, in order.
        run_name: As in the tables.
        causes: All that there can be, in the order of their columns.
        num_questions: Of the run.
    """
    types = _types(entries)
    classes = {
        cause: f"c{number}"
        for number, cause in enumerate(causes)
        if any(entry.cause == cause for entry in entries)
    }
    filters = _filters(entries, types, classes)
    anchors = "".join(f'<span class="filter" id="{name}"></span>' for name in (_ALL, *filters))
    groupings = dict.fromkeys(kind.grouping for kind in types)
    body = [
        '<nav><a href="../../index.html">Report</a></nav>',
        f"<h1>Failures of {html_text(run_name)}</h1>",
        f"<p>{len(entries):,} of {num_questions:,} questions, {_pages(entries)} Follow a number to "
        "see those questions only.</p>",
        *(_matrix(grouping, entries, types, classes) for grouping in groupings),
        anchors,
        f'<h2>Questions <a href="#{_ALL}">(all)</a></h2>',
        '<ol class="failures">',
        *(_item(entry, types, classes) for entry in entries),
        "</ol>",
    ]
    return page(f"Failures of {run_name}", "\n".join(body), style=_style(filters))


def _pages(entries: Sequence[Entry]) -> str:
    num_pages = sum(entry.page_name is not None for entry in entries)
    if num_pages == len(entries):
        return "each with a page."
    return f"the first {num_pages:,} with a page (--failures says how many)."


def _types(entries: Sequence[Entry]) -> list[_Type]:
    names = dict.fromkeys(name for entry in entries for name in entry.labels)
    pairs = [
        (name, label)
        for name in names
        for label in sorted({label for entry in entries for label in entry.labels.get(name, ())})
    ]
    return [_Type(name, label, f"t{number}") for number, (name, label) in enumerate(pairs)]


def _filters(
    entries: Sequence[Entry], types: Sequence[_Type], classes: Mapping[str, str]
) -> dict[str, str]:
    """Per filter what it lets through, in words; its name is the classes, joined by hyphens."""
    filters = {css_class: cause for cause, css_class in classes.items()}
    filters |= {kind.css_class: f"{kind.grouping} {kind.label}" for kind in types}
    for kind in types:
        for cause in dict.fromkeys(entry.cause for entry in entries if kind.holds(entry)):
            name = f"{kind.css_class}-{classes[cause]}"
            filters[name] = f"{kind.grouping} {kind.label}, {cause}"
    return filters


def _style(filters: Mapping[str, str]) -> str:
    return "".join(
        f"#{name}:target ~ ol > li:not(.{name.replace('-', '.')}) {{ display: none; }}\n"
        f"#{name}:target ~ h2::after {{ content: {_css_string(f' {words}')}; }}\n"
        for name, words in filters.items()
    )


def _css_string(text: str) -> str:
    """Text as a string of a style sheet, which nothing in it can end."""
    signs = (sign if sign.isascii() and sign.isalnum() else f"\\{ord(sign):x} " for sign in text)
    return f'"{"".join(signs)}"'


def _matrix(
    grouping: str, entries: Sequence[Entry], types: Sequence[_Type], classes: Mapping[str, str]
) -> str:
    heads = "".join(
        f'<th scope="col"><a href="#{css_class}">{html_text(cause)}</a></th>'
        for cause, css_class in classes.items()
    )
    rows = []
    for kind in (each for each in types if each.grouping == grouping):
        counts = Counter(entry.cause for entry in entries if kind.holds(entry))
        cells = "".join(
            f'<td><a href="#{kind.css_class}-{css_class}">{counts[cause]}</a></td>'
            if counts[cause]
            else "<td>0</td>"
            for cause, css_class in classes.items()
        )
        rows.append(
            f'<tr><th scope="row"><a href="#{kind.css_class}">{html_text(kind.label)}</a></th>'
            f"{cells}<td>{counts.total()}</td></tr>"
        )
    return (
        f'<div class="wide"><table><thead><tr><th scope="col">{html_text(grouping)}</th>{heads}'
        f'<th scope="col">all</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div><br>'
    )


def _item(entry: Entry, types: Sequence[_Type], classes: Mapping[str, str]) -> str:
    own = [classes[entry.cause], *(kind.css_class for kind in types if kind.holds(entry))]
    question = html_text(entry.question)
    if entry.page_name is not None:
        question = f'<a href="{html_text(entry.page_name)}">{question}</a>'
    facts = "".join(f" · {html_text(fact)}" for fact in entry.facts)
    return (
        f'<li class="{" ".join(own)}">{question}<br><span class="note">'
        f'<span class="bad">{html_text(entry.cause)}</span>{facts}</span></li>'
    )
