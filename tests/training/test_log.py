"""The log of a run: a line an event, cut where a run goes on."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lmtrain.errors import StorageError
from lmtrain.training.log import Log, Reached, last_logged_step, read_log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, steps: list[int], last_step: int = 0, num_lines: int | None = 0) -> Log:
    log = Log(path, last_step, num_lines)
    for step in steps:
        log.write(step, {"train/loss": float(log.num_lines)})
    log.sync()
    log.close()
    return log


def test_what_was_written_is_read(path: Path) -> None:
    log = Log(path, last_step=0, num_lines=0)
    log.write(10, {"epoch": 0.5, "elapsed": 2.5, "train/loss": 1.25})
    log.write(10, {"epoch": 0.5, "valid/perplexity": math.inf, "valid/accuracy": None})
    log.close()
    assert rows(path) == [
        {"step": 10, "epoch": 0.5, "elapsed": 2.5, "train/loss": 1.25},
        {"step": 10, "epoch": 0.5, "valid/perplexity": None, "valid/accuracy": None},
    ]
    events, num_damaged = read_log(path)
    assert [(event.step, dict(event.figures)) for event in events] == [
        (10, {"epoch": 0.5, "elapsed": 2.5, "train/loss": 1.25}),
        (10, {"epoch": 0.5}),
    ]
    assert (num_damaged, log.num_lines, last_logged_step(path)) == (0, 2, 10)


@pytest.mark.parametrize("num_lines", range(6))
def test_a_run_that_goes_on_cuts_the_log_by_lines(num_lines: int, path: Path) -> None:
    write(path, [2, 3, 3, 4, 4])
    log = write(path, [9], last_step=4, num_lines=num_lines)
    assert [row["step"] for row in rows(path)] == [*[2, 3, 3, 4, 4][:num_lines], 9]
    assert [event.step for event in log.events] == [2, 3, 3, 4, 4][:num_lines]
    assert log.num_lines == num_lines + 1


def test_steps_never_fall_whatever_log_lies_there(path: Path) -> None:
    write(path, [2, 3, 7, 8])
    write(path, [5], last_step=4, num_lines=100)
    assert [row["step"] for row in rows(path)] == [2, 3, 5]


@pytest.mark.parametrize("rest", ["", '{"step": 3, "tra', "\x00\x00\x00", '{"step": "x"}\n', "[3]\n", "\n"])
def test_a_line_cut_short_is_dropped(rest: str, path: Path) -> None:
    path.write_text('{"step": 1}\n{"step": 2}\n' + rest)
    assert last_logged_step(path) == 2
    write(path, [9], last_step=8, num_lines=None)
    assert [row["step"] for row in rows(path)] == [1, 2, 9]


@pytest.mark.parametrize("wanted", [b"valid", b"train", b"x"])
@pytest.mark.parametrize("last", [0, 1, 5])
def test_lines_that_are_not_wanted_are_not_looked_at(wanted: bytes, last: int, path: Path) -> None:
    lines = [{"step": 1, "train/loss": 2.0}, {"step": 2, "valid/loss": 1.0}, {"step": 3, "train/loss": 1.0}]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + "x\n")
    events, num_damaged = read_log(path, lambda line: wanted in line, last)
    expected = [line["step"] for i, line in enumerate(lines) if wanted in str(line).encode() or i >= 4 - last]
    assert [event.step for event in events] == expected
    assert num_damaged == (wanted == b"x" or last > 0)


def test_no_log_at_all(path: Path) -> None:
    assert last_logged_step(path) == -1
    with pytest.raises(FileNotFoundError):
        read_log(path)
    assert write(path, [1], last_step=9, num_lines=None).num_lines == 1


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"log_lines": 7, "evaluated_step": 3, "logged_step": 2}, (5, 7)),
        ({"row": {}, "evaluated_step": 5, "logged_step": 4}, (5, None)),
        ({"row": {}, "evaluated_step": 3, "logged_step": 5}, (5, None)),
        ({"row": {}, "evaluated_step": 3, "logged_step": 4}, (4, None)),
        ({"row": {"epoch": 1.0}, "evaluated_step": 5, "logged_step": 5}, (4, None)),
    ],
)
def test_how_far_a_snapshot_says_that_the_log_reached(
    state: dict[str, Any], expected: tuple[int, int | None]
) -> None:
    """lmtrain 0.1.0 counted no lines, and held back the line of the present step."""
    reached = Reached.of(state, step=5)
    assert (reached.last_step, reached.num_lines) == expected
    assert reached.waiting == state.get("row", {})


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_no_log_is_a_storage_error(kind: str, path: Path) -> None:
    path.mkdir() if kind == "folder" else path.symlink_to("elsewhere")
    with pytest.raises(StorageError, match=r"metrics\.jsonl: cannot be written: "):
        Log(path, last_step=0, num_lines=0)
