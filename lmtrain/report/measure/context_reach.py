"""How many words back a model's predictions depend on: the perplexity when it may see only the last k.

Source: Khandelwal, He, Qi and Jurafsky (2018), "Sharp nearby, fuzzy far away: how neural language models use
context", section 3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmtrain.inference.evaluation import perplexity
from lmtrain.inference.reader import Reader
from lmtrain.inference.windows import Positions
from lmtrain.model.language_model import LanguageModel
from lmtrain.report.measure.held_out import HeldOutText, Watch, unwatched
from lmtrain.report.measure.predictions import Predictions

LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200)
_NEAR = 1.01
"""A perplexity this many times that of the whole context is as good as that."""


@dataclass(frozen=True)
class ContextCost:
    """What the sampled tokens cost when the model may see only so much."""

    length: int | None
    """The last tokens it sees, k; None: all there are."""
    loss: float
    """Nats per token."""
    extra: float
    """Nats per token more than with the whole context, over the same tokens."""
    standard_error: float
    """Of ``extra``; the tokens are the same for each k, so that it is that of paired differences."""

    @property
    def perplexity(self) -> float:
        """exp(nats per token)."""
        return perplexity(self.loss, 1)

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {
            "k": self.length or "all",
            "perplexity": self.perplexity,
            "loss": self.loss,
            "extra_nats": self.extra,
            "standard_error": self.standard_error,
        }


@dataclass(frozen=True)
class ContextReach:
    """Perplexity against the words that may be seen; the last of the costs is of the whole context."""

    num_positions: int
    costs: tuple[ContextCost, ...]

    @property
    def whole(self) -> ContextCost:
        """With the whole context."""
        return self.costs[-1]

    @property
    def reach(self) -> int | None:
        """The least k with a perplexity at most 1 % above that of the whole context; None beyond the last."""
        near = math.log(_NEAR)
        return next((c.length for c in self.costs if c.length is not None and c.extra <= near), None)

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {
            "num_positions": self.num_positions,
            "reach": self.reach,
            "costs": [cost.to_dict() for cost in self.costs],
        }


def context_reach(
    model: LanguageModel,
    text: HeldOutText,
    predictions: Predictions,
    positions: Positions,
    lengths: Sequence[int] = LENGTHS,
    watch: Watch = unwatched,
) -> ContextReach:
    """Costs of the same tokens after their last k words, each time from the initial state.

    Args:
        model: In any mode.
        text: Held-out.
        predictions: Of the model on the whole text: what its whole context gives.
        positions: The tokens asked about.
        lengths: The k, ascending. Where the context is no longer than k, it is the whole context.
        watch: Shows how far it has come.
    """
    whole = predictions.nats[positions].astype(np.float64)
    costs = []
    for length in lengths:
        nats = _truncated(model, text, predictions, positions, length, watch)
        extra = nats[positions] - whole
        error = float(extra.std(ddof=1)) / math.sqrt(len(extra)) if len(extra) > 1 else math.nan
        costs.append(ContextCost(length, float(nats[positions].mean()), float(extra.mean()), error))
    costs.append(ContextCost(None, float(whole.mean()), 0.0, 0.0))
    return ContextReach(len(positions), tuple(costs))


def _truncated(
    model: LanguageModel,
    text: HeldOutText,
    predictions: Predictions,
    positions: Positions,
    length: int,
    watch: Watch,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Nats of all tokens after at most ``length`` of context; right at ``positions``."""
    nats = predictions.nats.astype(np.float64)
    batches = text.batches(positions[text.context_lengths(positions) > length], length)
    windows = (text.window(group, length) for group in watch(batches, f"context of {length}", len(batches)))
    for read, costs in Reader(model).costs(windows):
        nats[read.positions] = costs.nats.cpu().numpy()
    return nats
