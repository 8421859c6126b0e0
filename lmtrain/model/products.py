"""Products of matrices, and by which library they are computed.

That is decided here, by measurement, and nowhere else. All of it works on float32 and bfloat16: a product is
computed in the type of its first argument, weights are float32 and are cast for it, and sums (gradients of
weights over chunks) are float32.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lmtrain.machine.device import has_fast_bfloat16, processor_features

_ONEDNN_MIN_OPERATIONS = 2_000_000
"""Multiplications and additions: below, its overhead is what counts."""
_ONEDNN_MAX_WEIGHTS = 32 << 20
"""It makes a copy of the weights in an order of its own, which is too much where they fill the memory."""
_BLOCK_BYTES = 16 << 20
"""Of a gradient of weights that is made apart before it is added."""


@cache
def _prefers_onednn() -> bool:
    """Whether float32 products go to oneDNN and not to the BLAS that torch was built with.

    That is MKL as a rule, which takes AVX2 code on processors that are not Intel's: on a Zen 5 a product
    runs at 215 GFLOP/s there, and at 450 with oneDNN's AVX-512 code. Decided by the processor and not by a
    stopwatch, so that a run repeats bit for bit.
    """
    return _has_onednn() and {"amd", "avx512_f"} <= processor_features()


@cache
def _has_onednn() -> bool:
    is_there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_there and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _has_fused_bias(x: Tensor) -> bool:
    """Whether oneDNN, where bfloat16 products go anyway, is to add the bias on the way: a pass is saved."""
    return (
        x.dtype == torch.bfloat16 and x.device.type == "cpu" and has_fast_bfloat16(x.device) and _has_onednn()
    )


def _goes_to_onednn(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu" and _prefers_onednn()


def is_large(x: Tensor, weight: Tensor) -> bool:
    """Whether a product of (N, E) and (M, E) is worth the overhead of oneDNN."""
    return x.numel() * len(weight) >= _ONEDNN_MIN_OPERATIONS


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` without a gradient: (N, E), (M, E), (M) to (N, M), in the type of ``x``."""
    weight = weight.to(x.dtype)
    bias = None if bias is None else bias.to(x.dtype)
    may_copy = weight.numel() <= _ONEDNN_MAX_WEIGHTS
    if may_copy and is_large(x, weight) and (_goes_to_onednn(x) or (bias is not None and _has_fused_bias(x))):
        # What torch.compile makes of nn.Linear on a CPU. It crawls where the weight has gaps in memory.
        if not (weight.is_contiguous() or weight.t().is_contiguous()):
            weight = weight.contiguous()
        return cast("Tensor", torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))
    return torch.mm(x, weight.t()) if bias is None else torch.addmm(bias, x, weight.t())


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` without a gradient: (N, K), (K, M) to (N, M), in the type of ``a``."""
    return linear(a, b.t())


def add_weight_gradient(total: Tensor, gradient: Tensor, x: Tensor, *, is_first: bool = False) -> None:
    """Adds to the gradient of a weight what ``x @ weight.T`` contributes; the first time replaces it.

    Args:
        total: Shape (M, E), float32; or float64, for a model whose gradients are checked.
        gradient: Of the product, shape (N, M).
        x: (N, E), of the same type.
        is_first: Whether ``total`` holds nothing yet.
    """
    is_float32 = x.dtype == torch.float32
    if is_float32 and total.dtype == x.dtype and not _goes_to_onednn(x):
        torch.addmm(total, gradient.t(), x, beta=0 if is_first else 1, out=total)
        return
    for rows in slices(len(total), _BLOCK_BYTES // (4 * total.shape[1])):
        block = gradient[:, rows]
        # oneDNN takes half the time for the transposed product of float32, if there is one block alone.
        is_transposed = is_float32 and block.is_contiguous()
        part = product(x.t(), block).t() if is_transposed else product(block.t(), x)
        if is_first:
            total[rows].copy_(part)
        else:
            total[rows].add_(part)


def slices(length: int, size: int) -> Iterator[slice]:
    """Parts of at most ``size``, one at least, of a row of ``length``."""
    size = max(1, size)
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return linear(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.flatten(0, -2)
        grad_weight = torch.empty_like(weight)
        add_weight_gradient(grad_weight, gradient, x.flatten(0, -2), is_first=True)
        grad_x = product(gradient, weight).view(x.shape) if ctx.needs_input_grad[0] else None
        return grad_x, grad_weight, gradient.sum(0, dtype=torch.float32) if ctx.has_bias else None


def apply_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``linear`` with a gradient: x (…, E), weight (M, E) and bias (M) to (…, M), in the type of ``x``."""
    return cast("Tensor", _Linear.apply(x, weight, bias))  # type: ignore[no-untyped-call]
