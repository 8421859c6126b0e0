"""Streams that cannot be written: results that are lost are told by the exit code, messages never are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RESULTS = "data list"


def shell(command: str, folder: Path = Path()) -> tuple[int, str]:
    """Exit code and standard error of a command of this program, with what a shell does to its streams."""
    line = f"exec {sys.executable} -m lmtrain {command}"
    result = subprocess.run(line, shell=True, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
    return result.returncode, result.stderr


@pytest.mark.parametrize(
    ("target", "reason"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")]
)
@pytest.mark.parametrize("command", [RESULTS, "--help", "--version", "data --help", "config schema"])
def test_results_that_cannot_be_written(command: str, target: str, reason: str) -> None:
    code, err = shell(f"{command} {target}")
    assert (code, err) == (6, f"lmtrain: standard output: cannot be written: {reason}\n")


@pytest.mark.parametrize("target", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("command", "code"),
    [("runs nowhere >/dev/null", 2), ("nosuch", 2), ("data check nowhere", 3), ("runs .", 0)],
)
def test_messages_change_no_exit_code(command: str, code: int, target: str, tmp_path: Path) -> None:
    assert shell(f"{command} {target}", tmp_path) == (code, "")


def test_neither_can_be_written() -> None:
    assert shell(f"{RESULTS} --json >/dev/full 2>/dev/full") == (6, "")


def test_a_pipe_that_closes_ends_a_command_silently() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "lmtrain", *RESULTS.split()]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (-13, b"")


@pytest.mark.parametrize("target", [">&- 2>&-", ">/dev/full 2>/dev/full", "| true"])
def test_training_goes_on_without_its_table(target: str, project: Path) -> None:
    command = f"train --config config.yaml --set train.epochs=1 --run-dir run {target}"
    line = f"set -o pipefail; {sys.executable} -m lmtrain {command}"
    result = subprocess.run(["bash", "-c", line], cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert list((project / "run" / "snapshots").iterdir())
    assert "Traceback" not in result.stderr
