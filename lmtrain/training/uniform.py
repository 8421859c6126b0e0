"""Whether training has come to know less than nothing."""

import math
from typing import Any

from lmtrain.errors import DivergenceError

_CLEARLY = 1.05
"""Times ln V: what an untrained model costs, and what one that warms up, is close to ln V by nature."""
_LINES, _STEPS = 3, 50
"""Of the log: a streak of so many lines and so many steps ends the run. A single step proves nothing."""


class UniformGuard:
    """Compares the loss on the training text with ln V, that of a model that gives all words the same chance.

    A loss clearly above it counts unless it is the lowest so far, since a model may start there and learn.

    Args:
        vocab_size: V.
        ends_run: Whether a loss that stays there ends training, or is only told.
    """

    def __init__(self, vocab_size: int, *, ends_run: bool = True) -> None:
        self._uniform = math.log(vocab_size)
        self._ends_run = ends_run
        self._lowest = math.inf
        self._well_until = 0
        """The step of the last line that did not count."""
        self._streak = 0
        """Lines that counted since."""

    def check(self, step: int, loss: float) -> str | None:
        """Looks at a line of the log; returns what is worth telling, once a streak.

        Args:
            step: Of the line.
            loss: On the training text, in nats per token.

        Raises:
            DivergenceError: The loss stays above ln V.
        """
        counts = loss > _CLEARLY * self._uniform and not loss < self._lowest < math.inf
        self._lowest = min(self._lowest, loss)
        if not counts:
            self._well_until, self._streak = step, 0
            return None
        self._streak += 1
        what = (
            f"at step {step:,} train/loss is {loss:.4g} and no longer falls; guessing all words alike would "
            f"cost ln V = {self._uniform:.4g}"
        )
        advice = "lower train.optimizer.lr"
        if self._ends_run and self._streak >= _LINES and step - self._well_until >= _STEPS:
            raise DivergenceError(
                f"training diverged: {what}; {advice}, or set train.stop_above_uniform: false"
            )
        return f"{what}; {advice}" if self._streak == _LINES - 1 else None

    def state_dict(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        lowest = self._lowest if math.isfinite(self._lowest) else None
        return {"lowest": lowest, "well_until": self._well_until, "streak": self._streak}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that ``state_dict`` gave."""
        self._lowest = math.inf if state["lowest"] is None else float(state["lowest"])
        self._well_until, self._streak = int(state["well_until"]), int(state["streak"])
