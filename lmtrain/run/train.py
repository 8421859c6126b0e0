"""A config becomes a run: trained from where it stands to its end, in a directory of its own."""

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from lmtrain.config import Config, differences
from lmtrain.corpus.corpus import Corpus
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import ConfigError, DivergenceError, Interrupted, ModelError, UsageError
from lmtrain.inference.continuation import to_text
from lmtrain.inference.evaluation import Evaluation, evaluate, perplexity
from lmtrain.inference.generate import generate
from lmtrain.inference.windows import held_out_windows
from lmtrain.machine.device import compute_reproducibly, has_fast_bfloat16, resolve_device
from lmtrain.machine.environment import command_line, describe_environment, git_revision
from lmtrain.machine.interrupt import StopRequest
from lmtrain.machine.place import place_of_process
from lmtrain.machine.process import return_freed_memory
from lmtrain.machine.threads import MOST_THREADS, use_threads
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.build import (
    Corpora,
    build_model,
    build_trainer,
    count_steps,
    load_corpora,
    load_pretrained,
    threads_of,
)
from lmtrain.run.continuing import Continued, continued
from lmtrain.run.layout import RunFiles, owning, snapshot_to_continue
from lmtrain.run.observer import Observer, RunResult, RunStart, TableRow
from lmtrain.run.origin import Origin, refuse_other_origin
from lmtrain.run.records import NoRecords, RunRecords
from lmtrain.run.result import source_perplexity
from lmtrain.run.together import Together
from lmtrain.training.board import activations_on
from lmtrain.training.fitting import refuse_other_shapes, refuse_other_state
from lmtrain.training.log import Reached
from lmtrain.training.peers import peers_of
from lmtrain.training.record import Record
from lmtrain.training.snapshot import Provenance, Snapshot
from lmtrain.training.store import SnapshotStore
from lmtrain.training.uniform import UniformGuard

_SAMPLE_WORDS = 30


def train(
    config: Config,
    observer: Observer,
    *,
    run_dir: Path,
    resume: str = "auto",
    start_from: Path | None = None,
    device: str = "auto",
) -> RunResult:
    """Trains as a config says, from the newest snapshot of the run directory if it holds one.

    Args:
        config: What to train.
        observer: Who watches.
        run_dir: Where the run lives; made if missing, and locked meanwhile.
        resume: ``auto``; ``never``, which refuses a directory that holds a run; or a snapshot directory
            to continue from, which is refused where the run directory holds later ones.
        start_from: A model whose weights and words a new run begins with; not needed to continue one.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        LmtrainError: See ``lmtrain.errors``.
    """
    place = place_of_process()
    with StopRequest() as stop, peers_of(place, config.distributed.timeout) as peers, ExitStack() as held:
        where = resolve_device(device, place.local_rank if place.size > 1 else None)
        compute_reproducibly(where)
        refuse_uneven_shares(config, place.size)
        store, snapshot = SnapshotStore(RunFiles(run_dir).snapshots, config.snapshots.keep), None
        if place.is_first:
            held.enter_context(owning(run_dir))
            store.recover()
            # Started anew by torchrun, a run goes on, whatever it was begun from.
            resume = "auto" if place.restarts and store.steps() else resume
            snapshot = snapshot_to_continue(store, resume, observer.on_note)
        peers.meet("the run directory is there")
        ranks = held.enter_context(peers.group(where, compress=config.distributed.compress))
        found = held.enter_context(continued(snapshot, store, ranks))
        known, origin = _known_words(config, found, start_from)
        with peers.one_a_machine_first("reading the texts"):
            corpora = load_corpora(config, known, observer.watch_reading)
        for remark in (*corpora.notes(), *corpora.unknown_words):
            observer.on_note(remark)
        peers.refuse_differences(
            {"the config": config.to_yaml(), **{name: str(sha) for name, sha in corpora.hashes().items()}}
        )
        if found:
            refuse_differences(run_dir, found.snapshot, config, corpora)
        records = RunRecords(store) if place.is_first else NoRecords()
        together = Together(place, peers, ranks, stop)
        return Run(config, corpora, run_dir, records, where, observer, together, origin).train(found)


