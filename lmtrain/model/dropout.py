"""Dropout whose masks come from a generator that a snapshot can hold."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DropoutRates:
    """The probability that a unit is dropped, by place; no recurrent connection is ever dropped.

    Source: Zaremba, Sutskever and Vinyals (2014), "Recurrent neural network regularization".
    """

    embedding: float = 0.0
    """After the word embedding."""
    layers: float = 0.0
    """Between two recurrent layers."""
    output: float = 0.0
    """Before the softmax."""


class Dropout(nn.Module):
    """Inverted dropout: kept units are divided by the probability of being kept.

    The masks are the only random draws of the forward pass. They come from one generator, so that a
    run that is resumed sees the masks it would have seen.

    Args:
        rate: The probability that a unit is dropped.
        generator: Where the masks are drawn; on the device of the inputs.
    """

    def __init__(self, rate: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.rate = rate
        self.generator = generator

    def forward(self, inputs: Tensor) -> Tensor:
        """Drops units of ``inputs``, a tensor of any shape, while in training mode."""
        if not self.training or self.rate == 0.0:
            return inputs
        keep = 1.0 - self.rate
        mask = torch.empty_like(inputs).bernoulli_(keep, generator=self.generator)
        return inputs * mask.div_(keep)

    def extra_repr(self) -> str:
        """The rate, for ``print(model)``."""
        return f"rate={self.rate}"
