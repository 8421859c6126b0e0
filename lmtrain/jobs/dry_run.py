"""What a run would take: its texts read, then a run in miniature, made and measured and thrown away."""

import dataclasses
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lmtrain.config import Config
from lmtrain.config.options import ConstantSchedule, EmaOptions, NoAveraging, SgdOptions
from lmtrain.corpus.corpus import Corpus
from lmtrain.errors import Interrupted, StorageError
from lmtrain.inference.evaluation import Evaluation
from lmtrain.machine.device import compute_reproducibly, resolve_device
from lmtrain.machine.memory import PeakMemory, available_memory
from lmtrain.run.build import Corpora, build_model, build_windows, count_steps, load_corpora
from lmtrain.run.layout import RunFiles
from lmtrain.run.observer import Observer, RunStart, TableRow
from lmtrain.run.records import RunRecords
from lmtrain.run.together import Together
from lmtrain.run.train import Run, refuse_differences
from lmtrain.training.store import SnapshotStore
from lmtrain.training.trainer import Trainer, TrainingFigures

_STEPS, _EVALUATIONS = 12, 2
"""Of the miniature. The second half of the steps is timed."""
_HELD_OUT_TOKENS = 25_000
"""Of each held-out text: six windows. The first ones find gaps in memory too small and take new memory; from
then on, as measured, an evaluation takes no more, however long the text."""
_TINY_LR = 1e-30
"""The miniature learns nothing. So it cannot diverge, and its first evaluation stays the best: what it tests
is read from a snapshot, which takes more memory than to test the model at hand."""


@dataclass(frozen=True)
class Memory:
    """Bytes, at the moment when most is taken."""

    parameters: int
    gradients: int
    optimizer: int
    rest: int
    """Activations of a window, logits, buffers, the encoded texts, what libraries load when they are used."""
    libraries: int
    """What the process has before anything is built: Python, torch."""

    @property
    def total(self) -> int:
        """Of the run itself, without the libraries."""
        return self.parameters + self.gradients + self.optimizer + self.rest


@dataclass(frozen=True)
class HeldOutText:
    """A text to validate or test on."""

    num_tokens: int
    num_oov: int
    """Tokens that are unknown to the vocabulary of the training text."""


@dataclass(frozen=True)
class Estimate:
    """What a run would take, or what is left of it where its directory holds a part of it."""

    num_parameters: int
    vocab_size: int
    num_tokens: int
    repeated_tokens: int
    """Tokens of the last time step of an epoch that a stream reads a second time."""
    valid: HeldOutText | None
    test: HeldOutText | None
    num_steps: int
    """Of the whole training."""
    steps_done: int
    num_evaluations: int
    """Still to come."""
    num_snapshots: int
    memory: Memory
    memory_available: int | None
    """None where the system does not say."""
    disk_bytes: int
    """Of the snapshots that are kept, the best one and one being written."""
    disk_free_bytes: int
    words_per_second: float
    """Of training."""
    seconds_per_step: float
    seconds_per_evaluation: float
    seconds_of_test: float
    seconds_per_snapshot: float

    @property
    def seconds(self) -> float:
        """To the end: training, validation, snapshots and test."""
        return (
            (self.num_steps - self.steps_done) * self.seconds_per_step
            + self.num_evaluations * self.seconds_per_evaluation
            + self.num_snapshots * self.seconds_per_snapshot
            + self.seconds_of_test
        )

    def refuse_shortage(self) -> None:
        """Raises where the run could not come to its end.

        Raises:
            StorageError: The disk has no room for the snapshots.
        """
        if self.disk_bytes > self.disk_free_bytes:
            raise StorageError(
                f"the snapshots need {self.disk_bytes / 1e9:,.2f} GB of disk, "
                f"{self.disk_free_bytes / 1e9:,.2f} GB are free; lower snapshots.keep, or choose another "
                "--run-dir"
            )

    def to_dict(self) -> dict[str, Any]:
        """All figures, as JSON values."""
        memory = {**dataclasses.asdict(self.memory), "total": self.memory.total}
        return {**dataclasses.asdict(self), "memory": memory, "seconds": self.seconds}


