"""Video-MME-v2: subtitles of one word a line, said as a whole or between the frames.

Source: MME-Benchmarks/Video-MME-v2 ``evaluation/test_video_mme_v2.py`` at 013b6c9.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eval.benchmarks.records import TimedText
from eval.benchmarks.rows import jsonl_rows
from eval.benchmarks.sampling import Footage, frame_seconds

_PAUSE_SECONDS = 0.5
"""A longer one ends a sentence."""
_PAUSE_AFTER_STOP_SECONDS = 0.1
"""A longer one ends it after a full stop, question or exclamation mark."""


def words(path: Path) -> tuple[TimedText, ...]:
    """Every word with its times.

    Raises:
        UsageError: A line is no such word.
    """
    found = []
    for row in jsonl_rows(path):
        start, stop = row.seconds("start_time"), row.seconds("end_time")
        if stop < start:
            raise row.error(f"ends at {stop}", allowed=f"start_time {start} or later")
        found.append(TimedText(start, stop, row.text("text", may_be_blank=True)))
    return tuple(found)


def sentences(path: Path) -> tuple[TimedText, ...]:
    """Words put together up to the next pause.

    Raises:
        UsageError: As `words`.
    """
    groups: list[list[TimedText]] = []
    for word in words(path):
        if groups and not _is_parted(groups[-1][-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return tuple(
        TimedText(group[0].start_seconds, group[-1].stop_seconds, _joined(group))
        for group in groups
    )


def whole_speech(
    texts: Sequence[TimedText], indices: Sequence[int], footage: Footage
) -> tuple[str, ...]:
    """One line of all words, whatever the frames."""
    return (_joined(texts),) if texts else ()


def interleave_sentences(
    texts: Sequence[TimedText], indices: Sequence[int], footage: Footage
) -> tuple[int | str, ...]:
    """Frames by their place in ``indices``, each followed by what is said until the next one.

    A sentence stands after every frame whose time until the next it meets; one that ends just when
    a frame is shown still counts as met.
    """
    times = frame_seconds(indices, footage)
    ends = (*times[1:], footage.num_frames / footage.fps)
    parts: list[int | str] = []
    for place, (start, end) in enumerate(zip(times, ends, strict=True)):
        parts.append(place)
        parts += [
            f"[Subtitle {text.start_seconds:.2f}s - {text.stop_seconds:.2f}s]: {text.text}"
            for text in texts
            if text.stop_seconds >= start and text.start_seconds < end
        ]
    return tuple(parts)


def _is_parted(last: TimedText, word: TimedText) -> bool:
    pause = word.start_seconds - last.stop_seconds
    ends = last.text.rstrip().endswith((".", "!", "?"))
    return pause > _PAUSE_SECONDS or (ends and pause > _PAUSE_AFTER_STOP_SECONDS)


def _joined(texts: Sequence[TimedText]) -> str:
    return " ".join(text.text for text in texts)
