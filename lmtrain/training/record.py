"""What validations have shown so far."""

import math
from typing import Any


class Record:
    """Which validation was the best, and whether patience is over.

    What only happens because training ends is not counted against patience: training may be extended, and
    then goes on as if it had never been meant to end there.

    Args:
        patience: Regular validations without improvement after which training ends; None never.
    """

    def __init__(self, patience: int | None = None) -> None:
        self.best_step: int | None = None
        self.best_loss: float | None = None
        """Nats per token at ``best_step``."""
        self._patience = patience
        self._best_regular = math.inf
        self._bad_evaluations = 0
        """Regular ones since the best of them."""

    def add(self, step: int, loss: float, *, is_regular: bool) -> bool:
        """Counts a validation; returns whether it is the best so far."""
        is_best = self.best_loss is None or loss < self.best_loss
        if is_best:
            self.best_step, self.best_loss = step, loss
        if is_regular:
            self._bad_evaluations = 0 if loss < self._best_regular else self._bad_evaluations + 1
            self._best_regular = min(loss, self._best_regular)
        return is_best

    @property
    def is_out_of_patience(self) -> bool:
        """Whether training ends before its last step."""
        return self._patience is not None and self._bad_evaluations >= self._patience

    def forget_best(self) -> None:
        """Seeks the best anew: its snapshot is not among those of this run. Patience is as it was."""
        self.best_step = self.best_loss = None

    def state_dict(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {
            "best_step": self.best_step,
            "best_loss": self.best_loss,
            "best_regular": self._best_regular if math.isfinite(self._best_regular) else None,
            "bad_evaluations": self._bad_evaluations,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that ``state_dict`` gave; that of lmtrain 0.1.0 counted all as regular."""
        self.best_step, self.best_loss = state["best_step"], state["best_loss"]
        regular = state.get("best_regular", state["best_loss"])
        self._best_regular = math.inf if regular is None else float(regular)
        self._bad_evaluations = int(state["bad_evaluations"])
