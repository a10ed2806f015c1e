"""From a release's ``config.json`` to transformers' modules, without weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from torch import nn

from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.layouts import CONFIG_FILE
from clamr_rag.encoder.processing import AudioTokens, ChatTokenizer, ModelTokens
from clamr_rag.errors import UsageError

_ONE_AT_A_TIME = Lock()


def encoding_config(raw: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The part of any release's ``config.json`` that describes the model that encodes.

    Raises:
        UsageError: It is of another family, or lacks that part.
    """
    kind = raw.get("model_type")
    if kind in ("qwen2_5_vl", "qwen2_5_omni_thinker"):
        return dict(raw)
    inner = {"qwen2_5_omni": "thinker_config", "colqwen2": "vlm_config",
             "colqwen2_5": "vlm_config"}.get(str(kind))  # fmt: skip
    if inner is None:
        raise UsageError(
            f"{folder} is a model of type {kind!r}",
            allowed="qwen2_5_vl, qwen2_5_omni, qwen2_5_omni_thinker, colqwen2_5",
        )
    part = raw.get(inner)
    if not isinstance(part, dict):
        raise UsageError(
            f"{folder / CONFIG_FILE} is of type {kind} and has no {inner}",
            hint="fetch the checkpoint again",
        )
    if kind == "qwen2_5_omni":
        part = {"model_type": "qwen2_5_omni_thinker", **part}
    return encoding_config(part, folder)


def model_config(raw: Mapping[str, Any], folder: Path) -> Any:
    """The configuration, as transformers has it, of the model that encodes.

    Raises:
        UsageError: The file does not describe one.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import Qwen2_5_VLConfig, Qwen2_5OmniThinkerConfig

    part = encoding_config(raw, folder)
    is_vl = part["model_type"] == "qwen2_5_vl"
    family: Any = Qwen2_5_VLConfig if is_vl else Qwen2_5OmniThinkerConfig
    try:
        return family.from_dict(part)
    except (StrictDataclassError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise UsageError(
            f"{folder / CONFIG_FILE} cannot be used: {error}", hint="fetch the checkpoint again"
        ) from error


def model_tokens(config: Any, tokenizer: ChatTokenizer) -> ModelTokens:
    """The ids that stand for frames and sound in a model, Omni or not."""
    vision_start = tokenizer.special_id("<|vision_start|>", "<|vision_bos|>")
    vision_end = tokenizer.special_id("<|vision_end|>", "<|vision_eos|>")
    if config.model_type == "qwen2_5_vl":
        steps = config.vision_config.tokens_per_second
        return ModelTokens(config.video_token_id, vision_start, vision_end, steps)
    sound = AudioTokens(
        audio=config.audio_token_id,
        start=tokenizer.special_id("<|audio_bos|>"),
        end=tokenizer.special_id("<|audio_eos|>"),
    )
    steps = config.position_id_per_seconds
    return ModelTokens(config.video_token_id, vision_start, vision_end, steps, sound)


def build_backbone(config: Any, tokens: ModelTokens, dim: int, attention: str) -> Backbone:
    """The model of a transformers configuration, without weights (they are on the meta device)."""
    config.text_config._attn_implementation = attention
    towers = _vl_towers if tokens.sound is None else _omni_towers
    with weights_on_meta():
        projection = nn.Linear(config.text_config.hidden_size, dim)
        language_model, visual, audio_tower = towers(config)
    return Backbone(
        language_model,
        visual,
        audio_tower,
        projection,
        video_token=tokens.video,
        audio_token=tokens.sound.audio if tokens.sound else None,
    )


def _vl_towers(config: Any) -> tuple[Any, Any, Any]:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VisionTransformerPretrainedModel,
        Qwen2_5_VLTextModel,
    )

    visual = Qwen2_5_VisionTransformerPretrainedModel(config.vision_config)
    return Qwen2_5_VLTextModel(config.text_config), visual, None


def _omni_towers(config: Any) -> tuple[Any, Any, Any]:
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import (
        Qwen2_5OmniAudioEncoder,
        Qwen2_5OmniThinkerTextModel,
        Qwen2_5OmniVisionEncoder,
    )

    config.audio_config._attn_implementation = "sdpa"
    return (
        Qwen2_5OmniThinkerTextModel(config.text_config),
        Qwen2_5OmniVisionEncoder(config.vision_config),
        Qwen2_5OmniAudioEncoder(config.audio_config),
    )


@contextmanager
def weights_on_meta() -> Iterator[None]:
    """Modules made here have parameters without memory, and real buffers (rotary tables)."""

    def register(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=False)
        original(module, name, parameter)

    with _ONE_AT_A_TIME:
        original = nn.Module.register_parameter
        nn.Module.register_parameter = register  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            nn.Module.register_parameter = original  # type: ignore[method-assign]
