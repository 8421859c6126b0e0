"""``lmtrain train``."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from lmtrain.cli.completion import complete_resume
from lmtrain.cli.options import DeviceOption, SetOption
from lmtrain.cli.progress import Progress
from lmtrain.cli.streams import take_output_for_messages
from lmtrain.cli.text import (
    command,
    duration,
    note,
    print_json,
    print_pairs,
    say,
    size,
    tensorboard_command,
)
from lmtrain.errors import Interrupted, UsageError
from lmtrain.run.observer import Observer, RunResult, RunStart, TableRow

if TYPE_CHECKING:
    from lmtrain.jobs.dry_run import Estimate
    from lmtrain.training.trainer import TrainingFigures


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
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="A model whose weights and words a new run begins with; all else is fresh.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            metavar="N",
            help="Threads of the processor, as train.threads.  [default: by the size of the model]",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read, build and estimate memory, disk and time; train nothing."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what --dry-run finds as one JSON object.")
    ] = False,
) -> None:
    """Trains a language model, or continues an interrupted run.

    Ctrl-C stops it at a snapshot; the same command continues.

    Example: lmtrain train --config configs/quickstart.yaml

    Example: lmtrain train --config mine.yaml --set train.epochs=3 --dry-run
    """
    from lmtrain.config import load_config
    from lmtrain.files.paths import refuse_misplaced
    from lmtrain.run.layout import owning

    if as_json and not dry_run:
        raise UsageError("--json prints what --dry-run finds; a run writes metrics.jsonl")
    overrides = [*(overrides or ()), *([f"train.threads={threads}"] if threads else [])]
    resolved = load_config(config, overrides)
    if not resolved.data.synthetic:  # which are made where they are not
        refuse_misplaced((*resolved.data.train, *resolved.data.valid, *resolved.data.test), config.parent)
    if dry_run and start_from:
        raise UsageError("--dry-run estimates what a config alone says; leave --from out")
    again = _command(config, overrides, run_dir, device)
    resuming = " " + shlex.join(["--resume", resume]) if resume != "auto" else ""
    run_dir = run_dir or Path("runs") / resolved.name
    if dry_run:
        from lmtrain.jobs.dry_run import dry_run as try_out

        note("reading the texts, and trying a few steps …")
        estimate = try_out(resolved, run_dir, device)
        if as_json:
            print_json(estimate.to_dict())
        else:
            _print_estimate(estimate)
        estimate.refuse_shortage()
        return
    take_output_for_messages()
    with owning(run_dir), _Terminal() as terminal:  # before torch is imported, which takes seconds
        try:
            from lmtrain.run.train import train as train_run

            result = train_run(
                resolved, terminal, run_dir=run_dir, resume=resume, start_from=start_from, device=device
            )
        except Interrupted as request:
            if terminal.has_started:
                what = ", without --resume" if resume != "auto" else ""
            else:
                begun = f" --from {shlex.quote(str(start_from))}" if start_from else ""
                what, again = " before the first step; the same command trains", again + begun + resuming
            raise Interrupted(f"{request}{what}:\n{again}", request.signal_number) from None
        terminal.on_end(result)


def _command(config: Path, overrides: Sequence[str], run_dir: Path | None, device: str) -> str:
    """What continues the run, whatever ``--resume`` it was begun with."""
    options = [word for override in overrides for word in ("--set", override)]
    options += ["--run-dir", str(run_dir)] if run_dir else []
    options += ["--device", device] if device != "auto" else []
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


class _Terminal(Observer):
    """Watches a run: the table on standard output, everything else on standard error."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._has_header = False
        self._has_estimate = False
        self._samples: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    @property
    def has_started(self) -> bool:
        """Whether there are steps that a stop would lose, had it no snapshot."""
        return self._progress is not None

    def on_start(self, start: RunStart) -> None:
        options, corpora = start.config.model, start.corpora
        parameters = sum(p.numel() for p in start.trainer.model.parameters())
        note(
            f"{start.config.name}: {options.cell} {options.num_layers} × {options.hidden_size}, "
            f"{parameters:,} parameters, vocabulary {len(corpora.vocab):,}, "
            f"{corpora.train.num_tokens:,} training tokens, on {start.device}, "
            f"{start.config.train.precision}, {start.threads} thread{'s' if start.threads > 1 else ''}"
        )
        note(f"watch it in a browser:\n{tensorboard_command(start.run_dir)}")
        self._has_estimate = options.softmax == "sampled"
        if self._has_estimate:
            note("~train: estimated with sampled words, lies low; valid and test are exact")
        if start.step:
            note(f"continuing from step {start.step:,} of {start.total_steps:,}")
        self._progress = Progress(start.total_steps, "steps", initial=start.step)

    def on_step(self, step: int) -> None:  # noqa: ARG002
        assert self._progress is not None  # noqa: S101
        self._progress.advance()

    def on_figures(self, step: int, figures: "TrainingFigures") -> None:  # noqa: ARG002
        assert self._progress is not None  # noqa: S101
        mark = "~" if self._has_estimate else ""
        speed = f"{figures.words_per_second:,.0f} words/s"
        self._progress.show(f"{mark}loss {figures.loss:.3f}, {mark}ppl {figures.perplexity:.1f}, {speed}")

    def on_row(self, row: TableRow) -> None:
        if not self._has_header:
            self._has_header = True
            mark = "~" if self._has_estimate else " "
            _print(
                f" epoch {mark}train loss {mark}train ppl  valid ppl  valid acc        lr  words/s  elapsed"
            )
        valid = (
            f"{row.valid.perplexity:9.2f}{'*' if row.is_best else ' '} {row.valid.accuracy:9.4f}"
            if row.valid
            else f"{'-':>9}  {'-':>9}"
        )
        _print(
            f"{row.epoch:6.2f}  {row.train.loss:10.4f}  {row.train.perplexity:9.2f}  {valid}"
            f" {row.train.lr:9.3g} {row.train.words_per_second:8,.0f} {duration(row.elapsed):>8}"
        )

    def on_samples(self, step: int, samples: list[str]) -> None:
        self._samples = samples
        if step == 0 and samples:
            self._print_samples("before training the model writes:")

    def on_note(self, text: str) -> None:
        note(text)

    def on_end(self, result: RunResult) -> None:
        self._close()
        if result.was_finished:
            note(
                f"already finished: {result.run_dir}, {result.steps:,} steps; nothing to do, next:\n"
                f"{_next_commands(result.run_dir)}"
            )
            return
        if self._samples:
            self._print_samples("after training it writes:")
        if result.best_loss is not None:
            from lmtrain.inference.evaluation import perplexity

            _print(f"valid perplexity {perplexity(result.best_loss, 1):.2f} at step {result.best_step:,}")
        if result.test is not None:
            _print(f"test perplexity {result.test.perplexity:.2f} with that model")
            if result.source_perplexity is not None:
                _print(
                    f"the source's own perplexity on the same text is {result.source_perplexity:.2f}, "
                    f"ratio {result.test.perplexity / result.source_perplexity:.4f}"
                )
        note(f"done in {duration(result.elapsed)}; next:\n{_next_commands(result.run_dir)}")

    def _print_samples(self, title: str) -> None:
        """The first lines of each sample; a model that knows little yet writes many empty ones."""
        lines = [line for sample in self._samples for line in [*filter(None, sample.split("\n"))][:2]]
        _print("\n".join([title, *(f"  {line}" for line in lines), ""]))

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.close()


def _next_commands(run_dir: Path) -> str:
    return f"{command('generate', run_dir)}\n{command('eval', run_dir, '--data', 'FILE')}"


def _print(text: str) -> None:
    say(text, sys.stdout)
