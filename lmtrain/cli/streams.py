"""Standard input, output and error as the commands have them: UTF-8, and with one rule for what fails.

Results are what was asked for: where they cannot be written, a command ends with 6. Messages are not: where
they cannot be written they are lost, and nothing else changes.
"""

import io
import os
import signal
import sys
from typing import Any, TextIO, cast

from lmtrain.errors import StorageError

_OUTPUT, _ERROR = 1, 2


def prepare_streams() -> None:
    """Puts these in the place of the interpreter's own streams; what stands for others is left as it is."""
    _open_closed_ones()
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115  (for as long as the process)
    if sys.stdout is sys.__stdout__:
        # A name of a file that is no UTF-8 comes out as it is.
        sys.stdout = _text(_Results(_OUTPUT, "w", closefd=False), sys.stdout, "surrogateescape")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages(_ERROR, "w", closefd=False), sys.stderr, "backslashreplace")


def take_output_for_messages() -> None:
    """From here on nothing on standard output was asked for: a table that grows while a run is trained."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Results):
        sys.stdout = _text(_Messages(_OUTPUT, "w", closefd=False), sys.stdout, "surrogateescape")


class _Messages(io.FileIO):
    """A file that takes all there is to write, whether it can be written or not."""

    def write(self, data: Any) -> int:
        try:
            return cast("int", super().write(data))
        except OSError:
            return memoryview(data).nbytes


class _Results(io.FileIO):
    """A file that says so once when it cannot be written, and then takes what is still in buffers."""

    _has_failed = False

    def write(self, data: Any) -> int:
        if self._has_failed:
            return memoryview(data).nbytes
        try:
            return cast("int", super().write(data))
        except BrokenPipeError:  # `lmtrain … | head` ends as silently as any other program
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGPIPE)
            raise
        except OSError as error:
            self._has_failed = True
            raise StorageError(f"standard output: cannot be written: {error.strerror}") from error


def _open_closed_ones() -> None:
    """No file that is opened later may take the number of a stream, and with it what is meant for that."""
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):  # writing results is to fail
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one


def _text(raw: io.FileIO, like: TextIO | None, errors: str) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        "utf-8",
        errors,
        line_buffering=raw.isatty() or getattr(like, "line_buffering", False),
        write_through=getattr(like, "write_through", False),
    )
