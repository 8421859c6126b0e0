"""What a run leaves behind in its directory: its log, TensorBoard's files, snapshots, what describes it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from lmtrain.config import Config
from lmtrain.run.build import Corpora
from lmtrain.run.hyper_parameters import columns, settings
from lmtrain.run.layout import RunFiles, note_divergence, write_description
from lmtrain.training.board import Board
from lmtrain.training.log import Log, Reached
from lmtrain.training.snapshot import Provenance
from lmtrain.training.store import SnapshotStore

_ESTIMATE = "of training a sampled estimate, which lies low"


class NoRecords:
    """Of a process that trains with others and writes nothing, since the first of them does."""

    num_lines = 0
    """Of the log."""

    def describe(self, config: Config, start: dict[str, Any], *, is_resumed: bool) -> None:
        """Says what the run is made with; see ``write_description``."""

    @contextmanager
    def open(self, step: int, reached: Reached) -> Iterator[None]:  # noqa: ARG002
        """Has the log and TensorBoard's files open, to go on from a step, for the length of a block."""
        yield

    def announce(self, config: Config) -> None:
        """Tells TensorBoard how to show the run."""

    def write_event(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Logs what has happened, and shows it."""

    def show_samples(self, step: int, samples: Sequence[str]) -> None:
        """Shows what the model wrote."""

    def show_distributions(self, step: int, numbers: Mapping[str, Tensor]) -> None:
        """Shows how numbers are distributed, by tag."""

    def save(
        self,
        step: int,
        weights: Mapping[str, Tensor],
        state: Any,
        vocab_bytes: bytes,
        *,
        config: Config,
        provenance: Provenance,
    ) -> Path | None:
        """Writes a snapshot and returns where, once all that it counts on is on the disk."""

    def weights_of(self, step: int) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Those of a snapshot, by name; none where another process has them."""
        return {}

    def note_divergence(self, message: str) -> None:
        """Keeps why the run stopped."""

    def finish(self, step: int, word_vectors: Tensor, corpora: Corpora) -> None:
        """Says that the run has come to its end."""


class RunRecords(NoRecords):
    """Those of a run directory.

    Args:
        store: The snapshots of the run.

    Raises:
        StorageError: The disk or the system refused (in all methods).
    """

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._files = RunFiles(store.directory.parent)
        self._board = Board(self._files.board)
        self._log: Log

    @property
    def num_lines(self) -> int:  # type: ignore[override]
        """Of the log."""
        return self._log.num_lines

    def describe(self, config: Config, start: dict[str, Any], *, is_resumed: bool) -> None:
        """See ``NoRecords``."""
        write_description(self._files.run_dir, config.to_yaml(), start, is_resumed=is_resumed)

    @contextmanager
    def open(self, step: int, reached: Reached) -> Iterator[None]:
        """See ``NoRecords``; what came after the step is dropped."""
        self._log = Log(self._files.log, reached.last_step, reached.num_lines)
        with closing(self._log), self._board.open(step, self._log.events):
            yield

    def announce(self, config: Config) -> None:
        """See ``NoRecords``."""
        is_sampled = config.model.softmax == "sampled"
        self._board.describe(columns(), settings(config), _ESTIMATE if is_sampled else "")

    def write_event(self, step: int, figures: Mapping[str, float | None]) -> None:
        """See ``NoRecords``."""
        self._log.write(step, figures)
        self._board.show_figures(step, figures)

    def show_samples(self, step: int, samples: Sequence[str]) -> None:
        """See ``NoRecords``."""
        self._board.show_samples(step, samples)

    def show_distributions(self, step: int, numbers: Mapping[str, Tensor]) -> None:
        """See ``NoRecords``."""
        self._board.show_distributions(step, numbers)

    def save(
        self,
        step: int,
        weights: Mapping[str, Tensor],
        state: Any,
        vocab_bytes: bytes,
        *,
        config: Config,
        provenance: Provenance,
    ) -> Path:
        """See ``NoRecords``."""
        self._sync()
        return self._store.write(
            step, weights, state, vocab_bytes, config=config.to_dict(), provenance=provenance
        )

    def weights_of(self, step: int) -> Mapping[str, Tensor]:
        """See ``NoRecords``."""
        return self._store.read(step).model_tensors()

    def note_divergence(self, message: str) -> None:
        """See ``NoRecords``."""
        note_divergence(self._files.run_dir, message)

    def finish(self, step: int, word_vectors: Tensor, corpora: Corpora) -> None:
        """See ``NoRecords``."""
        self._board.show_words(word_vectors, corpora.vocab, corpora.train)
        self._board.finish()
        self._sync()
        self._store.finish(step, corpora.hashes()["test"])

    def _sync(self) -> None:
        self._log.sync()
        self._board.sync()
