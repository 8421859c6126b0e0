"""How the commands write numbers, tables and messages: into files, and on a terminal."""

import fcntl
import json
import math
import os
import re
import select
import shutil
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from tqdm import tqdm

from lmtrain.cli.text import (
    command,
    duration,
    note,
    print_json,
    print_json_line,
    print_pairs,
    print_table,
    say,
    size,
    tensorboard_command,
    write_result,
)

Screen = Callable[[], str]


def test_json_has_null_for_what_it_cannot_write(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": math.inf, "b": [math.nan, 1.5, {"c": -math.inf}], "d": "café", "e": None, "f": True})
    written = capsys.readouterr().out
    assert "café" in written
    expected = {"a": None, "b": [None, 1.5, {"c": None}], "d": "café", "e": None, "f": True}
    assert json.loads(written) == expected


def test_a_json_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json_line({"a": [1, math.nan], "b": "caf\u00e9\n"})
    assert capsys.readouterr().out == '{"a": [1, null], "b": "caf\u00e9\\n"}\n'


def test_pairs_stand_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs([("a", 1), ("long name", "two words")])
    assert capsys.readouterr().out == "a          1\nlong name  two words\n"


def test_results_come_out_as_they_are_but_are_not_obeyed_by_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_result("a\x1b[1mb\tc\x9b\nd", end="")
    assert capsys.readouterr().out == "a\x1b[1mb\tc\x9b\nd"
    with screen() as written:
        write_result("a\x1b[1mb\nc\x9bd")
        note("\x07e")
        assert written() == "a\\x1b[1mb\nc\\x9bd\n\\x07e\n"


@contextmanager
def screen() -> Iterator[Screen]:
    """A real terminal of 40 columns for both streams; called, it tells what was written since."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))

    def read() -> str:
        stream.flush()
        written, patience = b"", 2.0  # what is written takes a moment on its way through the system
        while select.select([ours], [], [], patience)[0]:
            written, patience = written + os.read(ours, 100_000), 0.3
        return written.decode().replace("\r\n", "\n")

    with (
        os.fdopen(theirs, "w", encoding="utf-8") as stream,
        redirect_stdout(stream),
        redirect_stderr(stream),
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        for name in ("COLUMNS", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "argv", ["lmtrain"])
        yield read
    os.close(ours)


def test_long_values_are_folded_on_a_terminal() -> None:
    path = "/a/rather/long/path/to/a/snapshot/step-00000001"
    with screen() as written:
        print_pairs([("a", 1), ("  long name", path)])
        lines = written().splitlines()
    assert lines[0].split() == ["a", "1"]
    assert max(map(len, lines)) <= 40
    assert "".join(line[13:].rstrip() for line in lines[1:]) == path


def test_a_table_fits_a_terminal() -> None:
    name = "a/long/name/of/a/file/that/does/not/fit.txt"
    with screen() as written:
        print_table(("name", "figure"), [(name, "123,456")])
        lines = written().splitlines()
    assert "\x1b[1m" in lines[0]
    assert lines[1].rstrip().endswith("123,456")
    assert max(map(len, lines[1:])) <= 40
    assert "".join(line.split()[0] for line in lines[1:]) == name


@pytest.mark.parametrize("width", range(8, 60, 3))
def test_no_width_costs_a_figure(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    header = ("step", "name", "valid ppl", "elapsed")
    rows = [("1,234,567", "a rather long name", "102.25*", "1:02:03"), ("100", "b", "0.02", "1s")]
    with screen() as written:
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(header, rows, left=("name",))
        print_pairs([("best validation perplexity", "123,456.78"), ("b", "9")])
        monkeypatch.delenv("COLUMNS")
        text = written()
    joined = "".join(text.split())
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()) for line in text.splitlines()) <= width
    figures = [cell for row in rows for cell in (row[0], *row[2:])] + ["123,456.78"]
    assert [figure for figure in figures if figure not in (joined if width < 12 else text)] == []


def test_messages_are_broken_at_spaces_and_commands_never() -> None:
    with screen() as written:
        again = command("train", "--config", "a b.yaml" * 4)
        note(f"seven words of a message, and then {'x' * 50}\n{again}")
        lines = written().splitlines()
    assert lines == [
        "seven words of a message, and then",
        f"  {'x' * 50}",
        f"    lmtrain train --config '{'a b.yaml' * 4}'",
    ]


@pytest.mark.parametrize(("name", "value"), [("", ""), ("NO_COLOR", "1"), ("TERM", "dumb")])
def test_an_error_is_red_where_there_are_colours(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with screen() as written:
        if name:
            monkeypatch.setenv(name, value)
        say("no", sys.stderr, "lmtrain: ")
        prefix = "lmtrain: " if name else "\x1b[31m\x1b[1mlmtrain: \x1b[0m"
        assert written() == f"\r{prefix}no\n"


def test_a_message_does_not_run_into_a_bar() -> None:
    with screen() as written, tqdm(total=10, file=sys.stderr, leave=False, ncols=30) as bar:
        bar.update(5)
        written()
        note("here")
        before, _, after = written().partition("here\n")
    assert before.strip("\r ") == ""
    assert before.endswith("\r")
    assert "5/10" in after


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A lmtrain in a folder with a space, not in the PATH."""
    path = tmp_path / "my bin" / "lmtrain"
    path.parent.mkdir()
    path.touch(0o755)
    return path


def test_commands_name_the_program_so_that_a_shell_finds_it(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert command("runs") == f"    '{program}' runs"
    monkeypatch.chdir(tmp_path)
    assert command("runs") == "    'my bin/lmtrain' runs"
    monkeypatch.setattr(sys, "argv", ["my bin/lmtrain"])
    assert command("runs") == "    'my bin/lmtrain' runs"
    monkeypatch.setenv("PATH", str(program.parent))
    assert command("runs", Path("a b")) == "    lmtrain runs 'a b'"
    monkeypatch.setattr(sys, "argv", ["/lmtrain/__main__.py"])
    assert command("runs").endswith(" -m lmtrain runs")


def test_tensorboard_is_named_where_it_is(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    monkeypatch.setenv("PATH", "/nowhere")
    folder = Path("runs/a b")
    assert tensorboard_command(folder) == (
        f"    '{program.parent}/python' -m tensorboard.main --logdir 'runs/a b'"
    )
    beside = program.with_name("tensorboard")
    shutil.copy(program, beside)
    assert tensorboard_command(folder) == f"    '{beside}' --logdir 'runs/a b'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert tensorboard_command(folder) == "    tensorboard --logdir 'runs/a b'"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1:00"),
        (185, "3:05"),
        (3599.6, "1:00:00"),
        (3723, "1:02:03"),
        (360_000, "100:00:00"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 kB"),
        (1234, "1 kB"),
        (999_000, "999 kB"),
        (999_600, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (999_400_000, "999.4 MB"),
        (999_600_000, "1.0 GB"),
        (83_000_000_000, "83.0 GB"),
        (1_234_000_000_000, "1,234.0 GB"),
    ],
)
def test_size(num_bytes: float, text: str) -> None:
    assert size(num_bytes) == text
