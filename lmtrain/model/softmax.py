"""The output layer: from hidden vectors to the cost of the next word."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lmtrain.model.fused_softmax import linear_cross_entropy, row_chunks, row_groups
from lmtrain.model.products import linear, slices

_BLOCK_WEIGHTS = 1 << 17
"""That are worked on while they are in the second cache, of 1 MiB as a rule."""


class TokenCosts(NamedTuple):
    """What each token of a held-out text cost."""

    nats: Tensor
    """-ln p(target), float32, shape (N); 0 where the target is padding."""
    hits: Tensor
    """Whether the target was the most probable word, bool, shape (N)."""


class TokenDetails(NamedTuple):
    """What each token of a held-out text cost, and what was expected in its place."""

    nats: Tensor
    """-ln p(target), float32, shape (N)."""
    entropy: Tensor
    """Of the distribution over all words, in nats, float32, shape (N)."""
    rank: Tensor
    """Of the target: 1 where no word is more probable, int64, shape (N)."""
    top_ids: Tensor
    """The K most probable words, the first one first, int64, shape (N, K)."""
    top_nats: Tensor
    """-ln p of each of them, float32, shape (N, K)."""


def top(log_probs: Tensor, num_top: int) -> tuple[Tensor, Tensor]:
    """The most probable of V words: their ids and -ln p, both (N, K), K at most V; log_probs are (N, V)."""
    found = log_probs.topk(min(num_top, log_probs.shape[1]), dim=1)
    return found.indices, -found.values


class Softmax(nn.Module):
    """What all output layers share. Hidden vectors may be float32 or bfloat16; costs are float32.

    Args:
        vocab_size: Number of words V.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size

    sparse: bool = False
    """Whether gradients of weights may be sparse, where a window touches few rows of them."""

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """The summed cost of the targets.

        Args:
            features: Of a window, (T, B, H), or of any N tokens, (N, H).
            targets: Word ids, int64, shape (T, B) or (N); negative where there is none (padding).

        Returns:
            The sum of -ln p(target) over all targets, in nats, a float32 scalar with a gradient.
        """
        raise NotImplementedError

    def descend(self, features: Tensor, targets: Tensor, lr: float, logits: Tensor | None = None) -> Tensor:
        """A step of gradient descent on the summed cost, of the weights of this layer.

        Args:
            features: (N, H).
            targets: Word ids, int64, shape (N), none of them negative.
            lr: The length of the step, times the gradient.
            logits: What ``logits`` gives for the features, if it is known; may be overwritten.

        Returns:
            The gradient of the features, before the step, (N, H).
        """
        del logits
        weights: list[Tensor] = list(self.parameters())
        with torch.enable_grad():
            features = features.detach().requires_grad_()
            loss = self.loss(features, targets)
            # A cluster of an adaptive softmax that no word is of has no gradient.
            gradient, *own = torch.autograd.grad(
                loss, [features, *weights], allow_unused=True, materialize_grads=True
            )
        with torch.no_grad():
            torch._foreach_add_(weights, own, alpha=-lr)
        return gradient

    def token_costs(self, features: Tensor, targets: Tensor) -> TokenCosts:
        """The exact cost of each target on its own, without a gradient; arguments as of ``loss``."""
        raise NotImplementedError

    def token_details(self, features: Tensor, targets: Tensor, num_top: int = 0) -> TokenDetails:
        """The exact cost of each target and the distribution around it, without a gradient.

        Args:
            features: (N, H).
            targets: Word ids, int64, shape (N), none of them negative.
            num_top: How many of the most probable words are asked for; K is this, or V where that is less.
        """
        parts = []
        for rows in row_chunks(features, self.vocab_size):
            logits, chunk_targets = self.logits(features[rows]), targets[rows]
            for part in row_groups(logits):
                scores, index = logits[part], chunk_targets[part, None]
                # Not from the scores themselves, which may be large: their differences would lose digits.
                log_probs = torch.log_softmax(scores, dim=1)
                entropy = -torch.linalg.vecdot(log_probs.exp(), log_probs)
                rank = (scores > scores.gather(1, index)).sum(dim=1) + 1
                parts.append((-log_probs.gather(1, index)[:, 0], entropy, rank, *top(log_probs, num_top)))
        return TokenDetails(*map(torch.cat, zip(*parts, strict=True)))

    def logits(self, features: Tensor) -> Tensor:
        """Log-probabilities of all words but for a constant: (..., H) to (..., V), float32, no gradient."""
        raise NotImplementedError


