"""Several processes train one run: they end as one would, and whatever happens to one of them, all end."""

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import safetensors.numpy
from program import lmtrain, make_project
from ranks import Ending, Group, train_together

from lmtrain.errors import StorageError
from lmtrain.training.store import SnapshotStore
from lmtrain.training.trainer import Trainer

MODELS: dict[str, dict[str, Any]] = {
    "by line": {"data.context": "line"},
    "all at once": {
        "model.cell": "lstm",
        "model.num_layers": 2,
        "model.dropout": "{input: 0.1, layers: 0.2, output: 0.3, locked: true}",
        "train.averaging": "{name: ema, decay: 0.9}",
        "train.random_bptt": "true",
        "train.partial_shuffle": "true",
        "evaluation.streams": 3,
        "train.accumulate": 2,
    },
}


def options(values: dict[str, Any]) -> list[str]:
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path / "cache"))
    return make_project(tmp_path)


def weights(run_dir: Path) -> dict[str, Any]:
    last = max((run_dir / "snapshots").iterdir())
    return safetensors.numpy.load_file(last / "model.safetensors")


def validations(run_dir: Path) -> dict[int, float]:
    """Losses by step, at the ends of epochs."""
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["valid/loss"] for line in lines if "valid/loss" in line}


def assert_alike(run_dir: Path, expected: Path) -> None:
    found, wanted = weights(run_dir), weights(expected)
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        assert abs(found[name] - weight).max() < 1e-5 * abs(weight).max(), name
    losses = validations(run_dir)
    for step, loss in validations(expected).items():
        assert losses[step] == pytest.approx(loss, rel=1e-6)


def assert_told_once(endings: list[Ending], words: str) -> None:
    told = [line for ending in endings for line in ending.said.splitlines() if line.startswith("lmtrain: ")]
    assert len(told) == 1, told
    assert words in told[0]


@pytest.mark.parametrize("name", MODELS)
def test_one_goes_on_where_others_were_and_others_where_it_was(project: Path, name: str) -> None:
    chosen = options(MODELS[name])
    whole = lmtrain("train", "--config", "config.yaml", "--run-dir", "whole", *chosen, folder=project)
    assert whole.code == 0, whole.err
    for number, (size, epochs) in enumerate(((2, 1), (1, 1.5), (4, 2), (2, 3))):
        run = ["--run-dir", "parts", *chosen, "--set", f"train.epochs={epochs}"]
        if size == 1:
            outcome = lmtrain("train", "--config", "config.yaml", *run, folder=project)
            assert outcome.code == 0, outcome.err
            continue
        endings = train_together(size, project, *run)
        assert [ending.code for ending in endings] == [0] * size, endings
        assert all(ending.said == "" for ending in endings[1:])
        assert ("continuing" in endings[0].said) == (number > 0)
    assert_alike(project / "parts", project / "whole")


def wait_for_steps(run_dir: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and not list(run_dir.glob("snapshots/step-*")):
        time.sleep(0.01)


LONG = ["--run-dir", "run", "--set", "train.epochs=2000", "--set", "snapshots.every=5"]


@pytest.mark.parametrize("rank", [0, 1])
def test_told_to_stop_one_stops_all(project: Path, rank: int) -> None:
    group = Group(2, project, ["train", "--config", "config.yaml", *LONG])
    wait_for_steps(project / "run")
    group.signal(rank, signal.SIGTERM)
    endings = group.wait(30)
    assert [ending.code for ending in endings] == [143, 143], endings
    assert_told_once(endings, "stopped by SIGTERM at step ")
    step = int(endings[0].said.split("at step ")[1].split(";")[0].replace(",", ""))
    assert (project / "run" / "snapshots" / f"step-{step:08}").is_dir()


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_killed_is_named_by_the_others(project: Path, rank: int) -> None:
    group = Group(3, project, ["train", "--config", "config.yaml", *LONG, "--set", "train.batch_size=6"])
    wait_for_steps(project / "run")
    group.signal(rank, signal.SIGKILL)
    endings = group.wait(30)
    assert endings.pop(rank).code == -signal.SIGKILL
    assert [ending.code for ending in endings] == [6, 6], endings
    assert_told_once(endings, f"process {rank} is gone")


def _raise_in_one(rank: int) -> None:
    if rank == 1:
        patch.object(Trainer, "check_finite", side_effect=StorageError("one.txt: it burns")).start()


def _fill_the_disk(_: int) -> None:
    patch.object(SnapshotStore, "write", side_effect=StorageError("run: the disk is full")).start()


def _have_a_bug(rank: int) -> None:
    if rank == 1:
        patch.object(Trainer, "check_weights", side_effect=ZeroDivisionError("a bug")).start()


def _spoil_a_state(rank: int) -> None:
    original = Trainer.step

    def step(trainer: Trainer) -> None:
        original(trainer)
        if rank == 1 and trainer.hidden is not None and trainer.steps == 4:
            trainer.hidden[0][0].fill_(math.nan)

    patch.object(Trainer, "step", step).start()


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (_raise_in_one, 6, "one.txt: it burns"),
        (_fill_the_disk, 6, "the disk is full"),
        (_have_a_bug, 1, "this is a fault of lmtrain"),
        (_spoil_a_state, 5, "the loss or gradient of step 5 is not finite"),
    ],
)
def test_what_fails_in_one_ends_all_with_one_message(
    project: Path, fault: Any, code: int, words: str
) -> None:
    endings = train_together(2, project, "--run-dir", "run", prepare=fault)
    assert [ending.code for ending in endings] == [code, code], endings
    assert_told_once(endings, words)