def dry_run(
    config: Config, run_dir: Path | None = None, device: str = "auto", observer: Observer | None = None
) -> Estimate:
    """Reads what a run would read and makes a miniature of it, which leaves nothing behind.

    The miniature is made of what the run itself is made of: some steps, an evaluation of a piece of each
    held-out text, a snapshot on the same disk. Memory, speed and the size of snapshots are measured.

    Args:
        config: What would be trained.
        run_dir: Where; by default ``runs/NAME``. It is not touched.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        observer: Who watches the texts being read and the steps being tried.

    Raises:
        LmtrainError: As training itself would, and where there is not enough memory for it.
    """
    observer = observer or Observer()
    run_dir = run_dir or Path("runs") / config.name
    where = resolve_device(device)
    compute_reproducibly(where)
    peak = PeakMemory(where)
    corpora = load_corpora(config, watch=observer.watch_reading)
    _refuse_too_large(config, corpora, where)
    windows = build_windows(config, corpora)
    num_steps = count_steps(config, windows)
    steps_done = _steps_done(run_dir, config, corpora)
    miniature = _Miniature(config, corpora, num_steps, observer)
    with _temporary_folder(run_dir) as folder:
        miniature.train(folder, where)
        left_behind = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        free = shutil.disk_usage(folder).free + left_behind
    steps_per_epoch = windows.steps_for(1)
    left = num_steps - steps_done
    num_evaluations, num_snapshots = (
        _times(every, left, left / steps_per_epoch)
        for every in (config.evaluation.every, config.snapshots.every)
    )
    # A model that is the best so far is saved in any case.
    if corpora.valid and config.evaluation.every != config.snapshots.every:
        num_snapshots += num_evaluations
    return Estimate(
        num_parameters=sum(p.numel() for p in miniature.trainer.model.parameters()),
        vocab_size=len(corpora.vocab),
        num_tokens=corpora.train.num_tokens,
        repeated_tokens=_repeated(config, corpora.train.num_tokens),
        valid=_held_out(corpora.valid),
        test=_held_out(corpora.test),
        num_steps=num_steps,
        steps_done=steps_done,
        num_evaluations=num_evaluations,
        num_snapshots=num_snapshots,
        memory=_memory(miniature.trainer, corpora, peak),
        memory_available=available_memory(where),
        disk_bytes=miniature.snapshot_bytes * (config.snapshots.keep + 2),
        disk_free_bytes=free,
        **miniature.speeds(corpora, _tokens_per_step(config, corpora, steps_per_epoch)),
    )


