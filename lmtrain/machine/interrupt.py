"""SIGINT, SIGTERM and SIGHUP as a request to stop, granted where it does no harm."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

from lmtrain.errors import Interrupted

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_SECONDS = 0.01
"""After which a signal that came at a bad moment is sent again."""


class StopRequest:
    """Listens for the signals while it is entered; one that is ignored on entry (``nohup``) stays ignored.

    Until ``defer`` is called, a signal ends the program at once by raising ``Interrupted``: nothing is at
    stake yet. Only a module that is being imported is imported first. From then on a signal is kept until
    the next ``check``. A second SIGINT ends the process on the spot; all that is written is written so that
    this does no harm.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._is_deferred = False
        self._handlers_before: dict[int, Any] = {}
        self._num_frames = 0

    def __enter__(self) -> Self:
        self._num_frames = sum(1 for _ in _frames(sys._getframe()))
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
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

    def requests(self) -> list[int]:
        """For each kind of signal, 1 if it has come, else 0."""
        return [int(number == self._received) for number in _SIGNALS]

    def grant(self, requests: Sequence[int]) -> None:
        """Grants requests: those of this process, or those of all that train with it, added up.

        Raises:
            Interrupted: There was one.
        """
        for number, num_requests in zip(_SIGNALS, requests, strict=True):
            if num_requests:
                raise Interrupted(f"stopped by {signal.Signals(number).name}", number)

    def check(self) -> None:
        """Grants a request that has come to this process.

        Raises:
            Interrupted: There was one.
        """
        self.grant(self.requests())

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and (self._received is not None or _is_to_be_sent()):
            os._exit(128 + number)
        if self._received is not None:
            return
        if not self._is_deferred and self._would_be_lost(frame):
            _send_soon(number)
            return
        self._received = number
        if not self._is_deferred:
            self.check()

    def _would_be_lost(self, frame: FrameType | None) -> bool:
        """Whether what is raised here may be swallowed, or end the process, in compiled code on the way up.

        torch does so while it imports NumPy, pydantic now and then while it validates.
        """
        frames = list(_frames(frame))
        return any(
            frame.f_code.co_filename.startswith("<frozen importlib")
            or frame.f_globals.get("__name__", "").startswith("pydantic.")
            for frame in frames[: 1 - self._num_frames]
        )


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_to_be_sent() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _send_soon(number: int) -> None:
    """Sends a signal anew, to whoever listens by then."""
    if not _is_to_be_sent():
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
        signal.setitimer(signal.ITIMER_REAL, _SECONDS)
