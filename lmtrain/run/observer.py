"""Who watches a run, and what they are told. Nothing slow is imported."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from lmtrain.config import Config
    from lmtrain.inference.evaluation import Evaluation
    from lmtrain.run.build import Corpora
    from lmtrain.training.trainer import Trainer, TrainingFigures


@dataclass(frozen=True)
class RunStart:
    """A run that is ready for its next step."""

    run_dir: Path
    config: "Config"
    corpora: "Corpora"
    trainer: "Trainer"
    device: "torch.device"
    threads: int
    total_steps: int

    @property
    def step(self) -> int:
        """Steps made so far."""
        return self.trainer.steps


@dataclass(frozen=True)
class TableRow:
    """One line of the table of epochs."""

    step: int
    epoch: float
    train: "TrainingFigures"
    """Over all words since the line before."""
    valid: "Evaluation | None"
    is_best: bool
    elapsed: float
    """Seconds of this run, interruptions left out."""


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    run_dir: Path
    was_finished: bool
    """Whether there was nothing left to do."""
    steps: int
    best_step: int | None
    best_loss: float | None
    """Validation loss in nats per token at ``best_step``."""
    test: "Evaluation | None"
    """Of the best model, or the last where none was validated."""
    source_perplexity: float | None
    """What the source of a synthetic test text itself reaches on it."""
    elapsed: float
    unknown_words: tuple[str, ...] = ()
    """What to say of texts of which much is ``<unk>``."""


class Observer:
    """A terminal, a notebook, a test: each takes up what it cares for."""

    def watch_reading(self, blocks: Iterable[bytes], what: str, size: int | None) -> Iterable[bytes]:  # noqa: ARG002
        """Hands on the blocks of a text that is read for the first time; ``size`` in bytes, if known."""
        return blocks

    def on_start(self, start: RunStart) -> None:
        """Everything is built; the first step comes next."""

    def on_note(self, text: str) -> None:
        """Something worth knowing, in one line."""

    def on_step(self, step: int) -> None:
        """An update was made."""

    def on_figures(self, step: int, figures: "TrainingFigures") -> None:
        """Training figures were logged."""

    def on_row(self, row: TableRow) -> None:
        """A line of the table of epochs is ready. May raise ``Interrupted`` to end the run there."""

    def on_samples(self, step: int, samples: list[str]) -> None:
        """The model wrote something."""

    def on_snapshot(self, path: Path) -> None:
        """A snapshot was written."""
