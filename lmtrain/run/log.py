"""``metrics.jsonl`` as it is read, by whoever compares or describes runs. Nothing slow is imported here."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmtrain.training.manifest import read_regular

_MAX_BYTES = 1 << 30


class LogRow:
    """A line of the log.

    Raises:
        ValueError: It is none.
    """

    def __init__(self, line: bytes) -> None:
        try:
            values: Any = json.loads(line)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(values, dict) or not isinstance(values.get("step"), int):
            raise ValueError("not an object with a step")
        self._values = values
        self.step: int = values["step"]

    def number(self, tag: str) -> float | None:
        """The figure of a tag; None where it is missing or no finite number."""
        value = self._values.get(tag)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def read_log(path: Path, is_wanted: Callable[[bytes], bool], last: int = 0) -> tuple[list[LogRow], int]:
    """Rows of a log, in their order, and how many of those asked for are damaged.

    A line that is still being written is left out.

    Args:
        path: Of ``metrics.jsonl``.
        is_wanted: Whether a line is to be taken apart, which takes longer than looking at it.
        last: How many lines at the end are taken in any case.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no regular file.
    """
    lines = read_regular(path, _MAX_BYTES).split(b"\n")[:-1]
    rows, num_damaged = [], 0
    for i, line in enumerate(lines):
        if i >= len(lines) - last or is_wanted(line):
            try:
                rows.append(LogRow(line))
            except ValueError:
                num_damaged += 1
    return rows, num_damaged
