"""Penalties on what the recurrent layers put out."""

from dataclasses import dataclass

from torch import Tensor

from lmtrain.model.language_model import Reading


@dataclass(frozen=True)
class ActivationPenalty:
    """Activation regularization and its temporal sibling, of the last layer.

    With y_t its outputs before dropout and ŷ_t after it, alpha mean(ŷ_t²) + beta mean((y_{t+1} - y_t)²): the
    means are over units, streams and time steps, and it is added to the mean loss of a word.

    Source: Merity, McCann and Socher (2017), "Revisiting activation regularization for language RNNs"; means
    of squares, where the paper has 2-norms, are the code of Merity, Keskar and Socher (2018).
    """

    alpha: float = 0.0
    """Of large outputs."""
    beta: float = 0.0
    """Of outputs that change from one time step to the next."""

    def of(self, reading: Reading) -> Tensor:
        """The penalty of a window in nats per word, a float32 scalar with a gradient."""
        raw = reading.raw[-1].float()  # (T, B, H)
        penalty = self.alpha * reading.dropped[-1].float().square().mean()
        if self.beta and len(raw) > 1:
            penalty = penalty + self.beta * (raw[1:] - raw[:-1]).square().mean()
        return penalty
