"""Which weights are trained: LoRA on the language model, 4-bit or not, or all of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from clamr_rag.encoder.backbone import Backbone
from clamr_rag.errors import UsageError
from clamr_rag.training.options import TrainOptions

Parameters = Mapping[str, nn.Parameter]
"""What is trained, by name."""

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Anchored at the language model: the released pattern also hits the vision tower's MLPs with newer
# names of modules, and the talker of Omni (clamr.md A2).
_LANGUAGE_LAYERS = rf"language_model\.layers\.\d+\.\w+\.({'|'.join(TARGETS)})"
_HEAD = "projection"


def check_method(options: TrainOptions) -> None:
    """Looks for what the method needs, before anything is loaded.

    Raises:
        UsageError: A package or a GPU is not here.
    """
    if options.method != "full":
        _needed("peft", f"method {options.method}")
    if options.method == "qlora":
        needed_bitsandbytes("method qlora", "--method lora")
    if options.optimiser != "adamw":
        needed_bitsandbytes(f"optimiser {options.optimiser}", "--optimiser adamw")


def make_trainable(backbone: Backbone, options: TrainOptions) -> Parameters:
    """Sets up what the method trains, in float32, and freezes the rest."""
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    if options.method == "qlora":
        quantise(backbone.language_model)
    if options.method == "full":
        trained = [backbone] if options.train_towers else [backbone.language_model]
        for module in (*trained, backbone.projection):
            module.requires_grad_(True)
    else:
        _add_lora(backbone, options)
    found = {n: p for n, p in backbone.named_parameters() if p.requires_grad}
    for parameter in found.values():
        # Steps of 1e-5 vanish in bfloat16.
        parameter.data = parameter.data.float()
    if options.gradient_checkpointing:
        _checkpoint_layers(backbone.language_model)
    return found


def train_mode(backbone: Backbone, options: TrainOptions) -> None:
    """Dropout and checkpointing on, but for towers that are frozen."""
    backbone.train()
    if not options.train_towers:
        backbone.visual.train(mode=False)
        if backbone.audio_tower is not None:
            backbone.audio_tower.train(mode=False)


def _add_lora(backbone: Backbone, options: TrainOptions) -> None:
    peft = _needed("peft", "LoRA")
    targets = _LANGUAGE_LAYERS + (f"|{_HEAD}" if options.projection == "lora" else "")
    config = peft.LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=targets,
        init_lora_weights="gaussian",
        bias="none",
    )
    torch.manual_seed(options.seed)
    peft.inject_adapter_in_model(config, backbone)
    if options.projection == "whole":
        backbone.projection.requires_grad_(True)


def _checkpoint_layers(language_model: Any) -> None:
    """Lets each layer forget its activations in training and compute them again."""
    # transformers' own switch has two names by now, and hooks that make embeddings want gradients,
    # into which frames could not be written any more.
    for layer in language_model.layers:
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        layer.gradient_checkpointing = True


def quantise(language_model: Any) -> None:
    """Replaces the layers' linear weights by 4-bit ones: nf4, doubly quantised, bfloat16 inside.

    Raises:
        UsageError: bitsandbytes or CUDA is missing.
    """
    bnb = needed_bitsandbytes("method qlora", "--method lora")
    layers = [
        (name, module)
        for name, module in language_model.layers.named_modules()
        if isinstance(module, nn.Linear)
    ]
    for name, linear in layers:
        small = bnb.nn.Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            compute_dtype=torch.bfloat16,
            compress_statistics=True,
            quant_type="nf4",
            quant_storage=torch.bfloat16,
            device="meta",
        )
        device = linear.weight.device
        small.weight = bnb.nn.Params4bit(
            linear.weight.data.cpu(),
            requires_grad=False,
            compress_statistics=True,
            quant_type="nf4",
            quant_storage=torch.bfloat16,
            module=small,
        )
        small.bias = linear.bias
        # Going to the device is what quantises.
        language_model.layers.set_submodule(name, small.to(device))


def needed_bitsandbytes(what: str, instead: str) -> Any:
    """The package, if it can compute here.

    Raises:
        UsageError: bitsandbytes or CUDA is missing; names both and what to take instead.
    """
    lacking = []
    if find_spec("bitsandbytes") is None:
        lacking.append("the package bitsandbytes")
    if not torch.cuda.is_available():
        lacking.append("a CUDA GPU")
    if lacking:
        raise UsageError(
            f"{what} needs bitsandbytes and CUDA, and {' and '.join(lacking)} "
            f"{'are' if len(lacking) > 1 else 'is'} not here",
            hint=f"pip install bitsandbytes on a machine with a GPU, or {instead}",
        )
    return import_module("bitsandbytes")


def _needed(package: str, what: str) -> Any:
    if find_spec(package) is None:
        raise UsageError(
            f"{what} needs {package}, which is not installed", hint="pip install 'clamr-rag[train]'"
        )
    return import_module(package)
