"""The videos of a benchmark in a library of their own, indexed once however often they are asked.

A cache folder has one library per way to index, so that runs with other subtitles, another screen
reader or another encoder never share clips::

    CACHE/mini-1f2e3d4c/library/     the library
    CACHE/mini-1f2e3d4c/videos/ID/   a link to the video, its subtitles as the benchmark's rule
                                     reads them, and copies of its metadata sidecars
    CACHE/mini-1f2e3d4c/costs.jsonl  what indexing each video cost, noted when it was done
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pysubs2
from pydantic import BaseModel

from clamr_rag import VideoLibrary
from clamr_rag.config import LibraryOptions, Options
from clamr_rag.errors import ExtractionError, MediaError
from clamr_rag.index.records import VideoRecord as StoredVideo
from clamr_rag.ingest import OnProgress, VideoReport
from clamr_rag.media import find_sidecars
from clamr_rag.types import Cue
from eval.benchmarks.records import BenchmarkVideo, Subtitles
from eval.qa_memo import MemoEncoder

logger = logging.getLogger(__name__)

OnVideo = Callable[[str, VideoReport | None], None]


class _Cost(BaseModel):
    """A line of ``costs.jsonl``."""

    video_id: str
    """The library's."""
    index_seconds: float


@dataclass(frozen=True, slots=True)
class IndexedVideo:
    """One video of the benchmark and what became of it in the library."""

    video: BenchmarkVideo
    stored: StoredVideo | None
    """None where the video is missing or could not be indexed."""
    reason: str | None = None
    """Why there is none."""
    index_seconds: float | None = None
    """None where nobody timed the whole of it."""
    index_bytes: int | None = None

    @property
    def subtitle_source(self) -> str | None:
        """File name and rule of the subtitles."""
        return subtitle_source(self.video.subtitles)


class QaVideos:
    """The library of a run, and which of its videos is which of the benchmark's."""

    def __init__(self, folder: Path, library: VideoLibrary) -> None:
        """Use `open_videos`."""
        self.library = library
        self._folder = folder
        self.encoder = MemoEncoder(library.encoder)
        """Of the library, with a memory for texts that all runs over these videos share."""
        self._indexed: dict[str, IndexedVideo] = {}

    def index(self, video: BenchmarkVideo, on_progress: OnProgress | None = None) -> IndexedVideo:
        """Indexes a video, or finds that it is there."""
        if video.video_id not in self._indexed:
            self._indexed[video.video_id] = self._index(video, on_progress)
        return self._indexed[video.video_id]

    def stored_id(self, video_id: str) -> str | None:
        """The library's id of an indexed video."""
        found = self._indexed.get(video_id)
        return found.stored.video.video_id if found and found.stored else None

    def video_id(self, stored_id: str) -> str:
        """The benchmark's id of a video of the library.

        Raises:
            KeyError: It is none of this run.
        """
        for video_id in self._indexed:
            if self.stored_id(video_id) == stored_id:
                return video_id
        raise KeyError(stored_id)

    def _index(self, video: BenchmarkVideo, on_progress: OnProgress | None) -> IndexedVideo:
        if video.path is None:
            return IndexedVideo(video, None, "the video is not on disk")
        try:
            staged = stage(video, self._folder / "videos")
            report = self.library.add(staged, on_progress=on_progress)
        except (MediaError, ExtractionError) as error:
            logger.warning("%s cannot be indexed: %s", video.video_id, error)
            return IndexedVideo(video, None, str(error))
        if report.status == "indexed":
            self._note(_Cost(video_id=report.video_id, index_seconds=report.elapsed_seconds))
        stored = self.library.find(report.video_id)
        return IndexedVideo(
            video, stored, None, self._seconds(report.video_id), _num_bytes(self.library, stored)
        )

    def _note(self, cost: _Cost) -> None:
        with (self._folder / "costs.jsonl").open("a", encoding="utf-8") as file:
            file.write(cost.model_dump_json() + "\n")

    def _seconds(self, stored_id: str) -> float | None:
        path = self._folder / "costs.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        costs = [_Cost.model_validate_json(line) for line in lines if line.endswith("}")]
        times = [cost.index_seconds for cost in costs if cost.video_id == stored_id]
        return times[-1] if times else None