class FullSoftmax(Softmax):
    """A linear map to the whole vocabulary, and the softmax over it.

    Args:
        input_size: Size H of the hidden vectors.
        vocab_size: Number of words V.

    Attributes:
        weight: (V, H).
        bias: (V).
    """

    def __init__(self, input_size: int, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.weight = nn.Parameter(torch.empty(vocab_size, input_size))
        self.bias = nn.Parameter(torch.empty(vocab_size))

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """The summed cost of the targets; see ``Softmax``."""
        return linear_cross_entropy(features.flatten(0, -2), self.weight, self.bias, targets.flatten())

    def token_costs(self, features: Tensor, targets: Tensor) -> TokenCosts:
        """The cost of each target; see ``Softmax``."""
        weight = self.weight.to(features.dtype)
        # Made before the logits: small blocks between large ones would keep these from being used again.
        nats = features.new_empty(len(features), dtype=torch.float32)
        hits = torch.empty_like(nats, dtype=torch.bool)
        for rows in row_chunks(features, len(weight)):
            logits, t = linear(features[rows], weight, self.bias), targets[rows]
            for part in row_groups(logits):
                scores, index = logits[part].float(), t[part, None].clamp(min=0)
                hits[rows][part] = are_best(scores, index)
                nats[rows][part] = -torch.log_softmax(scores, dim=1).gather(1, index)[:, 0]
            del logits, scores  # before the next chunk takes as much memory again
        is_target = targets >= 0
        return TokenCosts(torch.where(is_target, nats, 0.0), hits & is_target)

    @torch.no_grad()
    def descend(self, features: Tensor, targets: Tensor, lr: float, logits: Tensor | None = None) -> Tensor:
        """See ``Softmax``. In place and block by block: each comes into the processor's cache once."""
        logits = self.logits(features) if logits is None else logits
        gradient = torch.softmax(logits, dim=1, out=logits)  # of the logits, once the targets are taken off
        gradient[torch.arange(len(targets), device=targets.device), targets] -= 1.0
        of_features = torch.zeros_like(features, dtype=torch.float32)
        for rows in slices(len(self.weight), _BLOCK_WEIGHTS // self.weight.shape[1]):
            block, of_logits = self.weight[rows], gradient[:, rows]
            of_features.addmm_(of_logits, block)
            block.addmm_(of_logits.t(), features.float(), alpha=-lr)
        self.bias.add_(gradient.sum(dim=0), alpha=-lr)
        return of_features.to(features.dtype)

    def logits(self, features: Tensor) -> Tensor:
        """Log-probabilities but for the normaliser; see ``Softmax``."""
        flat = linear(features.reshape(-1, features.shape[-1]), self.weight, self.bias)
        return flat.float().view(*features.shape[:-1], -1)

    def extra_repr(self) -> str:
        """The sizes, for ``print(model)``."""
        vocab_size, input_size = self.weight.shape
        return f"{input_size}, {vocab_size}"


def are_best(logits: Tensor, index: Tensor) -> Tensor:
    """Whether each word of ``index`` (N, 1) is the most probable of its row, the first of them in a tie."""
    are_best = (logits.gather(1, index) == logits.amax(dim=1, keepdim=True))[:, 0]
    # An argmax takes ten times as long as a maximum: it is asked only where it could say yes.
    rows = are_best.nonzero()[:, 0]
    are_best[rows] = logits[rows].argmax(dim=1) == index[rows, 0]
    return are_best
