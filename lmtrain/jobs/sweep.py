"""Hyper-parameter search: many runs of one config, each with other values of some keys.

Optuna proposes the values (the tree-structured Parzen estimator of Bergstra et al., 2011, "Algorithms for
hyper-parameter optimization") and prunes by the median rule: a trial ends early when its best validation
perplexity is worse than the median of what finished trials had after as many evaluations.

Everything is in the directory of the sweep: the study in ``study.db``, each trial an ordinary run in
``trial-0000``, and the config of the best one in ``best.yaml``. Each trial is proposed by a sampler whose
seed comes from the trial's number, so that an interrupted sweep goes on as if it had not been.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtrain.config import Config, config_from_dict
from lmtrain.config.differences import changes
from lmtrain.config.space import Choice, Parameter, Space
from lmtrain.errors import ConfigError, DivergenceError, Interrupted, StorageError, UsageError
from lmtrain.files.atomic import write_file
from lmtrain.inference.evaluation import perplexity
from lmtrain.jobs.trials import (
    COMPLETE,
    DIVERGED,
    INVALID,
    PRUNED,
    UNFINISHED,
    SweepObserver,
    TrialRecord,
)
from lmtrain.machine.interrupt import StopRequest
from lmtrain.run.layout import RunFiles, owning
from lmtrain.run.observer import Observer, RunStart, TableRow
from lmtrain.run.train import train
from lmtrain.training.trainer import TrainingFigures

if TYPE_CHECKING:
    import optuna

_NAME = "sweep"
_DEFINITION, _END, _EVALUATED = "definition", "end", "evaluated"


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended."""

    sweep_dir: Path
    was_finished: bool
    """Whether there was nothing left to do."""
    trials: list[TrialRecord]
    best: TrialRecord | None
    """Of the trials that ran to their end."""


def sweep(
    space: Space,
    observer: SweepObserver,
    *,
    sweep_dir: Path,
    num_trials: int,
    seed: int = 1,
    prune_after: int | None = 5,
    device: str = "auto",
) -> SweepResult:
    """Runs trials until there are so many, those of earlier calls included.

    Test texts are left alone: they must not take part in the choice.

    Args:
        space: The config and what is varied.
        observer: Who watches.
        sweep_dir: Where it lives; made if missing, and locked meanwhile.
        num_trials: Of the whole sweep.
        seed: Of the proposals.
        prune_after: Trials that run to their end before any is pruned; None never prunes.
        device: As of ``train``.

    Raises:
        LmtrainError: See ``lmtrain.errors``. A trial that diverges is no error, it is the worst of all.
        Interrupted: The trial stands in its snapshot, and the same call goes on from there.
    """
    if not space.base.data.valid:
        raise ConfigError(["data.valid: a sweep compares perplexities of validation texts; name some"])
    with StopRequest() as stop, owning(sweep_dir), _refusing_faults(sweep_dir):
        stop.defer()
        study = _Study(space, sweep_dir, seed, prune_after)
        was_finished = True
        while (trial := study.next_trial(num_trials)) is not None:
            stop.check()
            was_finished = False
            _run(trial, study, observer, device)
            observer.on_trial_end(study.record(trial.number))
        return SweepResult(sweep_dir, was_finished, study.records(), study.best())


