"""Progress on a terminal, in a log, and with ``--quiet``."""

import io
import itertools
import sys
import time

import pytest

from lmtrain.cli.progress import Progress, watched, watched_beside_results
from lmtrain.cli.text import VOICE


def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What standard error is from now on."""
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Lets so much time pass between any two looks at the clock."""
    ticks = itertools.count(step=seconds)
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))


def test_a_terminal_has_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    assert list(watched("abc", 3, "letters", "spelling")) == ["a", "b", "c"]
    written = stream.getvalue()
    assert "spelling:   0%" in written
    assert "0/3" in written
    assert written.endswith("\r")
    assert "\n" not in written


@pytest.mark.parametrize("reason", ["quiet", "dumb"])
def test_a_bar_is_for_those_who_can_use_it(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    monkeypatch.setattr(VOICE, "is_quiet", reason == "quiet")
    monkeypatch.setenv("TERM", "dumb" if reason == "dumb" else "xterm")
    assert list(watched("abc", 3, "letters")) == ["a", "b", "c"]
    assert stream.getvalue() == ""


def test_a_log_has_a_plain_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow(monkeypatch, 10.0)
    with Progress(10_000, "steps", initial=1000) as progress:
        progress.show("loss 1.0")
        for _ in range(9000):
            progress.advance()
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert 80 <= len(lines) <= 100
    assert lines[0].startswith("1,100 of 10,000 steps (11%), loss 1.0, about ")
    assert lines[0].endswith(" left")


def test_a_quick_command_leaves_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    list(watched(range(10_000), 10_000, "steps"))
    assert capsys.readouterr() == ("", "")


def test_items_count_as_much_as_they_hold_and_the_whole_may_be_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow(monkeypatch, 40.0)
    blocks = [b"a" * 300, b"b" * 200]
    assert list(watched(blocks, None, "B", "file.zip", len)) == blocks
    told = capsys.readouterr().err.splitlines()
    assert [line.rsplit(",", 1)[0] for line in told] == ["file.zip: 300 B", "file.zip: 500 B"]
    rates = [float(line.split()[-3]) for line in told]
    assert all(0 < rate < 300 / 40 + 1 for rate in rates)  # of the clock, which goes 40 seconds at a glance


def test_quiet_logs_have_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    slow(monkeypatch, 40.0)
    monkeypatch.setattr(VOICE, "is_quiet", True)
    list(watched("abc", 3, "letters"))
    assert capsys.readouterr() == ("", "")


def test_where_results_go_to_a_terminal_there_is_no_bar_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    assert list(watched_beside_results("abc", None, "letters", "spelling", len)) == ["a", "b", "c"]
    assert "spelling: " in stream.getvalue()
    monkeypatch.setattr(sys, "stdout", terminal(monkeypatch))
    quiet = terminal(monkeypatch)
    assert list(watched_beside_results("abc", None, "letters", "spelling", len)) == ["a", "b", "c"]
    assert quiet.getvalue() == ""
