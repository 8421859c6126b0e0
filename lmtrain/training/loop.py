"""The loop around the trainer: step, maybe evaluate, maybe log, maybe snapshot."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, indent
from typing import Any, Protocol

from torch import Tensor

from lmtrain.errors import DivergenceError, Interrupted
from lmtrain.inference.evaluation import Evaluation, perplexity
from lmtrain.machine.interrupt import StopRequest
from lmtrain.training.loggers import RunLog, finite
from lmtrain.training.trainer import Trainer, TrainingFigures

_MAX_SAMPLE_TEXT = 100_000
"""Characters: the text waits in a snapshot until it is logged, and a snapshot is no place for more."""
_SAMPLE_WIDTH = 100


@dataclass(frozen=True)
class TableRow:
    """One line of the table of epochs."""

    step: int
    epoch: float
    train: TrainingFigures
    """Over all words since the line before."""
    valid: Evaluation | None
    is_best: bool
    elapsed: float
    """Seconds of this run, interruptions left out."""


class Observer(Protocol):
    """Who watches a run: a terminal, a notebook, a test."""

    def on_step(self, step: int) -> None:
        """An update was made."""

    def on_figures(self, step: int, figures: TrainingFigures) -> None:
        """A line of the log was written."""

    def on_row(self, row: TableRow) -> None:
        """A line of the table of epochs is ready."""

    def on_samples(self, step: int, samples: list[str]) -> None:
        """The model wrote something."""

    def on_snapshot(self, path: Path) -> None:
        """A snapshot was written."""


@dataclass(frozen=True)
class Intervals:
    """How often, each in steps or ``epoch``."""

    evaluation: int | str = "epoch"
    snapshot: int | str = "epoch"
    logging: int = 50


class TrainingLoop:
    """Runs a trainer to its end, from wherever it stands.

    The turns of the loop are cut so that it can stop between any two of its parts and go on from a
    snapshot as if it had not: what has been done at a step is part of the state.

    Args:
        trainer: Makes the steps.
        total_steps: Where training ends.
        intervals: When to do what.
        evaluate: Scores the validation text; None if there is none. May raise ``Interrupted``.
        sample: Lets the model write something.
        activations: What goes on inside the model, numbers by tag: logged with an evaluation.
        write_snapshot: Given this loop, writes its ``state_dict`` and the model.
        log: Where figures go.
        observer: Who watches.
        stop: Asked between any two parts whether to stop.
        patience: Evaluations without improvement after which training ends; None never.
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        total_steps: int,
        intervals: Intervals,
        evaluate: Callable[[], Evaluation] | None,
        sample: Callable[[], list[str]],
        activations: Callable[[], Mapping[str, Tensor]],
        write_snapshot: Callable[["TrainingLoop"], Path],
        log: RunLog,
        observer: Observer,
        stop: StopRequest,
        patience: int | None = None,
    ) -> None:
        self.trainer = trainer
        self.total_steps = total_steps
        self.best_step: int | None = None
        self.best_loss: float | None = None
        """Validation loss in nats per token at ``best_step``."""
        self._intervals = intervals
        self._evaluate = evaluate
        self._sample = sample
        self._activations = activations
        self._write_snapshot = write_snapshot
        self._log = log
        self._observer = observer
        self._stop = stop
        self._patience = patience
        self._bad_evaluations = 0
        self._evaluated_step = 0
        self._logged_step = 0
        self._row: dict[str, float | None] = {}
        self._texts: dict[str, str] = {}
        self._saved: tuple[int, int] | None = None
        self._elapsed = 0.0
        self._started = time.perf_counter()

    @property
    def is_done(self) -> bool:
        """Whether training has come to its end."""
        is_patient = self._patience is None or self._bad_evaluations < self._patience
        return self.trainer.steps >= self.total_steps or not is_patient

    @property
    def elapsed(self) -> float:
        """Seconds of this run, interruptions left out."""
        return self._elapsed + time.perf_counter() - self._started

    def run(self) -> None:
        """Trains to the end. The last line of the log waits for ``finish``.

        Raises:
            Interrupted: A stop was requested; a snapshot holds where.
            DivergenceError: A loss or gradient was not finite; the last snapshot is from before.
        """
        self._started = time.perf_counter()
        try:
            while True:
                if self._is_due(self._intervals.evaluation, self._evaluated_step):
                    self._evaluate_now()
                if self.is_done:
                    break
                self._flush()
                if self._is_due(self._intervals.snapshot, self._saved_step) or self._is_unsaved_best():
                    self._save()
                self._stop.check()
                self.trainer.step()
                self._observer.on_step(self.trainer.steps)
                if self._is_due(self._intervals.logging, self._logged_step):
                    self._log_figures()
        except Interrupted as request:
            self._save()
            raise Interrupted(
                f"{request} at step {self.trainer.steps:,}; a snapshot was written, "
                "the same command continues from it",
                request.signal_number,
            ) from None
        self._save()

    def finish(self, figures: Mapping[str, float | None]) -> None:
        """Writes the last line of the log, with these figures in it: with it the run is finished."""
        self._row.update(figures)
        self._note_time()
        self._flush()
        self._log.finish()
        self._log.sync()

    def forget_best(self) -> None:
        """Starts the record anew: the best snapshot so far is not among those of this run."""
        self.best_step = self.best_loss = None

    def state_dict(self) -> dict[str, Any]:
        """All that changes during training: tensors and JSON values, nested."""
        return {
            "trainer": self.trainer.state_dict(),
            "best_step": self.best_step,
            "best_loss": self.best_loss,
            "bad_evaluations": self._bad_evaluations,
            "evaluated_step": self._evaluated_step,
            "logged_step": self._logged_step,
            "row": finite(self._row),
            "texts": dict(self._texts),
            "elapsed": self.elapsed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that ``state_dict`` gave."""
        self.trainer.load_state_dict(state["trainer"])
        self.best_step = state["best_step"]
        self.best_loss = state["best_loss"]
        self._bad_evaluations = int(state["bad_evaluations"])
        self._evaluated_step = int(state["evaluated_step"])
        self._logged_step = int(state["logged_step"])
        self._row = dict(state["row"])
        self._texts = dict(state["texts"])
        self._elapsed = float(state["elapsed"])
        self._saved = self._now

    @property
    def will_log_present_step(self) -> bool:
        """Whether the line of the present step has yet to be written to the log."""
        return bool(self._row) or self._is_due(self._intervals.evaluation, self._evaluated_step)

    @property
    def _now(self) -> tuple[int, int]:
        """What a snapshot depends on: evaluating changes the state without a step."""
        return self.trainer.steps, self._evaluated_step

    @property
    def _saved_step(self) -> int:
        return self._saved[0] if self._saved else 0

    def _is_due(self, interval: int | str, done_at: int) -> bool:
        step = self.trainer.steps
        if step == done_at:
            return False
        is_end = step >= self.total_steps
        return is_end or (
            self.trainer.windows.is_new_epoch if isinstance(interval, str) else step % interval == 0
        )

    def _log_figures(self) -> None:
        self.trainer.check_finite()
        figures = self.trainer.meter.read(self.trainer.optimizer.lr)
        self._logged_step = self.trainer.steps
        self._row = {
            "epoch": self.trainer.windows.epoch_detail,
            "elapsed": self.elapsed,
            "train/loss": figures.loss,
            "train/perplexity": figures.perplexity,
            "train/grad_norm": figures.grad_norm,
            "train/grad_norm_clipped": figures.grad_norm_clipped,
            "train/lr": figures.lr,
            "train/words_per_second": figures.words_per_second,
            **{f"weights/{name}": norm for name, norm in self.trainer.weight_norms().items()},
        }
        self._observer.on_figures(self.trainer.steps, figures)

    def _evaluate_now(self) -> None:
        self.trainer.check_finite()
        valid = self._evaluate() if self._evaluate else None
        is_best = False
        if valid is not None:
            self._note_time()
            if not math.isfinite(valid.loss):
                raise DivergenceError(
                    f"training diverged: the validation loss at step {self.trainer.steps:,} is not finite"
                )
            self.trainer.schedule.on_evaluation(valid.loss)
            if self.best_loss is None or valid.loss < self.best_loss:
                self.best_step, self.best_loss = self.trainer.steps, valid.loss
            is_best = self.best_step == self.trainer.steps
            self._bad_evaluations = 0 if is_best else self._bad_evaluations + 1
            self._row.update(metrics("valid", valid))
            self._row["valid/best_perplexity"] = perplexity(self.best_loss, 1)
        samples = self._sample()
        if samples:
            self._texts["samples"] = _as_markdown(samples)[:_MAX_SAMPLE_TEXT]
        train = self.trainer.table_meter.read(self.trainer.optimizer.lr)
        self._evaluated_step = self.trainer.steps
        self._observer.on_row(
            TableRow(
                self.trainer.steps, self.trainer.windows.epoch_detail, train, valid, is_best, self.elapsed
            )
        )
        if samples:
            self._observer.on_samples(self.trainer.steps, samples)

    def _note_time(self) -> None:
        """When the present line of the log is of, unless it says so already."""
        self._row.setdefault("epoch", self.trainer.windows.epoch_detail)
        self._row.setdefault("elapsed", self.elapsed)

    def _flush(self) -> None:
        if self._row:
            # Made from the weights, which no step has changed since: they need no place in a snapshot.
            activations = self._activations() if "valid/loss" in self._row else {}
            self._log.write(self.trainer.steps, self._row, self._texts, activations)
            self._row, self._texts = {}, {}

    def _is_unsaved_best(self) -> bool:
        return self.best_step == self.trainer.steps and self._saved != self._now

    def _save(self) -> None:
        if self._saved == self._now:
            return
        self.trainer.check_weights()
        self._log.sync()
        path = self._write_snapshot(self)
        self._saved = self._now
        self._observer.on_snapshot(path)


def _as_markdown(samples: list[str]) -> str:
    """Each sample in lines that fit a screen, indented: TensorBoard's Markdown leaves them as they stand."""
    lines = [line for sample in samples for line in [*sample.split("\n"), ""]]
    wrapped = [fill(line, _SAMPLE_WIDTH, subsequent_indent="    ", break_long_words=False) for line in lines]
    return indent("\n".join(wrapped), "    ").rstrip()


def metrics(split: str, evaluation: Evaluation) -> dict[str, float | None]:
    """The figures of a held-out text by tag."""
    return {
        f"{split}/loss": evaluation.loss,
        f"{split}/perplexity": evaluation.perplexity,
        f"{split}/accuracy": evaluation.accuracy,
    }