@contextmanager
def _without_warnings() -> Iterator[None]:
    """What Optuna warns its programmers of is none of our users' business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Study:
    """The study of Optuna in a sweep's directory."""

    @_without_warnings()
    def __init__(self, space: Space, sweep_dir: Path, seed: int, prune_after: int | None) -> None:
        self._optuna = _import_optuna()
        self.space = space
        self.sweep_dir = sweep_dir
        self._seed = seed
        pruners = self._optuna.pruners
        self._study = self._optuna.create_study(
            storage=self._optuna.storages.RDBStorage(f"sqlite:///{sweep_dir / 'study.db'}"),
            study_name=_NAME,
            direction="minimize",
            pruner=pruners.NopPruner() if prune_after is None else pruners.MedianPruner(prune_after),
            load_if_exists=True,
        )
        definition = {"seed": seed, "space": space.values, "config": space.base.to_dict()}
        known = self._study.user_attrs.get(_DEFINITION)
        if known is None:
            self._study.set_user_attr(_DEFINITION, definition)
            return
        began_with = config_from_dict(known["config"], f"{sweep_dir}: the config of the sweep").to_dict()
        if problems := list(changes({**known, "config": began_with}, definition).values()):
            headline = (
                f"{sweep_dir}: holds a sweep that differs from this one; choose another --sweep-dir, or undo"
            )
            raise ConfigError(problems, headline)

    @_without_warnings()
    def next_trial(self, num_trials: int) -> "optuna.Trial | None":
        """One that was interrupted, else a new one, until there are so many."""
        trials = self._study.get_trials(deepcopy=False)
        unfinished = next((each for each in trials if not each.state.is_finished()), None)
        number = unfinished.number if unfinished else len(trials)
        self._study.sampler = self._optuna.samplers.TPESampler(seed=self._seed_of(number))
        trial: optuna.Trial | None = None
        if unfinished:
            trial = self._optuna.Trial(self._study, unfinished._trial_id)
        elif number < num_trials:
            trial = self._study.ask()
        return trial

    @_without_warnings()
    def values(self, trial: "optuna.Trial") -> dict[str, Any]:
        """What the trial is to try, by the name of the parameter; proposed once, then kept."""
        return {parameter.name: _suggested(trial, parameter) for parameter in self.space.parameters}

    @_without_warnings()
    def end(self, trial: "optuna.Trial", state: str, value: float | None = None) -> None:
        """Notes how a trial ended. All that did not complete count as bad, so that their like is avoided."""
        trial.set_user_attr(_END, state)
        states = self._optuna.trial.TrialState
        self._study.tell(trial, value, state=states.COMPLETE if state == COMPLETE else states.PRUNED)
        best = self.best()
        if best and best.number == trial.number:
            self._write_best(best)

    def records(self) -> list[TrialRecord]:
        """All trials in order."""
        return [self._record(frozen) for frozen in self._study.get_trials(deepcopy=False)]

    def record(self, number: int) -> TrialRecord:
        """One trial."""
        return self.records()[number]

    def last_reported(self, number: int) -> int:
        """The number of the last evaluation of a trial that takes part in pruning; 0 before the first."""
        seen = self._study.get_trials(deepcopy=False)[number].intermediate_values
        return max(seen, default=0)

    def best(self) -> TrialRecord | None:
        """The trial of the lowest perplexity among those that ran to their end."""
        complete = [trial for trial in self.records() if trial.state == COMPLETE]
        return min(complete, key=lambda trial: trial.perplexity or math.inf, default=None)

    def config(self, values: dict[str, Any], run_dir: Path) -> Config:
        """The config of a trial, which does not know the test texts."""
        config = self.space.config(values)
        data = config.data.model_copy(update={"test": ()})
        return config.model_copy(update={"name": run_dir.name, "data": data})

    def _record(self, frozen: "optuna.trial.FrozenTrial") -> TrialRecord:
        seen = frozen.intermediate_values
        evaluations = len(frozen.user_attrs.get(_EVALUATED, seen))
        values = {
            p.name: _value_of(p, frozen.params[p.name])
            for p in self.space.parameters
            if p.name in frozen.params
        }
        state = frozen.user_attrs.get(_END, UNFINISHED) if frozen.state.is_finished() else UNFINISHED
        run_dir = self.sweep_dir / f"trial-{frozen.number:04d}"
        lowest = frozen.value if state == COMPLETE else min(seen.values(), default=None)
        return TrialRecord(frozen.number, state, lowest, evaluations, values, run_dir)

    def _write_best(self, best: TrialRecord) -> None:
        config = self.space.config(best.values)
        config = config.model_copy(update={"name": f"{config.name[:95]}-best"})
        title = f"# Trial {best.number} of a sweep: validation perplexity {best.perplexity:.2f}.\n"
        write_file(self.sweep_dir / "best.yaml", (title + config.to_yaml()).encode())

    def _seed_of(self, number: int) -> int:
        return int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])


