"""A mixture of softmaxes over the whole vocabulary."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lmtrain.model.dropout import Dropout
from lmtrain.model.fused_softmax import costs_of_logits, row_chunks, row_groups
from lmtrain.model.products import add_weight_gradient, apply_linear, linear, product
from lmtrain.model.softmax import Softmax, TokenCosts, are_best


class MixtureSoftmax(Softmax):
    """K softmaxes over the same word vectors, each of a latent vector of its own, weighed by a prior.

    With h the hidden vector, W and b the word vectors and biases::

        π   = softmax(P h)
        z_k = tanh(L_k h + l_k)
        p   = Σ_k π_k softmax(W z_k + b)

    The logarithm of p, unlike the logits of one softmax, is of any rank as a matrix of contexts and words.

    Source: Yang, Dai, Salakhutdinov and Cohen (2018), "Breaking the softmax bottleneck: a high-rank RNN
    language model", section 2.4; the biases l are in their code.

    Args:
        input_size: Size H of the hidden vectors.
        vocab_size: Number of words V.
        num_components: K.
        latent_size: Size E of the latent vectors: that of the embedding, if W is to be tied to it.
        latent_dropout: What drops units of them in training, as the authors' code does; None: nothing.

    Attributes:
        weight: W, (V, E).
        bias: b, (V).
        latent_weight: L, (K * E, H).
        latent_bias: l, (K * E).
        prior_weight: P, (K, H).
    """

    def __init__(
        self,
        input_size: int,
        vocab_size: int,
        num_components: int,
        latent_size: int,
        latent_dropout: Dropout | None = None,
    ) -> None:
        super().__init__(vocab_size)
        self.latent_dropout: nn.Module = latent_dropout or nn.Identity()
        self.num_components = num_components
        self.weight = nn.Parameter(torch.empty(vocab_size, latent_size))
        self.bias = nn.Parameter(torch.empty(vocab_size))
        self.latent_weight = nn.Parameter(torch.empty(num_components * latent_size, input_size))
        self.latent_bias = nn.Parameter(torch.empty(num_components * latent_size))
        self.prior_weight = nn.Parameter(torch.empty(num_components, input_size))

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """The summed cost of the targets; see ``Softmax``."""
        latent, log_prior = self._latent(features)
        latent = self.latent_dropout(latent).flatten(0, -3)
        loss = _MixtureCrossEntropy.apply(  # type: ignore[no-untyped-call]
            latent, log_prior.flatten(0, -2), self.weight, self.bias, targets.flatten()
        )
        return cast("Tensor", loss)

    def token_costs(self, features: Tensor, targets: Tensor) -> TokenCosts:
        """The cost of each target; see ``Softmax``."""
        nats = features.new_empty(len(features), dtype=torch.float32)
        hits = torch.empty_like(nats, dtype=torch.bool)
        for rows in row_chunks(features, self.vocab_size):
            log_probs, index = self.logits(features[rows]), targets[rows, None].clamp(min=0)
            nats[rows] = -log_probs.gather(1, index)[:, 0]
            hits[rows] = are_best(log_probs, index)
        is_target = targets >= 0
        return TokenCosts(torch.where(is_target, nats, 0.0), hits & is_target)

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """Log-probabilities; see ``Softmax``."""
        flat = features.reshape(-1, features.shape[-1])
        weight = self.weight.to(features.dtype)
        log_probs = flat.new_empty(len(flat), self.vocab_size, dtype=torch.float32)
        for rows in row_chunks(flat, self.num_components * self.vocab_size):
            latent, log_prior = self._latent(flat[rows])
            logits = linear(latent.flatten(0, 1), weight, self.bias).view(*latent.shape[:2], -1)
            for part in row_groups(logits.flatten(1)):
                of_components = torch.log_softmax(logits[part].float(), dim=2).add_(log_prior[part, :, None])
                torch.logsumexp(of_components, dim=1, out=log_probs[rows][part])
        return log_probs.view(*features.shape[:-1], -1)

    def _latent(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The latent vectors, (…, K, E), and ln π, float32, (…, K), of features (…, H)."""
        latent = apply_linear(features, self.latent_weight, self.latent_bias).tanh()
        log_prior = torch.log_softmax(nn.functional.linear(features.float(), self.prior_weight), dim=-1)
        return latent.view(*features.shape[:-1], self.num_components, -1), log_prior

    def extra_repr(self) -> str:
        """The sizes, for ``print(model)``."""
        input_size, latent_size = self.prior_weight.shape[1], self.weight.shape[1]
        return f"{input_size}, {self.vocab_size}, {self.num_components}, {latent_size}"


class _MixtureCrossEntropy(torch.autograd.Function):
    """The cost of targets under the mixture, a chunk of rows at a time; gradients are made on the way.

    That of the logits of component k is the one of its own cross entropy, times its share π_k p_k / p of
    the target's probability; that of ln π_k is the share, negative.
    """

    @staticmethod
    def forward(
        ctx: Any, latent: Tensor, log_prior: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
    ) -> Tensor:
        num_components = latent.shape[1]
        total = latent.new_zeros((), dtype=torch.float64)
        grad_latent, grad_prior = torch.empty_like(latent), torch.empty_like(log_prior)
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        cast_weight = weight.to(latent.dtype)
        for rows in row_chunks(latent, num_components * len(weight)):
            x = latent[rows].flatten(0, 1)
            gradient = linear(x, cast_weight, bias)  # logits (n * K, V), which become the gradient
            by_token = gradient.view(-1, num_components, len(weight))
            for part in row_groups(by_token.flatten(1)):
                parts = by_token[part], log_prior[rows][part], targets[rows][part]
                cost, grad_part, shares = _mixture_gradient(*parts)
                total += cost
                grad_bias += grad_part.sum(dim=0)
                grad_prior[rows][part] = -shares
                if x.dtype != torch.float32:  # else it is there already
                    by_token[part] = grad_part.view_as(by_token[part]).to(x.dtype)
            grad_latent[rows] = product(gradient, cast_weight).view(-1, *latent.shape[1:])
            add_weight_gradient(grad_weight, gradient, x, is_first=rows.start == 0)
            del gradient, by_token, parts, grad_part  # before the next chunk takes as much memory again
        # Not `save_for_backward`: the gradients are handed on as they are, not copied.
        ctx.gradients = [grad_latent, grad_prior, grad_weight, grad_bias]
        return total.to(torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [gradient.mul_(grad_total) for gradient in ctx.gradients]
        del ctx.gradients
        return *gradients, None


def _mixture_gradient(logits: Tensor, log_prior: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The summed cost of tokens and what its gradients are made of.

    Args:
        logits: (N, K, V); overwritten where they are float32.
        log_prior: (N, K).
        targets: (N); negative for padding.

    Returns:
        The cost, float64; its gradient with respect to the logits, (N * K, V); and the share of each
        component in the probability of the target, (N, K), 0 for padding.
    """
    is_target = (targets >= 0)[:, None]
    index = targets.clamp(min=0)[:, None].expand_as(log_prior).reshape(-1, 1)
    costs, gradient = costs_of_logits(logits.flatten(0, 1), index)
    scores = log_prior - costs.view_as(log_prior)
    log_p = scores.logsumexp(dim=1, keepdim=True)
    shares = (scores - log_p).exp() * is_target
    gradient.scatter_add_(1, index, gradient.new_full((1, 1), -1.0).expand_as(index))
    gradient.mul_(shares.view(-1, 1))
    return -(log_p * is_target).sum(dtype=torch.float64), gradient, shares
