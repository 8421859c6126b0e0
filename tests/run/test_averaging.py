"""A run with averaged weights: what is validated, kept and tested is the average; what is trained is not."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from support import STEPS, last_snapshot, make_corpus, run, settings
from torch import Tensor

from lmtrain.run.trained import load_model
from lmtrain.training.snapshot import read_snapshot

EMA = {"name": "ema", "decay": 0.8}
ASGD = {"name": "asgd", "nonmono": 1}
LARGE_STEPS = {"train__optimizer": {"name": "sgd", "lr": 20.0}, "evaluation__every": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def states(run_dir: Path) -> dict[int, Any]:
    paths = sorted((run_dir / "snapshots").iterdir())
    return {(snapshot := read_snapshot(path)).step: snapshot for path in paths}


def trained_weights(snapshot: Any) -> dict[str, Tensor]:
    held: dict[str, Tensor] | None = snapshot.training_state()["trainer"]["averaging"]["weights"]
    return held or snapshot.model_tensors()


@pytest.mark.parametrize(("averaging", "changes"), [(EMA, {}), (ASGD, LARGE_STEPS)], ids=["ema", "asgd"])
def test_averaging_does_not_change_training(
    averaging: dict[str, Any], changes: dict[str, Any], corpus: Path, tmp_path: Path
) -> None:
    run(settings(corpus, train__averaging=averaging, **changes), tmp_path / "averaged")
    run(settings(corpus, **changes), tmp_path / "plain")
    averaged, plain = states(tmp_path / "averaged"), states(tmp_path / "plain")
    for step, snapshot in averaged.items():
        expected = plain[step].model_tensors()
        assert all(torch.equal(weight, expected[name]) for name, weight in trained_weights(snapshot).items())
    evaluated, raw = averaged[STEPS].model_tensors(), plain[STEPS].model_tensors()
    assert not any(torch.equal(evaluated[name], raw[name]) for name in raw)


def test_the_model_on_disk_is_the_average_of_the_steps(corpus: Path, tmp_path: Path) -> None:
    run(settings(corpus, train__averaging=EMA), tmp_path / "run")
    average: dict[str, Tensor] = {}
    for step, snapshot in states(tmp_path / "run").items():
        share = max(1 / step, 0.2)
        for name, weight in trained_weights(snapshot).items():
            before = average.get(name, torch.zeros_like(weight))
            average[name] = before + share * (weight - before)
        for name, weight in snapshot.model_tensors().items():
            torch.testing.assert_close(weight, average[name])


@pytest.mark.parametrize("averaging", [EMA, ASGD], ids=["ema", "asgd"])
def test_what_is_validated_and_tested_is_what_is_on_disk(
    averaging: dict[str, Any], corpus: Path, tmp_path: Path
) -> None:
    values = settings(corpus, train__averaging=averaging, **LARGE_STEPS)
    result = run(values, tmp_path / "run")
    best = load_model(tmp_path / "run", device="cpu")
    found = best.evaluate(corpus / "valid.txt").evaluation
    assert found.perplexity == pytest.approx(math.exp(result.best_loss), rel=1e-6)
    assert result.test is not None
    assert best.evaluate(corpus / "test.txt").evaluation.loss == pytest.approx(result.test.loss, rel=1e-6)


def test_an_average_begins_once_validation_is_worse(corpus: Path, tmp_path: Path) -> None:
    run(settings(corpus, train__averaging=ASGD, **LARGE_STEPS), tmp_path / "run")
    counts = {
        step: (state := snapshot.training_state()["trainer"]["averaging"])["num_averaged"]
        for step, snapshot in states(tmp_path / "run").items()
    }
    first = next(step for step, count in counts.items() if count)
    assert 4 < first < STEPS
    assert all(counts[step] == max(0, step - first + 1) for step in counts)
    losses = state["losses"]
    assert losses[-1] > min(losses[:-2])
    assert first == 2 * len(losses) + 1
    assert last_snapshot(tmp_path / "run").name == f"step-{STEPS:08d}"
