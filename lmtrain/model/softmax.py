"""The output layer: from hidden vectors to the cost of the next word."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_CHUNK_BYTES = 32 << 20
"""Logits are made for as many rows at once as fit into this, so that memory is O(chunk * V)."""


class TokenCosts(NamedTuple):
    """What each token of a held-out text cost."""

    nats: Tensor
    """-ln p(target), float32, shape (N); 0 where the target is padding."""
    hits: Tensor
    """Whether the target was the most probable word, bool, shape (N)."""


class FullSoftmax(nn.Module):
    """A linear map to the whole vocabulary, and the softmax over it.

    Args:
        input_size: Size H of the hidden vectors.
        vocab_size: Number of words V.

    Attributes:
        weight: (V, H).
        bias: (V).
    """

    def __init__(self, input_size: int, vocab_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, input_size))
        self.bias = nn.Parameter(torch.empty(vocab_size))

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """The summed cost of the targets.

        Args:
            features: (N, H).
            targets: Word ids, int64, shape (N); negative where there is none (padding).

        Returns:
            The sum of -ln p(target) over all targets, in nats, a float32 scalar with a gradient.
        """
        return _linear_cross_entropy(features, self.weight, self.bias, targets)

    def token_costs(self, features: Tensor, targets: Tensor) -> TokenCosts:
        """The cost of each target on its own, without a gradient.

        Args:
            features: (N, H).
            targets: Word ids, int64, shape (N); negative where there is none (padding).
        """
        nats, hits = [], []
        for rows in _row_chunks(len(features), self.weight):
            t = targets[rows]
            logits = self.logits(features[rows])
            target_logits = logits.gather(1, t.clamp(min=0)[:, None])[:, 0]
            cost = torch.logsumexp(logits, dim=1) - target_logits
            nats.append(torch.where(t >= 0, cost, 0.0))
            hits.append(logits.argmax(dim=1) == t)
        return TokenCosts(torch.cat(nats), torch.cat(hits))

    def logits(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities of all words: (..., H) to (..., V), float32."""
        return nn.functional.linear(features, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, for ``print(model)``."""
        vocab_size, input_size = self.weight.shape
        return f"{input_size}, {vocab_size}"


def _row_chunks(num_rows: int, weight: Tensor) -> Iterator[slice]:
    size = max(1, _CHUNK_BYTES // (4 * weight.shape[0]))
    for start in range(0, num_rows, size):
        yield slice(start, min(start + size, num_rows))


class _LinearCrossEntropy(torch.autograd.Function):
    """Linear map and cross entropy in one, a chunk of rows at a time.

    The gradient is softmax - one_hot, so it is formed in place of the logits while they are there, and
    neither the logits nor the probabilities of a whole window ever exist.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        total = features.new_zeros((), dtype=torch.float64)
        grad_features = torch.empty_like(features)
        grad_weight = torch.zeros_like(weight)
        grad_bias = torch.zeros_like(bias)
        for rows in _row_chunks(len(features), weight):
            x, t = features[rows], targets[rows]
            logits = torch.addmm(bias, x, weight.t())
            log_norm = torch.logsumexp(logits, dim=1, keepdim=True)
            index = t.clamp(min=0)[:, None]
            is_target = (t >= 0)[:, None]
            costs = (log_norm - logits.gather(1, index)) * is_target
            total += costs.sum(dtype=torch.float64)
            # From here on `logits` holds the gradient.
            gradient = logits.sub_(log_norm).exp_()
            gradient.scatter_add_(1, index, gradient.new_full((1, 1), -1.0).expand_as(index))
            gradient.mul_(is_target)
            torch.mm(gradient, weight, out=grad_features[rows])
            grad_weight.addmm_(gradient.t(), x)
            grad_bias += gradient.sum(dim=0)
        ctx.save_for_backward(grad_features, grad_weight, grad_bias)
        return total.to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        grad_features, grad_weight, grad_bias = ctx.saved_tensors
        return grad_features * grad_total, grad_weight * grad_total, grad_bias * grad_total, None


_linear_cross_entropy = cast("Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]", _LinearCrossEntropy.apply)
