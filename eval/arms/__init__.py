"""The retrievers under comparison: what each finds for a query among the same clips.

An arm is given a pool of clips once and ranks them for one query after the other::

    parts = ArmParts(load_encoder("mini"))
    arm = make_arm("mean", parts)
    cost = arm.index(pool)
    best = arm.rank(ArmQuery("a red boat beside a lighthouse"), top_k=10)

| name | ranks by |
|---|---|
| ``joint``, ``mini``, ``clamr`` | all modalities encoded together, best modality (modality_max) |
| ``joint-token-max`` | the same vectors, best token of any modality |
| ``joint-asr``, ``joint-video``, … | the same vectors, those of one modality |
| ``asr``, ``ocr``, ``description``, ``video``, ``audio`` | a modality encoded alone |
| ``mean``, ``mean-z``, ``max``, ``rrf``, ``router``, ``router-gold`` | those, fused |
| ``bm25``, ``dense`` | words of all texts; one sentence vector of all texts |
| ``bm25+dense``, ``bm25+rrf`` | these, fused by rank |
| ``uniform``, ``oracle``, ``none`` | nothing: even places, the gold clips, no clip |
"""

from __future__ import annotations

from eval.arms.arm import Arm, ArmQuery, Found, IndexCost
from eval.arms.encodings import EncodingCache
from eval.arms.making import ARM_NAMES, ArmParts, make_arm
from eval.arms.pools import BlankedPool, ClipPool, MovedPool, PoolClip, ReducedPool, ShuffledPool

__all__ = [
    "ARM_NAMES",
    "Arm",
    "ArmParts",
    "ArmQuery",
    "BlankedPool",
    "ClipPool",
    "EncodingCache",
    "Found",
    "IndexCost",
    "MovedPool",
    "PoolClip",
    "ReducedPool",
    "ShuffledPool",
    "make_arm",
]