class _Miniature(Observer):
    """A run that is like another one in all that takes memory and time, only short. It is timed.

    Args:
        config: Of the whole run.
        corpora: Of the whole run.
        num_steps: Of the whole run.
        observer: Who is told of its steps.
    """

    def __init__(self, config: Config, corpora: Corpora, num_steps: int, observer: Observer) -> None:
        self._observer = observer
        is_line = config.data.context == "line"
        num_steps = min(num_steps, _STEPS)
        train = corpora.train
        if is_line:
            num_steps = min(num_steps, -(-train.num_lines // config.train.batch_size))
            train = _sample_of_lines(train, config.train.batch_size, num_steps)
        pieces = (text and _piece(text, is_line) for text in (corpora.valid, corpora.test))
        self._corpora = Corpora(corpora.vocab, corpora.rules, train, *pieces)
        self._config = _shortened(config, num_steps)
        self._figures: TrainingFigures | None = None
        self._valid: Evaluation | None = None
        self._test: Evaluation | None = None
        self._stepped = self._validated = self._saved = 0.0
        self.trainer: Trainer
        self.snapshot_bytes = 0

    def train(self, folder: Path, device: torch.device) -> None:
        """Trains, validates, saves and tests."""
        # The request listens to no signal, so that one ends the program at once.
        records = RunRecords(SnapshotStore(RunFiles(folder).snapshots, keep=1))
        run = Run(self._config, self._corpora, folder, records, device, self, Together())
        try:
            self._test = run.train(None).test
        except Interrupted as request:
            raise Interrupted("stopped; nothing was left behind", request.signal_number) from None

    def on_start(self, start: RunStart) -> None:
        self.trainer = start.trainer
        self._observer.on_start(start)

    def on_step(self, step: int) -> None:
        self._observer.on_step(step)
        self._stepped = time.perf_counter()

    def on_figures(self, step: int, figures: TrainingFigures) -> None:  # noqa: ARG002
        """The last ones count, of the second half of the steps: by then all is warm."""
        self._figures = figures

    def on_row(self, row: TableRow) -> None:
        self._validated = time.perf_counter()
        self._valid = row.valid

    def on_snapshot(self, path: Path) -> None:
        self._saved = time.perf_counter()
        self.snapshot_bytes = sum(file.stat().st_size for file in path.iterdir())

    def speeds(self, whole: Corpora, tokens_per_step: float) -> dict[str, float]:
        """The last fields of ``Estimate``, for the whole texts."""
        assert self._figures is not None  # noqa: S101  (the last step of a run always has some)
        of_samples = self._validated - self._stepped - (self._valid.seconds if self._valid else 0)
        return {
            "words_per_second": self._figures.words_per_second,
            "seconds_per_step": tokens_per_step / self._figures.words_per_second,
            "seconds_per_evaluation": _seconds_for(self._valid, whole.valid) + of_samples,
            "seconds_of_test": _seconds_for(self._test, whole.test),
            "seconds_per_snapshot": self._saved - self._validated,
        }


def _seconds_for(measured: Evaluation | None, whole: Corpus | None) -> float:
    return measured.seconds / measured.num_tokens * whole.num_tokens if measured and whole else 0.0


def _shortened(config: Config, num_steps: int) -> Config:
    often = max(1, num_steps // _EVALUATIONS)
    averages = not isinstance(config.train.averaging, NoAveraging)
    train = config.train.model_copy(
        update={
            "epochs": None,
            "max_steps": num_steps,
            "early_stopping": None,
            "optimizer": config.train.optimizer.model_copy(update={"lr": _TINY_LR}),
            "schedule": ConstantSchedule(),
            "averaging": EmaOptions() if averages else NoAveraging(),  # from the first step on
        }
    )
    return config.model_copy(
        update={
            "train": train,
            "evaluation": config.evaluation.model_copy(update={"every": often}),
            "snapshots": config.snapshots.model_copy(update={"every": often}),
            "logging": config.logging.model_copy(update={"every": max(1, num_steps // 2)}),
        }
    )


def _sample_of_lines(corpus: Corpus, batch_size: int, num_batches: int) -> Corpus:
    """The longest lines, a batch of them, since they take the most memory, and others of all lengths."""
    order = np.argsort(_lengths(corpus), kind="stable")
    rest = order[:-batch_size]
    spread = np.linspace(0, len(rest) - 1, min(len(rest), batch_size * (num_batches - 1))).astype(int)
    return _lines(corpus, np.concatenate([rest[spread], order[-batch_size:]]))


def _piece(corpus: Corpus, is_line: bool) -> Corpus:
    """As much of a held-out text as is tried: its beginning, or its longest lines."""
    if not is_line:
        return _part(corpus, corpus.ids[:_HELD_OUT_TOKENS])
    order = np.argsort(_lengths(corpus), kind="stable")[::-1]
    enough = int(np.searchsorted(np.cumsum(_lengths(corpus)[order]), _HELD_OUT_TOKENS)) + 1
    return _lines(corpus, order[:enough])


def _lengths(corpus: Corpus) -> NDArray[np.int64]:
    return np.diff(corpus.line_ends, prepend=-1)


def _lines(corpus: Corpus, numbers: NDArray[np.int64]) -> Corpus:
    ends, lengths = corpus.line_ends[numbers], _lengths(corpus)[numbers]
    pieces = (corpus.ids[end + 1 - n : end + 1] for end, n in zip(ends, lengths, strict=True))
    return _part(corpus, np.concatenate(list(pieces)))


def _part(corpus: Corpus, ids: NDArray[np.int32]) -> Corpus:
    return dataclasses.replace(corpus, ids=ids, num_lines=int((ids == corpus.eos_id).sum()))


def _memory(trainer: Trainer, corpora: Corpora, peak: PeakMemory) -> Memory:
    parameters = list(trainer.model.parameters())
    moments = trainer.optimizer.state_dict()["moments"].values()
    optimizer = sum(t.nbytes for tensors in moments for t in tensors.values() if t is not None)
    weights, gradients = (
        sum(p.nbytes for p in each) for each in (parameters, [p for p in parameters if p.requires_grad])
    )
    # A long run has read all of the texts, whose files count as its own memory.
    texts = sum(text.ids.nbytes for text in (corpora.train, corpora.valid, corpora.test) if text)
    most = peak.bytes()
    rest = texts if most is None else max(0, most + texts - weights - gradients - optimizer)
    return Memory(weights, gradients, optimizer, rest, peak.base)


def _refuse_too_large(config: Config, corpora: Corpora, device: torch.device) -> None:
    """Counts what is needed at least before any of it is taken, since the system might end the program."""
    with torch.device("meta"):
        model = build_model(config.model, len(corpora.vocab))
    numbers = sum(p.numel() for p in model.parameters())
    match config.train.optimizer:
        case SgdOptions(momentum=momentum):
            copies = 3 if momentum else 2
        case _:
            copies = 4
    copies += not isinstance(config.train.averaging, NoAveraging)
    train, options = config.train, config.model
    window = train.batch_size * (train.bptt_len if config.data.context == "stream" else 1)
    outputs = (options.num_layers - 1) * options.hidden_size + options.feature_size
    least = 4 * (copies * numbers + window * outputs)
    available = available_memory(device)
    if available is not None and least > available:
        raise StorageError(
            f"training needs at least {least / 1e9:,.1f} GB of memory ({numbers:,} parameters), "
            f"{available / 1e9:,.1f} GB are available; a smaller model or batch needs less"
        )


def _steps_done(run_dir: Path, config: Config, corpora: Corpora) -> int:
    """Where the run would go on from, if its directory holds one."""
    newest, _ = SnapshotStore(RunFiles(run_dir).snapshots).newest()
    if newest is None:
        return 0
    refuse_differences(run_dir, newest, config, corpora)
    return newest.step


def _tokens_per_step(config: Config, corpora: Corpora, steps_per_epoch: int) -> float:
    if config.data.context == "line" or config.train.random_bptt:
        return corpora.train.num_tokens / steps_per_epoch
    return config.train.batch_size * config.train.bptt_len


def _times(every: int | str, num_steps: int, num_epochs: float) -> int:
    """How often something is done in so many steps; at the end it is, too."""
    return math.ceil(num_epochs if isinstance(every, str) else num_steps / every)


def _held_out(corpus: Corpus | None) -> HeldOutText | None:
    return HeldOutText(corpus.num_tokens, corpus.num_oov) if corpus else None


def _repeated(config: Config, num_tokens: int) -> int:
    if config.data.context == "line":
        return 0
    return -num_tokens % config.train.batch_size


@contextmanager
def _temporary_folder(run_dir: Path) -> Iterator[Path]:
    """A folder on the disk of the run directory, removed afterwards."""
    place = next(p for p in (run_dir, *run_dir.absolute().parents) if p.exists())
    try:
        folder = tempfile.TemporaryDirectory(prefix=".dry-run-", dir=place)
    except OSError as error:
        raise StorageError(f"{run_dir}: cannot be used as run directory: {error.strerror}") from error
    with folder as name:
        yield Path(name)
