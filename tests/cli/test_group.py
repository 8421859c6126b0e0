"""What all commands share."""

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
