"""Several language models as one: linear interpolation of their probabilities, word by word.

Jelinek and Mercer, Interpolated estimation of Markov source parameters from sparse data (1980).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lmtrain.errors import ModelError
from lmtrain.inference.ngram import NGramModel

_HALVINGS = 40
"""Of the interval [0, 1] in which the weight is sought: 1e-12 is left."""


@dataclass(frozen=True)
class Interpolation:
    """An n-gram model that is mixed into a neural one."""

    ngram: NGramModel
    weight: float
    """Of the n-gram model, in [0, 1]."""
    tuned_on: Path | None = None
    """The text that the weight was tuned on."""

    def mix(self, nats: NDArray[np.float64], ids: NDArray[np.int32]) -> NDArray[np.float64]:
        """What the tokens of whole lines cost in the mixture, given what they cost the neural model."""
        return self.mixed(nats, -self.ngram.log_probs(ids))

    def mixed(self, nats: NDArray[np.float64], of_ngram: NDArray[np.float64]) -> NDArray[np.float64]:
        """What tokens cost in the mixture, given what they cost either model; never below 0."""
        return np.maximum(-interpolate(-nats, -of_ngram, self.weight), 0.0) + 0.0  # no -0


def interpolate(model: ArrayLike, ngram: ArrayLike, weight: float) -> NDArray[np.float64]:
    """Log probabilities of the mixture, ``log((1 - weight) exp(model) + weight exp(ngram))``.

    With a weight of 0 or 1 they are exactly those of the one model, whatever the other says.

    Args:
        model: Log probabilities (natural log) of N tokens under the neural model.
        ngram: Those of the same tokens under the n-gram model.
        weight: Of the n-gram model, in [0, 1].

    Raises:
        ValueError: The weight is outside [0, 1], or the shapes differ.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight must lie between 0 and 1, not {weight}")
    first, second = _pair(model, ngram)
    if weight in (0, 1):
        return (second if weight else first).copy()
    mixed: NDArray[np.float64] = np.logaddexp(np.log1p(-weight) + first, np.log(weight) + second)
    return mixed


def mean_probability(nats: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """What N tokens cost where their probability is the mean of that under K models, in nats.

    Args:
        nats: What each costs under each model, K arrays of shape (N).
    """
    costs = np.asarray(nats, np.float64)
    mean: NDArray[np.float64] = np.logaddexp.reduce(-costs, axis=0) - np.log(len(costs))
    return np.maximum(-mean, 0.0) + 0.0  # no -0


def tune_weight(model: ArrayLike, ngram: ArrayLike) -> float:
    """The weight of the n-gram model with which the mixture gives a text the highest probability.

    The log-likelihood is concave in the weight: where its slope is zero is enclosed by halving, to 1e-12,
    with no starting value and nothing random. Of several weights equally good it is the smallest: 0 if the
    n-gram model does not help, and if there is no token. Tokens impossible under both models have no say.

    Args:
        model: Log probabilities (natural log) of N tokens under the neural model.
        ngram: Those of the same tokens under the n-gram model.

    Raises:
        ModelError: A log probability is not a number.
        ValueError: The shapes differ.
    """
    first, second = _pair(model, ngram)
    if np.isnan(first).any() or np.isnan(second).any():
        raise ModelError("no weight can be tuned: a model gives probabilities that are not numbers (NaN)")
    possible = np.maximum(first, second) > -np.inf
    gain = second[possible] - first[possible]
    # Both over the greater of the two, so that nothing overflows: the probability under the neural model, and
    # by how much that under the n-gram model exceeds it.
    base = np.exp(-np.maximum(gain, 0))
    more = np.sign(gain) * -np.expm1(-np.abs(gain))

    def slope(weight: float) -> float:
        with np.errstate(divide="ignore"):  # at the ends, where one model alone excludes a token
            return float(np.sum(more / (base + weight * more)))

    if slope(0.0) <= 0:
        return 0.0
    if slope(1.0) >= 0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2


def _pair(model: ArrayLike, ngram: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(model, np.float64), np.asarray(ngram, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"the models scored different tokens: shapes {first.shape} and {second.shape}")
    return first, second
