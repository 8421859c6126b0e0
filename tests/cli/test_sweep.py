"""``lmtrain sweep``."""

import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
from program import Outcome, files_in, lmtrain

from lmtrain.cli.sweep import _Watcher

SPACE = "train.optimizer.lr: {float: [0.1, 1], log: true}\nmodel.hidden_size: {int: [4, 9]}\n"


def sweep(folder: Path, *options: object) -> Outcome:
    (folder / "space.yaml").write_text(SPACE)
    shorter = ["--set", "train.epochs=1"]
    return lmtrain(
        "sweep", "--config", "config.yaml", "--space", "space.yaml", *shorter, *options, folder=folder
    )


def test_a_sweep_prints_a_table_and_continues(project: Path) -> None:
    outcome = sweep(project, "--trials", 2)
    assert outcome.code == 0
    header, *rows = outcome.out.splitlines()
    assert header.split()[:2] == ["trial", "state"]
    assert header.endswith("evaluations  train.optimizer.lr  model.hidden_size")
    assert [row.split()[:2] for row in rows] == [["0", "complete"], ["1", "complete"]]
    assert outcome.out.count("*") == 1
    assert "trial 1 (of 2): train.optimizer.lr=" in outcome.err
    assert (project / "runs/tiny-sweep/trial-0001/config.yaml").exists()
    assert lmtrain("info", "runs/tiny-sweep/trial-0001", folder=project).code == 0
    assert lmtrain("config", "validate", "runs/tiny-sweep/best.yaml", folder=project).code == 0

    again = sweep(project, "--trials", 2, "--json")
    found = json.loads(again.out)
    assert "already finished: runs/tiny-sweep, 2 trials" in again.err
    assert found["best"] in found["trials"]
    assert found["best"]["values"].keys() == {"train.optimizer.lr", "model.hidden_size"}
    assert found["sweep_dir"] == "runs/tiny-sweep"

    other = sweep(project, "--trials", 2, "--seed", 5)
    assert other.code == 2
    assert "seed: 1 → 5" in other.err


def test_what_is_refused_leaves_nothing_behind(project: Path) -> None:
    (project / "space.yaml").write_text(SPACE)
    before = files_in(project)
    for options, code, part in (
        (["--trials", 0], 2, "--trials"),
        (["--trials", 1, "--set", "data.valid="], 2, "data.valid: a sweep compares"),
        (["--trials", 1, "--set", "model.hiden=1"], 2, "model.hiden: unknown key"),
        (["--trials", 1, "--sweep-dir", "config.yaml/x"], 6, "config.yaml/x: cannot be used"),
    ):
        outcome = sweep(project, *options)
        assert outcome.code == code
        assert part in outcome.err
        assert files_in(project) == before
    bad = lmtrain("sweep", "--config", "config.yaml", "--space", "no.yaml", "--trials", 1, folder=project)
    assert (bad.code, "no.yaml: cannot be read" in bad.err) == (2, True)


def test_several_processes_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    outcome = lmtrain(
        "sweep", "--config", "config.yaml", "--space", "space.yaml", "--trials", 2, folder=project
    )
    assert outcome.code == 2
    assert "a sweep is of one process" in outcome.err


def test_an_interrupted_sweep_names_the_command_that_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as here:
        here.setattr(_Watcher, "on_figures", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        outcome = sweep(project, "--trials", 1, "--set", "logging.every=1")
    assert outcome.code == 130
    told, _, again = outcome.err.splitlines()[-3:]
    assert told.startswith("lmtrain: stopped by SIGINT at step 1; a snapshot was written")
    words: list[Any] = shlex.split(again)
    assert words[0] == "lmtrain"
    assert lmtrain(*words[1:], folder=project).code == 0
