"""Kills indexing with SIGKILL at random moments, runs it again, compares with an undisturbed run.

``python -m eval.kill_index VIDEO.mp4 --kills 30`` uses small parts and batches, so that there are
many moments to be killed at. It counts kills after which clips differ, and clips that were encoded
although an earlier run had finished them; an exit code of 1 says that there were any.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from clamr_rag import ClipInput, MultiVector, Options, VideoLibrary
from clamr_rag.encoder import Encoder
from clamr_rag.index.store import FILE_NAME, Store
from clamr_rag.types import Clip

OPTIONS = Options.model_validate(
    {
        "scan": {"chunk_seconds": 8},
        "encoder": {"batch_clips": 1},
        "segmentation": {"min_seconds": 2, "max_seconds": 5},
    }
)
_INDEX = (
    "import sys; from clamr_rag import Options, VideoLibrary\n"
    "options = Options.model_validate_json(sys.argv[3])\n"
    "VideoLibrary.open(sys.argv[1], options=options).add(sys.argv[2])"
)


class CountingEncoder:
    """Passes everything on to an encoder and counts its clips."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dim, self.reads, self.running_on = encoder.dim, encoder.reads, encoder.running_on
        self.encode_query = encoder.encode_query
        self.frames_wanted = encoder.frames_wanted
        self.num_clips = 0

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        """Encodes and counts."""
        self.num_clips += len(clips)
        return self._encoder.encode_clips(clips, keep_other=keep_other)


def index(folder: Path, video: Path) -> int:
    """Indexes in this process; returns the number of clips that were encoded."""
    with VideoLibrary.open(folder, options=OPTIONS) as library:
        counting = CountingEncoder(library.encoder)
        library.__dict__["encoder"] = counting
        library.add(video)
        return counting.num_clips


def contents(folder: Path) -> list[tuple[Clip, bytes]]:
    """The clips of a library's only video with their vectors."""
    with Store.open(folder, create=False) as store:
        [record] = store.videos()
        clips = store.clips(record.video.video_id)
        return [(clip, store.vectors(clip.clip_id).vectors.tobytes()) for clip in clips]


def count_finished(folder: Path) -> int:
    """Clips that already have vectors."""
    if not (folder / FILE_NAME).exists():
        return 0
    with Store.open(folder, create=False) as store:
        return sum(
            len(store.clips(record.video.video_id))
            - len(store.pending_clips(record.video.video_id))
            for record in store.videos()
        )


def kill_after(folder: Path, video: Path, seconds: float) -> bool:
    """Starts indexing and kills it; returns whether it was still running."""
    command = [sys.executable, "-c", _INDEX, str(folder), str(video), OPTIONS.model_dump_json()]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def main() -> int:
    """Kills as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    kills = different = repeated = partial = 0
    with tempfile.TemporaryDirectory() as base:
        undisturbed = Path(base) / "undisturbed"
        started = time.monotonic()
        kill_after(undisturbed, arguments.video, 3600)
        length = time.monotonic() - started
        wanted = contents(undisturbed)
        while kills < arguments.kills:
            folder = Path(base) / f"{kills}-{rng.random()}"
            if not kill_after(folder, arguments.video, rng.uniform(0.1, length)):
                continue
            kills += 1
            finished = count_finished(folder)
            encoded = index(folder, arguments.video)
            partial += 0 < finished < len(wanted)
            repeated += encoded + finished - len(wanted)
            different += contents(folder) != wanted
    print(f"{kills} kills within {length:.1f} s of indexing {len(wanted)} clips, "
          f"{partial} of them between two clips: {different} ended with other clips, "
          f"{repeated} clips were encoded twice")  # fmt: skip
    return 1 if different or repeated else 0


if __name__ == "__main__":
    sys.exit(main())
