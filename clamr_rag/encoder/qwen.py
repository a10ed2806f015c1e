"""CLaMR on Qwen2.5-VL and Qwen2.5-Omni: the released model, read jointly and scored late.

arXiv 2506.06144. Facts and traps of the released code: shared/research/clamr.md; that this computes
the same is proved by tests/test_parity.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import nn

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.checkpoints import (
    projection_dim,
    read_config,
    read_weights,
    save_checkpoint,
    weights_digest,
)
from clamr_rag.encoder.hub import Checkpoint, locate
from clamr_rag.encoder.processing import (
    AudioTokens,
    ChatTokenizer,
    ClipProcessor,
    ModelTokens,
    TokenSequence,
)
from clamr_rag.errors import OutOfMemoryError, UsageError
from clamr_rag.types import ClipInput, FloatArray, Modality, MultiVector

logger = logging.getLogger(__name__)

_READS = frozenset({Modality.VIDEO, Modality.OCR, Modality.ASR, Modality.DESCRIPTION})
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# What does not change a clip's vectors, or changes them by rounding only: a library made on a GPU
# is searched on a CPU.
_NOT_IN_FINGERPRINT = {"query_tokens", "augmentation_tokens", "batch_clips", "attention"}
_PREPARING_THREADS = 4
_BATCHES_AHEAD = 3
_ONE_AT_A_TIME = Lock()


class QwenEncoder:
    """Encoder of frames, text and (Omni) sound; see the module's docstring."""

    def __init__(
        self,
        name: str,
        fingerprint: str,
        backbone: Backbone,
        processor: ClipProcessor,
        options: EncoderOptions,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.backbone = backbone
        self.processor = processor
        self.batch_clips = options.batch_clips
        self._room_clips: int | None = None
        """Most clips that fitted at a time since memory ran out; None until it does."""

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self.backbone.dim

    @property
    def reads(self) -> frozenset[Modality]:
        """Frames and the three texts; sound too where the model has a tower for it."""
        return _READS | {Modality.AUDIO} if self.backbone.audio_tower is not None else _READS

    def encode_query(self, text: str) -> MultiVector:
        """Encodes a question: one row per token, prefix and augmentation included.

        Raises:
            UsageError: The text is blank.
        """
        sequence = self.processor.query(text)
        vectors = self._embed([sequence])[0]
        return MultiVector(
            vectors=_finite(vectors),
            modalities=sequence.modalities,
            seconds=sequence.seconds,
            tokens=self.processor.token_texts(sequence),
        )

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        """Encodes clips jointly, in batches of similar length, one multi-vector per clip.

        Raises:
            OutOfMemoryError: A single clip does not fit.
        """
        batches = _batches([self.processor.rough_length(clip) for clip in clips], self.batch_clips)
        embedded: dict[int, tuple[TokenSequence, torch.Tensor]] = {}
        with ThreadPoolExecutor(_PREPARING_THREADS) as pool:
            # The next batches are tokenised and patched while the device works on this one.
            waiting = deque(self._submit(pool, clips, batch) for batch in batches[:_BATCHES_AHEAD])
            for number, batch in enumerate(batches):
                sequences = [clip.result() for clip in waiting.popleft()]
                if number + _BATCHES_AHEAD < len(batches):
                    waiting.append(self._submit(pool, clips, batches[number + _BATCHES_AHEAD]))
                vectors = self._embed(sequences)
                # Frames are read; what is left of a clip until all are done is small.
                read = [replace(sequence, frames=None, mel=None) for sequence in sequences]
                embedded.update(zip(batch, zip(read, vectors, strict=True), strict=True))
        return [
            _multi_vector(*embedded[index], keep_other=keep_other) for index in range(len(clips))
        ]

    def _submit(
        self, pool: ThreadPoolExecutor, clips: Sequence[ClipInput], batch: Sequence[int]
    ) -> list[Future[TokenSequence]]:
        return [pool.submit(self.processor.clip, clips[index]) for index in batch]

    def _embed(self, sequences: Sequence[TokenSequence]) -> list[torch.Tensor]:
        """Unit vectors ``(n, dim)`` of each sequence, on the device; halves on lack of memory."""
        filled = [sequence for sequence in sequences if len(sequence)]
        if not filled:
            return [torch.zeros((0, self.dim)) for _ in sequences]
        if self._room_clips and len(sequences) > self._room_clips:
            return self._embed_halves(sequences)
        try:
            vectors = self.backbone(filled)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            failed = error.with_traceback(None)
        else:
            return list(vectors.split([len(sequence) for sequence in sequences]))
        # Outside the handler: the traceback would keep the failed batch's tensors alive.
        self._make_room(sequences, failed)
        return self._embed_halves(sequences)

    def _embed_halves(self, sequences: Sequence[TokenSequence]) -> list[torch.Tensor]:
        half = len(sequences) // 2
        return self._embed(sequences[:half]) + self._embed(sequences[half:])

    def _make_room(self, sequences: Sequence[TokenSequence], error: Exception) -> None:
        if len(sequences) == 1:
            raise OutOfMemoryError(
                f"{self.name} ran out of memory on one clip of {len(sequences[0])} tokens: {error}",
                hint="use fewer frames or tokens per clip, or another device",
            ) from None
        if self.backbone.device.type == "cuda":
            torch.cuda.empty_cache()
        self._room_clips = len(sequences) // 2
        logger.warning(
            "out of memory with %d clips at a time, going on with %d",
            len(sequences),
            self._room_clips,
        )


def load_qwen_encoder(
    name_or_path: str,
    *,
    adapter: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    options: EncoderOptions | None = None,
) -> QwenEncoder:
    """Loads CLaMR, or a late-interaction checkpoint of the same families, from this machine.

    Args:
        name_or_path: ``"clamr"``, ``"clamr-omni"``, a folder, or a hub id in the local cache.
        adapter: Folder or hub id of a LoRA adapter; merged into the weights.
        device: A torch device; ``"auto"`` is the first GPU, else the CPU.
        dtype: ``"float32"``, ``"bfloat16"``, ``"float16"``; ``"auto"`` is bfloat16 on a GPU.
        options: Caps and switches.

    Raises:
        ModelMissingError: Weights are not here; names them or the command that fetches them.
        UsageError: Weights or options that do not fit.
    """
    options = options or EncoderOptions()
    checkpoint = locate(name_or_path, adapter)
    place = _device(device)
    number_type = _dtype(dtype, place)
    config = model_config(read_config(checkpoint.folder), checkpoint.folder)
    tokenizer = ChatTokenizer(_tokenizer_file(checkpoint))
    tokens = model_tokens(config, tokenizer)
    attention = _attention(options, place, number_type)
    backbone = build_backbone(config, tokens, projection_dim(checkpoint), attention)
    weights = read_weights(
        checkpoint,
        {name: weight.shape for name, weight in backbone.state_dict().items()},
        device=place,
        dtype=number_type,
        seeded_projection=options.seeded_projection,
    )
    backbone.load_state_dict(weights, assign=True)
    backbone.to(place).eval()
    released = _released_message(checkpoint, tokens, options)
    logger.info("%s on %s in %s, attention %s", checkpoint.name, place, number_type, attention)
    return QwenEncoder(
        name=checkpoint.name,
        fingerprint=_fingerprint(checkpoint, options, released_message=released),
        backbone=backbone,
        processor=ClipProcessor(tokenizer, tokens, options, released_message=released),
        options=options,
    )


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


def merge_adapter(
    name_or_path: str, adapter: str, folder: Path, options: EncoderOptions | None = None
) -> None:
    """Writes a checkpoint and its adapter as one checkpoint of our own format, in float32."""
    checkpoint = locate(name_or_path, adapter)
    encoder = load_qwen_encoder(
        name_or_path, adapter=adapter, device="cpu", dtype="float32", options=options
    )
    config = read_config(checkpoint.folder)
    save_checkpoint(encoder.backbone.state_dict(), config, _tokenizer_file(checkpoint), folder)


def model_config(raw: dict[str, Any], folder: Path) -> Any:
    """The configuration of the part that encodes, from any release's ``config.json``."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5OmniThinkerConfig

    match raw.get("model_type"):
        case "qwen2_5_vl":
            return Qwen2_5_VLConfig.from_dict(dict(raw))
        case "colqwen2" | "colqwen2_5" if "vlm_config" in raw:
            return model_config(raw["vlm_config"], folder)
        case "qwen2_5_omni":
            return Qwen2_5OmniThinkerConfig.from_dict(dict(raw["thinker_config"]))
        case "qwen2_5_omni_thinker":
            return Qwen2_5OmniThinkerConfig.from_dict(dict(raw))
    raise UsageError(
        f"{folder} is a model of type {raw.get('model_type')!r}",
        allowed="qwen2_5_vl, qwen2_5_omni, qwen2_5_omni_thinker, colqwen2_5",
    )


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


def _multi_vector(
    sequence: TokenSequence, vectors: torch.Tensor, *, keep_other: bool
) -> MultiVector:
    rows = _finite(vectors)
    kept = slice(None) if keep_other else sequence.modalities != Modality.OTHER
    return MultiVector(rows[kept], sequence.modalities[kept], sequence.seconds[kept])


def _finite(vectors: torch.Tensor) -> FloatArray:
    rows: FloatArray = vectors.cpu().numpy()
    if not np.isfinite(rows).all():
        raise UsageError(
            "the model gave vectors that are not finite",
            hint="use dtype float32 or bfloat16, and verify the weights",
        )
    return rows


def _batches(lengths: Sequence[int], batch_clips: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first so that lack of memory shows early."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    return [order[start : start + batch_clips] for start in range(0, len(order), batch_clips)]


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


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"got device {name!r}", allowed="auto, cpu, cuda, cuda:0, mps") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"got device {name!r} and no GPU that torch can use", allowed="auto, cpu")
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise UsageError(f"got dtype {name!r}", allowed=f"auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _attention(options: EncoderOptions, device: torch.device, dtype: torch.dtype) -> str:
    if options.attention == "auto":
        return "sdpa"
    if options.attention == "flash_attention_2":
        if find_spec("flash_attn") is None:
            raise UsageError(
                "got attention flash_attention_2 and the package flash-attn is not installed",
                allowed="auto, sdpa, eager",
            )
        if device.type != "cuda" or dtype == torch.float32:
            raise UsageError(
                f"got attention flash_attention_2 on {device} in {dtype}",
                allowed="a GPU and bfloat16 or float16",
            )
    return options.attention


def _tokenizer_file(checkpoint: Checkpoint) -> Path:
    own = checkpoint.folder / "tokenizer.json"
    if own.is_file() or checkpoint.adapter is None:
        return own
    return checkpoint.adapter / "tokenizer.json"


def _released_message(checkpoint: Checkpoint, tokens: ModelTokens, options: EncoderOptions) -> bool:
    wanted = options.released_omni_message
    if wanted and tokens.sound is None:
        raise UsageError(
            f"got released_omni_message for {checkpoint.name}, which is no Omni model",
            allowed="the released message with Omni checkpoints",
        )
    return checkpoint.released_message if wanted is None else wanted


def _fingerprint(checkpoint: Checkpoint, options: EncoderOptions, *, released_message: bool) -> str:
    values = options.model_dump(mode="json", exclude=_NOT_IN_FINGERPRINT)
    values["released_omni_message"] = released_message
    caps = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    return f"qwen/{weights_digest(checkpoint)}/{caps}"


def _is_out_of_memory(error: BaseException) -> bool:
    told = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in told
    )
