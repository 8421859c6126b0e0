"""Linear map and softmax in one, a chunk of rows at a time: the logits of a whole window never exist.

Logits are made in the type of the features, float32 or bfloat16; normalisers and losses are float32 or wider.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lmtrain.model.products import add_weight_gradient, linear, product, slices

_CHUNK_BYTES = 64 << 20
"""Logits (float32) are made for as many rows at once as fit into this: larger blocks are fetched anew from
the system at each use, which takes as long as a pass of arithmetic."""
_DEVICE_CHUNK_BYTES = 512 << 20
"""The same on another device than the CPU, which keeps its blocks, and is fast where they are large."""
_CACHE_BYTES = 2 << 20
"""What the caches of a processor hold, about."""
_MIN_CHUNK_ROWS = 64
"""For huge vocabularies: with fewer rows, a product would only wait for the weights to come from memory."""


def row_chunks(features: Tensor, vocab_size: int) -> Iterator[slice]:
    """Rows of features (N, H) whose logits may exist at once, so that memory is O(chunk * V)."""
    size = _CHUNK_BYTES if features.device.type == "cpu" else _DEVICE_CHUNK_BYTES
    return slices(len(features), max(size // (4 * vocab_size), _MIN_CHUNK_ROWS))


def row_groups(logits: Tensor) -> Iterator[slice]:
    """Rows of logits (N, V) that the passes of a softmax find in the caches again; all of them on CUDA."""
    num_rows, vocab_size = logits.shape
    return slices(num_rows, _CACHE_BYTES // (4 * vocab_size) if logits.device.type == "cpu" else num_rows)


def costs_of_logits(logits: Tensor, targets: Tensor, best: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The costs of targets, and the probabilities of all words.

    Args:
        logits: (N, V); overwritten where they are float32.
        targets: int64, shape (N, 1), none of them negative.
        best: The highest logit of each row, float32, shape (N, 1), if it is known.

    Returns:
        -ln p(target), float32 of shape (N, 1), and the softmax, float32 of shape (N, V).
    """
    logits = logits.float()
    best = logits.amax(dim=1, keepdim=True) if best is None else best
    at_target = logits.gather(1, targets)
    probabilities = torch.softmax(logits, dim=1, out=logits)
    # Of the best word, whose probability cannot underflow, the logit and its logarithm are both known; they
    # differ by the logarithm of the normaliser. No second pass of exponentials is needed.
    log_norm = best - probabilities.amax(dim=1, keepdim=True).log()
    return log_norm - at_target, probabilities


def _softmax_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The summed cost, float64, and its gradient: the softmax less one at the target, 0 for padding."""
    is_target, index = targets >= 0, targets.clamp(min=0)
    costs, gradient = costs_of_logits(logits, index)
    gradient.scatter_add_(1, index, gradient.new_full((1, 1), -1.0).expand_as(index)).mul_(is_target)
    return (costs * is_target).sum(dtype=torch.float64), gradient


class _LinearCrossEntropy(torch.autograd.Function):
    """Linear map and cross entropy in one, a chunk of rows at a time.

    The gradient is formed in place of the logits while they are there, so that neither the logits nor the
    probabilities of a whole window ever exist.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        total = features.new_zeros((), dtype=torch.float64)
        grad_features = torch.empty_like(features)
        grad_weight = torch.empty_like(weight)
        grad_bias = torch.zeros_like(bias)
        cast_weight = weight.to(features.dtype)
        for rows in row_chunks(features, len(weight)):
            x = features[rows]
            gradient = linear(x, cast_weight, bias)  # logits, which become the gradient
            for part in row_groups(gradient):
                cost, grad_part = _softmax_gradient(gradient[part], targets[rows][part, None])
                total += cost
                grad_bias += grad_part.sum(dim=0)
                if x.dtype != torch.float32:  # else it is there already
                    gradient[part] = grad_part
            grad_features[rows] = product(gradient, cast_weight)
            add_weight_gradient(grad_weight, gradient, x, is_first=rows.start == 0)
            del gradient, grad_part  # before the next chunk takes as much memory again
        if len(features) == 0:
            grad_weight.zero_()
        # Not `save_for_backward`: the gradients are handed on as they are, not copied.
        ctx.gradients = [grad_features, grad_weight, grad_bias]
        return total.to(torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        grad_features, grad_weight, grad_bias = ctx.gradients
        del ctx.gradients
        return grad_features.mul_(grad_total), grad_weight.mul_(grad_total), grad_bias.mul_(grad_total), None


def linear_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """The summed cost of a softmax over ``features @ weight.T + bias``; can be differentiated once.

    Args:
        features: (N, H).
        weight: (V, H), float32.
        bias: (V), float32.
        targets: int64, shape (N); negative where there is none (padding).

    Returns:
        The sum of -ln p(target) in nats, a float32 scalar.
    """
    return cast("Tensor", _LinearCrossEntropy.apply(features, weight, bias, targets))  # type: ignore[no-untyped-call]
