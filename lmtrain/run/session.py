"""A config becomes a run: trained from where it stands to its end, in a directory of its own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from lmtrain.config import Config
from lmtrain.corpus.corpus import Corpus
from lmtrain.errors import DivergenceError, Interrupted, ModelError
from lmtrain.inference.continuation import to_text
from lmtrain.inference.evaluation import Evaluation, evaluate
from lmtrain.inference.generate import generate
from lmtrain.inference.windows import HeldOutWindow, held_out_windows
from lmtrain.machine.device import has_fast_bfloat16, resolve_device
from lmtrain.machine.environment import command_line, describe_environment, git_revision
from lmtrain.machine.interrupt import StopRequest
from lmtrain.machine.process import return_freed_memory
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.board import project_words, validation_activations
from lmtrain.run.build import (
    Corpora,
    build_model,
    build_trainer,
    count_steps,
    load_corpora,
    load_pretrained,
)
from lmtrain.run.directory import (
    note_divergence,
    refuse_differences,
    snapshot_to_continue,
    write_description,
)
from lmtrain.run.hyper_parameters import columns, settings
from lmtrain.run.lock import owning
from lmtrain.run.result import source_perplexity
from lmtrain.run.trained import refuse_other_shapes, refuse_other_state
from lmtrain.training.loggers import RunLog
from lmtrain.training.loop import Intervals, Observer, TrainingLoop, metrics
from lmtrain.training.snapshot import Provenance, Snapshot, SnapshotStore, weights_of

_SAMPLE_WORDS = 30


@dataclass(frozen=True)
class RunStart:
    """A run that is ready for its next step."""

    run_dir: Path
    config: Config
    model: LanguageModel
    corpora: Corpora
    device: torch.device
    step: int
    """Steps made before, if it is resumed."""
    total_steps: int


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
    test: Evaluation | None
    """Of the best model, or the last where none was validated."""
    source_perplexity: float | None
    """What the source of a synthetic test text itself reaches on it."""
    elapsed: float


class RunObserver(Observer, Protocol):
    """Who watches a whole run, its start included."""

    def on_start(self, start: RunStart) -> None:
        """Everything is built; the first step comes next."""

    def on_note(self, note: str) -> None:
        """Something worth knowing, in one line."""


def train(
    config: Config,
    observer: RunObserver,
    *,
    run_dir: Path,
    resume: str = "auto",
    device: str = "auto",
) -> RunResult:
    """Trains as a config says, from the newest snapshot of the run directory if it holds one.

    Args:
        config: What to train.
        observer: Who watches.
        run_dir: Where the run lives; made if missing, and locked meanwhile.
        resume: ``auto``; ``never``, which refuses a directory that holds a run; or a snapshot directory
            to continue from, which is refused where the run directory holds later ones.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        LmtrainError: See ``lmtrain.errors``.
    """
    with StopRequest() as stop, owning(run_dir):
        where = resolve_device(device)
        store = SnapshotStore(run_dir / "snapshots", config.snapshots.keep)
        store.recover()
        snapshot = snapshot_to_continue(store, resume, observer.on_note)
        corpora = load_corpora(config)
        if snapshot:
            refuse_differences(run_dir, snapshot, config, corpora)
        return Run(config, corpora, run_dir, store, stop, observer, where).train(snapshot)


class Run:
    """The objects of one run, wired together."""

    def __init__(
        self,
        config: Config,
        corpora: Corpora,
        run_dir: Path,
        store: SnapshotStore,
        stop: StopRequest,
        observer: RunObserver,
        device: torch.device,
    ) -> None:
        self.config = config
        self.corpora = corpora
        self.run_dir = run_dir
        self.store = store
        self.stop = stop
        self.observer = observer
        self.device = device
        self.trainer = build_trainer(config, corpora, device)
        self.log = RunLog(run_dir)
        self.environment = {
            "command": command_line(),
            "git_revision": git_revision(Path.cwd()),
            "seed": config.seed,
            "device": str(device),
            **describe_environment(),
        }
        stopping = config.train.early_stopping
        self.loop = TrainingLoop(
            self.trainer,
            total_steps=count_steps(config, self.trainer.windows),
            intervals=Intervals(config.evaluation.every, config.snapshots.every, config.logging.every),
            evaluate=self._validate if corpora.valid else None,
            sample=self._sample,
            activations=lambda: validation_activations(self.trainer.model, config, corpora),
            write_snapshot=self._write_snapshot,
            log=self.log,
            observer=observer,
            stop=stop,
            patience=stopping.patience if stopping else None,
        )

    def train(self, snapshot: Snapshot | None) -> RunResult:
        """Trains to the end, tests the best model, writes the last line of the log."""
        if snapshot:
            self._load(snapshot)
        elif coverage := load_pretrained(self.config, self.corpora, self.trainer.model):
            self.observer.on_note(f"pretrained embedding: {coverage}")
        steps = self.trainer.steps
        if self.loop.is_done and self.log.last_step >= steps:
            return self._result(None, was_finished=True)
        num_tokens = self.corpora.train.num_tokens
        start = {"step": steps, "num_tokens": num_tokens, "sha256": self.corpora.hashes(), **self.environment}
        write_description(self.run_dir, self.config, start, is_resumed=snapshot is not None)
        self.stop.defer()
        with self.log.open(first_step=steps if self.loop.will_log_present_step else steps + 1):
            self.log.describe(columns(), settings(self.config))
            self.observer.on_start(self._start())
            if self.config.train.precision == "bfloat16" and not has_fast_bfloat16(self.device):
                self.observer.on_note("bfloat16 is not computed in hardware here: float32 would be faster")
            if steps == 0:
                self.observer.on_samples(0, self._sample())
            try:
                self.loop.run()
            except DivergenceError as error:
                note_divergence(self.run_dir, str(error))
                raise
            best = self._best_model()
            try:
                test = self._evaluate(best, self.corpora.test) if self.corpora.test else None
            except Interrupted as request:
                raise Interrupted(
                    f"{request} during the test; training is done, the same command tests it",
                    request.signal_number,
                ) from None
            project_words(best, self.corpora, self.run_dir)
            self.loop.finish(metrics("test", test) if test else {})
        return self._result(test, was_finished=False)

    def _start(self) -> RunStart:
        return RunStart(
            self.run_dir,
            self.config,
            self.trainer.model,
            self.corpora,
            self.device,
            self.trainer.steps,
            self.loop.total_steps,
        )

    def _load(self, snapshot: Snapshot) -> None:
        refuse_other_shapes(snapshot, self.trainer.model)
        self.trainer.model.load_state_dict(snapshot.model_tensors(), strict=False)
        state = snapshot.training_state()
        try:
            refuse_other_state(state["trainer"], self.trainer.model, self.config.train.batch_size)
            self.loop.load_state_dict(state)
            if self.trainer.steps != snapshot.step:
                raise ValueError(f"it is of step {self.trainer.steps}, the snapshot of step {snapshot.step}")
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            raise ModelError(f"{snapshot.path}: its training state does not fit this run: {error}") from error
        if self.loop.best_step not in self.store.steps():
            self.loop.forget_best()
        threads = snapshot.provenance.environment.get("threads")
        if threads != self.environment["threads"]:
            self.observer.on_note(
                f"the run was made with {threads} threads, this one has {self.environment['threads']}: "
                "sums may be rounded differently"
            )

    def _validate(self) -> Evaluation:
        assert self.corpora.valid is not None  # noqa: S101  (only called where there is one)
        return self._evaluate(self.trainer.model, self.corpora.valid)

    def _best_model(self) -> LanguageModel:
        """The best by validation, or the last where none was validated."""
        step = self.loop.best_step or self.trainer.steps
        if step == self.trainer.steps:
            return self.trainer.model
        best = build_model(self.config.model, len(self.corpora.vocab))
        best.load_state_dict(self.store.read(step).model_tensors(), strict=False)
        return best.to(self.device)

    def _evaluate(self, model: LanguageModel, corpus: Corpus) -> Evaluation:
        return_freed_memory()
        vocab = self.corpora.vocab
        windows = held_out_windows(corpus, self.config.data.context, streams=self.config.evaluation.streams)
        return evaluate(model, self._stoppable(windows), vocab)

    def _stoppable(self, windows: Iterable[HeldOutWindow]) -> Iterator[HeldOutWindow]:
        for window in windows:
            self.stop.check()
            yield window

    def _sample(self) -> list[str]:
        vocab = self.corpora.vocab
        number = self.config.logging.samples
        samples = generate(
            self.trainer.model,
            vocab,
            [],
            num_words=_SAMPLE_WORDS,
            num_samples=number,
            seed=self.config.seed,  # the same draws each time: what differs is the model
        )
        return [to_text(vocab.decode(ids)) for ids in samples]

    def _write_snapshot(self, loop: TrainingLoop) -> Path:
        return_freed_memory()
        return self.store.write(
            self.trainer.steps,
            weights_of(self.trainer.model),
            loop.state_dict(),
            self.corpora.vocab.to_bytes(),
            config=self.config.to_dict(),
            provenance=Provenance(
                environment=self.environment,
                sha256=self.corpora.hashes(),
                num_tokens=self.corpora.train.num_tokens,
                epoch=self.trainer.windows.epoch_detail,
                best_step=loop.best_step,
                best_loss=loop.best_loss,
                elapsed=loop.elapsed,
            ),
        )

    def _result(self, test: Evaluation | None, *, was_finished: bool) -> RunResult:
        return RunResult(
            self.run_dir,
            was_finished,
            self.trainer.steps,
            self.loop.best_step,
            self.loop.best_loss,
            test,
            source_perplexity(self.corpora.test.paths, test) if test and self.corpora.test else None,
            self.loop.elapsed,
        )