def _run(trial: "optuna.Trial", study: _Study, observer: SweepObserver, device: str) -> None:
    """Trains one trial, from its snapshot if it has one."""
    values = study.values(trial)
    record = study.record(trial.number)
    observer.on_trial(record, study.space.assignments(values))
    try:
        config = study.config(values, record.run_dir)
    except ConfigError as error:
        observer.on_note(str(error))
        study.end(trial, INVALID)
        return
    watch = _Pruning(observer, trial, config, study.last_reported(trial.number))
    try:
        result = train(config, watch, run_dir=record.run_dir, device=device)
    except ConfigError as error:
        if RunFiles(record.run_dir).snapshots.exists():  # it suited the texts, which are others by now
            raise
        observer.on_note(str(error))
        study.end(trial, INVALID)
    except DivergenceError as error:
        observer.on_note(str(error))
        study.end(trial, DIVERGED)
    except Interrupted:
        if not watch.has_pruned:
            raise
        study.end(trial, PRUNED)
    else:
        assert result.best_loss is not None  # noqa: S101  (there are validation texts)
        study.end(trial, COMPLETE, perplexity(result.best_loss, 1))


class _Pruning(Observer):
    """Watches the run of a trial: reports each evaluation, and ends the run where the study says so.

    Evaluations are numbered, not taken by their steps, which mean another amount of text where the batch
    size is varied.
    """

    def __init__(
        self, observer: SweepObserver, trial: "optuna.Trial", config: Config, num_reported: int
    ) -> None:
        self._observer = observer
        self._trial = trial
        self._every = config.evaluation.every
        self._num_reported = num_reported
        self._total_steps = 0
        self.has_pruned = False

    @_without_warnings()
    def on_row(self, row: TableRow) -> None:
        """Reports.

        Raises:
            Interrupted: The trial is pruned. Like a signal, it lets the run write a snapshot first.
        """
        self._observer.on_row(row)
        assert row.valid is not None  # noqa: S101  (there are validation texts)
        evaluated = self._trial.user_attrs.get(_EVALUATED, [])
        self._trial.set_user_attr(_EVALUATED, sorted({*evaluated, row.step}))
        done = row.epoch if isinstance(self._every, str) else row.step / self._every
        number = math.floor(done + 1e-9)  # the last one may come early: it is not compared with others
        if number > self._num_reported:
            self._num_reported = number
            self._trial.report(row.valid.perplexity, number)
        if row.step < self._total_steps and self._trial.should_prune():
            self.has_pruned = True
            raise Interrupted("pruned", 0)

    def on_start(self, start: RunStart) -> None:
        self._total_steps = start.total_steps
        self._observer.on_start(start)

    def on_step(self, step: int) -> None:
        self._observer.on_step(step)

    def on_figures(self, step: int, figures: TrainingFigures) -> None:
        self._observer.on_figures(step, figures)

    def on_samples(self, step: int, samples: list[str]) -> None:
        self._observer.on_samples(step, samples)

    def on_snapshot(self, path: Path) -> None:
        self._observer.on_snapshot(path)

    def on_note(self, text: str) -> None:
        self._observer.on_note(text)


def _suggested(trial: "optuna.Trial", parameter: Parameter) -> Any:
    values = parameter.values
    if isinstance(values, Choice):
        return _value_of(parameter, trial.suggest_categorical(parameter.name, range(len(values.values))))
    if values.is_whole:
        step = int(values.step or 1)
        return trial.suggest_int(
            parameter.name, int(values.low), int(values.high), step=step, log=values.is_log
        )
    return trial.suggest_float(parameter.name, values.low, values.high, step=values.step, log=values.is_log)


def _value_of(parameter: Parameter, stored: Any) -> Any:
    """A choice is stored by its number, since it may be a list or a mapping."""
    return parameter.values.values[stored] if isinstance(parameter.values, Choice) else stored


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UsageError("a sweep needs Optuna: pip install 'lmtrain[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def _refusing_faults(sweep_dir: Path) -> Iterator[None]:
    """Turns what the data base says of the disk, or of a file that is none of its own, into a clear error."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("sqlalchemy", "sqlite3") or (
            type(error).__name__ == "StorageInternalError"
        ):
            cause = str(error.__cause__ or error).splitlines()[0]
            raise StorageError(f"{sweep_dir / 'study.db'}: cannot be used: {cause}") from error
        raise
