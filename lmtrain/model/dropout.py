"""Dropout, whose masks come from the noise that a snapshot holds."""

from dataclasses import dataclass

from torch import Tensor, nn

from lmtrain.model.noise import Noise


@dataclass(frozen=True)
class DropoutRates:
    """The probability of being dropped, by place, in the terms of Merity, Keskar and Socher (2018).

    Source: Zaremba, Sutskever and Vinyals (2014), "Recurrent neural network regularization", for ``input``,
    ``layers`` and ``output``; Gal and Ghahramani (2016), "A theoretically grounded application of dropout
    in recurrent neural networks", for ``words`` and ``locked``; Wan et al. (2013), "Regularization of neural
    networks using DropConnect", and Merity, Keskar and Socher (2018), "Regularizing and optimizing LSTM
    language models", for ``recurrent``; Yang, Dai, Salakhutdinov and Cohen (2018), whose code calls it
    ``dropoutl``, for ``latent``.
    """

    input: float = 0.0
    """Of units between the embedding and the first layer."""
    layers: float = 0.0
    """Of units between two recurrent layers."""
    output: float = 0.0
    """Of units before the softmax."""
    words: float = 0.0
    """Of words: the vector of one that is dropped is zero wherever it is read in a window."""
    recurrent: float = 0.0
    """Of weights between the state before and the next."""
    latent: float = 0.0
    """Of units of the latent vectors of a mixture of softmaxes."""
    locked: bool = False
    """Whether units are dropped for all time steps of a window alike."""

    def of_units(self, rate: float, noise: Noise) -> "Dropout":
        """A dropout of units with one of these rates."""
        return (LockedDropout if self.locked else Dropout)(rate, noise)


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

    @property
    def is_on(self) -> bool:
        """Whether anything is dropped now."""
        return self.training and self.rate > 0.0

    def forward(self, inputs: Tensor) -> Tensor:
        """Drops units of ``inputs`` (T, B, …) while in training mode."""
        if not self.is_on:
            return inputs
        keep = 1.0 - self.rate
        return inputs * self._mask(inputs, keep).div_(keep)

    def _mask(self, inputs: Tensor, keep: float) -> Tensor:
        return self._noise.mask_like(inputs, keep)

    def extra_repr(self) -> str:
        """The rate, for ``print(model)``."""
        return f"rate={self.rate}"


class LockedDropout(Dropout):
    """The same units of a stream are dropped at all time steps of a window."""

    def _mask(self, inputs: Tensor, keep: float) -> Tensor:
        return self._noise.mask_like(inputs[:1], keep)  # (1, B, …)


class WeightDropout(Dropout):
    """Weights are dropped, or whatever all streams have in common: ``inputs`` are of any shape."""

    def _mask(self, inputs: Tensor, keep: float) -> Tensor:
        return self._noise.shared_mask_like(inputs, keep)
