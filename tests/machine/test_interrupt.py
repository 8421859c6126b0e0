"""Signals: at once before there is something to lose, at the next check from then on."""

import os
import signal

import pytest

from lmtrain.errors import Interrupted
from lmtrain.machine.interrupt import StopRequest


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_at_first_a_signal_stops_at_once(number: signal.Signals, code: int) -> None:
    with pytest.raises(Interrupted, match=number.name) as stopped, StopRequest():
        signal.raise_signal(number)
    assert stopped.value.exit_code == code


def test_a_deferred_signal_waits_for_the_check() -> None:
    with StopRequest() as stop:
        stop.defer()
        stop.check()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"):
            stop.check()


def test_the_first_signal_decides_the_code() -> None:
    with StopRequest() as stop:
        stop.defer()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGINT"):
            stop.check()


def test_a_second_sigint_ends_the_process() -> None:
    child = os.fork()
    if child == 0:
        with StopRequest() as stop:
            stop.defer()
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_no_library_can_swallow_a_stop() -> None:
    assert not issubclass(Interrupted, Exception)
