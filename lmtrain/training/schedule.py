"""Learning-rate schedules: the factor that multiplies the base rate at each step."""

import math
from typing import Any, Protocol


class Schedule(Protocol):
    """A learning rate over time."""

    def factor(self, step: int, epoch: int) -> float:
        """What the base rate is multiplied with.

        Args:
            step: Updates made before this one.
            epoch: Sweeps over the corpus completed before it.
        """

    def on_evaluation(self, loss: float) -> None:
        """Hears of a validation loss."""

    def state_dict(self) -> dict[str, Any]:
        """What changes during training, as JSON values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that ``state_dict`` gave."""


class Constant:
    """The base rate throughout; the parent of all schedules that are a function of time alone."""

    def factor(self, step: int, epoch: int) -> float:  # noqa: ARG002  (one interface for all)
        """1."""
        return 1.0

    def on_evaluation(self, loss: float) -> None:
        """Nothing to learn from it."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing changes."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing changes."""


class StepDecay(Constant):
    """Constant for some epochs, then multiplied by a factor every epoch.

    Source: Zaremba, Sutskever and Vinyals (2014), "Recurrent neural network regularization".
    """

    def __init__(self, constant_epochs: int, decay: float = 0.5) -> None:
        self._constant_epochs = constant_epochs
        self._decay = decay

    def factor(self, step: int, epoch: int) -> float:  # noqa: ARG002
        """1 in the first ``constant_epochs`` epochs, ``decay`` in the next, then its powers."""
        return float(self._decay ** max(0, epoch + 1 - self._constant_epochs))


class Plateau(Constant):
    """Multiplied by a factor whenever validation has not improved on its best for a while.

    Args:
        decay: The factor.
        patience: Evaluations without improvement that are let pass; 0 decays at the first.
    """

    def __init__(self, decay: float = 0.25, patience: int = 0) -> None:
        self._decay = decay
        self._patience = patience
        self._factor = 1.0
        self._best = math.inf
        self._bad_evaluations = 0

    def factor(self, step: int, epoch: int) -> float:  # noqa: ARG002
        """The product of the decays so far."""
        return self._factor

    def on_evaluation(self, loss: float) -> None:
        """Decays where the loss did not fall below the best before it."""
        if loss < self._best:
            self._best = loss
            self._bad_evaluations = 0
            return
        self._bad_evaluations += 1
        if self._bad_evaluations > self._patience:
            self._factor *= self._decay
            self._bad_evaluations = 0

    def state_dict(self) -> dict[str, Any]:
        """The factor, the best loss (None before the first) and the evaluations since."""
        best = self._best if math.isfinite(self._best) else None
        return {"factor": self._factor, "best": best, "bad_evaluations": self._bad_evaluations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that ``state_dict`` gave."""
        self._factor = float(state["factor"])
        self._best = math.inf if state["best"] is None else float(state["best"])
        self._bad_evaluations = int(state["bad_evaluations"])


class WarmupDecay(Constant):
    """Rises linearly to the base rate, then falls to a fraction of it that the last step is made with.

    A run that was begun by lmtrain 0.1.0 goes on as it began: there, the fall would have ended a step after
    the last, and the rise of a cycle had begun a step before the first.

    Args:
        total_steps: The steps of the whole training.
        shape: ``linear`` or ``cosine``: how it falls. Source of the cosine: Loshchilov and Hutter (2017),
            "SGDR: Stochastic gradient descent with warm restarts".
        warmup_steps: Steps of the rise.
        first_fraction: Of the base rate, at the first step of the rise; None rises from zero, which no step
            is made with, and has all of the rate at the last.
        final_fraction: Of the base rate, at the last step.
    """

    def __init__(
        self,
        total_steps: int,
        shape: str,
        warmup_steps: int = 0,
        first_fraction: float | None = None,
        final_fraction: float = 0.0,
    ) -> None:
        self._total_steps = total_steps
        self._shape = shape
        self._warmup_steps = warmup_steps
        self._first = first_fraction
        self._final = final_fraction
        self._ends_exactly = True

    def factor(self, step: int, epoch: int) -> float:  # noqa: ARG002
        """The fraction of the base rate at this step."""
        last = self._total_steps - 1 if self._ends_exactly else self._total_steps
        if step >= last > 0:
            return self._final
        if step < self._warmup_steps:
            is_late = self._first is None or not self._ends_exactly
            first, risen = self._first or 0.0, step + 1 if is_late else step
            return first + (1.0 - first) * risen / self._warmup_steps
        progress = min(1.0, (step - self._warmup_steps) / max(1, last - self._warmup_steps))
        left = 1.0 - progress if self._shape == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
        return self._final + (1.0 - self._final) * left

    def state_dict(self) -> dict[str, Any]:
        """Whether the ends are the first and the last step; a run of lmtrain 0.1.0 does not say."""
        return {"ends_exactly": self._ends_exactly}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues as the run began."""
        self._ends_exactly = bool(state.get("ends_exactly", False))


def one_cycle(
    total_steps: int, warmup_fraction: float, start_fraction: float, final_fraction: float
) -> WarmupDecay:
    """A linear rise to the base rate and a cosine fall far below where it began.

    Source: Smith and Topin (2019), "Super-convergence".
    """
    return WarmupDecay(
        total_steps,
        "cosine",
        warmup_steps=round(warmup_fraction * total_steps),
        first_fraction=start_fraction,
        final_fraction=final_fraction,
    )
