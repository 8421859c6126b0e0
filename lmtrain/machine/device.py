"""What computes: the processor and what it is good at, or a CUDA device."""

import os
import warnings
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from lmtrain.errors import UsageError

_CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_REPEATABLE_WORKSPACES = (":4096:8", ":16:8")
"""With which cuBLAS and cuDNN compute the same each time: fast, or of little memory."""


@cache
def processor_features() -> frozenset[str]:
    """What the products of this processor depend on, such as ``amd``, ``avx512_f``, ``avx512_bf16``."""
    capabilities = cast("dict[str, Any]", getattr(torch.cpu, "get_capabilities", dict)())
    vendor = {"amd"} if "amd" in str(capabilities.get("cpu_name", "")).lower() else set()
    return frozenset(vendor | {name for name, value in capabilities.items() if value is True})


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 are computed by the hardware, and so faster than in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(processor_features() & {"avx512_bf16", "amx_bf16"})


def resolve_device(name: str, local_rank: int | None = None) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Args:
        name: One of these.
        local_rank: Of this process among those of this machine that train together, where there are others:
            ``auto`` and ``cuda`` mean the device of that number.

    Raises:
        UsageError: There is no such device.
    """
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        device = torch.device(f"cuda:{local_rank}" if kind == "cuda" and local_rank is not None else kind)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: unknown; allowed: auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; nobody waits until it has arrived."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def compute_reproducibly(device: torch.device) -> None:
    """From now on, CUDA takes deterministic kernels and float32 as it is written: a run can be repeated."""
    if device.type != "cuda":
        return
    if os.environ.get(_CUBLAS_WORKSPACE) not in _REPEATABLE_WORKSPACES:
        os.environ[_CUBLAS_WORKSPACE] = _REPEATABLE_WORKSPACES[0]
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    # Each layer owns plain weights; cuDNN gathers them at each call, which takes microseconds.
    warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
