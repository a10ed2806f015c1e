"""The clips of a library on disk as a pool: real files, with the texts that were extracted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path

from clamr_rag import VideoLibrary, media
from clamr_rag.encoder.clip_reading import read_clips
from clamr_rag.encoder.inputs import clip_input
from clamr_rag.types import Clip, ClipInput, Modality
from eval.arms.pools import PoolClip, digest, texts_digest


class LibraryPool:
    """All clips of some videos of a library; its vectors are not used, only what it extracted."""

    def __init__(self, library: VideoLibrary, video_ids: Collection[str]) -> None:
        """Reads the clips' texts.

        Args:
            library: Open, with these videos indexed; it must stay open.
            video_ids: The library's own ids, in the order in which the pool has them.
        """
        self._options = library.options
        self._wanted = library.encoder.frames_wanted
        self._paths = {v: Path(library.find(v).video.path) for v in video_ids}
        self._sensed: dict[Path, frozenset[Modality]] = {}
        self._stored = tuple(clip for v in self._paths for clip in library.clips(v))

    @cached_property
    def clips(self) -> Sequence[PoolClip]:
        """See `ClipPool.clips`."""
        return tuple(
            PoolClip(clip.clip_id, clip.video_id, clip.span, clip_input(clip))
            for clip in self._stored
        )

    @cached_property
    def fingerprint(self) -> str:
        """See `ClipPool.fingerprint`; a video's id stands for its content."""
        options = self._options.encoder.fingerprint()
        return digest(options, str(self._wanted), *self._paths, texts_digest(self.clips))

    def read(self, numbers: Sequence[int], senses: Collection[Modality]) -> Iterator[ClipInput]:
        """See `ClipPool.read`.

        Raises:
            MediaError: A file is gone or cannot be read.
        """
        for path, clips in self._runs(numbers):
            there = self._senses(path).intersection(senses)
            yield from read_clips(path, clips, there, self._wanted, self._options.media)

    def _senses(self, path: Path) -> frozenset[Modality]:
        """What a file has beside its texts."""
        if path not in self._sensed:
            found = media.probe(path, self._options.media)
            has = {Modality.VIDEO: found.video, Modality.AUDIO: found.audio_tracks}
            self._sensed[path] = frozenset(sense for sense, tracks in has.items() if tracks)
        return self._sensed[path]

    def _runs(self, numbers: Sequence[int]) -> Iterator[tuple[Path, list[Clip]]]:
        """Clips that one pass over one file can read: of one video, in time order."""
        wanted = [self._stored[number] for number in numbers]
        breaks, run = [], 0
        for before, clip in zip([None, *wanted], wanted, strict=False):
            same = before and before.video_id == clip.video_id and before.number < clip.number
            run += not same
            breaks.append(run)
        for _, group in groupby(zip(breaks, wanted, strict=True), key=lambda pair: pair[0]):
            clips = [clip for _, clip in group]
            yield self._paths[clips[0].video_id], clips
