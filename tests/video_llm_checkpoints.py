"""Tiny random checkpoints that write text, of the three families, and what to show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from clamr_rag.answering import Message
from clamr_rag.answering.video_llm import VideoLlm
from clamr_rag.config import AnswerOptions
from clamr_rag.types import ByteArray, Frame
from tests.qwen_checkpoints import rewrite, save_omni, save_vl, token_id, tokenizer_json

FAMILIES = ("vl", "omni", "qwen3")
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def save(folder: Path, family: str) -> Path:
    """Saves a checkpoint with its processor's settings."""
    if family == "vl":
        save_vl(folder, projection=False)
        untie(folder)
    elif family == "omni":
        save_omni(folder)
        rewrite(folder, without_projection)
    else:
        save_qwen3(folder)
    rewrite(folder, talkative)
    return folder


def save_qwen3(folder: Path) -> None:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    config = Qwen3VLConfig(
        text_config={
            "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3,
            "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 640,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
            "out_hidden_size": 48, "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(4)
    model = Qwen3VLForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.1)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer_json())
    # As released, but with a smaller limit: the tests' pictures are tiny.
    settings = {"size": {"shortest_edge": 4096, "longest_edge": 1 << 24}, **HALF}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def save_whole_omni(folder: Path) -> Path:
    """The thinker as the hub has it: inside a model that also speaks."""
    save(folder, "omni")
    config = json.loads((folder / "config.json").read_text())
    whole = {"model_type": "qwen2_5_omni", "enable_audio_output": True, "thinker_config": config}
    (folder / "config.json").write_text(json.dumps(whole))
    weights = {
        f"thinker.{name}": row for name, row in load_file(folder / "model.safetensors").items()
    }
    weights["talker.model.embed_tokens.weight"] = torch.zeros(4, 4)
    save_file(weights, folder / "model.safetensors")
    return folder


def without_projection(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: row for name, row in weights.items() if "custom_text_proj" not in name}


def untie(folder: Path) -> None:
    """Gives a model an output layer of its own: with a tied one it only repeats a word."""
    config = json.loads((folder / "config.json").read_text())
    config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = False
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(5)
    rewrite(folder, lambda weights: weights | {"lm_head.weight": torch.randn(640, 48) * 0.1})


def talkative(weights: dict[str, Any]) -> dict[str, Any]:
    """Makes words likelier than special tokens and unused ids, so that a reply is text and long."""
    for name, row in weights.items():
        if "embed_tokens" in name or "lm_head" in name:
            row[token_id("<|endoftext|>") :] *= 0.01
            row[:256] *= 0.3  # single bytes
    return weights


def load(name: Path | str, **options: Any) -> VideoLlm:
    options = {"max_answer_tokens": 12, **options}
    return VideoLlm.load(str(name), AnswerOptions(**options), device="cpu", dtype="auto")


def full_tokenizer(family: str) -> Tokenizer:
    return Tokenizer.from_str(tokenizer_json(family == "omni"))


def marks(family: str) -> tuple[str, str, str]:
    """Start, picture and end token."""
    if family == "omni":
        return "<|vision_bos|>", "<|IMAGE|>", "<|vision_eos|>"
    return "<|vision_start|>", "<|image_pad|>", "<|vision_end|>"


def noise(height: int, width: int, seed: int = 0) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture_message(text: str = "speech: the river") -> Message:
    """Two pictures of different sizes between texts."""
    return Message(
        "Answer from the evidence.",
        (
            f"Question: what is shown?\n{text}\npicture at 00:00:01.50:\n",
            Frame(1.5, noise(60, 80)),
            "picture at 00:01:02.25:\n",
            Frame(62.25, noise(100, 50, seed=1)),
            "That was all.\n",
        ),
    )
