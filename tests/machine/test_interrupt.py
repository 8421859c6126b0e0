"""Signals: at once before there is something to lose, at the next check from then on."""

import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from lmtrain.errors import Interrupted
from lmtrain.machine.interrupt import StopRequest


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
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


@pytest.fixture
def importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[int]]:
    """Imports a module of these lines, and tells how far it came."""
    monkeypatch.syspath_prepend(tmp_path)
    heard: list[int] = []
    monkeypatch.setattr(signal, "heard", heard, raising=False)

    def import_it(source: str) -> list[int]:
        (tmp_path / "interrupted_module.py").write_text(source)
        monkeypatch.delitem(sys.modules, "interrupted_module", raising=False)
        import_module("interrupted_module")
        return heard

    return import_it


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_module_is_imported_before_a_signal_stops(
    number: signal.Signals, importing: Callable[[str], list[int]]
) -> None:
    source = f"import signal\nsignal.raise_signal({int(number)})\nsignal.heard.append(1)"
    with pytest.raises(Interrupted, match=number.name), StopRequest():  # noqa: PT012
        assert importing(source) == [1]
        time.sleep(5)


def test_a_signal_while_importing_reaches_whoever_listens_afterwards(
    importing: Callable[[str], list[int]],
) -> None:
    with StopRequest():
        importing(f"import signal\nsignal.raise_signal({int(signal.SIGTERM)})")
        with StopRequest() as stop:
            stop.defer()
            time.sleep(0.05)
            with pytest.raises(Interrupted, match="SIGTERM"):
                stop.check()


def test_a_second_sigint_while_importing_ends_the_process(importing: Callable[[str], list[int]]) -> None:
    child = os.fork()
    if child == 0:
        with StopRequest():
            importing(f"import signal\nfor _ in range(2): signal.raise_signal({int(signal.SIGINT)})")
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_is_ignored_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(number)
            stop.check()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_stop_is_granted_once() -> None:
    with pytest.raises(Interrupted, match="SIGTERM"), StopRequest():  # noqa: PT012
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
