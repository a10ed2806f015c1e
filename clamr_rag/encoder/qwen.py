"""CLaMR on Qwen2.5-VL and Qwen2.5-Omni: the released model, read jointly and scored late.

arXiv 2506.06144. Facts and traps of the released code: shared/research/clamr.md; that this computes
the same on Qwen2.5-VL is proved by tests/test_parity.py. Omni is held against transformers' own
model (tests/test_encoder_qwen.py): the released Omni code does not run as shipped.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.architecture import build_backbone, model_config, model_tokens
from clamr_rag.encoder.backbone import Backbone
from clamr_rag.encoder.checkpoints import (
    RELEASED_DIM,
    read_config,
    read_weights,
    stored_projection_dim,
    tokenizer_file,
    weights_digest,
)
from clamr_rag.encoder.clip_reading import FramesWanted, longest_side
from clamr_rag.encoder.devices import Placement, dtype_name, is_out_of_memory, place
from clamr_rag.encoder.hub import Checkpoint, locate
from clamr_rag.encoder.processing import (
    ChatTokenizer,
    ClipProcessor,
    ModelTokens,
    TokenSequence,
)
from clamr_rag.errors import OutOfMemoryError, UsageError
from clamr_rag.types import ClipInput, FloatArray, Modality, MultiVector

logger = logging.getLogger(__name__)

_READS = frozenset({Modality.VIDEO, Modality.OCR, Modality.ASR, Modality.DESCRIPTION})
# What does not change a clip's vectors, or changes them by rounding only: a library made on a GPU
# is searched on a CPU.
_NOT_IN_FINGERPRINT = {"query_tokens", "augmentation_tokens", "batch_clips", "attention"}
_PREPARING_THREADS = 4
_BATCHES_AHEAD = 3


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
        self.frames_wanted = FramesWanted(options.max_frames, longest_side(options))
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

    @property
    def running_on(self) -> str:
        """Device, number format and attention kernel of the language model.

        The vision and sound towers always run sdpa.
        """
        attention = self.backbone.language_model.config._attn_implementation
        dtype = self.backbone.projection.weight.dtype
        return str(Placement(self.backbone.device, dtype, attention))

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
            with torch.inference_mode():
                vectors = self.backbone(filled)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
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
    placement = place(device, dtype, options.attention)
    config = model_config(read_config(checkpoint.folder), checkpoint.folder)
    tokenizer = ChatTokenizer(tokenizer_file(checkpoint))
    tokens = model_tokens(config, tokenizer)
    stored_dim = stored_projection_dim(checkpoint)
    dim = stored_dim or RELEASED_DIM
    backbone = build_backbone(config, tokens, dim, placement.attention)
    released = _released_message(checkpoint, tokens, options)
    _fill(backbone, checkpoint, placement, seeded_projection=options.seeded_projection)
    # What the options come to with this checkpoint: a stored projection is never drawn.
    effective = options.model_copy(
        update={"released_omni_message": released, "seeded_projection": stored_dim is None}
    )
    logger.info("%s runs on %s", checkpoint.name, placement)
    return QwenEncoder(
        name=checkpoint.name,
        fingerprint=_fingerprint(checkpoint, effective),
        backbone=backbone,
        processor=ClipProcessor(tokenizer, tokens, options, released_message=released),
        options=options,
    )


def _fill(
    backbone: Backbone, checkpoint: Checkpoint, placement: Placement, *, seeded_projection: bool
) -> None:
    """Gives a backbone its weights, on the device where it is to run."""
    try:
        weights = read_weights(
            checkpoint,
            {name: weight.shape for name, weight in backbone.state_dict().items()},
            device=placement.device,
            dtype=placement.dtype,
            seeded_projection=seeded_projection,
        )
        backbone.load_state_dict(weights, assign=True)
        backbone.to(placement.device).eval()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"the weights of {checkpoint.name} do not fit on {placement.device} as "
            f"{dtype_name(placement.dtype)}: {error}",
            hint="use another device, or --dtype bfloat16",
        ) from error


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


def _released_message(checkpoint: Checkpoint, tokens: ModelTokens, options: EncoderOptions) -> bool:
    wanted = options.released_omni_message
    if tokens.sound is None:
        _refuse_options_of_sound(checkpoint, options)
    return checkpoint.released_message if wanted is None else wanted


def _refuse_options_of_sound(checkpoint: Checkpoint, options: EncoderOptions) -> None:
    """Raises UsageError for what only a model that hears could honour."""
    seconds = EncoderOptions.model_fields["max_audio_seconds"].default
    asked = {
        "released_omni_message": bool(options.released_omni_message),
        "max_audio_seconds": options.max_audio_seconds != seconds,
    }
    for name in (name for name, is_asked in asked.items() if is_asked):
        raise UsageError(
            f"got {name} for {checkpoint.name}, which is no Omni model",
            allowed=f"{name} with Omni checkpoints",
        )


def _fingerprint(checkpoint: Checkpoint, effective: EncoderOptions) -> str:
    values = effective.model_dump(mode="json", exclude=_NOT_IN_FINGERPRINT)
    caps = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    return f"qwen/{weights_digest(checkpoint)}/{caps}"
