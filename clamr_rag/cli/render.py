"""Answers, moments and videos as a person reads them on a terminal."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from clamr_rag.cli.terminal import one_line, safe
from clamr_rag.config import EMBEDDED_ENCODERS

if TYPE_CHECKING:
    from clamr_rag.index.records import VideoRecord
    from clamr_rag.media import MediaInfo
    from clamr_rag.types import Answer, Citation, ScoredClip, TimeSpan

_LABEL_WIDTH = len("on screen")
_TAUGHT_ON_DRAWINGS = "mini-vl"
_COLORS = {"on screen": "cyan", "speech": "green", "metadata": "magenta", "frames": "blue"}


def clock(seconds: float) -> str:
    """``HH:MM:SS`` of a time."""
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def counted(number: int, noun: str) -> str:
    """A number with its noun, e.g. ``"1 video"``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span_text(span: TimeSpan) -> str:
    """A span in whole seconds that enclose it."""
    return f"{clock(span.start_seconds)}-{clock(math.ceil(span.stop_seconds))}"


def answer_lines(
    answer: Answer,
    records: Mapping[str, VideoRecord],
    *,
    reads_frames: bool,
    show_all: bool,
    running_on: str | None = None,
    streamed: bool = False,
) -> list[Text]:
    """The answer as in the README: where from, the answer, its evidence, what to do next.

    Args:
        answer: What to show.
        records: The library's videos by id.
        reads_frames: Whether the encoder looks at pictures; said if not.
        show_all: Also the moments that were found but not cited.
        running_on: Where and how the encoder computes; not said of `mini`, which has one way.
        streamed: The answer itself has been printed while it was written.
    """
    # What a declined answer would have been taken from is no evidence of anything.
    citations = () if answer.abstained else answer.citations
    names = _video_names([citation.video_path for citation in citations])
    header = _header(answer, records, reads_frames=reads_frames, running_on=running_on)
    if not streamed:
        lines = [header, _answer_text(answer)]
    elif answer.abstained:
        lines = [_answer_text(answer), header]
    else:
        lines = [*_unsupported(answer), header]
    for citation in citations:
        lines.append(
            _evidence_line(
                f"[{citation.index}]",
                names[citation.video_path],
                citation.span,
                citation.modality.label,
                citation.similarity,
                citation.text,
            )
        )
    cited = {citation.clip_id for citation in citations}
    weaker = [clip for clip in answer.clips if clip.clip.clip_id not in cited]
    if show_all:
        lines += clip_lines(weaker)
    if any(statement.support == "none" for statement in answer.statements):
        lines.append(Text("  [?] nothing in the evidence bears this out", style="yellow"))
    return lines + _footer(citations, 0 if show_all else len(weaker))


def clip_lines(clips: Sequence[ScoredClip]) -> list[Text]:
    """One line per moment found, with the text that matches best."""
    names = _video_names(_paths(clips))
    return [
        _evidence_line(
            f"{clip.rank:>3}",
            names[clip.video.path],
            clip.clip.span,
            clip.best_modality.label,
            clip.score,
            _best_text(clip),
        )
        for clip in clips
    ]


def video_lines(records: Sequence[VideoRecord]) -> list[Text]:
    """One line per video of the library."""
    return [
        Text.assemble(
            (record.video.video_id[:8], "bold"),
            f"  {clock(record.video.duration_seconds)}  {record.num_clips:>5} clips  ",
            (f"{record.status:<8}", "red" if record.status == "failed" else ""),
            f"  {one_line(record.video.title, 60)}  ",
            (safe(record.error or record.video.path), "dim"),
        )
        for record in records
    ]


def info_lines(record: VideoRecord | None, info: MediaInfo | None) -> list[Text]:
    """What is known of one video, a fact per line."""
    facts: list[tuple[str, str]] = []
    if record is not None:
        facts += _record_facts(record)
    else:
        facts.append(("status", "not in the library"))
    if info is not None:
        facts += _file_facts(info)
    return [Text.assemble((f"{name:<12}", "bold"), one_line(value, 500)) for name, value in facts]


def _record_facts(record: VideoRecord) -> list[tuple[str, str]]:
    facts = [
        ("id", record.video.video_id),
        ("title", record.video.title),
        ("path", record.video.path),
        ("status", record.status + (f": {record.error}" if record.error else "")),
        ("clips", str(record.num_clips)),
        ("speech", record.speech_source or "not read yet"),
        ("screen text", record.screen_text_source or "not read yet"),
    ]
    return facts


