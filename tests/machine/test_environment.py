"""What is recorded of the place a run is made in."""

import subprocess
import sys
from pathlib import Path

import pytest

from lmtrain.machine import device
from lmtrain.machine.environment import command_line, describe_environment, git_revision


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_git_revision(tmp_path: Path) -> None:
    assert git_revision(tmp_path) is None
    git(tmp_path, "init")
    assert git_revision(tmp_path) is None  # nothing committed yet
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    revision = git(tmp_path, "rev-parse", "HEAD")
    assert git_revision(tmp_path) == revision
    (tmp_path / "file").write_text("two")
    assert git_revision(tmp_path) == f"{revision}+"


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path) is None


@pytest.mark.parametrize("program", ["/usr/bin/lmtrain", "/usr/lib/lmtrain/__main__.py"])
def test_command_line(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [program, "train", "--config", "my config.yaml"])
    assert command_line() == "lmtrain train --config 'my config.yaml'"


def test_the_processor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe_environment()["processor"]

    def refuse(path: Path, encoding: str) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert describe_environment()["processor"]


@pytest.mark.parametrize(("features", "answer"), [({"avx512_bf16"}, "in hardware"), ({"avx2"}, "slower")])
def test_whether_bfloat16_pays(features: set[str], answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "processor_features", lambda: features)
    assert describe_environment()["cpu_bfloat16"].startswith(answer)
