"""Running averages of the weights, which are evaluated in place of those that are trained."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class ExponentialAverage:
    """The exponential moving average of the weights after each step.

    ::

        a_1 = w_1
        a_n = a_{n-1} + max(1 / n, 1 - decay) * (w_n - a_{n-1})

    so that the first 1 / (1 - decay) steps weigh alike, and the first one no more than the others.

    Source: Polyak and Juditsky (1992), "Acceleration of stochastic approximation by averaging", for averages
    of weights. With the decay of 1 it is their plain mean.

    Args:
        weights: Those that are trained, by name, as tensors that share their memory.
        decay: Of the share that an earlier step has, with every further one.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self._weights = dict(weights)
        self._decay = decay
        self._averages: dict[str, Tensor] = {}
        self._num_averaged = 0

    @torch.no_grad()
    def on_step(self) -> None:
        """Takes the weights after a step into the average."""
        self._num_averaged += 1
        if self._num_averaged == 1:
            self._averages = {name: weight.clone() for name, weight in self._weights.items()}
            return
        share = max(1.0 / self._num_averaged, 1.0 - self._decay)
        for name, weight in self._weights.items():
            self._averages[name].lerp_(weight, share)

    def on_evaluation(self, loss: float) -> None:
        """Learns of a validation, its loss in nats per token."""

    def evaluated_weights(self) -> dict[str, Tensor]:
        """The average by name; where nothing is averaged yet, the weights that are trained."""
        return self._averages or self._weights

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """For the length of a block, what is trained and its average have changed places.

        No step is to be made meanwhile, and no state to be asked for.
        """
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        # Values, not tensors: others hold the memory of the weights.
        for name, average in self._averages.items():
            held = average.clone()
            average.copy_(self._weights[name])
            self._weights[name].copy_(held)

    def state_dict(self) -> dict[str, Any]:
        """Of how many steps the average is, and, where there is one, the weights that are trained.

        The average itself is in ``evaluated_weights``, which a snapshot holds as its model.
        """
        return {"num_averaged": self._num_averaged, "weights": self._weights if self._averages else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that ``state_dict`` gave, once the model has what was evaluated.

        Raises:
            ValueError: It is of other weights.
        """
        trained: dict[str, Tensor] = state["weights"] or {}
        shapes = {name: weight.shape for name, weight in self._weights.items()}
        if trained and {name: weight.shape for name, weight in trained.items()} != shapes:
            raise ValueError("the weights that are averaged are not those of the model")
        self._num_averaged = int(state["num_averaged"])
        self._averages = {name: self._weights[name].clone() for name in trained}
        for name, weight in trained.items():
            self._weights[name].copy_(weight)


class TriggeredAverage(ExponentialAverage):
    """The mean of the weights after each step since validation stopped improving.

    It begins after the first validation whose loss is above the least one of all but the last ``nonmono``
    before it.

    Source: Merity, Keskar and Socher (2018), "Regularizing and optimizing LSTM language models", algorithm 1
    (NT-ASGD); where it and the authors' code differ, this is the code.

    Args:
        weights: Those that are trained, by name, as tensors that share their memory.
        nonmono: As above.
    """

    def __init__(self, weights: Mapping[str, Tensor], nonmono: int = 5) -> None:
        super().__init__(weights, decay=1.0)
        self._nonmono = nonmono
        self._losses: list[float] = []
        self._is_triggered = False

    def on_step(self) -> None:
        """Takes the weights after a step into the average, once it is triggered."""
        if self._is_triggered:
            super().on_step()

    def on_evaluation(self, loss: float) -> None:
        """Decides whether the average begins."""
        if not self._is_triggered:
            self._is_triggered = loss > min(self._losses[: -self._nonmono], default=math.inf)
            self._losses.append(loss)

    def state_dict(self) -> dict[str, Any]:
        """That of the average, and the losses until it was triggered."""
        return {**super().state_dict(), "losses": self._losses, "is_triggered": self._is_triggered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``ExponentialAverage``."""
        super().load_state_dict(state)
        self._losses = [float(loss) for loss in state["losses"]]
        self._is_triggered = bool(state["is_triggered"])
