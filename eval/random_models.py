"""Models of the real sizes with random weights, clips for them, and the work that they cost.

Nothing is downloaded: a tokenizer of bytes, random weights and random clips of a real clip's size
give the same shapes, hence the same work, as the released model on real video.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.architecture import build_backbone, model_config, model_tokens
from clamr_rag.encoder.devices import Placement
from clamr_rag.encoder.patches import PATCH_VALUES
from clamr_rag.encoder.processing import ChatTokenizer, ClipProcessor, TokenSequence
from clamr_rag.encoder.qwen import QwenEncoder
from clamr_rag.encoder.sound import MEL_BINS, SAMPLE_RATE
from clamr_rag.types import ClipInput

_SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|AUDIO|>",
)

# config.json of Qwen/Qwen2.5-VL-3B-Instruct, sizes only; a quarter of its widths for CPUs; a
# miniature for tests. Qwen2.5-Omni-3B has the same two towers, and one for sound.
SIZES: dict[str, dict[str, Any]] = {
    "3b": {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "vision_config": {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        "audio_config": {
            "d_model": 1280,
            "encoder_layers": 32,
            "encoder_attention_heads": 20,
            "encoder_ffn_dim": 5120,
            "output_dim": 2048,
        },
    },
    "small": {
        "hidden_size": 512,
        "intermediate_size": 2752,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": 37984,
        "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
        "vision_config": {
            "depth": 8,
            "hidden_size": 320,
            "intermediate_size": 856,
            "num_heads": 4,
            "out_hidden_size": 512,
            "fullatt_block_indexes": [7],
        },
        "audio_config": {
            "d_model": 320,
            "encoder_layers": 8,
            "encoder_attention_heads": 5,
            "encoder_ffn_dim": 1280,
            "output_dim": 512,
        },
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "vision_config": {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
        "audio_config": {
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "output_dim": 64,
        },
    },
}


def random_config(name: str, *, omni: bool = False) -> Any:
    """Transformers' configuration of the given size, for the byte tokenizer."""
    return model_config(_raw_config(name, omni=omni), Path(name))


def random_encoder(config: Any, placement: Placement) -> QwenEncoder:
    """An encoder with random weights and a tokenizer of bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        write_byte_tokenizer(path)
        tokenizer = ChatTokenizer(path)
    tokens = model_tokens(config, tokenizer)
    backbone = build_backbone(config, tokens, dim=128, attention=placement.attention)
    generator = torch.Generator(placement.device).manual_seed(0)
    for name, parameter in backbone.state_dict().items():
        weight = torch.empty(parameter.shape, device=placement.device, dtype=placement.dtype)
        if name.endswith(".bias"):
            weight.zero_()
        elif "norm" in name or "ln_" in name:
            weight.fill_(1)
        else:
            weight.normal_(0, 0.02, generator=generator)
        backbone.load_state_dict({name: weight}, strict=False, assign=True)
    backbone.to(placement.device).eval()
    options = EncoderOptions()
    processor = ClipProcessor(tokenizer, tokens, options)
    return QwenEncoder("random", "random", backbone, processor, options)


def write_byte_tokenizer(path: Path) -> None:
    """A Qwen-like tokenizer that merges nothing: one token per byte, and the special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL_TOKENS))
    tokenizer.save(str(path))


def random_clips(count: int, *, sound: bool = False) -> list[ClipInput]:
    """Clips of ten frames and three texts; with the default caps about 900 tokens on average.

    The real ones have 930 (shared/research/clamr.md §4.1). Sound adds 10 to 30 s of it.
    """
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz     "))

    def text() -> str:
        return "".join(generator.choice(letters, generator.integers(64, 400)))

    clips = [
        ClipInput(
            frames=tuple(generator.integers(0, 256, (10, 180, 320, 3), dtype=np.uint8)),
            frame_seconds=tuple(float(second) for second in range(10)),
            ocr=text(),
            asr=text(),
            description=text(),
        )
        for _ in range(count)
    ]
    if not sound:
        return clips
    lengths = generator.integers(10 * SAMPLE_RATE, 30 * SAMPLE_RATE, count)
    return [
        replace(clip, audio=generator.standard_normal(length).astype(np.float32) * 0.1)
        for clip, length in zip(clips, lengths, strict=True)
    ]


