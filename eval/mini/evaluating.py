"""How well pictures alone are found by what they show."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from clamr_rag.encoder import Encoder
from clamr_rag.scoring import modality_max
from clamr_rag.types import ClipInput
from eval.synthetic.lexicon import read_lexicon
from eval.synthetic.staging import phrase
from eval.synthetic.world import WorldClip

_AT_A_TIME = 8


def picture_ranks(
    encoder: Encoder, clips: Sequence[WorldClip], inputs: Sequence[ClipInput]
) -> npt.NDArray[np.int64]:
    """Places at which clips of the test split are found by descriptions of their pictures.

    Args:
        encoder: That looks.
        clips: Whose pictures are described.
        inputs: What is read of each; only the frames are.

    Returns:
        ``(len(clips),)``, 0 for the first place; equal scores count against a clip.
    """
    lexicon, rng = read_lexicon("test"), random.Random(0)
    shown = [ClipInput(each.frames, each.frame_seconds) for each in inputs]
    vectors = [
        own
        for at in range(0, len(shown), _AT_A_TIME)
        for own in encoder.encode_clips(shown[at : at + _AT_A_TIME])
    ]
    ranks = []
    for number, clip in enumerate(clips):
        stated = phrase(lexicon, replace(clip.staging, wording=rng.randrange(1 << 16)))
        query = encoder.encode_query(rng.choice(lexicon.video_queries).format(staging=stated))
        scores = modality_max(query, vectors)
        ranks.append(int((scores >= scores[number]).sum()) - 1)
    return np.array(ranks)
