"""The vocabulary: every value that crosses a room, frozen and checked (stdlib and numpy only).

Times are float seconds from the start of the video (PTS minus the stream's start time); ranges are
half-open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


class Modality(IntEnum):
    """Where a token of a clip comes from. OTHER (template, padding) never competes in a score."""

    OTHER = 0
    VIDEO = 1
    OCR = 2
    ASR = 3
    DESCRIPTION = 4
    AUDIO = 5

    @property
    def label(self) -> str:
        """The word a user reads: "frames", "on screen", "speech", "metadata" or "sound"."""
        return _LABELS[self]


_LABELS = {
    Modality.OTHER: "template",
    Modality.VIDEO: "frames",
    Modality.OCR: "on screen",
    Modality.ASR: "speech",
    Modality.DESCRIPTION: "metadata",
    Modality.AUDIO: "sound",
}

TEXT_MODALITIES = (Modality.OCR, Modality.ASR, Modality.DESCRIPTION)
"""The modalities whose content is text, in the order in which encoders read them."""


@dataclass(frozen=True, slots=True, order=True)
class TimeSpan:
    """A half-open range of seconds ``[start_seconds, stop_seconds)``."""

    start_seconds: float
    stop_seconds: float

    def __post_init__(self) -> None:
        if not (0 <= self.start_seconds <= self.stop_seconds < math.inf):
            raise ValueError(
                f"a span needs 0 <= start <= stop < inf, got "
                f"[{self.start_seconds}, {self.stop_seconds})"
            )

    @property
    def duration_seconds(self) -> float:
        """Length of the span."""
        return self.stop_seconds - self.start_seconds

    def overlap_seconds(self, other: TimeSpan) -> float:
        """Seconds that both spans share; 0.0 if they only touch."""
        start = max(self.start_seconds, other.start_seconds)
        return max(0.0, min(self.stop_seconds, other.stop_seconds) - start)

    def contains(self, seconds: float) -> bool:
        """Whether the moment lies in the half-open span."""
        return self.start_seconds <= seconds < self.stop_seconds


@dataclass(frozen=True, slots=True)
class Video:
    """One video of a library."""

    video_id: str
    """Content key: hex digest, the same for a renamed or moved copy of the file."""
    path: str
    """Where the file was when it was indexed, absolute."""
    title: str
    """Title from the metadata, else the file's stem."""
    duration_seconds: float
    """Length as decoded, not as the header claims."""
    size_bytes: int
    """Size of the file when it was indexed."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One upright picture with its time."""

    seconds: float
    """PTS minus start time: the true time of this picture, not the time that was asked for."""
    pixels: ByteArray
    """RGB, uint8, ``(height, width, 3)``."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(
                f"a frame needs uint8 (height, width, 3), got "
                f"{self.pixels.dtype} {self.pixels.shape}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class AudioWindow:
    """A stretch of sound."""

    start_seconds: float
    """Time of the first sample."""
    samples: FloatArray
    """Mono, float32 in [-1, 1], 16 kHz, ``(n,)``."""


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word with its time."""

    start_seconds: float
    stop_seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    """Timed speech text: a subtitle, or a phrase from speech recognition."""

    start_seconds: float
    stop_seconds: float
    text: str
    words: tuple[Word, ...] = ()
    """Word times where the source knows them; empty for subtitles."""

    def __post_init__(self) -> None:
        TimeSpan(self.start_seconds, self.stop_seconds)

    @property
    def span(self) -> TimeSpan:
        """The time in which the text is spoken."""
        return TimeSpan(self.start_seconds, self.stop_seconds)


@dataclass(frozen=True, slots=True)
class Transcript:
    """All speech of a video and where it was taken from."""

    source: str
    """Said aloud in the output: a sidecar's name, a subtitle track, an ASR model, or why none."""
    cues: tuple[Cue, ...] = ()
    """In order of start time; empty where there is no speech."""
    language: str | None = None
    """ISO 639 code of the source where it says so; None for mixed or unknown."""
    warning: str | None = None
    """One line for the user where something better was to be expected; None if all is well."""


@dataclass(frozen=True, slots=True)
class OcrLine:
    """One line of on-screen text, merged over the frames that show it."""

    text: str
    first_seconds: float
    """Time of the first frame that shows the line."""
    last_seconds: float
    """Time of the last frame that shows it (inclusive: the time of a frame, not a range end)."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in [0, 1] of the upright picture."""
    confidence: float
    """Of the recogniser, in [0, 1]; the best over the merged frames."""

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1):
            raise ValueError(f"an OCR box needs 0 <= left <= right <= 1, got {self.box}")
        if not 0 <= self.first_seconds <= self.last_seconds:
            raise ValueError(
                f"an OCR line needs 0 <= first <= last, got {self.first_seconds}, "
                f"{self.last_seconds}"
            )


@dataclass(frozen=True, slots=True)
class MetadataLine:
    """One fact about a video that is neither shown nor said: a title, a tag, a chapter."""

    text: str
    """As an encoder reads it, e.g. ``"Chapter: Results of the third quarter"``."""
    source: str
    """Where it stands: "tags", "chapters", "file name", or a sidecar's name."""
    span: TimeSpan | None = None
    """The time it speaks of (a chapter); None for the whole video."""