def useful_flops(config: Any, sequence: TokenSequence) -> float:
    """Floating-point operations that encoding one clip needs: no padding, no logits."""
    flops = _text_flops(config.text_config, len(sequence))
    if sequence.frames is not None:
        patches, pairs = len(sequence.frames.values), sequence.frames.grid[0]
        flops += _vision_flops(config.vision_config, patches, pairs)
    if sequence.mel is not None:
        flops += _sound_flops(config.audio_config, sequence.mel.shape[1])
    return float(flops)


def _text_flops(text: Any, tokens: int) -> int:
    head = text.hidden_size // text.num_attention_heads
    per_layer = (
        2 * text.hidden_size * (text.hidden_size + head * text.num_key_value_heads)
        + 3 * text.hidden_size * text.intermediate_size
    )
    # A causal token attends to half the sequence on average, once for scores, once for values.
    attention = 2 * tokens * tokens * text.hidden_size
    return int(text.num_hidden_layers * (2 * tokens * per_layer + attention))


def _vision_flops(vision: Any, patches: int, pairs: int) -> int:
    width = vision.hidden_size
    block = 4 * width * width + 3 * width * vision.intermediate_size
    full = len(vision.fullatt_block_indexes)
    window = (vision.window_size // vision.patch_size) ** 2
    seen = full * patches // pairs + (vision.depth - full) * min(window, patches // pairs)
    merger = (4 * width) * (4 * width + vision.out_hidden_size)
    products = vision.depth * block + PATCH_VALUES * width + merger // 4
    return int(2 * patches * products + 4 * patches * seen * width)


def _sound_flops(sound: Any, frames: int) -> int:
    """Two convolutions of three frames, the second one halving them; layers; pooled in pairs."""
    width, positions = sound.d_model, (frames - 1) // 2 + 1
    block = 4 * width * width + 2 * width * sound.encoder_ffn_dim
    convolutions = 3 * width * (MEL_BINS * frames + width * positions)
    # Each position attends to its window of 2 n_window frames, halved by the convolution.
    attention = 2 * positions * min(positions, sound.n_window) * width
    layers = sound.encoder_layers * (positions * block + attention)
    return int(2 * (convolutions + layers + positions // 2 * width * sound.output_dim))


def _raw_config(name: str, *, omni: bool) -> dict[str, Any]:
    """A ``config.json`` for the byte tokenizer."""
    specials = {token: 256 + number for number, token in enumerate(_SPECIAL_TOKENS)}
    sizes = dict(SIZES[name])
    towers = {
        "vision_config": {"window_size": 112, "tokens_per_second": 2, **sizes.pop("vision_config")}
    }
    sound = sizes.pop("audio_config")
    text = {"rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0, **sizes}
    if omni:
        towers["vision_config"].pop("tokens_per_second")
        # As in the Omni release; that of the VL one says "mrope".
        text["rope_scaling"] = {**text["rope_scaling"], "type": "default"}
        return {
            "model_type": "qwen2_5_omni_thinker",
            "text_config": text,
            **towers,
            "audio_config": sound,
            "image_token_index": specials["<|image_pad|>"],
            "video_token_index": specials["<|video_pad|>"],
            "audio_token_index": specials["<|AUDIO|>"],
            "audio_start_token_id": specials["<|audio_bos|>"],
            "audio_end_token_id": specials["<|audio_eos|>"],
            "vision_start_token_id": specials["<|vision_start|>"],
        }
    return {
        "model_type": "qwen2_5_vl",
        "tie_word_embeddings": True,
        "image_token_id": specials["<|image_pad|>"],
        "video_token_id": specials["<|video_pad|>"],
        "vision_start_token_id": specials["<|vision_start|>"],
        "vision_end_token_id": specials["<|vision_end|>"],
        "bos_token_id": specials["<|endoftext|>"],
        "eos_token_id": specials["<|im_end|>"],
        **text,
        **towers,
    }
