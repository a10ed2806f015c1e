"""Writes a whole report: tables, plots, the pages that show them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from eval.report.failure_index import failure_index
from eval.report.failure_pages import entry, failure_page, page_name, shown_clips
from eval.report.failures import Cause, find_failures
from eval.report.footage import RunFootage, find_libraries
from eval.report.page_frame import page
from eval.report.plots import write_plot
from eval.report.qa_plots import qa_plots
from eval.report.qa_tables import leading_rule, qa_tables
from eval.report.retrieval_figures import NamedRetrieval, by_queries
from eval.report.retrieval_pages import (
    CAUSES,
    missed_queries,
    retrieval_entry,
    retrieval_page,
    retrieval_page_name,
)
from eval.report.retrieval_tables import retrieval_plots, retrieval_tables
from eval.report.runs import AnyRun, NamedRun, by_benchmark
from eval.report.tables import Table, html_table, html_text, latex_table, markdown_table
from eval.retrieval_records import RetrievalRun
from eval.run_records import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["md", "latex"]
_PICTURED_CLIPS = 5
_LATEX_HEAD = r"""% Needs \usepackage[T1]{fontenc}, \usepackage{textcomp} and \usepackage{booktabs};
% labels in other scripts than Latin also need LuaLaTeX with a font that has them.
"""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report holds."""

    form: Format = "md"
    """Of the tables, beside the page."""
    rule: str = "strict"
    """That groups, comparisons and plots are given by."""
    num_failures: int | None = 200
    """Most failures of a run that get a page; None for all."""
    libraries: tuple[Path, ...] = ()
    """Where texts and pictures of clips are read, beside the folder of the run itself."""
    has_pictures: bool = True
    """Whether pictures are read from the videos."""


@dataclass(frozen=True, slots=True)
class _Section:
    """Everything about one benchmark."""

    title: str
    tables: tuple[Table, ...]
    plots: tuple[tuple[str, Path], ...]
    """Name and SVG of each."""
    failures: tuple[tuple[str, str, int], ...]
    """Name of each run, address of its failures and their number."""


def write_report(runs: Sequence[AnyRun], out: Path, options: ReportOptions) -> Path:
    """Writes the report of some runs; the same runs give the same bytes.

    Returns:
        The page to open first.
    """
    out.mkdir(parents=True, exist_ok=True)
    questions = by_benchmark([run for run in runs if isinstance(run, Run)])
    queries = by_queries([run for run in runs if isinstance(run, RetrievalRun)])
    sections = [
        *(_qa_section(title, members, out, options) for title, members in questions.items()),
        *(_retrieval_section(title, members, out, options) for title, members in queries.items()),
    ]
    index = out / "index.html"
    index.write_text(_index_page(sections), encoding="utf-8")
    if options.form == "latex":
        (out / "report.tex").write_text(_latex(sections), encoding="utf-8")
    else:
        (out / "report.md").write_text(_markdown(sections), encoding="utf-8")
    return index


def _qa_section(
    title: str, runs: Sequence[NamedRun], out: Path, options: ReportOptions
) -> _Section:
    rule = leading_rule(runs, options.rule)
    failures = []
    for number, run in enumerate(runs, start=1):
        folder = _failure_folder(out, title, number, run.name)
        num_failures = _write_failures(run, folder, options)
        failures.append((run.name, f"failures/{folder.name}/index.html", num_failures))
    plots = _write_plots(qa_plots(runs, rule), out, title)
    return _Section(title, qa_tables(runs, rule), plots, tuple(failures))


def _retrieval_section(
    title: str, runs: Sequence[NamedRetrieval], out: Path, options: ReportOptions
) -> _Section:
    failures = []
    for number, run in enumerate(runs, start=1):
        folder = _failure_folder(out, title, number, run.name)
        num_failures = _write_missed(run, folder, options)
        failures.append((run.name, f"failures/{folder.name}/index.html", num_failures))
    plots = _write_plots(retrieval_plots(runs), out, title)
    return _Section(title, retrieval_tables(runs), plots, tuple(failures))


def _failure_folder(out: Path, title: str, number: int, name: str) -> Path:
    # The number tells runs apart whose names differ in signs only.
    folder = out / "failures" / f"{slug(title)}-{number}-{slug(name)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_plots(
    plots: Mapping[str, Figure], out: Path, title: str
) -> tuple[tuple[str, Path], ...]:
    folder = out / "plots"
    folder.mkdir(exist_ok=True)
    return tuple(
        (name, write_plot(figure, folder, f"{slug(title)}-{slug(name)}")[1])
        for name, figure in plots.items()
    )


def _write_failures(run: NamedRun, folder: Path, options: ReportOptions) -> int:
    failures = find_failures(run.records)
    shown = failures[: options.num_failures]
    entries = [
        entry(failure, page_name(failure.record) if place < len(shown) else None)
        for place, failure in enumerate(failures)
    ]
    causes = [cause.value for cause in Cause]
    index = failure_index(entries, run.name, causes, num_questions=len(run.records))
    (folder / "index.html").write_text(index, encoding="utf-8")
    with RunFootage((*options.libraries, *find_libraries(run.run.folder))) as footage:
        clips = [clip for each in shown for _, clip in shown_clips(each)[:_PICTURED_CLIPS]]
        pictures = footage.pictures(clips) if options.has_pictures else {}
        for failure in shown:
            text = failure_page(failure, run.run, run.name, footage, pictures)
            (folder / page_name(failure.record)).write_text(text, encoding="utf-8")
    return len(failures)


def _write_missed(run: NamedRetrieval, folder: Path, options: ReportOptions) -> int:
    missed = missed_queries(run.run.records)
    shown = missed[: options.num_failures]
    entries = [
        retrieval_entry(record, retrieval_page_name(record) if place < len(shown) else None)
        for place, record in enumerate(missed)
    ]
    index = failure_index(entries, run.name, CAUSES, num_questions=len(run.run.records))
    (folder / "index.html").write_text(index, encoding="utf-8")
    for record in shown:
        path = folder / retrieval_page_name(record)
        path.write_text(retrieval_page(record, run), encoding="utf-8")
    return len(missed)


def _index_page(sections: Sequence[_Section]) -> str:
    body = ["<h1>Report</h1>"]
    for section in sections:
        body.append(f'<h1 id="{slug(section.title)}">{html_text(section.title)}</h1>')
        body += [html_table(table, prefix=f"{slug(section.title)}-") for table in section.tables]
        body += [_figure(name, path) for name, path in section.plots]
        links = "".join(
            f'<li><a href="{address}">{html_text(name)}</a>: {count:,}</li>'
            for name, address, count in section.failures
        )
        body.append(f"<h2>Failures</h2><ul>{links}</ul>")
    return page("Report", "\n".join(body))


def _figure(name: str, path: Path) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode()
    caption = html_text(name.replace("-", " "))
    return (
        f'<figure><img alt="{caption}" src="data:image/svg+xml;base64,{encoded}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _markdown(sections: Sequence[_Section]) -> str:
    parts = []
    for section in sections:
        parts.append(f"# {section.title}\n")
        parts += [markdown_table(table) for table in section.tables]
        parts += [f"![{name}](plots/{path.name})\n" for name, path in section.plots]
    return "\n".join(parts)


def _latex(sections: Sequence[_Section]) -> str:
    parts = [_LATEX_HEAD]
    parts += [
        latex_table(table, prefix=slug(section.title))
        for section in sections
        for table in section.tables
    ]
    return "\n".join(parts)


def slug(text: str) -> str:
    """Lower-case words with hyphens, for the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "run"
