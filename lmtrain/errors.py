"""What can go wrong, and the exit code each fault ends the program with.

::

    LmtrainError            1  a fault of ours
    ├── UsageError          2  a command that does not hold together
    │   └── ConfigError     2  a config that does not hold; lists every problem at once
    ├── DataError           3  a corpus: missing, empty, not UTF-8, too short, no vocabulary left
    │   └── NotTextError    3  binary where text was expected
    ├── ModelError          4  a model or snapshot: missing, of another shape or newer format
    │   └── DamagedSnapshotError  4  a snapshot that is not what was once written
    ├── DivergenceError     5  a loss or gradient was not finite, or stays above that of guessing
    └── StorageError        6  the disk or system: full, read-only, no permission, held by another
        ├── UnreachableError  6  an address that did not give its file
        └── LostProcessError  6  another process of the same training is gone, or does not answer
    EndedElsewhere          that of another process of the same training, which has told why
    Interrupted  129/130/143  SIGHUP, SIGINT or SIGTERM; during training, after a snapshot was written

Library code raises these; only ``lmtrain.cli`` turns them into messages and exit codes.
"""

from collections.abc import Sequence


class LmtrainError(Exception):
    """Base of all errors a user is told about in one line instead of a traceback."""

    exit_code = 1


class UsageError(LmtrainError):
    """A command whose arguments contradict each other or the state of the run directory."""

    exit_code = 2


class ConfigError(UsageError):
    """A config that does not hold.

    Args:
        problems: One line each, ready to print: ``file:line: key: what is wrong``.
        headline: The line above them.
    """

    def __init__(self, problems: Sequence[str], headline: str = "the config does not hold") -> None:
        super().__init__("\n".join([f"{headline}:", *(f"  {problem}" for problem in problems)]))
        self.problems = list(problems)


class DataError(LmtrainError):
    """A corpus that cannot be used."""

    exit_code = 3


class NotTextError(DataError):
    """Binary where text was expected."""


class ModelError(LmtrainError):
    """A model or snapshot that cannot be used."""

    exit_code = 4


class DamagedSnapshotError(ModelError):
    """A snapshot that is not what was once written: something is missing, cut short or changed."""


class DivergenceError(LmtrainError):
    """A loss or gradient that is not finite, with which no update was made; or a loss above guessing."""

    exit_code = 5


class StorageError(LmtrainError):
    """The disk or the system refused."""

    exit_code = 6


class UnreachableError(StorageError):
    """An address that did not give its file."""


class LostProcessError(StorageError):
    """Another process of the same training is gone, or has not answered in time."""


class EndedElsewhere(BaseException):
    """Another process of the same training has ended it, and told why. No ``Exception``, as ``Interrupted``.

    Args:
        exit_code: That of the other process.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


class Interrupted(BaseException):
    """A signal asked the program to stop. No ``Exception``, so that no library can swallow it.

    Args:
        message: What was written and how to continue.
        signal_number: The signal received; the exit code is 128 plus it.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
