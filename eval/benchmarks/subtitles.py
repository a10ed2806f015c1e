"""What the published rules make of subtitles, each by name and commit, beside our reader.

A rule has two parts: it reads a file (`READERS`), and it picks what goes with sampled frames
(`texts_at`). The oddities are the sources' own: a cue without a font tag is lost, one overwrites
another of the same times, an end that is a whole number is not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pysubs2

from clamr_rag.errors import UsageError
from clamr_rag.types import Cue
from eval.benchmarks.interleaving import interleave
from eval.benchmarks.records import BenchmarkVideo, Subtitles, TimedText
from eval.benchmarks.sampling import Footage, frame_seconds
from eval.benchmarks.srt import font_tagged, font_tagged_lines, parsed_cues, tidy_cues
from eval.benchmarks.word_times import (
    interleave_sentences,
    sentences,
    whole_speech,
    words,
)

NONE = "none"
OURS = "ours"
FONT_TAG = "videomme-lmms-eval@75571cf"
FONT_TAG_WHOLE = "videomme-lmms-eval-whole@75571cf"
FIRST_CUE = "videomme-vlmevalkit@e8e78f0"
CG_CUES = "cgbench-vlmevalkit@e8e78f0"
V2_WORDS = "videomme-v2-words@013b6c9"
V2_SENTENCES = "videomme-v2-interleaved@013b6c9"
INTERLEAVED = "longvideobench-official@2aa4f91"

Reader = Callable[[Path], tuple[TimedText, ...]]
Pick = Callable[[Sequence[TimedText], Sequence[int], Footage], tuple[str, ...]]
"""From texts, frame indices and the video to the lines that go with the frames."""


def read_subtitles(rule: str, path: Path) -> Subtitles:
    """Reads a subtitle file by a rule.

    Args:
        rule: One of `READERS`.
        path: The file.

    Raises:
        UsageError: There is no such rule, or the file or one of its cues cannot be read.
    """
    if rule not in READERS:
        raise UsageError(f"got subtitle rule {rule!r}", allowed=", ".join(READERS))
    return subtitles_of(READERS[rule](path), path, rule)


def wanted_subtitles(rule: str, path: Path) -> Subtitles | None:
    """`read_subtitles` of a file that need not be there; None without it, or by the rule `NONE`.

    Raises:
        UsageError: As `read_subtitles`.
    """
    return read_subtitles(rule, path) if rule != NONE and path.is_file() else None


def missing_subtitles_of(videos: Mapping[str, BenchmarkVideo], rule: str) -> tuple[str, ...]:
    """Ids of the videos without a subtitle file, sorted; () if none was asked for."""
    lacking = (name for name, video in videos.items() if video.subtitles is None)
    return () if rule == NONE else tuple(sorted(lacking))


def subtitles_of(texts: tuple[TimedText, ...], path: Path, rule: str) -> Subtitles:
    """Texts of a file with their cues: what ends before the video starts is in no cue.

    A text that begins earlier is cut to second 0. One that ends before it starts keeps no length,
    as no frame shows it either.
    """
    cues = tuple(
        Cue(
            max(0.0, text.start_seconds), max(0.0, text.start_seconds, text.stop_seconds), text.text
        )
        for text in texts
        if text.start_seconds >= 0 or text.stop_seconds > 0
    )
    return Subtitles(cues, path, rule, texts)


def texts_at(subtitles: Subtitles, indices: Sequence[int], footage: Footage) -> tuple[str, ...]:
    """The lines that the rule of these subtitles puts beside sampled frames.

    Args:
        subtitles: Of the video.
        indices: Of the frames, see `eval.benchmarks.sampling`.
        footage: The video.

    Raises:
        UsageError: The rule picks nothing by frames.
    """
    if subtitles.rule not in PICKS:
        raise UsageError(f"got subtitle rule {subtitles.rule!r}", allowed=", ".join(PICKS))
    return PICKS[subtitles.rule](subtitles.texts, indices, footage)


def every_text(
    texts: Sequence[TimedText], indices: Sequence[int], footage: Footage
) -> tuple[str, ...]:
    """All texts, whatever the frames."""
    return tuple(text.text for text in texts)


def shown_at(
    texts: Sequence[TimedText], indices: Sequence[int], footage: Footage
) -> tuple[str, ...]:
    """Each text once that a frame lies in, in the order of the file: lmms-eval.

    Times are cut to frames first, and the frame where the text ends is out. The source goes through
    a set of small numbers, whose order is ascending in practice.
    """
    return tuple(
        text.text
        for text in texts
        if any(
            int(text.start_seconds * footage.fps) <= index < int(text.stop_seconds * footage.fps)
            for index in indices
        )
    )


def first_at_each(
    texts: Sequence[TimedText], indices: Sequence[int], footage: Footage
) -> tuple[str, ...]:
    """For every frame the first text on the screen, repeated as often: VLMEvalKit.

    A first text that is blank hides the others.
    """
    first = (next(_strictly_at(texts, index, footage), "") for index in indices)
    return tuple(text for text in first if text.strip())


def once_each(
    texts: Sequence[TimedText], indices: Sequence[int], footage: Footage
) -> tuple[str, ...]:
    """All texts on the screen at the frames, frame by frame, each said once: VLMEvalKit's CG-Bench.

    Without frames it is every text of the file, as for its models that read the video.
    """
    shown = (text for index in indices for text in _strictly_at(texts, index, footage))
    every = shown if indices else (text.text for text in texts)
    return tuple(dict.fromkeys(text for text in every if text.strip()))


def shown_now(
    texts: Sequence[TimedText], indices: Sequence[int], footage: Footage
) -> tuple[str, ...]:
    """Each text once that is on the screen at the time of a frame, spans half-open: ours."""
    times = frame_seconds(indices, footage)
    return tuple(
        text.text
        for text in texts
        if any(text.start_seconds <= seconds < text.stop_seconds for seconds in times)
    )


def between_frames(
    texts: Sequence[TimedText], indices: Sequence[int], footage: Footage
) -> tuple[str, ...]:
    """The texts of LongVideoBench's interleaved prompt, without its frames."""
    parts = interleave(texts, frame_seconds(indices, footage))
    return tuple(part for part in parts if isinstance(part, str))


