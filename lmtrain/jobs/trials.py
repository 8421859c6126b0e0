"""The trials of a sweep, and who watches them. Nothing slow is imported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmtrain.run.observer import Observer

COMPLETE, PRUNED, DIVERGED, INVALID, UNFINISHED = "complete", "pruned", "diverged", "invalid", "unfinished"


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the study has it."""

    number: int
    state: str
    """``complete``, ``pruned``, ``diverged``, ``unfinished``; ``invalid``: values that do not go together."""
    perplexity: float | None
    """The best validation perplexity; None before the first evaluation."""
    evaluations: int
    """Of the validation texts."""
    values: dict[str, Any]
    """Of the parameters by name."""
    run_dir: Path


class SweepObserver(Observer):
    """Watches a sweep, and in it each run."""

    def on_trial(self, trial: TrialRecord, assignments: list[str]) -> None:
        """A trial begins or goes on; the assignments are what ``--set`` would take."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """A trial has ended, in one way or another."""
