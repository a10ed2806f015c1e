"""Arms that read the texts of a clip as one: words (BM25), and one sentence vector."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Sequence

import numpy as np

from clamr_rag.errors import UsageError
from clamr_rag.types import TEXT_MODALITIES
from eval.arms.arm import ArmQuery, Found, IndexCost
from eval.arms.encodings import EncodingCache
from eval.arms.pools import ClipPool, PoolClip, video_hours
from eval.arms.ranking import in_scope, ranked
from eval.sentences import Sentences

_TOKENIZER = "porter unicode61 remove_diacritics 2"


def all_texts(clip: PoolClip) -> str:
    """Screen text, speech and metadata of a clip behind each other; "" where it has none."""
    return "\n".join(filter(None, map(clip.texts.text, TEXT_MODALITIES)))


class Bm25Arm:
    """BM25 (k1 1.2, b 0.75, Porter's stems) over all texts: SQLite's FTS5, as in the product."""

    name = "bm25"
    details = f"SQLite {sqlite3.sqlite_version} FTS5, {_TOKENIZER}"

    def __init__(self) -> None:
        self._clips: tuple[PoolClip, ...] = ()
        self._database = _word_table()

    def index(self, pool: ClipPool) -> IndexCost:
        """See `Arm.index`."""
        started = time.perf_counter()
        self._database.close()
        self._clips, self._database = tuple(pool.clips), _word_table()
        rows = [(number, all_texts(clip)) for number, clip in enumerate(self._clips)]
        self._database.executemany("INSERT INTO words(rowid, text) VALUES (?, ?)", rows)
        self._database.execute("INSERT INTO words(words) VALUES ('optimize')")
        seconds = time.perf_counter() - started
        (num_bytes,) = self._database.execute(
            "SELECT sum(length(block)) FROM words_data"
        ).fetchone()
        return IndexCost(seconds, num_bytes, len(rows), video_hours(self._clips))

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`; clips without a word of the query are not found."""
        words = list(dict.fromkeys(re.findall(r"\w+", query.text.casefold())))
        _check(query, words)
        # Quoted, so that no word is read as an operator.
        wanted = " OR ".join(f'"{word}"' for word in words)
        numbers = in_scope(self._clips, query)
        scores = np.full(len(self._clips), -np.inf, np.float32)
        for number, weight in self._database.execute(
            "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?", (wanted,)
        ):
            scores[number] = weight
        return ranked(self._clips, numbers, scores[numbers], [None] * len(numbers), top_k)


class DenseArm:
    """One sentence vector of all texts of a clip, compared with that of the query."""

    name = "dense"
    details = "mean token of all-MiniLM-L6-v2"

    def __init__(self, sentences: Sentences, cache: EncodingCache) -> None:
        self._sentences = sentences
        self._cache = cache
        self._clips: tuple[PoolClip, ...] = ()
        self._vectors = np.empty((0, 0), np.float32)
        self._has_text = np.empty(0, np.bool_)

    def index(self, pool: ClipPool) -> IndexCost:
        """See `Arm.index`."""
        started = time.perf_counter()
        self._clips = tuple(pool.clips)
        texts = [all_texts(clip) for clip in self._clips]
        self._has_text = np.array([bool(text) for text in texts])
        self._vectors = self._sentences.encode(texts)
        seconds = time.perf_counter() - started
        return IndexCost(seconds, self._vectors.nbytes, len(texts), video_hours(self._clips))

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`; clips without text are not found."""
        _check(query, query.text.split())
        vector = self._cache.once(
            ("sentence", query.text), lambda: self._sentences.encode([query.text])[0]
        )
        numbers = in_scope(self._clips, query)
        scores = np.where(self._has_text, self._vectors @ vector, np.float32(-np.inf))[numbers]
        return ranked(self._clips, numbers, scores, [None] * len(numbers), top_k)


def _word_table() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.execute(f'CREATE VIRTUAL TABLE words USING fts5(text, tokenize = "{_TOKENIZER}")')
    return database


def _check(query: ArmQuery, words: Sequence[str]) -> None:
    if not words:
        raise UsageError(f"got a blank query {query.text!r}", hint="ask something in words")
