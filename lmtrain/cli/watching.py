"""Who watches a run for a person: while its texts are read, while it is tried out, while it trains."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from lmtrain.cli.progress import Progress, watched
from lmtrain.cli.text import above, command, duration, note, say, tensorboard_command
from lmtrain.run.observer import Observer, RunResult, RunStart, TableRow

if TYPE_CHECKING:
    from lmtrain.inference.evaluation import Evaluation
    from lmtrain.training.trainer import TrainingFigures


class Reader(Observer):
    """Shows how the texts are read."""

    _has_told = False

    def on_note(self, text: str) -> None:
        """A line on standard error."""
        note(text)

    def watch_reading(self, blocks: Iterable[bytes], what: str, size: int | None) -> Iterator[bytes]:
        """A bar, and a line before the first."""
        if not self._has_told:
            self._has_told = True
            note("reading the texts; the next run finds them in the cache")
        return watched(blocks, size, "B", what, len)


class Trial(Reader):
    """Shows how far a dry run has come."""

    _progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.close()

    def on_start(self, start: RunStart) -> None:
        """All is read and built: a bar of steps."""
        self._progress = Progress(start.total_steps, "steps", "trying")

    def on_step(self, step: int) -> None:  # noqa: ARG002
        """One more."""
        assert self._progress is not None  # noqa: S101
        self._progress.advance()


class Terminal(Reader):
    """Watches a run: the table on standard output, everything else on standard error.

    Args:
        table: Where the table goes instead.
    """

    def __init__(self, table: TextIO | None = None) -> None:
        self._table = table
        self._progress: Progress | None = None
        self._has_header = False
        self._has_estimate = False
        self._samples: list[str] = []
        self._unseen = Path("FILE")
        self._shows_without_unk = False
        self._best: Evaluation | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    @property
    def has_started(self) -> bool:
        """Whether there are steps that a stop would lose, had it no snapshot."""
        return self._progress is not None

    def on_start(self, start: RunStart) -> None:
        """What is trained, where to watch it, and a bar of steps."""
        from lmtrain.run.build import has_many_unk

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
        if corpora.valid:
            note("* marks the best validation so far, whose model is kept")
        self._shows_without_unk = corpora.valid is not None and has_many_unk(corpora.valid)
        self._unseen = next(iter((*start.config.data.test, *start.config.data.valid)), Path("FILE"))
        if start.step:
            note(f"continuing from step {start.step:,} of {start.total_steps:,}")
        self._progress = Progress(start.total_steps, "steps", initial=start.step)

    def on_step(self, step: int) -> None:  # noqa: ARG002
        """One more."""
        assert self._progress is not None  # noqa: S101
        self._progress.advance()

    def on_figures(self, step: int, figures: "TrainingFigures") -> None:  # noqa: ARG002
        """Beside the bar."""
        assert self._progress is not None  # noqa: S101
        mark = "~" if self._has_estimate else ""
        speed = f"{figures.words_per_second:,.0f} words/s"
        self._progress.show(f"{mark}loss {figures.loss:.3f}, {mark}ppl {figures.perplexity:.1f}, {speed}")

    def on_row(self, row: TableRow) -> None:
        """A line of the table, its header before the first."""
        if not self._has_header:
            self._has_header = True
            mark = "~" if self._has_estimate else " "
            without = "  w/o <unk>" if self._shows_without_unk else ""
            self._say(
                f" epoch {mark}train loss {mark}train ppl  valid ppl{without}  valid acc        lr  words/s"
                "  elapsed"
            )
        if row.is_best:
            self._best = row.valid
        valid = f"{_figure(row.valid.perplexity if row.valid else None):>9}{'*' if row.is_best else ' '}"
        if self._shows_without_unk:
            valid += f"{_figure(row.valid.perplexity_without_unk if row.valid else None):>10} "
        valid += f" {row.valid.accuracy:8.4f}" if row.valid else f" {'-':>8}"
        self._say(
            f"{row.epoch:6.2f}  {row.train.loss:10.4f}  {_figure(row.train.perplexity):>9}  {valid}"
            f" {row.train.lr:9.3g} {row.train.words_per_second:8,.0f} {duration(row.elapsed):>8}"
        )

    def on_samples(self, step: int, samples: list[str]) -> None:
        """Those before the first step at once, the last ones in the end."""
        self._samples = samples
        if step == 0 and samples:
            self._print_samples("before training the model writes:")

    def on_end(self, result: RunResult) -> None:
        """What came of it, and what to do with the model."""
        self._close()
        if result.was_finished:
            from lmtrain.inference.evaluation import perplexity

            best = result.best_loss
            figure = "" if best is None else f", valid perplexity {perplexity(best, 1):.2f}"
            note(
                f"already finished: {result.run_dir}, {result.steps:,} steps{figure}; nothing to do, next:\n"
                f"{_next_commands(result.run_dir, self._unseen)}"
            )
            return
        if self._samples:
            self._print_samples("after training it writes:")
        if result.best_loss is not None:
            from lmtrain.inference.evaluation import perplexity

            self._say(
                f"valid perplexity {perplexity(result.best_loss, 1):.2f} at step {result.best_step:,}"
                f"{_without_unk(self._best)}"
            )
        if result.test is not None:
            without = _without_unk(result.test)
            self._say(f"test perplexity {result.test.perplexity:.2f} with that model{without}")
            if result.source_perplexity is not None:
                self._say(
                    f"the source's own perplexity on the same text is {result.source_perplexity:.2f}: "
                    f"{above(result.test.perplexity, result.source_perplexity)} the best possible"
                )
        for remark in result.unknown_words:
            note(remark)
        note(f"done in {duration(result.elapsed)}; next:\n{_next_commands(result.run_dir, self._unseen)}")

    def _print_samples(self, title: str) -> None:
        """The first lines of each sample; a model that knows little yet writes many empty ones."""
        lines = [line for sample in self._samples for line in [*filter(None, sample.split("\n"))][:2]]
        self._say("\n".join([title, *(f"  {line}" for line in lines), ""]))

    def _say(self, text: str) -> None:
        say(text, self._table or sys.stdout)

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.close()


def _figure(perplexity: float | None) -> str:
    """A perplexity that fits its column, also of a run that is about to diverge."""
    if perplexity is None:
        return "-"
    return f"{perplexity:.2f}" if perplexity < 1e6 else f"{perplexity:.3g}"


def _without_unk(evaluation: "Evaluation | None") -> str:
    """The perplexity without ``<unk>``, where there is any; that of a model before a resume is not known."""
    if evaluation is None or not evaluation.num_oov:
        return ""
    return f", {evaluation.perplexity_without_unk:.2f} without <unk>"


def _next_commands(run_dir: Path, unseen: Path) -> str:
    """What to do with a model; ``unseen`` is a text to do it with."""
    commands = (
        ("generate", run_dir),
        ("eval", run_dir, "--data", unseen),
        ("score", run_dir, "FILE"),
        ("plot", run_dir),
        ("diagnose", run_dir, "--data", unseen),
    )
    return "\n".join(command(*words) for words in commands)