def sentences_between_frames(
    texts: Sequence[TimedText], indices: Sequence[int], footage: Footage
) -> tuple[str, ...]:
    """The texts of Video-MME-v2's interleaved prompt, without its frames."""
    parts = interleave_sentences(texts, indices, footage)
    return tuple(part for part in parts if isinstance(part, str))


def _strictly_at(texts: Sequence[TimedText], index: int, footage: Footage) -> Iterator[str]:
    """In whole milliseconds; a frame on the very border of a text is not in it: VLMEvalKit."""
    now = pysubs2.make_time(frames=index, fps=footage.fps)
    return (t.text for t in texts if _ms(t.start_seconds) < now < _ms(t.stop_seconds))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        FONT_TAG: font_tagged,
        FONT_TAG_WHOLE: font_tagged_lines,
        FIRST_CUE: parsed_cues,
        CG_CUES: parsed_cues,
        OURS: tidy_cues,
        V2_WORDS: words,
        V2_SENTENCES: sentences,
    }
)
"""By rule: what it makes of a file. LongVideoBench's also needs two annotated numbers
(`eval.benchmarks.interleaving.timed_texts`)."""

PICKS: Mapping[str, Pick] = MappingProxyType(
    {
        FONT_TAG: shown_at,
        FONT_TAG_WHOLE: every_text,
        FIRST_CUE: first_at_each,
        CG_CUES: once_each,
        OURS: shown_now,
        V2_WORDS: whole_speech,
        V2_SENTENCES: sentences_between_frames,
        INTERLEAVED: between_frames,
    }
)
"""By rule: what it puts beside sampled frames."""
