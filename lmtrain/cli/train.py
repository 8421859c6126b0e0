"""``lmtrain train``."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from lmtrain.cli.options import DeviceOption, SetOption
from lmtrain.cli.text import duration, note, print_json, print_pairs, size
from lmtrain.errors import UsageError

if TYPE_CHECKING:
    from lmtrain.run.dry_run import Estimate
    from lmtrain.run.session import RunResult, RunStart
    from lmtrain.training.loop import TableRow
    from lmtrain.training.trainer import TrainingFigures

_PLAIN_LINE_SECONDS = 30.0
_BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


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
        ),
    ] = "auto",
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

    Example: lmtrain train --config configs/quickstart.yaml --run-dir runs/short --set train.epochs=3
    """
    from lmtrain.config import load_config
    from lmtrain.run.lock import owning

    if as_json and not dry_run:
        raise UsageError("--json prints what --dry-run finds; a run writes metrics.jsonl")
    resolved = load_config(config, overrides or ())
    run_dir = run_dir or Path("runs") / resolved.name
    if dry_run:
        from lmtrain.run.dry_run import dry_run as try_out

        estimate = try_out(resolved, run_dir, device)
        if as_json:
            print_json(estimate.to_dict())
        else:
            _print_estimate(estimate)
        estimate.refuse_shortage()
        return
    with owning(run_dir), _Terminal() as terminal:  # before torch is imported, which takes seconds
        from lmtrain.run.session import train as train_run

        result = train_run(resolved, terminal, run_dir=run_dir, resume=resume, device=device)
        terminal.on_end(result)


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


class _Terminal:
    """Watches a run: the table on standard output, everything else on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._has_header = False
        self._last_plain_line = time.monotonic()
        self._figures = ""
        self._samples: list[str] = []
        self._start: RunStart | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close_bar()

    def on_start(self, start: "RunStart") -> None:
        from tqdm import tqdm

        self._start = start
        options, corpora = start.config.model, start.corpora
        parameters = sum(p.numel() for p in start.model.parameters())
        note(
            f"{start.config.name}: {options.cell} {options.num_layers} × {options.hidden_size}, "
            f"{parameters:,} parameters, vocabulary {len(corpora.vocab):,}, "
            f"{corpora.train.num_tokens:,} training tokens, on {start.device}, {start.config.train.precision}"
        )
        note(f"watch it: tensorboard --logdir {start.run_dir}")
        if start.step:
            note(f"continuing from step {start.step:,} of {start.total_steps:,}")
        self._bar = tqdm(
            total=start.total_steps,
            initial=start.step,
            bar_format=_BAR,
            leave=False,
            dynamic_ncols=True,
            disable=None,  # where standard error is no terminal
        )

    def on_step(self, step: int) -> None:
        self._bar.update()
        if self._bar.disable and time.monotonic() - self._last_plain_line > _PLAIN_LINE_SECONDS:
            self._last_plain_line = time.monotonic()
            assert self._start is not None  # noqa: S101
            note(f"step {step:,} of {self._start.total_steps:,}  {self._figures}")

    def on_figures(self, step: int, figures: "TrainingFigures") -> None:  # noqa: ARG002
        self._figures = (
            f"loss {figures.loss:.3f}, ppl {figures.perplexity:.1f}, {figures.words_per_second:,.0f} words/s"
        )
        self._bar.set_postfix_str(self._figures, refresh=False)

    def on_row(self, row: "TableRow") -> None:
        if not self._has_header:
            self._has_header = True
            self._print(" epoch  train loss  train ppl  valid ppl  valid acc        lr  words/s  elapsed")
        valid = (
            f"{row.valid.perplexity:9.2f}{'*' if row.is_best else ' '} {row.valid.accuracy:9.4f}"
            if row.valid
            else f"{'-':>9}  {'-':>9}"
        )
        self._print(
            f"{row.epoch:6.2f}  {row.train.loss:10.4f}  {row.train.perplexity:9.2f}  {valid}"
            f" {row.train.lr:9.3g} {row.train.words_per_second:8,.0f} {duration(row.elapsed):>8}"
        )

    def on_samples(self, step: int, samples: list[str]) -> None:
        self._samples = samples
        if step == 0 and samples:
            self._print_samples("before training the model writes:")

    def on_snapshot(self, path: Path) -> None:
        """The run directory is named at the end."""

    def on_note(self, text: str) -> None:
        note(text)

    def on_end(self, result: "RunResult") -> None:
        self._close_bar()
        if result.was_finished:
            note(f"already finished: {result.run_dir}, {result.steps:,} steps; nothing to do")
            return
        if self._samples:
            self._print_samples("after training it writes:")
        if result.best_loss is not None:
            from lmtrain.inference.evaluate import perplexity

            self._print(
                f"valid perplexity {perplexity(result.best_loss, 1):.2f} at step {result.best_step:,}"
            )
        if result.test is not None:
            self._print(f"test perplexity {result.test.perplexity:.2f} with that model")
            if result.source_perplexity is not None:
                self._print(
                    f"the source's own perplexity on the same text is {result.source_perplexity:.2f}, "
                    f"ratio {result.test.perplexity / result.source_perplexity:.4f}"
                )
        note(
            f"done in {duration(result.elapsed)}. Next: lmtrain generate {result.run_dir}; "
            f"lmtrain eval {result.run_dir} --data FILE"
        )

    def _print_samples(self, title: str) -> None:
        """The first lines of each sample; a model that knows little yet writes many empty ones."""
        lines = [line for sample in self._samples for line in [*filter(None, sample.split("\n"))][:2]]
        self._print("\n".join([title, *(f"  {line}" for line in lines), ""]))

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print(self, text: str) -> None:
        if self._bar is None or self._bar.disable:
            typer.echo(text)
        else:
            self._bar.write(text, file=sys.stdout)
