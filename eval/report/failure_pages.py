"""A page for every failure: what was asked, what was read, what was found, where the answer is."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence

from clamr_rag.types import Modality
from eval.report.failure_index import Entry
from eval.report.failures import Failure
from eval.report.footage import Quote, RunFootage
from eval.report.numbers import NONE, clock, quantity, span
from eval.report.page_frame import page
from eval.report.qa_figures import is_right
from eval.report.tables import html_text
from eval.report.timeline import timeline
from eval.run_records import FoundClip, QuestionRecord, Run

MOST_CLIPS = 10
"""Clips on a page; one that holds the evidence is shown whatever its rank."""
_MOST_QUOTE_SIGNS = 500
_NO_LIBRARY = (
    "Name the library that the run searched (--library) to see what the clips say and show."
)


def shown_clips(failure: Failure) -> list[tuple[int, FoundClip]]:
    """The clips of a failure's page with their ranks from 1."""
    holding = {rank for rank in failure.evidence_ranks if rank}
    found = enumerate(failure.record.found, start=1)
    return [(rank, clip) for rank, clip in found if rank <= MOST_CLIPS or rank in holding]


def entry(failure: Failure, page_name: str | None) -> Entry:
    """A failure as it stands in the list."""
    record = failure.record
    ranks = [rank for rank in failure.evidence_ranks if rank]
    facts = [
        f"question {record.question_id}",
        f"right: {record.gold}" if record.gold is not None else "",
        f"picked: {failure.reading}" if failure.reading else "",
        f"evidence at rank {min(ranks)}" if ranks else "",
    ]
    return Entry(
        record.question,
        failure.cause.value,
        {**record.groups, "form of the question": (record.form,)},
        tuple(filter(None, facts)),
        page_name,
    )


def page_name(record: QuestionRecord) -> str:
    """File name of a question's page."""
    return file_name(record.question_id, record.form)