def _file_facts(info: MediaInfo) -> list[tuple[str, str]]:
    video = info.video
    picture = "none"
    if video is not None:
        turn = f", turned {video.rotation_degrees}°" if video.rotation_degrees else ""
        picture = f"{video.codec} {video.width}x{video.height}{turn}, {video.average_rate:g} fps"
    sound = [f"{track.codec} {track.language or ''}".strip() for track in info.audio_tracks]
    subtitles = [f"{track.codec} {track.language or ''}".strip() for track in info.subtitle_tracks]
    facts = [
        ("length", clock(info.duration_seconds)),
        ("size", f"{info.size_bytes / 1e6:.1f} MB"),
        ("format", info.format_name),
        ("pictures", picture),
        ("sound", "; ".join(sound) or "none"),
        ("subtitles", "; ".join(subtitles) or "none"),
    ]
    facts += [("tag", f"{name}: {value}") for name, value in info.tags.items()]
    facts += [("chapter", f"{span_text(c.span)}  {c.title}") for c in info.chapters]
    return facts


def _header(
    answer: Answer,
    records: Mapping[str, VideoRecord],
    *,
    reads_frames: bool,
    running_on: str | None,
) -> Text:
    """Which parts made the answer, from the videos it was taken from."""
    ids = [c.video_id for c in answer.citations] or [c.video.video_id for c in answer.clips]
    used = [records[video_id] for video_id in dict.fromkeys(ids) if video_id in records]
    speech = _joined(record.speech_source for record in used)
    screen = _joined(record.screen_text_source for record in used)
    place = f" ({running_on})" if running_on and answer.encoder not in EMBEDDED_ENCODERS else ""
    parts = [
        f"encoder {answer.encoder}{place}",
        f"speech {speech}" if speech.startswith("none") else f"speech from {speech}",
        f"screen text {screen}",
        f"answered by {answer.answerer}"
        + (f" ({answer.answerer_reason})" if answer.answerer_reason else ""),
    ]
    if not reads_frames:
        parts.append(f"{answer.encoder} does not look at the pictures")
    elif answer.encoder == _TAUGHT_ON_DRAWINGS:
        parts.append(f"{answer.encoder} was taught drawings and knows little of filmed pictures")
    return Text(" · ".join(one_line(part) for part in parts), style="dim")


def _joined(sources: Iterable[str | None]) -> str:
    names = list(dict.fromkeys(source or "none" for source in sources))
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more if names else "none"


def _answer_text(answer: Answer) -> Text:
    return Text(one_line(answer.text, 4000), style="yellow" if answer.abstained else "bold")


def _unsupported(answer: Answer) -> list[Text]:
    """The sentences that could not be marked while they were streamed."""
    return [
        Text(f"  [?] {one_line(statement.text)}", style="yellow")
        for statement in answer.statements
        if statement.support == "none"
    ]


def _evidence_line(
    mark: str, video: str, span: TimeSpan, label: str, score: float, quote: str | None
) -> Text:
    return Text.assemble(
        f"  {mark} ",
        f"{video}  " if video else "",
        span_text(span),
        "  ",
        (f"{label:<{_LABEL_WIDTH}}", _COLORS.get(label, "")),
        f"  {score:.2f}",
        f'   "{one_line(quote)}"' if quote else "",
    )


def _footer(citations: Sequence[Citation], num_hidden: int) -> list[Text]:
    """What was left out, and the command that plays the first moment."""
    parts = []
    if num_hidden:
        parts.append(f"{counted(num_hidden, 'weaker moment')} hidden (--all)")
    if citations:
        parts += _play_command(citations[0].video_path, citations[0].span)
    return [Text(" · ".join(parts), style="dim")] if parts else []


def _play_command(path: str, span: TimeSpan) -> list[str]:
    """A line to paste into a shell; none for a name that could not be shown as it is."""
    if safe(path) != path:
        return []
    here = Path.cwd()
    shown = str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
    if shown.startswith("-"):
        shown = path
    return [f"mpv --start={int(span.start_seconds)} {shlex.quote(shown)}"]


def _best_text(clip: ScoredClip) -> str | None:
    """What the question's best-matching word points at in the modality that is named."""
    fitting = [e for e in clip.evidence if e.text and e.modality == clip.best_modality]
    return max(fitting, key=lambda evidence: evidence.similarity).text if fitting else None


def _paths(clips: Sequence[ScoredClip]) -> list[str]:
    return [clip.video.path for clip in clips]


def _video_names(paths: Sequence[str]) -> dict[str, str]:
    """A name per path, empty if all are of one video: then it need not be said."""
    one = len(set(paths)) <= 1
    return {path: "" if one else one_line(Path(path).name, 40) for path in paths}