@dataclass(frozen=True, slots=True)
class Clip:
    """The retrieval unit: 10-30 s of a video, cut at shots and sentence ends, with its texts."""

    clip_id: str
    """``"{video_id}-{number:05d}"``."""
    video_id: str
    number: int
    """0 for the first clip of the video."""
    span: TimeSpan
    cues: tuple[Cue, ...] = ()
    """Speech that starts in the span (a cue belongs to exactly one clip)."""
    ocr_lines: tuple[OcrLine, ...] = ()
    """Lines visible in the span."""
    metadata: tuple[MetadataLine, ...] = ()
    """Lines without a time, and lines whose time meets the span."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipInput:
    """What an encoder reads of one clip. A missing modality is None (or no frames), never ""."""

    frames: tuple[ByteArray, ...] = ()
    """RGB uint8 pictures ``(height, width, 3)`` in time order."""
    frame_seconds: tuple[float, ...] = ()
    """True time of each frame."""
    ocr: str | None = None
    """On-screen text, one line each."""
    asr: str | None = None
    """Speech, one cue per line."""
    description: str | None = None
    """Metadata, one fact per line."""
    audio: FloatArray | None = None
    """The clip's sound: mono float32 at 16 kHz, ``(n,)``, for encoders that hear."""
    text_marks: Mapping[Modality, tuple[tuple[int, float], ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Per text modality ``(character offset, second)`` pairs in order of offset: text from this
    offset on comes from this second. Modalities without marks have tokens without a second."""
    audio_start_seconds: float | None = None
    """Time of the first sample; None leaves the tokens of the sound without a second."""

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.frame_seconds):
            raise ValueError(
                f"a clip needs one second per frame, got {len(self.frames)} frames and "
                f"{len(self.frame_seconds)} seconds"
            )

    def text(self, modality: Modality) -> str | None:
        """The text of one text modality, None where it is missing or blank."""
        text = {
            Modality.OCR: self.ocr,
            Modality.ASR: self.asr,
            Modality.DESCRIPTION: self.description,
        }[modality]
        return text if text and text.strip() else None


@dataclass(frozen=True, slots=True, eq=False)
class MultiVector:
    """The token vectors of one clip or query."""

    vectors: FloatArray
    """float32 unit rows ``(n, dim)``."""
    modalities: ByteArray
    """`Modality` of each row, uint8 ``(n,)``; all OTHER for a query."""
    seconds: FloatArray
    """Source time of each row, float32 ``(n,)``, NaN where it has none."""
    tokens: tuple[str, ...] = ()
    """Text of each row for queries (``n`` strings); empty for clips."""

    def __post_init__(self) -> None:
        n = len(self.vectors)
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32:
            raise ValueError(
                f"a multi-vector needs float32 (n, dim), got "
                f"{self.vectors.dtype} {self.vectors.shape}"
            )
        if self.modalities.shape != (n,) or self.modalities.dtype != np.uint8:
            raise ValueError(
                f"a multi-vector of {n} rows needs uint8 modalities ({n},), got "
                f"{self.modalities.dtype} {self.modalities.shape}"
            )
        if self.seconds.shape != (n,) or self.seconds.dtype != np.float32:
            raise ValueError(
                f"a multi-vector of {n} rows needs float32 seconds ({n},), got "
                f"{self.seconds.dtype} {self.seconds.shape}"
            )
        if self.tokens and len(self.tokens) != n:
            raise ValueError(f"got {len(self.tokens)} token texts for {n} rows")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Width of a row."""
        return int(self.vectors.shape[1])


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one query token points at in a clip."""

    query_token: str
    modality: Modality
    seconds: float | None
    """Source time of the winning clip token; None where it has none."""
    text: str | None
    """The cue, OCR line or metadata line at that time; None for frames and sound."""
    similarity: float
    """Cosine of the query token and the winning clip token."""


@dataclass(frozen=True, slots=True)
class ScoredClip:
    """A clip that was found, with its score and its evidence."""

    rank: int
    """1 for the best."""
    clip: Clip
    video: Video
    score: float
    """Mean cosine per query token under the scorer that ranked it."""
    best_modality: Modality
    modality_scores: Mapping[Modality, float]
    """Mean MaxSim cosine per modality that the clip has; absent ones are not in it."""
    evidence: tuple[Evidence, ...] = ()
    """One per query token, in query order."""


Support = Literal["text", "pictures", "none"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of a generated answer, held against the evidence it cites."""

    text: str
    """With its citation marks."""
    citations: tuple[int, ...]
    """Indices of the `Citation`s it carries."""
    support: Support
    """What bears it out: the words of the evidence; only pictures that the model saw, which no
    program has checked; or nothing."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A quoted moment. Its times come from the index, never from a model's words."""

    index: int
    """1 for the first, as printed ``[1]``."""
    clip_id: str
    video_id: str
    video_path: str
    span: TimeSpan
    modality: Modality
    text: str | None
    """The quoted evidence; None for frames and sound."""
    similarity: float
    """In [0, 1]: how well a quote matches the question; for a generated answer, the share of a
    statement's words that its quote has, or the clip's score where nothing is quoted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What `VideoLibrary.ask` returns."""

    question: str
    text: str
    """The answer in words, with citation marks ``[1]``; says so when the videos do not tell."""
    abstained: bool
    """True when the evidence was too weak to answer from."""
    confidence: float
    """In [0, 1]; the abstention threshold is compared with this."""
    encoder: str
    answerer: str
    choice: str | None = None
    """The picked option's letter for multiple choice; None otherwise or when abstaining."""
    citations: tuple[Citation, ...] = ()
    clips: tuple[ScoredClip, ...] = ()
    """The clips that the answerer was given, best first."""
    timings_seconds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Wall-clock seconds per stage of this call."""
    answerer_reason: str | None = None
    """Why ``auto`` chose this answerer; None where it was asked for."""
    reason: str | None = None
    """Why there is no answer; None where there is one."""
    statements: tuple[Statement, ...] = ()
    """The sentences of a generated answer; empty for quotes, which need no check."""
    notes: tuple[str, ...] = ()
    """What else the reader should know, a line each: evidence that reads like an instruction,
    citations that were dropped, pictures that could not be read."""
