"""A softmax that is trained on a sample of the vocabulary and evaluated on all of it."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lmtrain.model.fused_softmax import costs_of_logits
from lmtrain.model.noise import Noise
from lmtrain.model.products import linear, product
from lmtrain.model.softmax import FullSoftmax


class SampledSoftmax(FullSoftmax):
    """A full softmax whose loss, in training mode, is estimated from a sample of the vocabulary.

    Each window draws K words, the same for all its tokens, without replacement: word i is among them with
    probability π_i. The normaliser is estimated without bias (Horvitz and Thompson, 1952) by the
    exponentials of the target and of the other words drawn, each of these over its π_i; in the exponent
    that is the correction -ln π_i. Frequent words have π_i = 1: they are always there and add no noise.

    Source: Bengio and Senécal (2008), "Adaptive importance sampling to accelerate training of a neural
    probabilistic language model"; Blanc and Rendle (2018), "Adaptive sampled softmax with kernel based
    sampling", for the target, which needs no correction.

    Args:
        input_size: Size H of the hidden vectors.
        vocab_size: Number of words V.
        num_samples: K; from V on, nothing is left to chance.
        proposal: How probable each word is to be drawn, positive, on any scale, shape (V); None is
            log-uniform, ln(1 + 1 / (i + 1)) for word i, which suits ids in order of frequency.
        noise: Where samples are drawn.
    """

    inclusion: Tensor
    """π, the probability of each word to be drawn, float64, shape (V)."""
    _ends: Tensor

    def __init__(
        self,
        input_size: int,
        vocab_size: int,
        num_samples: int,
        proposal: Tensor | None = None,
        noise: Noise | None = None,
    ) -> None:
        super().__init__(input_size, vocab_size)
        self.num_samples = min(num_samples, vocab_size)
        self._noise = noise or Noise()
        if proposal is None:
            ranks = torch.arange(1, vocab_size + 1, dtype=torch.float64, device="cpu")
            proposal = torch.log1p(1 / ranks)
        # Made anew from the corpus, not part of the weights.
        self.register_buffer("inclusion", _inclusion(proposal, self.num_samples), persistent=False)
        self.register_buffer("_ends", self.inclusion.cumsum(0), persistent=False)

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """The summed cost of the targets, in training mode an estimate; see ``Softmax``."""
        if not self.training or self.num_samples == self.weight.shape[0]:
            return super().loss(features, targets)
        features, targets, drawn = features.flatten(0, -2), targets.flatten(), self._draw()
        ids = torch.cat([drawn, targets.clamp(min=0)])
        rows = nn.functional.embedding(ids, self.weight, sparse=self.sparse)  # (K + N, H)
        biases = self.bias[ids]
        corrections = torch.log(self.inclusion[drawn]).float()
        loss = _SampledCrossEntropy.apply(features, rows, biases, corrections, drawn, targets)  # type: ignore[no-untyped-call]
        return cast("Tensor", loss)

    def _draw(self) -> Tensor:
        """K different words, ascending, int64: systematic sampling (Madow, 1949), by one random number."""
        offset = self._noise.uniform(self.weight.device)
        ticks = offset + torch.arange(self.num_samples, dtype=torch.float64, device=self.weight.device)
        # Word i owns an interval of length π_i <= 1; ticks are 1 apart, so that no word is met twice.
        return torch.searchsorted(self._ends, ticks, right=True).clamp(max=len(self._ends) - 1)

    def extra_repr(self) -> str:
        """The sizes, for ``print(model)``."""
        return f"{super().extra_repr()}, num_samples={self.num_samples}"


def _inclusion(proposal: Tensor, num_samples: int) -> Tensor:
    """Probabilities proportional to the proposal, but at most 1, whose sum is ``num_samples``."""
    proposal = proposal.double()
    inclusion = torch.zeros_like(proposal)
    while True:
        is_certain = inclusion >= 1
        rest = torch.where(is_certain, 0.0, proposal)
        scaled = rest * (num_samples - is_certain.sum()) / rest.sum().clamp(min=1e-300)
        inclusion = torch.where(is_certain, 1.0, scaled)
        if not (scaled >= 1).any():
            return inclusion


class _SampledCrossEntropy(torch.autograd.Function):
    """The cost of targets among the words drawn; see ``SampledSoftmax``. Gradients are made on the way."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        rows: Tensor,
        biases: Tensor,
        corrections: Tensor,
        drawn: Tensor,
        targets: Tensor,
    ) -> Tensor:
        num_drawn = len(drawn)
        of_drawn, of_targets = rows[:num_drawn], rows[num_drawn:]
        is_target = targets[:, None] >= 0
        logits = features.new_empty(len(features), num_drawn + 1, dtype=torch.float32)
        logits[:, :-1] = linear(features, of_drawn, biases[:num_drawn] - corrections)
        # A target that was drawn stands for itself. Samples ascend: no pass over all logits is needed.
        at = torch.searchsorted(drawn, targets).clamp(max=num_drawn - 1)[:, None]
        logits.scatter_(1, at, torch.where(drawn[at] == targets[:, None], -torch.inf, logits.gather(1, at)))
        logits[:, -1] = (features.float() * of_targets).sum(dim=1) + biases[num_drawn:]
        costs, gradient = costs_of_logits(logits, torch.full_like(targets[:, None], num_drawn))
        total = (costs * is_target).sum(dtype=torch.float64)
        gradient[:, -1] -= 1.0
        gradient.mul_(is_target)
        of_others, of_own = gradient[:, :-1].to(features.dtype), gradient[:, -1:]
        grad_biases = torch.cat([gradient[:, :-1].sum(dim=0), of_own[:, 0]])
        grad_rows = torch.cat([product(of_others.t(), features), of_own * features.float()])
        grad_features = product(of_others, of_drawn.to(features.dtype)) + of_own * of_targets
        ctx.gradients = [grad_features.to(features.dtype), grad_rows, grad_biases]
        return total.float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [gradient.mul_(grad_total) for gradient in ctx.gradients]
        del ctx.gradients
        return *gradients, None, None, None
