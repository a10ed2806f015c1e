"""SubRip files as the harnesses of Video-MME read them, and as our own reader does."""

from __future__ import annotations

import re
from pathlib import Path

import pysubs2

from clamr_rag.errors import MediaError, UsageError
from clamr_rag.media import read_sidecar_subtitles
from eval.benchmarks.records import TimedText
from eval.benchmarks.rows import file_text

_TAGGED = re.compile(r'<font color="white" size=".72c">(.*?)</font>')
_TIME = re.compile(r"\s*(\d+):(\d+):(\d+),(\d+)\s*")


def font_tagged(path: Path) -> tuple[TimedText, ...]:
    """lmms-eval: cues by their times, of which only font-tagged text is kept.

    A cue with the times of an earlier one takes its place, with a tag or without.

    Raises:
        UsageError: The file, or the time of a cue, cannot be read.
    """
    by_times: dict[tuple[float, float], str] = {}
    for start, stop, lines in _cues(path):
        by_times[start, stop] = " ".join(lines)
    return tuple(
        TimedText(start, stop, tagged.group(1))
        for (start, stop), text in by_times.items()
        if (tagged := _TAGGED.search(text))
    )


def font_tagged_lines(path: Path) -> tuple[TimedText, ...]:
    """lmms-eval, for models that get the whole file: every line with the tag, in order.

    Nothing is overwritten here, and a tag that closes on another line is not seen.

    Raises:
        UsageError: As `font_tagged`.
    """
    return tuple(
        TimedText(start, stop, tagged.group(1))
        for start, stop, lines in _cues(path)
        for line in lines
        if (tagged := _TAGGED.search(line))
    )


def parsed_cues(path: Path) -> tuple[TimedText, ...]:
    """VLMEvalKit: what pysubs2 makes of the file, in its order.

    Font tags are gone then; italics become ASS codes and stay in the text.

    Raises:
        UsageError: The file cannot be read.
    """
    events = pysubs2.SSAFile.from_string(file_text(path), format_="srt")
    return tuple(
        TimedText(event.start / 1000, event.end / 1000, event.text.replace(r"\N", " "))
        for event in events
    )


def tidy_cues(path: Path) -> tuple[TimedText, ...]:
    """Ours, the reader of the library: plain text, sane times, roll-up captions said once.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        cues = read_sidecar_subtitles(path)
    except MediaError as error:
        raise UsageError(f"{path}: no readable subtitles: {error}") from error
    return tuple(TimedText(cue.start_seconds, cue.stop_seconds, cue.text) for cue in cues)


def _cues(path: Path) -> list[tuple[float, float, list[str]]]:
    cues = []
    for number, block in enumerate(file_text(path).split("\n\n"), 1):
        lines = block.split("\n")
        # The source passes over blocks of fewer lines in silence, too.
        if not block.strip() or len(lines) < 3:
            continue
        place = f"{path} cue {number}"
        times = lines[1].split(" --> ")
        if len(times) < 2:
            raise UsageError(f"{place}: got {lines[1][:40]!r}", allowed="a line of two times")
        cues.append((_seconds(place, times[0]), _seconds(place, times[1]), lines[2:]))
    return cues


def _seconds(place: str, text: str) -> float:
    found = _TIME.fullmatch(text)
    if not found:
        raise UsageError(f"{place}: got time {text[:40]!r}", allowed="HH:MM:SS,mmm")
    hours, minutes, seconds, milliseconds = map(int, found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
