"""Where figures go: ``metrics.jsonl`` and TensorBoard, each step in them once however often a run stops."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmtrain.errors import StorageError


class MetricsFile:
    """``metrics.jsonl``: one JSON object a line, one line a logged step.

    Args:
        path: Of the file.
        first_step: Lines of this step and later ones are dropped: they will be written again.
    """

    def __init__(self, path: Path, first_step: int) -> None:
        kept = [line for line in _whole_lines(path) if json.loads(line)["step"] < first_step]
        temporary = path.with_name(f".{path.name}.writing")
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in kept)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
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
        self._directory = run_dir / "tensorboard"
        self._metrics: MetricsFile
        self._tensorboard: Any

    @property
    def last_step(self) -> int:
        """The last step there is a line of; -1 if there is none."""
        return last_logged_step(self._run_dir / "metrics.jsonl")

    @contextmanager
    def open(self, first_step: int) -> Iterator[None]:
        """Opens the logs; what they hold of ``first_step`` and later ones is dropped, to be written again."""
        # TensorBoard's writer takes most of a second to import, which evaluation need not pay.
        from torch.utils.tensorboard import SummaryWriter

        try:
            self._metrics = MetricsFile(self._run_dir / "metrics.jsonl", first_step)
            self._tensorboard = SummaryWriter(str(self._directory), purge_step=first_step)
        except OSError as error:
            raise StorageError(f"{self._run_dir}: the logs cannot be written: {error.strerror}") from error
        try:
            yield
        finally:
            self._metrics.close()
            self._tensorboard.close()

    def hyper_parameters(self, values: Mapping[str, bool | int | float | str]) -> None:
        """Names the run's settings, and the figures TensorBoard shows beside them."""
        from torch.utils.tensorboard.summary import hparams

        figures = {"valid/perplexity": 0.0, "test/perplexity": 0.0}
        for summary in hparams(dict(values), figures)[:2]:  # type: ignore[no-untyped-call]
            self._tensorboard.file_writer.add_summary(summary)

    def write(self, row: Mapping[str, float | None], texts: Mapping[str, str] | None = None) -> None:
        """Logs one step.

        Args:
            row: ``step``, ``epoch`` and figures by tag.
            texts: Texts by tag, for TensorBoard.
        """
        row = {tag: _finite(value) for tag, value in row.items()}
        step = row["step"]
        try:
            self._metrics.write(row)
        except OSError as error:
            raise StorageError(f"metrics.jsonl cannot be written: {error.strerror}") from error
        for tag, value in row.items():
            if tag != "step" and value is not None:
                self._tensorboard.add_scalar(tag, value, step)
        for tag, text in (texts or {}).items():
            self._tensorboard.add_text(tag, text, step)

    def sync(self) -> None:
        """Waits until all that was logged is on the disk: a snapshot may then count on it."""
        try:
            self._metrics.sync()
            self._tensorboard.flush()
            for path in self._directory.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"{self._directory}: cannot be written: {error.strerror}") from error


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
