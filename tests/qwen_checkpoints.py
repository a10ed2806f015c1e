"""Tiny random checkpoints of the real classes, saved by transformers itself, and clips for them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from clamr_rag.encoder import load_encoder
from clamr_rag.encoder.qwen import QwenEncoder
from clamr_rag.types import ClipInput, Modality

# The pre-tokeniser of every Qwen2 release.
_WORDS = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_VL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
_OMNI_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_bos|>", "<|vision_eos|>",
    "<|IMAGE|>", "<|VIDEO|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>",
)  # fmt: skip
_TRAINING_TEXT = (
    "You are a helpful assistant. system user OCR: ASR: Description: Query: Video: Audio:",
    "the river overflowed its banks and the quarterly revenue of the company was four million",
    "In this interview a baker explains how altitude changes bread; übermäßig café naïve 中文字幕",
)
_VISION = {
    "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
    "out_hidden_size": 48, "fullatt_block_indexes": [1],
}  # fmt: skip
_TEXT = {
    "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 3,
    "num_key_value_heads": 1, "vocab_size": 640, "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6, "bos_token_id": None, "eos_token_id": None,
    "rope_scaling": {"type": "default", "mrope_section": [2, 3, 3]}, "rope_theta": 1e6,
}  # fmt: skip


@cache
def tokenizer_json(omni: bool = False) -> str:
    """A byte-level BPE tokenizer shaped like Qwen's, with few merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=1,
    )
    tokenizer.train_from_iterator(_TRAINING_TEXT, trainer)
    tokenizer.add_special_tokens(list(_OMNI_TOKENS if omni else _VL_TOKENS))
    return str(tokenizer.to_str())


def token_id(name: str, omni: bool = False) -> int:
    """Id of a special token in the tokenizer above."""
    number = Tokenizer.from_str(tokenizer_json(omni)).token_to_id(name)
    assert number is not None
    return int(number)


def save_vl(folder: Path, seed: int = 0, *, projection: bool = True) -> Any:
    """Saves a tiny Qwen2.5-VL retriever and returns transformers' model of it."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config = Qwen2_5_VLConfig(
        text_config=dict(_TEXT),
        vision_config={**_VISION, "tokens_per_second": 2},
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    _save(model, folder, tokenizer_json(), projection=projection)
    return model


def save_omni(folder: Path, seed: int = 0) -> Any:
    """Saves a tiny Qwen2.5-Omni thinker retriever and returns transformers' model of it."""
    from transformers import (
        Qwen2_5OmniThinkerConfig,
        Qwen2_5OmniThinkerForConditionalGeneration,
    )

    text = {key: _TEXT[key] for key in _TEXT if key not in ("bos_token_id", "eos_token_id")}
    config = Qwen2_5OmniThinkerConfig(
        text_config=text,
        vision_config=dict(_VISION),
        audio_config={
            "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2,
            "encoder_ffn_dim": 48, "output_dim": 48, "n_window": 10,
        },
        image_token_index=token_id("<|IMAGE|>", omni=True),
        video_token_index=token_id("<|VIDEO|>", omni=True),
        audio_token_index=token_id("<|AUDIO|>", omni=True),
        audio_start_token_id=token_id("<|audio_bos|>", omni=True),
        audio_end_token_id=token_id("<|audio_eos|>", omni=True),
        vision_start_token_id=token_id("<|vision_bos|>", omni=True),
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Qwen2_5OmniThinkerForConditionalGeneration(config)
    _save(model, folder, tokenizer_json(omni=True), projection=True)
    return model


def save_adapter(folder: Path, *, seed: int = 0, base: str = "checkpoint", **changes: Any) -> None:
    """Saves a LoRA adapter in the released layout, on the language model and the projection."""
    torch.manual_seed(seed)
    layers = [f"model.layers.{n}.{name}" for n in range(2) for name in ("mlp.up_proj",)]
    sizes = {name: (64, 48) for name in layers} | {"custom_text_proj": (128, 48)}
    sizes |= {f"model.layers.{n}.self_attn.q_proj": (48, 48) for n in range(2)}
    tensors = {}
    for name, (outputs, inputs) in sizes.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(4, inputs) * 0.1
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(outputs, 4) * 0.1
    config = {
        "peft_type": "LORA", "base_model_name_or_path": base, "r": 4, "lora_alpha": 8,
        "bias": "none", **changes,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config))


def rewrite(folder: Path, change: Any) -> None:
    """Replaces the weights of a saved checkpoint by ``change(weights)``."""
    path = folder / "model.safetensors"
    save_file({k: v.contiguous() for k, v in change(load_file(path)).items()}, path)


def with_new_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights under the names of the modules of transformers 5; the hub keeps the older ones."""

    def new(name: str) -> str:
        for old_prefix, new_prefix in (
            ("model.", "model.language_model."), ("visual.", "model.visual."),
            ("audio_tower.", "model.audio_tower."),
        ):  # fmt: skip
            if name.startswith(old_prefix):
                return new_prefix + name.removeprefix(old_prefix)
        return name

    return {new(name): weight for name, weight in weights.items()}


def mixed_clips(count: int = 8, *, sound: bool = False, seed: int = 0) -> list[ClipInput]:
    """Clips of different lengths, sizes and modalities."""
    random = np.random.default_rng(seed)
    words = " ".join(_TRAINING_TEXT).split()

    def text(number: int) -> str | None:
        return " ".join(random.choice(words, 3 + number * 4)) if number % 3 else None

    clips = []
    for number in range(count):
        frames = [(60, 80), (84, 56), (112, 112), (56, 200)][number % 4]
        pictures = random.integers(0, 256, (number % 5, *frames, 3), dtype=np.uint8)
        samples = random.standard_normal(1600 * (number + 1)).astype(np.float32) * 0.1
        clips.append(
            ClipInput(
                frames=tuple(pictures),
                frame_seconds=tuple(float(second) for second in range(number % 5)),
                ocr=text(number),
                asr=text(number + 1),
                description=text(count - number) or "a title",
                audio=samples if sound and number % 2 else None,
                text_marks={Modality.ASR: ((0, 3.0), (12, 4.5))},
            )
        )
    return clips


def load(name: Path | str, **arguments: Any) -> QwenEncoder:
    """Loads a checkpoint as a user does."""
    encoder = load_encoder(str(name), device="cpu", **arguments)
    assert isinstance(encoder, QwenEncoder)
    return encoder


def same(left: QwenEncoder, right: QwenEncoder, atol: float = 1e-6) -> bool:
    """Whether two encoders give the same vectors of some clips and a question."""
    clips = mixed_clips(3, sound=True)
    pairs = zip(
        [*left.encode_clips(clips), left.encode_query("the river")],
        [*right.encode_clips(clips), right.encode_query("the river")],
        strict=True,
    )
    return all(
        len(a) == len(b) and np.allclose(a.vectors, b.vectors, rtol=0, atol=atol) for a, b in pairs
    )


def _save(model: Any, folder: Path, tokenizer: str, *, projection: bool) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Random biases and norms too: a mix-up of two of them must show.
            parameter.normal_(1.0 if "norm" in name or "ln_" in name else 0.0, 0.1)
    model.train(mode=False)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer)
    if projection:
        head = {
            "custom_text_proj.weight": torch.randn(128, 48) * 0.1,
            "custom_text_proj.bias": torch.randn(128) * 0.1,
        }
        rewrite(folder, lambda weights: weights | head)
