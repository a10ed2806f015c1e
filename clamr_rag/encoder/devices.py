"""Where an encoder computes, in which number format and with which attention kernel."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from clamr_rag.errors import UsageError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Placement:
    """What the options ``device``, ``dtype`` and ``attention`` came to."""

    device: torch.device
    dtype: torch.dtype
    attention: str
    """Kernel of the language model; the vision and sound towers always run sdpa."""

    def __str__(self) -> str:
        """As said in the output, e.g. ``"cuda:0, bfloat16, attention sdpa"``."""
        return f"{self.device}, {dtype_name(self.dtype)}, attention {self.attention}"


def place(device: str, dtype: str, attention: str) -> Placement:
    """Settles where and how to compute.

    Args:
        device: A torch device; ``"auto"`` is the first GPU, else the CPU.
        dtype: ``"float32"``, ``"bfloat16"``, ``"float16"``; ``"auto"`` is bfloat16 on a GPU.
        attention: ``"auto"`` is sdpa.

    Raises:
        UsageError: Something that this machine does not have, or that does not go together.
    """
    chosen = choose_device(device)
    number_type = _choose_dtype(dtype, chosen)
    return Placement(chosen, number_type, _choose_attention(attention, chosen, number_type))


def choose_device(name: str) -> torch.device:
    """The device of that name, tried with an empty tensor.

    Raises:
        UsageError: It is unknown, absent or unusable; names the devices that are here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    here = ", ".join(["auto", *devices_here()])
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # Which error a missing backend raises depends on how torch was built.
    except (RuntimeError, AssertionError, ImportError, NotImplementedError, ValueError) as error:
        raise UsageError(f"got device {name!r}, which cannot be used here", allowed=here) from error
    # Torch takes any number behind "cpu" and computes nothing on "meta".
    if device.type == "meta" or (device.type == "cpu" and device.index):
        raise UsageError(f"got device {name!r}, which is none to compute on", allowed=here)
    return device


def devices_here() -> list[str]:
    """The devices of this machine that torch can use, by name."""
    names = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return names + (["mps"] if torch.backends.mps.is_available() else [])


def dtype_name(dtype: torch.dtype) -> str:
    """``"float32"`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def _choose_dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise UsageError(f"got dtype {name!r}", allowed=f"auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _choose_attention(name: str, device: torch.device, dtype: torch.dtype) -> str:
    if name == "auto":
        return "sdpa"
    if name == "flash_attention_2":
        if find_spec("flash_attn") is None:
            raise UsageError(
                "got attention flash_attention_2 and the package flash-attn is not installed",
                allowed="auto, sdpa, eager",
            )
        if device.type != "cuda" or dtype == torch.float32:
            raise UsageError(
                f"got attention flash_attention_2 on {device} in {dtype_name(dtype)}",
                allowed="a GPU and bfloat16 or float16",
            )
    return name


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; on a CPU, and of cuDNN, only its words do."""
    told = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in told
    )
