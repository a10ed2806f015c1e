"""Four ways to rank paragraphs for questions: words, sentence vectors, token vectors twice.

Each returns the scores of all questions; a question is ranked without sight of the others.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from clamr_rag.encoder import Encoder
from clamr_rag.index.store import Store
from clamr_rag.scoring import modality_max
from clamr_rag.types import Clip, ClipInput, Cue, FloatArray, Modality, MultiVector, TimeSpan, Video
from eval import mini
from eval.metrics.rankings import Scores
from eval.prose import Prose
from eval.sentences import Sentences

UNTRAINED_FILE = mini.UNTRAINED
UNTRAINED_SHA256 = "6c68d549cf278dc316bfc2445441569dc191de5b11e6211ade196638cfaf75c7"
"""Of that file as `eval.mini.fit_projection` made it: the 128 leading singular vectors of the
trunk's hidden states."""

_BATCH_CLIPS = 8


# --- words


def bm25_scores(prose: Prose) -> Scores:
    """BM25 as the library searches text: SQLite FTS5 over speech, any word of the question.

    Each paragraph is the only cue of a clip in a library of its own. FTS5 has k1 = 1.2 and
    b = 0.75, folds case and accents, has no stemming and no stop words. Paragraphs without any
    word of the question are not found.
    """
    video = Video("prose", "", "", float(len(prose.paragraphs)), 0)
    ids = {f"prose-{n:05d}": found.paragraph_id for n, found in enumerate(prose.paragraphs)}
    clips = [
        Clip(clip_id, "prose", n, TimeSpan(n, n + 1), (Cue(n, n + 1, paragraph.text),))
        for n, (clip_id, paragraph) in enumerate(zip(ids, prose.paragraphs, strict=True))
    ]
    # Only clips with vectors are searched, for text too; what the vectors are does not matter.
    unread = MultiVector(
        np.eye(1, 8, dtype=np.float32), np.full(1, Modality.ASR, np.uint8), np.zeros(1, np.float32)
    )
    with tempfile.TemporaryDirectory() as folder, Store.open(folder) as store:
        store.begin_video(video, "prose")
        store.plan_clips("prose", clips)
        store.put_vectors("prose", [(clip_id, unread) for clip_id in ids])
        store.finish_video("prose")
        hits = [store.search_text(q.text, limit=len(clips)) for q in prose.questions]
    return {
        question.question_id: {ids[hit.clip_id]: hit.score for hit in found}
        for question, found in zip(prose.questions, hits, strict=True)
    }


# --- token vectors


def late_interaction_scores(prose: Prose, encoder: Encoder) -> Scores:
    """Mean MaxSim of the encoder's token vectors, each paragraph read as a clip's speech."""
    inputs = [ClipInput(asr=paragraph.text) for paragraph in prose.paragraphs]
    clips = [
        clip
        for start in range(0, len(inputs), _BATCH_CLIPS)
        for clip in encoder.encode_clips(inputs[start : start + _BATCH_CLIPS])
    ]
    queries = [encoder.encode_query(question.text) for question in prose.questions]
    return _by_id(prose, np.stack([modality_max(query, clips) for query in queries]))


def untrained_scores(prose: Prose, trunk: Sentences, projection: torch.Tensor) -> Scores:
    """Mean MaxSim of the trunk's own hidden states under a projection ``(384, dim)``.

    All word pieces of a question take part, function words too.
    """

    def rows(texts: Sequence[str]) -> list[MultiVector]:
        return [_speech(states[1:-1] @ projection) for states in trunk.hidden(texts)]

    clips = rows([paragraph.text for paragraph in prose.paragraphs])
    queries = rows([question.text for question in prose.questions])
    return _by_id(prose, np.stack([modality_max(query, clips) for query in queries]))


def untrained_projection(path: Path = UNTRAINED_FILE) -> torch.Tensor | None:
    """The projection that no training has touched, None where another or no file is there."""
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != UNTRAINED_SHA256:
        return None
    return load_file(path)["projection"]


# --- sentence vectors


def pooled_scores(prose: Prose, trunk: Sentences) -> Scores:
    """Cosine of sentence vectors (`Sentences.encode`)."""
    paragraphs = trunk.encode([paragraph.text for paragraph in prose.paragraphs])
    questions = trunk.encode([question.text for question in prose.questions])
    return _by_id(prose, questions @ paragraphs.T)


def _speech(vectors: torch.Tensor) -> MultiVector:
    """Rows ``(n, dim)`` at unit length, all of them said at no known time."""
    return MultiVector(
        torch.nn.functional.normalize(vectors, dim=-1).numpy(),
        np.full(len(vectors), Modality.ASR, np.uint8),
        np.full(len(vectors), np.nan, np.float32),
    )


def _by_id(prose: Prose, scores: FloatArray) -> Scores:
    """Names the rows and columns of scores ``(questions, paragraphs)``."""
    names = [paragraph.paragraph_id for paragraph in prose.paragraphs]
    return {
        question.question_id: dict(zip(names, map(float, row), strict=True))
        for question, row in zip(prose.questions, scores, strict=True)
    }
