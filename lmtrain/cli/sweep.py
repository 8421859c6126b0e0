"""``lmtrain sweep``."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import typer

from lmtrain.cli.options import DeviceOption, JsonOption, SetOption
from lmtrain.cli.progress import Progress
from lmtrain.cli.text import command, note, print_json, print_table
from lmtrain.errors import Interrupted, UsageError
from lmtrain.jobs.trials import SweepObserver, TrialRecord
from lmtrain.machine.place import place_of_process
from lmtrain.run.observer import RunStart, TableRow

if TYPE_CHECKING:
    from lmtrain.jobs.sweep import SweepResult


def sweep(
    config: Annotated[
        Path,
        typer.Option(metavar="FILE", help="YAML file that says what to train.", show_default=False),
    ],
    space: Annotated[
        Path,
        typer.Option(metavar="FILE", help="YAML file that says which keys to vary.", show_default=False),
    ],
    trials: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Trials of the whole sweep, earlier ones included.", show_default=False
        ),
    ],
    overrides: SetOption = None,
    sweep_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the sweep lives.  [default: runs/NAME-sweep]", show_default=False
        ),
    ] = None,
    pruner: Annotated[
        Literal["median", "none"],
        typer.Option(
            metavar="median|none",
            help="median: ends a trial that is worse than the median of finished ones after as many "
            "evaluations.",
        ),
    ] = "median",
    prune_after: Annotated[
        int, typer.Option(metavar="N", min=1, help="Trials that run to their end before any is pruned.")
    ] = 5,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the values proposed.")] = 1,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Searches for good values of some keys of a config, by Optuna.

    Every trial is an ordinary run in the directory of the sweep. The same command continues an interrupted
    sweep, a larger number of trials extends it. Test texts are not looked at.

    Example: lmtrain sweep --config mine.yaml --space space.yaml --trials 20
    """
    from lmtrain.config.document import Document
    from lmtrain.config.space import Space

    if place_of_process().size > 1:
        raise UsageError("a sweep is of one process; torchrun starts several, which train one run")
    document = Document(config)
    for override in overrides or ():
        document.override(override)
    what = Space(document, space)
    from lmtrain.jobs.sweep import sweep as search  # imports torch, which takes seconds

    with _Watcher(trials) as watcher:
        try:
            result = search(
                what,
                watcher,
                sweep_dir=sweep_dir or Path("runs") / f"{what.base.name}-sweep",
                num_trials=trials,
                seed=seed,
                prune_after=prune_after if pruner == "median" else None,
                device=device,
            )
        except Interrupted as request:
            again = command(*sys.argv[1:])
            raise Interrupted(f"{request}\nthe sweep goes on with:\n{again}", request.signal_number) from None
    if result.was_finished:
        note(f"already finished: {result.sweep_dir}, {len(result.trials)} trials; nothing to do")
    if as_json:
        print_json(_as_json(result))
    else:
        _print_table(result)
    if result.best:
        best, folder = result.best.run_dir, result.sweep_dir
        note(f"next:\n{command('info', best)}\n{command('train', '--config', folder / 'best.yaml')}")


def _as_json(result: "SweepResult") -> dict[str, Any]:
    def fields(trial: TrialRecord) -> dict[str, Any]:
        return {**dataclasses.asdict(trial), "run_dir": str(trial.run_dir)}

    return {
        "sweep_dir": str(result.sweep_dir),
        "trials": [fields(trial) for trial in result.trials],
        "best": fields(result.best) if result.best else None,
    }


def _print_table(result: "SweepResult") -> None:
    names = list(dict.fromkeys(name for trial in result.trials for name in trial.values))
    header = ["trial", "state", "valid ppl ", "evaluations", *names]
    rows = []
    for trial in result.trials:
        best = "*" if result.best and trial.number == result.best.number else " "
        figure = "-" if trial.perplexity is None else f"{trial.perplexity:.2f}"
        values = [_shown(trial.values.get(name)) for name in names]
        rows.append([str(trial.number), trial.state, f"{figure}{best}", str(trial.evaluations), *values])
    print_table(header, rows, left=("state",))


def _shown(value: Any) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    )


class _Watcher(SweepObserver):
    """Watches a sweep: lines and progress on standard error."""

    def __init__(self, num_trials: int) -> None:
        self._num_trials = num_trials
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def on_trial(self, trial: TrialRecord, assignments: list[str]) -> None:
        again = ", continued" if trial.evaluations else ""
        note(f"trial {trial.number} (of {self._num_trials}{again}): {', '.join(assignments)}")

    def on_trial_end(self, trial: TrialRecord) -> None:
        self._close()
        figure = "" if trial.perplexity is None else f", validation perplexity {trial.perplexity:.2f}"
        note(f"trial {trial.number}: {trial.state}{figure}")

    def on_start(self, start: RunStart) -> None:
        self._progress = Progress(start.total_steps, "steps", initial=start.step)

    def on_step(self, step: int) -> None:  # noqa: ARG002
        assert self._progress is not None  # noqa: S101
        self._progress.advance()

    def on_row(self, row: TableRow) -> None:
        if row.valid and self._progress:
            self._progress.show(f"valid ppl {row.valid.perplexity:.2f}")

    def on_note(self, text: str) -> None:
        note(text)

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.close()
            self._progress = None
