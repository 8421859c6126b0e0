"""Snapshots of every format there ever was: they load, evaluate and go on. What lies in tests/data stays."""

import shutil
from pathlib import Path

import pytest
from support import STEPS, Silent, run, settings

from lmtrain.run.trained import load_model

FORMAT_1 = Path(__file__).parents[1] / "data" / "format-1"


def test_format_1_evaluates_as_when_it_was_written() -> None:
    model = load_model(FORMAT_1 / "run")
    assert (model.snapshot.step, len(model.vocab)) == (8, 11)
    assert model.evaluate(FORMAT_1 / "valid.txt").evaluation.perplexity == pytest.approx(10.6761789, rel=1e-6)
    assert model.generate("w1 w4", num_words=5).unknown_words == []


def test_format_1_goes_on(tmp_path: Path) -> None:
    shutil.copytree(FORMAT_1 / "run", tmp_path / "run")
    values = settings(
        FORMAT_1,
        train__optimizer={"name": "adam", "lr": 0.01},
        train__schedule={"name": "plateau"},
        evaluation__every=4,
    )
    observer = Silent()
    result = run(values, tmp_path / "run", observer)
    assert observer.first_step == 8
    assert result.steps == STEPS
    assert result.best_step == STEPS


def test_kept_snapshots_are_small() -> None:
    assert sum(path.stat().st_size for path in FORMAT_1.rglob("*") if path.is_file()) < 200_000
