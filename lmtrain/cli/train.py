"""``lmtrain train``."""

import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from lmtrain.cli.completion import complete_resume
from lmtrain.cli.options import DeviceOption, SetOption
from lmtrain.cli.streams import take_output_for_messages
from lmtrain.cli.text import command, duration, note, print_json, print_pairs, print_table, say, size
from lmtrain.cli.watching import Terminal, Trial
from lmtrain.errors import DataError, DivergenceError, Interrupted, UsageError
from lmtrain.machine.place import Place, place_of_process
from lmtrain.run.layout import owning
from lmtrain.run.observer import Observer, RunResult

if TYPE_CHECKING:
    from lmtrain.config import Config
    from lmtrain.jobs.dry_run import Estimate
    from lmtrain.jobs.seeds import SeedGroup


def train(
    config: Annotated[
        Path,
        typer.Option(metavar="FILE", help="YAML file that says what to train.", show_default=False),
    ],
    overrides: SetOption = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the run lives.  [default: runs/NAME]", show_default=False),
    ] = None,
    resume: Annotated[
        str,
        typer.Option(
            metavar="auto|never|SNAPSHOT",
            help="auto: continue from the newest whole snapshot, if there is one. never: refuse a directory "
            "that holds a run. Or a snapshot directory to continue from.",
            autocompletion=complete_resume,
        ),
    ] = "auto",
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N,N…",
            help="A run for each of these seeds, one after the other, in DIR/seed-N; in the end a table of "
            "them, with mean and spread.",
            show_default=False,
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="A model whose weights and words a new run begins with; all else is fresh.",
            show_default=False,
        ),
    ] = None,
    nproc: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            metavar="N",
            help="Processes on this machine that train together, as torchrun starts them.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            metavar="N",
            help="Threads of each process, as train.threads.  [default: by the size of the model]",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read, build and estimate memory, disk and time; train nothing."),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print what --dry-run finds, or --seeds gives, as one JSON object."),
    ] = False,
) -> None:
    """Trains a language model, or continues an interrupted run.

    Ctrl-C stops it at a snapshot; the same command continues.

    Example: lmtrain train --config configs/quickstart.yaml

    Example: lmtrain train --config mine.yaml --set train.epochs=3 --dry-run
    """
    from lmtrain.config import load_config
    from lmtrain.files.paths import refuse_misplaced

    place = place_of_process()
    numbers = _seeds(seeds) if seeds is not None else ()
    _refuse_contradictions(resume, start_from, as_json, dry_run, bool(numbers))
    if numbers and any(override.partition("=")[0].strip() == "seed" for override in overrides or ()):
        raise UsageError("--seeds says which seeds there are; leave --set seed=… out")
    if nproc not in (None, 1, place.local_size) and place.size > 1:
        raise UsageError(f"--nproc {nproc}: torchrun has started {place.local_size}; leave one of them out")
    overrides = [*(overrides or ()), *([f"train.threads={threads}"] if threads else [])]
    resolved = load_config(config, overrides)
    if not resolved.data.synthetic:  # which are made where they are not
        texts = (*resolved.data.train, *resolved.data.valid, *resolved.data.test)
        refuse_misplaced(texts, config.parent)
        _refuse_unfetched(texts)
    again = _command(config, overrides, run_dir, device, seeds, nproc)
    run_dir = run_dir or Path("runs") / resolved.name
    if dry_run:
        if place.is_first:
            _try_out(resolved, run_dir, device, as_json)
        return
    if nproc and nproc > place.size:
        from lmtrain.cli.launch import launch

        launch(nproc)
    if not as_json:
        take_output_for_messages()
    start = _Start(resume, start_from, device, again, is_of_seeds=bool(numbers))
    if not numbers:
        _train(resolved, run_dir, start, place)
        return
    from lmtrain.jobs.seeds import read_group, seed_dir

    diverged = list[int]()
    for number in numbers:
        of_seed = load_config(config, [*overrides, f"seed={number}"])
        if place.is_first:
            note(f"seed {number}, in {seed_dir(run_dir, number)}")
        try:
            _train(of_seed, seed_dir(run_dir, number), start, place, sys.stderr if as_json else None)
        except DivergenceError as error:
            if place.size > 1:  # what they speak through ends with an error
                raise
            note(f"seed {number}: {error}")
            diverged.append(number)
    if not place.is_first:
        return
    group = read_group(run_dir, numbers)
    if as_json:
        print_json(group.to_dict())
    else:
        _print_group(group)
    if group.problem:
        note(f"no mean: {len(group.runs)} seeds, {group.problem}")
    if diverged:
        raise DivergenceError(f"training diverged with seed {', '.join(map(str, diverged))}")


def _seeds(text: str) -> tuple[int, ...]:
    fields = text.split(",")
    if not all(field.strip().isdecimal() and field.isascii() for field in fields):
        raise UsageError(f"--seeds {text}: expected whole numbers with commas between them, such as 1,2,3")
    numbers = tuple(map(int, fields))
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--seeds {text}: names a seed twice")
    return numbers


def _refuse_unfetched(texts: Sequence[Path]) -> None:
    from lmtrain.corpus.fetching.known import KNOWN_CORPORA, SPLITS

    for path in texts:
        name = path.parent.name
        is_fetched = path.stem in SPLITS and path.suffix == ".txt"
        if name in KNOWN_CORPORA and is_fetched and not (path.exists() or path.is_symlink()):
            to = "" if path.parent == Path("data", name) else f" --to {shlex.quote(str(path.parent))}"
            raise DataError(f"{path}: no such file; lmtrain data fetch {name}{to} brings it")


