"""From a name to a model that writes: which families there are, and their weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from clamr_rag.answering.video_llm_pictures import PictureRules
from clamr_rag.encoder.checkpoints import read_config
from clamr_rag.encoder.devices import Placement, is_out_of_memory
from clamr_rag.encoder.hub import PRESETS, is_adapter, locate
from clamr_rag.encoder.hub_cache import hub_id
from clamr_rag.encoder.layouts import some, weight_files
from clamr_rag.errors import ModelMissingError, OutOfMemoryError, UsageError

_CLIP_PICTURES = PictureRules(
    patch_pixels=14,
    merge_patches=2,
    repeats=2,
    min_pixels=56 * 56,
    max_pixels=16384 * 28 * 28,
    mean=(0.48145466, 0.4578275, 0.40821073),
    deviation=(0.26862954, 0.26130258, 0.27577711),
)
_QWEN3_PICTURES = PictureRules(
    patch_pixels=16,
    merge_patches=2,
    repeats=2,
    min_pixels=256 * 256,
    max_pixels=4096 * 4096,
    mean=(0.5, 0.5, 0.5),
    deviation=(0.5, 0.5, 0.5),
)


@dataclass(frozen=True, slots=True)
class Family:
    """An architecture that can answer."""

    model_class: str
    """Of transformers."""
    pictures: PictureRules
    """Of the releases; a checkpoint's own files go before."""
    wants_token_types: bool = True
    """Whether the model is told which ids are placeholders, or looks for itself."""


_OMNI = Family("Qwen2_5OmniThinkerForConditionalGeneration", _CLIP_PICTURES, False)
FAMILIES = {
    "qwen2_5_vl": Family("Qwen2_5_VLForConditionalGeneration", _CLIP_PICTURES),
    "qwen2_5_omni": _OMNI,
    "qwen2_5_omni_thinker": _OMNI,
    "qwen3_vl": Family("Qwen3VLForConditionalGeneration", _QWEN3_PICTURES),
}
"""By the ``model_type`` of ``config.json``."""
_UNUSED_PARTS = ("talker.", "token2wav.")
"""Of Omni: they speak what the thinker writes."""
_BROKEN_CONFIG = (
    StrictDataclassError, OSError, TypeError, ValueError, AttributeError, KeyError,
)  # fmt: skip


def find_folder(name: str) -> Path:
    """The folder of a model that writes, on this machine.

    Raises:
        ModelMissingError: It is not here; says what fetches it.
        UsageError: It is an adapter or a retriever.
    """
    if name in PRESETS or is_adapter(Path(name)):
        raise _no_writer(name)
    if not Path(name).is_dir() and hub_id(name) is None:
        raise ModelMissingError(
            f"no model folder {name}", allowed="a folder, or a hub id like owner/name"
        )
    checkpoint = locate(name)
    if checkpoint.adapter:
        raise _no_writer(name)
    return checkpoint.folder


def read_family(folder: Path) -> Family:
    """The family of a checkpoint.

    Raises:
        ModelMissingError: There is no ``config.json``.
        UsageError: It is of none that can answer.
    """
    kind = read_config(folder).get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise UsageError(
            f"{folder} is a model of type {kind!r}", allowed=f"answerers of {', '.join(FAMILIES)}"
        )
    return FAMILIES[kind]


def load_model(folder: Path, family: Family, placement: Placement) -> Any:
    """Transformers' model of a checkpoint with all of its weights, from safetensors alone.

    Raises:
        ModelMissingError: Weights are missing; names them.
        UsageError: Files are damaged, or hold another model.
        OutOfMemoryError: It does not fit.
    """
    weight_files(folder)
    model_class = getattr(transformers, family.model_class)
    try:
        with _quiet_transformers():
            model, report = model_class.from_pretrained(
                folder,
                config=_config(model_class, folder),
                dtype=placement.dtype,
                attn_implementation=placement.attention,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
            _check_weights(report, folder)
            return model.to(placement.device).eval()
    except (OSError, ValueError, RuntimeError, SafetensorError, MemoryError) as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"{folder} does not fit into the memory of {placement.device}",
                hint="take a smaller model, --dtype bfloat16, or another --device",
            ) from error
        raise UsageError(
            f"{folder} cannot be loaded: {error}", hint="fetch the checkpoint again"
        ) from error


def _config(model_class: Any, folder: Path) -> Any:
    try:
        return model_class.config_class.from_pretrained(folder, local_files_only=True)
    except _BROKEN_CONFIG as error:
        raise UsageError(
            f"{folder / 'config.json'} cannot be used: {error}", hint="fetch the checkpoint again"
        ) from error


def _check_weights(report: dict[str, Any], folder: Path) -> None:
    """Transformers draws at random what is missing or of another shape: errors here."""
    reshaped = sorted(str(name) for name, *_ in report["mismatched_keys"])
    if reshaped:
        raise UsageError(
            f"{folder} holds {len(reshaped)} weights of another shape: {some(reshaped)}",
            allowed="the shapes that its config.json says",
            hint="fetch the whole checkpoint again",
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelMissingError(
            f"{folder} lacks {len(missing)} weights: {some(missing)}",
            hint="fetch the whole checkpoint again",
        )
    strangers = sorted(
        name for name in report["unexpected_keys"] if not name.startswith(_UNUSED_PARTS)
    )
    if strangers:
        raise UsageError(
            f"{folder} holds {len(strangers)} weights that the model does not have: "
            f"{some(strangers)}",
            allowed="checkpoints that write text, not retrievers",
        )


def _no_writer(name: str) -> UsageError:
    return UsageError(
        f"{name} is a retriever or an adapter",
        allowed="a full checkpoint that writes text, e.g. hf:Qwen/Qwen2.5-VL-3B-Instruct",
        hint="merge an adapter into its base first",
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bar and no report of its own: what is wrong with the weights is an error here."""
    logs: Any = transformers.utils.logging
    verbosity, had_bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if had_bars:
            logs.enable_progress_bar()
