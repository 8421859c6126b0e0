"""SIGINT and SIGTERM as a request to stop, granted where it does no harm."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self

from lmtrain.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Listens for SIGINT and SIGTERM while it is entered.

    Until ``defer`` is called, a signal ends the program at once by raising ``Interrupted``: nothing is at
    stake yet. From then on it is kept until the next ``check``. A second SIGINT ends the process on the
    spot; all that is written is written so that this does no harm.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._is_deferred = False
        self._handlers_before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._handlers_before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def defer(self) -> None:
        """From here on signals wait for ``check``."""
        self._is_deferred = True

    def check(self) -> None:
        """Grants a request that has come.

        Raises:
            Interrupted: There was one.
        """
        if self._received is not None:
            name = signal.Signals(self._received).name
            raise Interrupted(f"stopped by {name}", self._received)

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._received is not None and number == signal.SIGINT:
            os._exit(128 + number)
        self._received = self._received or number
        if not self._is_deferred:
            self.check()