def _known_words(
    config: Config, found: Continued | None, start_from: Path | None
) -> tuple[Vocabulary | None, Origin | None]:
    """Of the model that the run begins or has begun with; and that model, of a new run."""
    if found:
        refuse_other_origin(found.snapshot, start_from)
        began_with_model = "from" in found.snapshot.provenance.environment
        return (found.snapshot.vocabulary() if began_with_model else None), None
    if start_from:
        origin = Origin.of(start_from)
        origin.refuse_other_model(config)
        return origin.vocab, origin
    if config.data.extend_vocab:
        raise UsageError("data.extend_vocab adds words to those of a model: name it with --from")
    return None, None


def refuse_uneven_shares(config: Config, num_processes: int) -> None:
    """Makes sure that processes get as many streams as each other, since each carries the state of its own.

    Raises:
        ConfigError: They do not; names numbers that would do.
    """
    size = config.train.batch_size
    if config.data.context == "line" or size % num_processes == 0:
        return
    near = [
        n for n in (size // num_processes * num_processes, -(-size // num_processes) * num_processes) if n
    ]
    raise ConfigError(
        [
            f"train.batch_size: {size} streams are no equal shares for {num_processes} processes; "
            f"{' or '.join(map(str, near))} would do"
        ]
    )


def refuse_differences(run_dir: Path, snapshot: Snapshot, config: Config, corpora: Corpora) -> None:
    """Compares a run with what is to continue it: config, vocabulary and the content of its texts.

    Raises:
        ConfigError: They differ in what may not change; lists the differences.
    """
    problems = differences(snapshot.config, config)
    recorded = snapshot.provenance.sha256
    for name, digest in corpora.hashes().items():
        if name != "test" and recorded.get(name) != digest:
            what = "the vocabulary" if name == "vocab" else f"the content of data.{name}"
            problems.append(f"{what}: {str(recorded.get(name))[:8]} → {str(digest)[:8]} (SHA-256)")
    if problems:
        raise ConfigError(
            problems, f"{run_dir}: holds a run that differs from this one; choose another --run-dir, or undo"
        )


class Run:
    """The parts of one run, and the loop over them.

    The turns of the loop are cut so that it can stop between any two of its parts and go on from a snapshot
    as if it had not: what has been done at a step is part of the state.
    """

    def __init__(
        self,
        config: Config,
        corpora: Corpora,
        run_dir: Path,
        records: NoRecords,
        device: torch.device,
        observer: Observer,
        together: Together,
        origin: Origin | None = None,
    ) -> None:
        self.config = config
        self.corpora = corpora
        self.run_dir = run_dir
        self.records = records
        self.device = device
        self.observer = observer
        self.together = together
        self._origin = origin
        place = together.place
        use_threads(threads_of(config, len(corpora.vocab), device, place))
        self.trainer = build_trainer(config, corpora, device, together.ranks)
        self.total_steps = count_steps(config, self.trainer.windows)
        stopping = config.train.early_stopping
        self.record = Record(stopping.patience if stopping else None)
        self.uniform = UniformGuard(len(corpora.vocab), ends_run=config.train.stop_above_uniform)
        self.environment = _environment(config.seed, device)
        if place.size > 1:
            self.environment["processes"] = place.size
        if origin:
            self.environment["from"] = origin.describe()
        self._evaluated_step = 0
        self._logged_step = 0
        self._reached = Reached(last_step=0, num_lines=0)
        self._saved: tuple[int, int] | None = None
        self._branched_at: int | None = None
        self._elapsed = 0.0
        self._started = time.perf_counter()

    def train(self, found: Continued | None) -> RunResult:
        """Trains to the end, tests the best model, and says that the run is finished.

        Raises:
            Interrupted: A stop was requested; a snapshot holds where.
            DivergenceError: A loss or gradient was not finite, and the last snapshot is from before; or the
                loss stays above that of guessing.
        """
        if found:
            self._load(found)
            if self._has_nothing_to_do(found):
                return self._result(None, was_finished=True)
        elif self._origin:
            self._origin.copy_into(self.trainer.model)
        elif coverage := load_pretrained(self.config, self.corpora, self.trainer.model):
            self.observer.on_note(f"pretrained embedding: {coverage}")
        steps, texts = self.trainer.steps, self.corpora.hashes()
        start = {"step": steps, "num_tokens": self.corpora.train.num_tokens, "sha256": texts}
        self.records.describe(self.config, start | self.environment, is_resumed=found is not None)
        self.together.stop.defer()
        self._started = time.perf_counter()
        with self.records.open(self.trainer.steps, self._reached):
            self._announce()
            try:
                self._train_to_the_end()
            except DivergenceError as error:
                self.records.note_divergence(str(error))
                raise
            with self.trainer.averaged():
                return self._finish()

    def _train_to_the_end(self) -> None:
        trainer, config, together = self.trainer, self.config, self.together
        is_stopped = together.ask_for_stops()
        try:
            while True:
                if self._every(config.evaluation.every, self._evaluated_step):
                    with trainer.averaged():
                        self._evaluate()
                if self._is_done():
                    break
                if self._every(config.snapshots.every, self._saved_step) or self._is_worth_saving():
                    self._save()
                is_stopped()
                is_stopped = together.ask_for_stops()  # and answered while the step is computed
                trainer.step()
                self.observer.on_step(trainer.steps)
                if self._every(config.logging.every, self._logged_step):
                    self._log_figures()
        except Interrupted as request:
            self._save()
            raise Interrupted(
                f"{request} at step {trainer.steps:,}; a snapshot was written, "
                "the same command continues from it",
                request.signal_number,
            ) from None
        self._save()

    def _every(self, interval: int | str, done_at: int) -> bool:
        """Whether it is time for what is done every so many steps, or every epoch, and in the end."""
        step = self.trainer.steps
        return step != done_at and (step >= self.total_steps or self._comes_round(interval))

    def _comes_round(self, interval: int | str) -> bool:
        windows, step = self.trainer.windows, self.trainer.steps
        return windows.is_new_epoch if isinstance(interval, str) else step % interval == 0

    def _is_done(self) -> bool:
        return self.trainer.steps >= self.total_steps or self.record.is_out_of_patience

    def _log_figures(self) -> None:
        self.trainer.check_finite()
        figures = self.trainer.meter.read(self.trainer.optimizer.lr)
        self._logged_step = self.trainer.steps
        self._write_event(
            {
                "train/loss": figures.loss,
                "train/perplexity": figures.perplexity,
                "train/grad_norm": figures.grad_norm,
                "train/grad_norm_clipped": figures.grad_norm_clipped,
                "train/lr": figures.lr,
                "train/words_per_second": figures.words_per_second,
                **{f"weights/{name}": norm for name, norm in self.trainer.weight_norms().items()},
            }
        )
        self.observer.on_figures(self.trainer.steps, figures)
        if remark := self.uniform.check(self.trainer.steps, figures.loss):
            self.observer.on_note(remark)

    def _evaluate(self) -> None:
        self.trainer.check_finite()
        step, is_best = self.trainer.steps, False
        valid = self._score(self.trainer.model, self.corpora.valid) if self.corpora.valid else None
        if valid is not None:
            if not math.isfinite(valid.loss):
                raise DivergenceError(
                    f"training diverged: the validation loss at step {step:,} is not finite"
                )
            # One that is only made because training ends here changes nothing, should it be extended.
            is_regular = self._comes_round(self.config.evaluation.every)
            if is_regular:
                self.trainer.on_evaluation(valid.loss)
            is_best = self.record.add(step, valid.loss, is_regular=is_regular)
            best_perplexity = perplexity(self.record.best_loss or 0.0, 1)
            self._write_event({**_figures_of("valid", valid), "valid/best_perplexity": best_perplexity})
        self._evaluated_step = step
        samples = self._show_model()
        train = self.trainer.table_meter.read(self.trainer.optimizer.lr)
        row = TableRow(step, self.trainer.windows.epoch_detail, train, valid, is_best, self.elapsed)
        self.observer.on_row(row)
        if samples:
            self.observer.on_samples(step, samples)

    def _show_model(self) -> list[str]:
        """What the model writes, for TensorBoard too, which also gets what goes on inside of it."""
        if not self.together.place.is_first:
            return []
        samples = self._sample()
        self.records.show_samples(self.trainer.steps, samples)
        if self.corpora.valid:
            activations = activations_on(self.trainer.model, self.corpora.valid, self.config.data.context)
            self.records.show_distributions(self.trainer.steps, activations)
        return samples

    def _sample(self) -> list[str]:
        samples = generate(
            self.trainer.model,
            self.corpora.vocab,
            [],
            num_words=_SAMPLE_WORDS,
            num_samples=self.config.logging.samples,
            seed=self.config.seed,  # the same draws each time: what differs is the model
        )
        return [to_text(self.corpora.vocab.decode(ids)) for ids in samples]

    def _score(self, model: LanguageModel, text: Corpus) -> Evaluation:
        return_freed_memory()
        streams, share = self.config.evaluation.streams, self.together.share
        windows = held_out_windows(text, self.config.data.context, streams=streams, share=share)
        part = evaluate(model, self.together.stoppable(windows), self.corpora.vocab)
        return part.with_sums(self.together.ranks.total(part.sums()))

    def _write_event(self, figures: Mapping[str, float | None]) -> None:
        event = {"epoch": self.trainer.windows.epoch_detail, "elapsed": self.elapsed, **figures}
        self.records.write_event(self.trainer.steps, event)

    @property
    def elapsed(self) -> float:
        """Seconds of this run, interruptions left out."""
        return self._elapsed + time.perf_counter() - self._started

    @property
    def _now(self) -> tuple[int, int]:
        """What a snapshot depends on: evaluating changes the state without a step."""
        return self.trainer.steps, self._evaluated_step

    @property
    def _saved_step(self) -> int:
        return self._saved[0] if self._saved else 0

    def _is_worth_saving(self) -> bool:
        """Whether it is the best so far, or the beginning of a branch, which lies elsewhere."""
        steps_worth_it = (self.record.best_step, self._branched_at)
        return self._saved != self._now and self.trainer.steps in steps_worth_it

    def _save(self) -> None:
        if self._saved == self._now:
            return
        self.trainer.check_weights()
        return_freed_memory()
        path = self.records.save(
            self.trainer.steps,
            self.trainer.evaluated_weights(),
            self.state_dict(),
            self.corpora.vocab.to_bytes(),
            config=self.config,
            provenance=Provenance(
                environment=self.environment,
                sha256=self.corpora.hashes(),
                num_tokens=self.corpora.train.num_tokens,
                epoch=self.trainer.windows.epoch_detail,
                best_step=self.record.best_step,
                best_loss=self.record.best_loss,
                elapsed=self.elapsed,
                words_by_frequency=self.corpora.vocab.is_by_frequency,
            ),
        )
        self.together.peers.meet("the snapshot is written")  # and nobody leaves before
        self._saved = self._now
        if path:
            self.observer.on_snapshot(path)

    def state_dict(self) -> dict[str, Any]:
        """All that changes during training: tensors and JSON values, nested."""
        return {
            "trainer": self.trainer.state_dict(),
            "record": self.record.state_dict(),
            "uniform": self.uniform.state_dict(),
            "evaluated_step": self._evaluated_step,
            "logged_step": self._logged_step,
            "log_lines": self.records.num_lines,
            "elapsed": self.elapsed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that ``state_dict`` gave; the log is cut when it is opened."""
        self.trainer.load_state_dict(state["trainer"])
        self.record.load_state_dict(state.get("record", state))  # lmtrain 0.1.0 had it flat
        if "uniform" in state:
            self.uniform.load_state_dict(state["uniform"])
        self._evaluated_step = int(state["evaluated_step"])
        self._logged_step = int(state["logged_step"])
        self._reached = Reached.of(state, self.trainer.steps)
        self._elapsed = float(state["elapsed"])

    def _load(self, found: Continued) -> None:
        snapshot = found.snapshot
        refuse_other_shapes(snapshot, self.trainer.model)
        self.trainer.model.load_state_dict(snapshot.model_tensors(), strict=False)
        state = snapshot.training_state()
        try:
            refuse_other_state(state["trainer"], self.trainer.model, self.config.train.batch_size)
            self.load_state_dict(state)
            if self.trainer.steps != snapshot.step:
                raise ValueError(f"it is of step {self.trainer.steps}, the snapshot of step {snapshot.step}")
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            raise ModelError(f"{snapshot.path}: its training state does not fit this run: {error}") from error
        if found.is_own:
            self._saved = self._now
        else:
            self._branched_at = snapshot.step
        best_step, best_loss = self.record.best_step, self.record.best_loss
        if best_step is not None and best_step not in {snapshot.step, *found.kept_steps}:
            self.record.forget_best()
            self.observer.on_note(
                f"the best snapshot so far, of step {best_step:,} with validation perplexity "
                f"{perplexity(best_loss or 0.0, 1):.2f}, is not in {self.run_dir}: from here on, the "
                "best is sought among those to come"
            )
        if origin := snapshot.provenance.environment.get("from"):
            self.environment["from"] = origin
        if snapshot.provenance.environment.get("processes", 1) == self.together.place.size:
            self._keep_threads(snapshot.provenance.environment.get("threads"))

    def _keep_threads(self, of_run: object) -> None:
        """A run goes on with the threads that it had, unless it is told otherwise: sums depend on them."""
        if of_run == self.environment["threads"]:
            return
        if self.config.train.threads is None and isinstance(of_run, int) and 0 < of_run <= MOST_THREADS:
            use_threads(of_run)
            self.environment["threads"] = of_run
            self.observer.on_note(f"threads: {of_run}, as the run had; train.threads would change it")
            return
        self.observer.on_note(
            f"the run was made with {of_run} threads, this one has {self.environment['threads']}: "
            "sums may be rounded differently"
        )

    def _has_nothing_to_do(self, found: Continued) -> bool:
        tested = (None, found.snapshot.provenance.sha256.get("test"))
        return (
            found.is_own and self._is_done() and found.is_finished and self.corpora.hashes()["test"] in tested
        )

    def _announce(self) -> None:
        steps = self.trainer.steps
        self.records.announce(self.config)
        self.observer.on_start(
            RunStart(
                self.run_dir,
                self.config,
                self.corpora,
                self.trainer,
                self.device,
                self.environment["threads"],
                self.total_steps,
            )
        )
        if self.config.train.precision == "bfloat16" and not has_fast_bfloat16(self.device):
            self.observer.on_note("bfloat16 is not computed in hardware here: float32 would be faster")
        if self._reached.waiting:
            self.records.write_event(steps, self._reached.waiting)
        if steps == 0:
            self.observer.on_samples(0, self._sample() if self.together.place.is_first else [])
        elif steps == self._evaluated_step:
            with self.trainer.averaged():
                self._show_model()  # TensorBoard has forgotten all of this step

    def _finish(self) -> RunResult:
        best, test = self._best_model(), None
        try:
            if self.corpora.test:
                test = self._score(best, self.corpora.test)
        except Interrupted as request:
            raise Interrupted(
                f"{request} during the test; training is done, the same command tests it",
                request.signal_number,
            ) from None
        if test is not None:
            self._write_event(_figures_of("test", test))
        self.records.finish(self.trainer.steps, best.embedding.weight, self.corpora)
        return self._result(test, was_finished=False)

    def _best_model(self) -> LanguageModel:
        """The best by validation, or the last where none was validated."""
        step = self.record.best_step or self.trainer.steps
        if step == self.trainer.steps:
            return self.trainer.model
        best = build_model(self.config.model, len(self.corpora.vocab))
        if weights := self.records.weights_of(step):
            best.load_state_dict(weights, strict=False)
        best.to(self.device)
        self.together.ranks.take_first(best.weights().values())
        return best

    def _result(self, test: Evaluation | None, *, was_finished: bool) -> RunResult:
        return RunResult(
            self.run_dir,
            was_finished,
            self.trainer.steps,
            self.record.best_step,
            self.record.best_loss,
            test,
            source_perplexity(self.corpora.test.paths, test) if test and self.corpora.test else None,
            self.elapsed,
            self.corpora.unknown_words,
        )


def _environment(seed: int, device: torch.device) -> dict[str, Any]:
    return {
        "command": command_line(),
        "git_revision": git_revision(Path.cwd()),
        "seed": seed,
        "device": str(device),
        **describe_environment(),
    }


def _figures_of(split: str, evaluation: Evaluation) -> dict[str, float | None]:
    return {
        f"{split}/loss": evaluation.loss,
        f"{split}/perplexity": evaluation.perplexity,
        f"{split}/accuracy": evaluation.accuracy,
    }
