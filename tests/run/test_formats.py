"""Snapshots of every format there ever was: they load, evaluate and go on. What lies in tests/data stays."""

import json
import shutil
from pathlib import Path

import pytest
from support import STEPS, Silent, every_event, logged, run, settings

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


@pytest.mark.parametrize("end", [8, STEPS])
def test_a_line_that_waited_in_a_snapshot_of_format_1_is_logged_once(end: int, tmp_path: Path) -> None:
    """Snapshots of lmtrain 0.1.0 were written before the line of their step."""
    shutil.copytree(FORMAT_1 / "run", tmp_path / "run")
    state = json.loads((tmp_path / "run/snapshots/step-00000008/snapshot.json").read_text())["state"]
    assert {"train/loss", "valid/loss"} <= state["row"].keys()
    log = tmp_path / "run" / "metrics.jsonl"
    lines = [{"step": step, "epoch": step / 6, "train/loss": 2.0} for step in (2, 4, 6)]
    # The line of step 8 as it was then, with the test in it, and later ones that no snapshot knows of.
    lines += [{"step": 8, **state["row"], "test/loss": 3.0}, {"step": 10, "epoch": 2.0, "train/loss": 1.0}]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    values = settings(
        FORMAT_1,
        train__optimizer={"name": "adam", "lr": 0.01},
        train__schedule={"name": "plateau"},
        evaluation__every=4,
        train__max_steps=end,
    )
    run(values, tmp_path / "run")
    assert [event for event in logged(tmp_path / "run") if event[0] > 6] == [
        event for event in every_event(logging=2, evaluation=4, end=end) if event[0] > 6
    ]
    found = next(row for row in map(json.loads, log.read_text().splitlines()) if row["step"] == 8)
    assert found == {"step": 8, **state["row"]}
    assert run(values, tmp_path / "run").was_finished


def test_kept_snapshots_are_small() -> None:
    assert sum(path.stat().st_size for path in FORMAT_1.rglob("*") if path.is_file()) < 200_000
