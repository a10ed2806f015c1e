"""What a training run is told. The defaults are the paper's; each says where the code differs.

arXiv 2506.06144 and its released code; the table of differences is in shared/research/clamr.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from clamr_rag.config import EncoderOptions, StageOptions
from clamr_rag.scoring import Scorer
from clamr_rag.training.losses import TEMPERATURE, LossName

Method = Literal["qlora", "lora", "full"]
OptimiserName = Literal["paged_adamw_8bit", "adamw_8bit", "adamw"]


class TrainOptions(StageOptions):
    """All options of a training run."""

    base: str = Field(description="Checkpoint that training starts from: a folder or a hub id.")
    pairs: Path = Field(description="Queries and clips: a JSONL file, or a saved DatasetDict.")
    out: Path = Field(description="Folder of the run: log, state and the trained checkpoint.")
    split: str = Field("train", description="Split of a DatasetDict that is trained on.")
    frames_dir: Path | None = Field(
        None, description="Folder of the pictures that a DatasetDict names in its column images."
    )
    video_dir: Path | None = Field(
        None, description="Folder of VIDEO_ID.mp4 files, read in place of a DatasetDict's images."
    )

    method: Method = Field(
        "qlora", description="What is trained: LoRA on 4-bit weights (paper), LoRA, or all weights."
    )
    lora_rank: int = Field(128, gt=0, description="Rank of LoRA (paper 128, code's default 8).")
    lora_alpha: int = Field(128, gt=0, description="Scale of LoRA times its rank (code 16).")
    lora_dropout: float = Field(
        0.1, ge=0, lt=1, description="Of the README's command; the code's default is 0.05."
    )
    projection: Literal["lora", "whole"] = Field(
        "lora",
        description="How LoRA trains the projection: by factors, as released, or whole. It is "
        "saved whole in either case, which the released code does not do.",
    )
    train_towers: bool = Field(
        False, description="Method full: train the vision and sound towers, too, as the code does."
    )

    loss: LossName = Field("contrastive", description="The paper's is contrastive (InfoNCE).")
    scorer: Scorer = Field(
        "modality_max", description="Score that is trained (paper; the code's default: token_max)."
    )
    released_losses: bool = Field(
        False, description="Compute scores and losses with the faults of the released code."
    )
    temperature: float = Field(TEMPERATURE, gt=0, description="Divides the scores.")
    learned_temperature: bool = Field(
        False, description="Train the temperature, as the paper says; the code has it fixed."
    )

    optimiser: OptimiserName = Field(
        "paged_adamw_8bit", description="The paper's 8-bit Adam needs bitsandbytes and CUDA."
    )
    learning_rate: float = Field(1e-5, gt=0, description="Its peak.")
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Share of the steps in which the rate rises; it falls after."
    )
    weight_decay: float = Field(0.01, ge=0, description="Of matrices only.")
    max_gradient_norm: float = Field(1.0, gt=0, description="Longer gradients are shortened.")
    epochs: int = Field(1, gt=0, description="Paper: 1 on MultiVENT 2.0++, 5 on MSR-VTT.")
    steps: int | None = Field(None, gt=0, description="Steps in place of epochs.")
    batch_pairs: int = Field(
        16, ge=2, description="Pairs per step over all processes (paper 16; README's command 32)."
    )
    pairs_at_a_time: int | None = Field(
        None,
        gt=0,
        description="Gradient cache: pairs of a process that are encoded at a time; None: all.",
    )

    precision: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="Of the computation; what is trained is stored in float32."
    )
    gradient_checkpointing: bool = Field(
        True, description="Recompute the language model's layers to save memory."
    )
    device: str = Field("auto", description="As for load_encoder; auto is this process's GPU.")
    seed: int = Field(42, ge=0, description="Of the order of pairs, LoRA's start and dropout.")
    preparing_threads: int = Field(4, gt=0, description="Threads that read clips ahead.")

    held_out: Path | None = Field(None, description="Pairs to evaluate on, in either format.")
    held_out_split: str = Field("validation", description="Split of a held-out DatasetDict.")
    held_out_pairs: int = Field(1000, gt=0, description="Most pairs that are evaluated on.")
    evaluate_every: int = Field(500, gt=0, description="Steps between evaluations.")
    save_every: int = Field(500, gt=0, description="Steps after which the state is saved.")
    stop_after: int | None = Field(
        None, gt=0, description="Save the state and stop after this step, to be resumed."
    )
    resume: bool = Field(False, description="Go on from the state saved in the folder of the run.")

    encoder: EncoderOptions = Field(
        EncoderOptions(),
        description="What is read of a query and a clip, the same as at search: 256 tokens of each "
        "text (code 512), 10 augmentation tokens as in the code (paper 5).",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.train_towers and self.method != "full":
            raise ValueError(f"train_towers needs method full, got {self.method}")
        if self.learned_temperature and self.loss == "pairwise":
            raise ValueError("learned_temperature needs a loss with one, got pairwise")
        if self.method == "qlora" and self.precision != "bfloat16":
            raise ValueError(f"method qlora needs precision bfloat16, got {self.precision}")
        return self
