"""Where figures go: ``metrics.jsonl`` and TensorBoard, each step in them once however often a run stops."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from torch import Tensor

from lmtrain.errors import StorageError
from lmtrain.files.atomic import write_file
from lmtrain.training import summaries
from lmtrain.training.event_file import EventFile
from lmtrain.training.summaries import HyperParameter, Setting

_CHARTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "Training and validation": {
        "loss (nats per token)": ("train/loss", "valid/loss"),
        "perplexity": ("train/perplexity", "valid/perplexity"),
    },
    "Optimisation": {
        "gradient norm, before and after clipping": ("train/grad_norm", "train/grad_norm_clipped"),
        "learning rate": ("train/lr",),
        "norms of the weights": ("weights/.*",),
        "words per second": ("train/words_per_second",),
    },
}
"""What stands in one chart, in TensorBoard's custom scalars."""
_FINAL_FIGURES = ("valid/best_perplexity", "test/perplexity", "train/perplexity", "train/words_per_second")
"""What TensorBoard shows beside the hyper-parameters: the last of each."""


class MetricsFile:
    """``metrics.jsonl``: one JSON object a line, one line a logged step.

    Args:
        path: Of the file.
        first_step: Lines of this step and later ones are dropped: they will be written again.
    """

    def __init__(self, path: Path, first_step: int) -> None:
        kept = [line for line in _whole_lines(path) if json.loads(line)["step"] < first_step]
        write_file(path, "".join(f"{line}\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: Mapping[str, float | None]) -> None:
        """Appends a line."""
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Waits until what was written is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def last_logged_step(path: Path) -> int:
    """The step of the last whole line of a ``metrics.jsonl``; -1 if there is none."""
    lines = _whole_lines(path)
    return int(json.loads(lines[-1])["step"]) if lines else -1


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    return [line for line in lines if _is_row(line)]


def _is_row(line: str) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and isinstance(row.get("step"), int)


class RunLog:
    """All logs of a run directory, written once they are opened.

    Raises:
        StorageError: They cannot be written (in all methods).
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._metrics: MetricsFile
        self._events: EventFile

    @property
    def last_step(self) -> int:
        """The last step there is a line of; -1 if there is none."""
        return last_logged_step(self._run_dir / "metrics.jsonl")

    @contextmanager
    def open(self, first_step: int) -> Iterator[None]:
        """Opens the logs; what they hold of ``first_step`` and later ones is dropped, to be written again."""
        with ExitStack() as files:
            with _refusing_faults(self._run_dir):
                self._metrics = MetricsFile(self._run_dir / "metrics.jsonl", first_step)
                files.callback(self._metrics.close)
                self._events = EventFile(self._run_dir / "tensorboard", first_step)
                files.callback(self._events.close)
            yield

    def describe(self, columns: Sequence[HyperParameter], settings: Mapping[str, Setting]) -> None:
        """Tells TensorBoard how to show the run.

        Args:
            columns: All hyper-parameters that a run may have.
            settings: Those of this one, by name.
        """
        with _refusing_faults(self._run_dir):
            self._events.add(summaries.layout(_CHARTS))
            self._events.add(summaries.experiment(columns, _FINAL_FIGURES))
            self._events.add(summaries.session_start(settings))

    def write(
        self,
        step: int,
        figures: Mapping[str, float | None],
        texts: Mapping[str, str] | None = None,
        activations: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Logs one step.

        Args:
            step: Its number.
            figures: ``epoch``, ``elapsed`` (seconds) and others by tag; what is not finite is logged as null.
            texts: Texts by tag, for TensorBoard.
            activations: Numbers by tag, of which TensorBoard shows how they are distributed.
        """
        figures = finite(figures)
        with _refusing_faults(self._run_dir):
            self._metrics.write({"step": step, **figures})
            # TensorBoard has an axis of time of its own.
            charted = {tag: value for tag, value in figures.items() if tag != "elapsed"}
            self._events.add(summaries.figures(charted), step)
            for tag, text in (texts or {}).items():
                self._events.add(summaries.text(tag, text), step)
            for tag, values in (activations or {}).items():
                if (histogram := summaries.histogram(tag, values)) is not None:
                    self._events.add(histogram, step)

    def finish(self) -> None:
        """Tells TensorBoard that the run has come to its end."""
        with _refusing_faults(self._run_dir):
            self._events.add(summaries.session_end())

    def sync(self) -> None:
        """Waits until all that was logged is on the disk: a snapshot may then count on it."""
        with _refusing_faults(self._run_dir):
            self._metrics.sync()
            self._events.sync()


@contextmanager
def _refusing_faults(run_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{run_dir}: the logs cannot be written: {error.strerror or error}") from error


def finite(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """The figures with None for what is not finite, which JSON cannot say."""
    return {tag: None if x is None or not math.isfinite(x) else x for tag, x in figures.items()}
