"""Buffered files whose writes can be seen, and made to fail, below Python's buffers."""

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def visible_writes() -> Iterator[None]:
    """Files are written by ``os.write``, as snapshots are: where ``crashing`` injects its faults."""
    opening = _opening(io.open)
    with patch.object(io, "open", opening), patch.object(builtins, "open", opening):
        yield


class _Visible(io.FileIO):
    def write(self, data: Any) -> int:
        return os.write(self.fileno(), data)


def _opening(original: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any) -> Any:
        if mode.strip("bt") not in ("w", "x", "a") or buffering == 0:
            return original(file, mode, buffering, *text, **options)
        with original(file, mode.strip("bt") + "b", 0) as plain:
            buffered = io.BufferedWriter(_Visible(os.dup(plain.fileno()), "a" if "a" in mode else "w"))
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **options)

    return opened
