"""From training pairs to batches of token sequences, the same that the encoder makes at search."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.processing import ClipProcessor, TokenSequence
from clamr_rag.errors import UsageError
from clamr_rag.training.data import IntArray, PairSource, TrainingPair
from clamr_rag.training.reading import read_clip
from clamr_rag.types import Modality


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pairs as the model reads them: query ``i`` is about clip ``i``."""

    queries: tuple[TokenSequence, ...]
    clips: tuple[TokenSequence, ...]
    """Their modalities are `Modality` whatever a clip lacks; the released ids shift there."""
    gold: IntArray
    """`Modality` that each query was written from ``(n,)``."""
    video_keys: IntArray
    """Hash of each clip's video id ``(n,)``."""

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def same_video(self) -> npt.NDArray[np.bool_]:
        """Whether clip ``j`` shows the video of query ``i`` ``(n, n)``."""
        return np.asarray(self.video_keys[:, None] == self.video_keys[None, :])


class Collator:
    """Makes batches for one model."""

    def __init__(
        self,
        processor: ClipProcessor,
        senses: Collection[Modality],
        options: EncoderOptions,
        seed: int = 0,
    ) -> None:
        self._processor = processor
        self._senses = frozenset(senses)
        self.options = options
        self._seed = seed

    def __call__(self, pairs: Sequence[TrainingPair], step: int = 0) -> Batch:
        """A batch of these pairs; the step decides which of several wordings is drawn.

        Raises:
            UsageError: A pair that cannot be used; names file and row.
        """
        return Batch(
            queries=tuple(self.query(pair, step) for pair in pairs),
            clips=tuple(self.clip(pair) for pair in pairs),
            gold=np.array([int(pair.gold) for pair in pairs], np.int64),
            video_keys=np.array([video_key(pair.video_id) for pair in pairs], np.int64),
        )

    def query(self, pair: TrainingPair, step: int = 0) -> TokenSequence:
        """One wording of the pair's query."""
        draw = np.random.default_rng((self._seed, step, video_key(pair.place)))
        text = pair.queries[int(draw.integers(len(pair.queries)))]
        return self._processor.query(text)

    def clip(self, pair: TrainingPair) -> TokenSequence:
        """The pair's clip."""
        sequence = self._processor.clip(read_clip(pair, self._senses, self.options))
        if not len(sequence):
            raise UsageError(
                f"{pair.place}: a clip without any modality that the model reads",
                allowed="a video, frames or a text that is not blank",
            )
        return sequence


def video_key(video_id: str) -> int:
    """The same 63 bits for the same id in every process."""
    return int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:8], "big") >> 1


def batches_ahead(
    pairs: PairSource,
    rows_of_steps: Iterator[tuple[int, IntArray]],
    collator: Collator,
    num_threads: int,
) -> Iterator[Batch]:
    """Yields the batch of each step; the next one is read while the device works.

    Args:
        pairs: Where the rows are.
        rows_of_steps: Step and rows of each batch.
        collator: Of the model.
        num_threads: Pairs that are read at a time.
    """

    def read(step: int, row: int) -> Batch:
        return collator([pairs[row]], step)

    with ThreadPoolExecutor(num_threads) as pool:
        waiting: deque[list[Future[Batch]]] = deque()
        try:
            # Two batches at most are in memory, however slow the device is.
            for step, rows in rows_of_steps:
                waiting.append([pool.submit(read, step, int(row)) for row in rows])
                if len(waiting) > 1:
                    yield _joined(waiting.popleft())
            while waiting:
                yield _joined(waiting.popleft())
        finally:
            # After a failure nobody waits for the rest.
            pool.shutdown(wait=False, cancel_futures=True)


def _joined(reading: Sequence[Future[Batch]]) -> Batch:
    parts = [part.result() for part in reading]
    return Batch(
        queries=tuple(query for part in parts for query in part.queries),
        clips=tuple(clip for part in parts for clip in part.clips),
        gold=np.concatenate([part.gold for part in parts]),
        video_keys=np.concatenate([part.video_keys for part in parts]),
    )
