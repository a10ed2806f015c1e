"""What is searched and asked: clips of the held-out split, and changes of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clamr_rag.scoring import IndexArray
from clamr_rag.types import Modality
from eval.arms import ShuffledPool
from eval.benchmarks.records import RetrievalQuery
from eval.benchmarks.synthetic import SyntheticRetrieval, retrieval_benchmark
from eval.paper.pools import DrawnPool
from eval.synthetic import DATA_VERSION, World, WorldClip, make_world
from eval.synthetic.lexicon import Split, read_lexicon
from eval.synthetic.questions import NAMES
from eval.synthetic.staging import phrase
from eval.synthetic.words import grammatical

HOURS = 2.625
"""Of the world whose 496 clips the figures are of."""
PICTURE_KINDS = ("picture", "near-duplicate")
"""Kinds of queries that the picture alone answers."""
_BY_NAME = {name: modality for modality, name in NAMES.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Queries, each about one clip, and the clips."""

    name: str
    """Data version, split, seed, hours and number of clips: the same clips and queries."""
    pool: DrawnPool
    queries: tuple[RetrievalQuery, ...]
    kinds: tuple[str, ...]
    """Of each query."""
    needed: tuple[tuple[Modality, ...], ...]
    """Modalities that each query is about."""
    gold: IndexArray
    """Number of the clip that each query is about, ``(Q,)``."""
    false_lines: tuple[str, ...]
    """Per clip a sentence that describes the picture of another one."""
    described: tuple[int, ...]
    """Which clip that is."""

    @property
    def sha256(self) -> str:
        """Of all clips, pictures and queries."""
        texts = "\n".join(query.text for query in self.queries)
        return hashlib.sha256(f"{self.pool.sha256}\n{texts}".encode()).hexdigest()

    @property
    def is_about_picture(self) -> npt.NDArray[np.bool_]:
        """Queries that the picture alone answers, ``(Q,)``."""
        return np.array([kind in PICTURE_KINDS for kind in self.kinds], np.bool_)

    @property
    def liars(self) -> IndexArray:
        """Number of the clip whose false line describes the picture asked about, ``(Q,)``."""
        liar_of = {shown: clip for clip, shown in enumerate(self.described)}
        return np.array([liar_of[int(clip)] for clip in self.gold], np.int64)


def held_out(
    seed: int = 101,
    hours: float = HOURS,
    *,
    split: Split = "test",
    num_clips: int | None = None,
) -> Subject:
    """Draws a world; its pictures are drawn when they are first read.

    Args:
        seed: Of the world.
        hours: Of the world: another length is another world.
        split: Whose words and drawings.
        num_clips: The first so many clips only; None for all.

    Raises:
        UsageError: The world has fewer clips.
    """
    world = make_world(seed, hours, split)
    drawn = retrieval_benchmark(world, num_clips=num_clips)
    clips = world.clips[:num_clips]
    described = ShuffledPool(drawn.pool, seed).givers
    numbers = {clip.clip_id: number for number, clip in enumerate(clips)}
    queries = drawn.benchmark.queries
    return Subject(
        name=f"{DATA_VERSION}, {split}, seed {seed}, {hours:g} hours, {len(clips)} clips",
        pool=DrawnPool(drawn.pool),
        queries=queries,
        kinds=tuple(drawn.groups[query.query_id]["kind"][0] for query in queries),
        needed=tuple(_needed(drawn, query) for query in queries),
        gold=np.array([numbers[clip] for query in queries for clip in query.relevant], np.int64),
        false_lines=_false_lines(world, clips, described),
        described=described,
    )


def _needed(drawn: SyntheticRetrieval, query: RetrievalQuery) -> tuple[Modality, ...]:
    (names,) = drawn.groups[query.query_id]["modality"]
    return tuple(_BY_NAME[name] for name in names.split("+"))


def _false_lines(
    world: World, clips: Sequence[WorldClip], described: Sequence[int]
) -> tuple[str, ...]:
    """As the world's own speech talks of what is not to be seen, see `eval.synthetic.world`."""
    lexicon = read_lexicon(world.split)
    rng = random.Random(f"false lines {world.seed}")
    return tuple(
        grammatical(
            rng.choice(lexicon.decoys).format(staging=phrase(lexicon, clips[other].staging))
        )
        for other in described
    )
