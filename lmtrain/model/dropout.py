"""Dropout, whose masks come from the noise that a snapshot holds."""

from dataclasses import dataclass

from torch import Tensor, nn

from lmtrain.model.noise import Noise


@dataclass(frozen=True)
class DropoutRates:
    """The probability that a unit is dropped, by place; no recurrent connection is ever dropped.

    Source: Zaremba, Sutskever and Vinyals (2014), "Recurrent neural network regularization".
    """

    input: float = 0.0
    """Between the embedding and the first layer."""
    layers: float = 0.0
    """Between two recurrent layers."""
    output: float = 0.0
    """Before the softmax."""


class Dropout(nn.Module):
    """Inverted dropout: kept units are divided by the probability of being kept.

    Args:
        rate: The probability that a unit is dropped.
        noise: Where the masks are drawn.
    """

    def __init__(self, rate: float, noise: Noise) -> None:
        super().__init__()
        self.rate = rate
        self._noise = noise

    def forward(self, inputs: Tensor) -> Tensor:
        """Drops units of ``inputs`` (T, B, …) while in training mode."""
        if not self.training or self.rate == 0.0:
            return inputs
        keep = 1.0 - self.rate
        return inputs * self._noise.mask_like(inputs, keep).div_(keep)

    def extra_repr(self) -> str:
        """The rate, for ``print(model)``."""
        return f"rate={self.rate}"
