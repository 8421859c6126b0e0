"""``metrics.jsonl``, the log of a run: a line an event, each once however often the run stops.

An event is a line when it happens: training figures, a validation, the test. A snapshot holds how many lines
there were; a run that goes on from it cuts the log there, since what came after comes again. Lines are
counted and not bytes: a clock reading may be longer than another, and the state of a run that was interrupted
is that of one that was not, bit for bit.

Runs of lmtrain 0.1.0 have one line a step, with all of its events in it. Nothing slow is imported here.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmtrain.errors import StorageError
from lmtrain.files.atomic import refusing_faults, write_file
from lmtrain.training.manifest import read_regular

_MAX_BYTES = 1 << 30
_FAULT = "cannot be written"


@dataclass(frozen=True)
class Event:
    """A line of the log."""

    step: int
    figures: Mapping[str, float]
    """By tag, ``epoch`` and ``elapsed`` (seconds) among them, without what is no finite number."""

    @classmethod
    def from_line(cls, line: bytes) -> "Event":
        """What a line says.

        Raises:
            ValueError: It is none of a log.
        """
        try:
            values: Any = json.loads(line)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(values, dict) or not isinstance(values.get("step"), int):
            raise ValueError("not an object with a step")
        step = values.pop("step")
        return cls(step, {tag: float(value) for tag, value in values.items() if _is_finite(value)})

    def number(self, tag: str) -> float | None:
        """The figure of a tag; None where there is none."""
        return self.figures.get(tag)


def read_log(path: Path, is_wanted: Callable[[bytes], bool] = bool, last: int = 0) -> tuple[list[Event], int]:
    """Events of a log, in their order, and how many lines of those asked for are damaged.

    A line that is still being written is left out.

    Args:
        path: Of ``metrics.jsonl``.
        is_wanted: Whether a line is to be taken apart, which takes longer than looking at it.
        last: How many lines at the end are taken in any case.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no regular file.
    """
    lines = _whole_lines(path)
    events, num_damaged = [], 0
    for i, line in enumerate(lines):
        if i >= len(lines) - last or is_wanted(line):
            try:
                events.append(Event.from_line(line))
            except ValueError:
                num_damaged += 1
    return events, num_damaged


def last_logged_step(path: Path) -> int:
    """The step of the last event of a log; -1 if there is none."""
    try:
        events, _ = read_log(path)
    except (OSError, ValueError):
        return -1
    return events[-1].step if events else -1


@dataclass(frozen=True)
class Reached:
    """How far a log had come when a snapshot was written."""

    last_step: int
    num_lines: int | None
    """None where lines of later steps are all there is to be dropped."""
    waiting: Mapping[str, float | None] = field(default_factory=dict)
    """Figures of the present step that are still to be logged."""

    @classmethod
    def of(cls, state: Mapping[str, Any], step: int) -> "Reached":
        """As a training state says.

        That of lmtrain 0.1.0 counted no lines; the line of a step waited in it until all of it had happened.
        """
        if "log_lines" in state:
            return cls(step, max(0, int(state["log_lines"])))
        is_written = not state["row"] and step in (state["evaluated_step"], state["logged_step"])
        return cls(step if is_written else step - 1, None, dict(state["row"]))


class Log:
    """A log that is cut where a run goes on, and written from there.

    Args:
        path: Of ``metrics.jsonl``, made if it is not there.
        last_step: Events of later steps are dropped.
        num_lines: Lines beyond these are dropped; None where their number is not known.

    Raises:
        StorageError: It cannot be written (in all methods).
    """

    def __init__(self, path: Path, last_step: int, num_lines: int | None) -> None:
        with refusing_faults(path, _FAULT):
            lines = _lines_of(path)[:num_lines]
        kept = [(line, event) for line in lines if (event := _event(line)) and event.step <= last_step]
        self.events = [event for _, event in kept]
        """What was kept."""
        self.num_lines = len(kept)
        self._path = path
        write_file(path, b"".join(line + b"\n" for line, _ in kept))
        with refusing_faults(path, _FAULT):
            self._file = path.open("ab")

    def write(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Appends an event; what is not finite is logged as null."""
        values = {tag: value if _is_finite(value) else None for tag, value in figures.items()}
        line = json.dumps({"step": step, **values}, allow_nan=False)
        with refusing_faults(self._path, _FAULT):
            self._file.write(f"{line}\n".encode())
            self._file.flush()
        self.num_lines += 1

    def sync(self) -> None:
        """Waits until what was written is on the disk: a snapshot may then count on it."""
        with refusing_faults(self._path, _FAULT):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _whole_lines(path: Path) -> list[bytes]:
    return read_regular(path, _MAX_BYTES).split(b"\n")[:-1]


def _lines_of(path: Path) -> list[bytes]:
    """Those there are, if any."""
    try:
        return _whole_lines(path)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise StorageError(f"{path}: {_FAULT}: {error}") from error


def _event(line: bytes) -> Event | None:
    try:
        return Event.from_line(line)
    except ValueError:
        return None


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