def _write_slowly(_: int) -> None:
    original = SnapshotStore.write

    def write(*arguments: Any, **named: Any) -> Path:
        time.sleep(5)
        return original(*arguments, **named)

    patch.object(SnapshotStore, "write", write).start()


def test_a_snapshot_may_take_longer_than_others_wait_for_an_answer(project: Path) -> None:
    chosen = options({"distributed.timeout": 4, "train.epochs": 1})
    endings = train_together(2, project, "--run-dir", "run", *chosen, prepare=_write_slowly)
    assert [ending.code for ending in endings] == [0, 0], endings


def test_out_of_patience_all_stop(project: Path) -> None:
    chosen = options({"train.early_stopping.patience": 1, "train.epochs": 60, "train.optimizer.lr": 9})
    endings = train_together(2, project, "--run-dir", "run", *chosen)
    assert [ending.code for ending in endings] == [0, 0], endings
    one = lmtrain("train", "--config", "config.yaml", "--run-dir", "one", *chosen, folder=project)
    assert one.code == 0
    assert max(validations(project / "run")) == max(validations(project / "one")) < 60 * 8


def test_uneven_shares_are_refused_with_numbers_that_would_do(project: Path) -> None:
    endings = train_together(3, project, "--run-dir", "run")
    assert [ending.code for ending in endings] == [2, 2, 2]
    said = "".join(ending.said for ending in endings)
    assert said.count("4 streams are no equal shares for 3 processes; 3 or 6 would do") == 1


def _read_another_text(rank: int) -> None:
    if rank == 1:
        text = Path("config.yaml").read_text()
        Path("other.yaml").write_text(text.replace("train: train.txt", "train: valid.txt"))
        sys.argv[sys.argv.index("config.yaml")] = "other.yaml"


def test_processes_that_would_train_on_other_texts_are_refused(project: Path) -> None:
    endings = train_together(2, project, "--run-dir", "run", prepare=_read_another_text)
    assert [ending.code for ending in endings] == [2, 2], endings
    assert sum(ending.said.count("train: other in process 1 than in process 0") for ending in endings) == 1


def test_started_anew_they_go_on(project: Path) -> None:
    run = ["train", "--config", "config.yaml", "--run-dir", "run", "--resume", "never"]
    first = Group(2, project, [*run, "--set", "train.epochs=1"]).wait()
    assert [ending.code for ending in first] == [0, 0]
    again = Group(2, project, run, restarts=1).wait()
    assert [ending.code for ending in again] == [0, 0], again
    assert "continuing from step 9 of 25" in again[0].said


def test_all_processes_of_one_torchrun_size_are_checked(project: Path) -> None:
    endings = train_together(2, project, "--run-dir", "run", "--nproc", 3)
    assert [ending.code for ending in endings] == [2, 2]


def test_nproc_starts_them(project: Path) -> None:
    """By the launcher of torch itself: each process is a new interpreter."""
    train = ["train", "--config", "config.yaml", "--set", "train.epochs=1"]
    words = [sys.executable, "-m", "lmtrain", *train, "--run-dir", "run", "--nproc", "2"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test perplexity") == 1
    assert lmtrain(*train, "--run-dir", "one", folder=project).code == 0
    assert_alike(project / "run", project / "one")
    assert json.loads((project / "run" / "environment.json").read_text())["processes"] == 2