def open_videos(
    cache: Path, options: Options, library: LibraryOptions, *, subtitle_rule: str
) -> QaVideos:
    """Opens the library of one way to index, or makes it.

    Args:
        cache: Folder of all such libraries.
        options: Of the library.
        library: Which encoder.
        subtitle_rule: What reads the subtitle files; another rule gives other clips.
    """
    stages = (options.segmentation, options.speech, options.ocr, options.scan, options.index)
    parts = [stage.fingerprint() for stage in (*stages, options.encoder)]
    words = [library.encoder, library.adapter or "", library.dtype, subtitle_rule, *parts]
    name = re.sub(r"[^\w.-]+", "-", library.encoder).strip("-")[-40:]
    folder = cache / f"{name}-{hashlib.sha256(chr(10).join(words).encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    opened = VideoLibrary.open(
        folder / "library",
        encoder=library.encoder,
        adapter=library.adapter,
        device=library.device,
        dtype=library.dtype,
        options=options,
    )
    return QaVideos(folder, opened)


def stage(video: BenchmarkVideo, folder: Path) -> Path:
    """Puts a video where the library finds beside it what the benchmark says, and nothing else.

    Benchmarks keep subtitles in folders and forms of their own, and what one rule makes of them is
    not what another does.

    Returns:
        The path of a link to the video.
    """
    assert video.path is not None, "a missing video cannot be staged"
    own = folder / _folder_name(video.video_id)
    own.mkdir(parents=True, exist_ok=True)
    link = own / video.path.name
    if not link.is_symlink() or link.readlink() != video.path.absolute():
        link.unlink(missing_ok=True)
        link.symlink_to(video.path.absolute())
    wanted = {link.name}
    for sidecar in find_sidecars(video.path):
        if sidecar.kind != "subtitles":
            # A copy: the library follows no sidecar that leads out of the video's folder.
            _replace_if_other(own / sidecar.path.name, sidecar.path.read_bytes())
            wanted.add(sidecar.path.name)
    if video.subtitles is not None and video.subtitles.cues:
        written = own / f"{link.stem}.srt"
        _replace_if_other(written, _srt(video.subtitles.cues).encode())
        wanted.add(written.name)
    for path in own.iterdir():
        if path.name not in wanted:
            path.unlink()
    return link


def subtitle_source(subtitles: Subtitles | None) -> str | None:
    """File name and rule, as it stands in a record; None without subtitles."""
    return f"{subtitles.path.name} ({subtitles.rule})" if subtitles else None


def subtitle_rules(videos: Iterable[BenchmarkVideo]) -> str:
    """The rules that read the subtitles of some videos, in one string."""
    return " ".join(sorted({v.subtitles.rule for v in videos if v.subtitles is not None}))


def _folder_name(video_id: str) -> str:
    """Readable, and another one for every id whatever signs it has."""
    plain = re.sub(r"[^\w.-]+", "-", video_id).strip(".-")[:80]
    return f"{plain}-{hashlib.sha256(video_id.encode()).hexdigest()[:6]}"


def _srt(cues: Iterable[Cue]) -> str:
    subtitles = pysubs2.SSAFile()
    for cue in cues:
        start, stop = (round(1000 * s) for s in (cue.start_seconds, cue.stop_seconds))
        event = pysubs2.SSAEvent(start=start, end=stop)
        event.plaintext = cue.text
        subtitles.append(event)
    return subtitles.to_string("srt")


def _replace_if_other(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    pending = path.with_name(f"{path.name}.part")
    pending.write_bytes(content)
    shutil.move(pending, path)


def _num_bytes(library: VideoLibrary, stored: StoredVideo) -> int:
    """Bytes of the vectors and texts of a video's clips, as the library keeps them."""
    vectors = sum(
        each.rows.nbytes
        + (0 if each.scales is None else each.scales.nbytes)
        + each.modalities.nbytes
        + each.seconds.nbytes
        for _, each in library.store.stored_vectors(stored)
    )
    texts = sum(
        len(text.encode())
        for clip in library.clips(stored.video.video_id)
        for text in (
            *(cue.text for cue in clip.cues),
            *(line.text for line in clip.ocr_lines),
            *(line.text for line in clip.metadata),
        )
    )
    return vectors + texts