def _refuse_contradictions(
    resume: str, start_from: Path | None, as_json: bool, dry_run: bool, has_seeds: bool
) -> None:
    if as_json and not dry_run and not has_seeds:
        raise UsageError("--json prints what --dry-run or --seeds finds; a run writes metrics.jsonl")
    if dry_run and start_from:
        raise UsageError("--dry-run estimates what a config alone says; leave --from out")
    if dry_run and has_seeds:
        raise UsageError("--dry-run estimates one run, and all seeds take as long; leave --seeds out")
    if has_seeds and resume not in ("auto", "never"):
        raise UsageError("--resume names a snapshot of one run; with --seeds, give auto or never")


@dataclass(frozen=True)
class _Start:
    """How runs begin, and what a person types to go on with them."""

    resume: str
    start_from: Path | None
    device: str
    again: str
    """What continues, whatever ``--resume`` it was begun with."""
    is_of_seeds: bool = False
    """Whether there are several: those after the one that is stopped are still to begin."""

    def train(
        self, run: Callable[..., RunResult], config: "Config", observer: Observer, run_dir: Path
    ) -> RunResult:
        """Trains or continues the run of a directory."""
        return run(
            config,
            observer,
            run_dir=run_dir,
            resume=self.resume,
            start_from=self.start_from,
            device=self.device,
        )


def _train(config: "Config", run_dir: Path, start: _Start, place: Place, table: TextIO | None = None) -> None:
    if not place.is_first:
        from lmtrain.run.train import train as train_run

        start.train(train_run, config, Observer(), run_dir)
        return
    # One process on its own holds the directory before torch is imported, which takes seconds.
    with owning(run_dir) if place.size == 1 else nullcontext(), Terminal(table) as terminal:
        try:
            from lmtrain.run.train import train as train_run

            result = start.train(train_run, config, terminal, run_dir)
        except Interrupted as request:
            again = start.again
            what = "" if terminal.has_started else " before the first step; the same command trains"
            if start.start_from and (start.is_of_seeds or not terminal.has_started):
                again += f" --from {shlex.quote(str(start.start_from))}"
            if start.resume != "auto":
                if start.is_of_seeds or terminal.has_started:
                    what += ", without --resume"
                else:
                    again += f" --resume {shlex.quote(start.resume)}"
            raise Interrupted(f"{request}{what}:\n{again}", request.signal_number) from None
        terminal.on_end(result)


def _try_out(config: "Config", run_dir: Path, device: str, as_json: bool) -> None:
    from lmtrain.jobs.dry_run import dry_run as try_out

    note("reading the texts, and trying a few steps …")
    with Trial() as trial:
        estimate = try_out(config, run_dir, device, trial)
    if as_json:
        print_json(estimate.to_dict())
    else:
        _print_estimate(estimate)
    estimate.refuse_shortage()


def _print_group(group: "SeedGroup") -> None:
    def cells(name: str, valid: float | None, test: float | None) -> tuple[str, ...]:
        return (name, *("-" if value is None else f"{value:.2f}" for value in (valid, test)))

    rows = []
    for run in group.runs:
        name = f"seed {run.seed}" + (f", {run.status}" if run.status != "finished" else "")
        rows.append(cells(name, run.valid_perplexity, run.test_perplexity))
    for name in ("mean", "deviation", "best"):
        values = (getattr(spread, name) if spread else None for spread in (group.valid, group.test))
        rows.append(cells(name.replace("deviation", "standard deviation"), *values))
    _print("")
    print_table(("perplexity", "valid", "test"), rows, left=("perplexity",))


def _command(
    config: Path,
    overrides: Sequence[str],
    run_dir: Path | None,
    device: str,
    seeds: str | None,
    nproc: int | None,
) -> str:
    """What continues the run, whatever ``--resume`` it was begun with."""
    options = [word for override in overrides for word in ("--set", override)]
    options += ["--run-dir", str(run_dir)] if run_dir else []
    options += ["--device", device] if device != "auto" else []
    options += ["--seeds", seeds] if seeds else []
    options += ["--nproc", str(nproc)] if nproc else []
    return command("train", "--config", config, *options)


def _print_estimate(estimate: "Estimate") -> None:
    again = f", {estimate.repeated_tokens} of them read twice an epoch" if estimate.repeated_tokens else ""
    held_out = [
        (f"{name} tokens", f"{text.num_tokens:,}, {100 * text.num_oov / text.num_tokens:.1f} % unknown words")
        for name, text in (("validation", estimate.valid), ("test", estimate.test))
        if text
    ]
    done = f", {estimate.steps_done:,} of them done" if estimate.steps_done else ""
    memory, available = estimate.memory, estimate.memory_available
    free = f"; {size(available)} are available" if available is not None else ""
    training = (estimate.num_steps - estimate.steps_done) * estimate.seconds_per_step
    print_pairs(
        [
            ("parameters", f"{estimate.num_parameters:,}"),
            ("vocabulary", f"{estimate.vocab_size:,} words"),
            ("training tokens", f"{estimate.num_tokens:,}{again}"),
            *held_out,
            ("steps", f"{estimate.num_steps:,}{done}"),
            ("memory", f"{size(memory.total)} beside {size(memory.libraries)} of torch itself{free}"),
            ("  parameters", size(memory.parameters)),
            ("  gradients", size(memory.gradients)),
            ("  optimizer", size(memory.optimizer)),
            ("  activations, buffers", size(memory.rest)),
            ("disk", f"{size(estimate.disk_bytes)} of snapshots; {size(estimate.disk_free_bytes)} are free"),
            ("words per second", f"{estimate.words_per_second:,.0f}"),
            ("time", f"{duration(estimate.seconds)}, {duration(training)} of it training"),
        ]
    )


def _print(text: str) -> None:
    say(text, sys.stdout)
