"""What all commands share."""

import shlex
from pathlib import Path

import pytest
from program import lmtrain


@pytest.mark.parametrize("option", ["-q", "--quiet"])
@pytest.mark.parametrize("is_first", [True, False])
def test_quiet_leaves_what_was_asked_for(option: str, is_first: bool, project: Path) -> None:
    command = ["train", "--config", "config.yaml", "--set", "train.epochs=1"]
    outcome = lmtrain(*([option, *command] if is_first else [*command, option]), folder=project)
    assert (outcome.code, outcome.err) == (0, "")
    assert "valid ppl" in outcome.out


def test_quiet_leaves_errors_and_holds_for_one_command_alone(project: Path) -> None:
    loud = lmtrain("runs", project)
    assert loud.err == f"{project}: holds no run\n"
    assert lmtrain("runs", project, "-q").err == ""
    assert lmtrain("-q", "data", "list").code == lmtrain("data", "-q", "list").code == 0
    outcome = lmtrain("-q", "runs", project / "nowhere")
    assert outcome.code == 2
    assert "nowhere" in outcome.err
    assert lmtrain("runs", project) == loud


@pytest.mark.parametrize(
    "command",
    [
        "eval runs/m --data=",
        "train --config=",
        "train --config x.yaml --run-dir=",
        "info ''",
        "data check ''",
        "config show ''",
        "plot runs/m ''",
    ],
)
def test_an_empty_path_is_called_empty(command: str) -> None:
    outcome = lmtrain(*shlex.split(command))
    assert outcome.code == 2
    assert "the path is empty" in outcome.err


def test_other_values_may_be_empty(tmp_path: Path) -> None:
    assert "the path is empty" not in lmtrain("generate", tmp_path / "none", "--prompt", "").err