def file_name(*words: str) -> str:
    """Readable, and another one for all other words, whatever signs they have."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(words)).strip("-")[:60]
    return f"{plain}-{hashlib.sha256(chr(10).join(words).encode()).hexdigest()[:6]}.html"


def failure_page(
    failure: Failure,
    run: Run,
    run_name: str,
    footage: RunFootage,
    pictures: Mapping[str, bytes],
) -> str:
    """The page of one failure.

    Args:
        failure: What to show.
        run: That it is of.
        run_name: As in the tables.
        footage: Where texts of the clips are read.
        pictures: JPEGs by clip id.
    """
    record = failure.record
    durations = {
        video.video_id: video.duration_seconds for video in run.videos if video.duration_seconds
    }
    body = [
        f'<nav><a href="index.html">All failures of {html_text(run_name)}</a></nav>',
        f"<h1>{html_text(record.question)}</h1>",
        f'<p><span class="bad">{html_text(failure.cause.value)}</span>'
        f"{_reason(record)} · {html_text(_labels(record))}</p>",
        _options(record),
        _readings(record),
        _reply(record),
        _evidence(failure),
        timeline(record, durations),
        _clips(failure, footage, pictures),
        _circumstances(record, run, run_name),
    ]
    return page(f"{record.question_id}: {failure.cause.value}", "\n".join(filter(None, body)))


def _reason(record: QuestionRecord) -> str:
    return f": {html_text(record.reason)}" if record.reason else ""


def _labels(record: QuestionRecord) -> str:
    labels = [f"{name}: {', '.join(values)}" for name, values in sorted(record.groups.items())]
    return " · ".join(
        [f"question {record.question_id}", f"video {record.video_id or 'all'}", *labels]
    )


def _options(record: QuestionRecord) -> str:
    if record.is_absent:
        return "<p>Nothing in the video answers it: declining is right.</p>"
    if not record.options:
        gold = NONE if record.gold is None else record.gold
        return f'<p>Right: <span class="good">{html_text(gold)}</span></p>'
    picked = record.picked.get("strict")
    entries = []
    for letter, option in zip(record.letters, record.options, strict=True):
        marks = [
            '<span class="good">right</span>' if letter == record.gold else "",
            '<span class="bad">picked</span>' if letter == picked else "",
        ]
        shown = " ".join(filter(None, marks))
        gold = ' class="gold"' if letter == record.gold else ""
        entries.append(f"<li{gold}>{letter}. {html_text(option)} {shown}</li>")
    return f'<ol class="options">{"".join(entries)}</ol>'


def _readings(record: QuestionRecord) -> str:
    if record.form != "choices" or record.gold is None or not record.picked:
        return ""
    rows = []
    for rule, letter in record.picked.items():
        right = is_right(record, rule)
        mark = '<span class="good">right</span>' if right else '<span class="bad">wrong</span>'
        read = "unread" if letter is None else letter
        rows.append(
            f'<tr><th scope="row">{html_text(rule)}</th>'
            f'<td class="text">{html_text(read)}</td><td class="text">{mark}</td></tr>'
        )
    return (
        '<h2>What each rule reads</h2><div class="wide"><table><thead><tr><th scope="col">rule</th>'
        '<th scope="col">letter</th><th scope="col"></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _reply(record: QuestionRecord) -> str:
    if record.reply is None:
        return "<h2>Reply</h2><p>None.</p>"
    sure = "" if record.confidence is None else f" (confidence {record.confidence:.2f})"
    shown = f"<h2>Reply{sure}</h2><pre>{html_text(record.reply)}</pre>"
    if record.answer_text and record.answer_text != record.reply:
        shown += f"<p>Shown to a user:</p><blockquote>{html_text(record.answer_text)}</blockquote>"
    return shown


def _evidence(failure: Failure) -> str:
    record = failure.record
    if not record.evidence:
        return "<h2>Evidence</h2><p>The benchmark does not say where the answer is.</p>"
    rows = []
    for gold, rank in zip(record.evidence, failure.evidence_ranks, strict=True):
        found = (
            f'<span class="good">rank {rank}</span>'
            if rank
            else f'<span class="bad">not among the {len(record.found)} found</span>'
        )
        rows.append(
            f'<tr><th scope="row">{html_text(gold.video_id)}</th>'
            f'<td class="text">{span(gold.start_seconds, gold.stop_seconds)}</td>'
            f'<td class="text">{found}</td></tr>'
        )
    holds = f" ({_label(record.gold_modality)})" if record.gold_modality else ""
    return (
        f"<h2>Evidence{html_text(holds)}</h2>"
        f'<div class="wide"><table><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _clips(failure: Failure, footage: RunFootage, pictures: Mapping[str, bytes]) -> str:
    record = failure.record
    if not record.found:
        return "<h2>Clips found</h2><p>None.</p>"
    holding = {rank for rank in failure.evidence_ranks if rank}
    shown = shown_clips(failure)
    entries = [
        _clip(rank, clip, footage.quotes(clip), pictures.get(clip.clip_id), rank in holding)
        for rank, clip in shown
    ]
    hidden = len(record.found) - len(shown)
    if not footage.has_any(clip for _, clip in shown):
        entries.insert(0, f'<p class="note">{_NO_LIBRARY}</p>')
    more = f'<p class="note">{hidden} more were found.</p>' if hidden else ""
    return f"<h2>Clips found</h2>{''.join(entries)}{more}"


def _clip(
    rank: int, clip: FoundClip, quotes: Sequence[Quote], picture: bytes | None, holds: bool
) -> str:
    by = f" · best by {_label(clip.modality)}" if clip.modality else ""
    mark = ' <span class="good">holds the evidence</span>' if holds else ""
    # What the clip was found by comes first.
    ordered = sorted(quotes, key=lambda quote: quote.modality.name.lower() != clip.modality)
    texts = "".join(
        f"<p><strong>{quote.modality.label}</strong></p>"
        f"<blockquote>{html_text(_cut(quote.lines))}</blockquote>"
        for quote in ordered
    )
    image = ""
    if picture is not None:
        encoded = base64.b64encode(picture).decode()
        image = f'<img alt="the middle of clip {rank}" src="data:image/jpeg;base64,{encoded}">'
    return (
        f'<div class="clip">{image}<div><h3>{rank}. '
        f"{span(clip.start_seconds, clip.stop_seconds)}{mark}</h3>"
        f'<p class="note">{html_text(clip.video_id)} · score {clip.score:.4f}{html_text(by)}</p>'
        f"{texts}</div></div>"
    )


def _circumstances(record: QuestionRecord, run: Run, run_name: str) -> str:
    header, frames = run.header, record.frame_seconds
    facts = (
        ("run", run_name),
        ("benchmark", f"{record.benchmark} {record.split}, {header.source}"),
        ("retriever", header.retriever_details),
        ("answerer", header.answerer),
        ("subtitles shown", f"{record.subtitles}; {record.subtitle_source or 'there are none'}"),
        ("speech in the index", record.speech_source or NONE),
        ("screen text in the index", record.screen_source or NONE),
        ("pictures shown", f"{len(frames)}: {', '.join(map(clock, frames))}" if frames else "0"),
        ("prompt", f"{record.prompt_characters:,} characters"),
        ("search", f"{quantity(record.timing.search_seconds)} s"),
        ("answer", f"{quantity(record.timing.answer_seconds)} s"),
        ("commit", header.commit),
    )
    rows = "".join(
        f'<tr><th scope="row">{html_text(name)}</th><td class="text">{html_text(value)}</td></tr>'
        for name, value in facts
    )
    return f"<h2>Circumstances</h2><table><tbody>{rows}</tbody></table>"


def _label(modality: str | None) -> str:
    """As a user reads it."""
    known = {each.name.lower(): each.label for each in Modality}
    return known.get(modality or "", modality or "")


def _cut(lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    return text if len(text) <= _MOST_QUOTE_SIGNS else f"{text[:_MOST_QUOTE_SIGNS].rstrip()} …"
