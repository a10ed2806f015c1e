"""What a run of the training is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clamr_rag.scoring import Scorer
from clamr_rag.training.losses import LossName


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides what is learned, but for the machine."""

    seed: int = 0
    read_steps: int = 200
    look_steps: int = 7000
    match_steps: int = 1000
    settle_steps: int = 200
    join_steps: int = 180
    steady_steps: int = 0
    """Of stage 6, which the weights that ship have not had; 260 were tried."""
    tellings: int = 96
    """Descriptions in a batch of stage 1."""
    stills: int = 32
    """Frames in a batch of stage 2."""
    pictures: int = 64
    """Clips in a batch of stages 3 and 4."""
    clips: int = 40
    """Clips of the world in a batch of stage 5."""
    prose: int = 24
    """Paragraphs in it."""
    read_rate: float = 1e-3
    look_rate: float = 2e-3
    match_rate: float = 1e-3
    settle_rate: float = 5e-4
    join_rate: float = 3e-4
    steady_rate: float = 5e-4
    shift_pixels: int = 0
    """How far pictures are moved at most in stages 2 to 5, right or left and up or down."""
    steady_pixels: int = 8
    """The same in stage 6."""
    rank: int = 32
    """Of the trunk's changes."""
    settle_weight: float = 20.0
    """Of the distance from the right name to the token nearest to it, in stage 4."""
    steady_weight: float = 10.0
    """Of the distance between what is seen of a picture and of the same one moved, in stage 6."""
    temperature: float = 0.02
    scorer: Scorer = "modality_max"
    loss: LossName = "contrastive"
    encoding: Literal["joint", "apart"] = "joint"
    """Of clips in stage 5: in one sequence, or each modality in one of its own."""
    kept_share: float = 0.8
    """Of what stage 5 changed, in the end: a step back towards where it began finds pictures again
    that it lost, and prose (Wortsman et al. 2022, WiSE-FT)."""
