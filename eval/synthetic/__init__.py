"""A benchmark that needs no download: drawn videos with facts planted in one modality each.

``python -m eval.synthetic make --hours 1 --seed 7 --out DIR`` renders a world; `make_world`,
`frames_of` and `clip_input` give the same without a file, for training.
"""

from __future__ import annotations

from eval.synthetic.asking import make_questions
from eval.synthetic.checks import check, check_folder
from eval.synthetic.lexicon import SPLITS, Split
from eval.synthetic.pictures import frame_seconds, frames_of
from eval.synthetic.questions import Question, read_questions
from eval.synthetic.rendering import read_world, render
from eval.synthetic.world import (
    DATA_VERSION,
    World,
    WorldClip,
    WorldVideo,
    clip_input,
    make_world,
)

__all__ = [
    "DATA_VERSION",
    "SPLITS",
    "Question",
    "Split",
    "World",
    "WorldClip",
    "WorldVideo",
    "check",
    "check_folder",
    "clip_input",
    "frame_seconds",
    "frames_of",
    "make_questions",
    "make_world",
    "read_questions",
    "read_world",
    "render",
]
