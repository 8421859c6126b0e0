"""Sweeps: what trials try, how they end, and that an interruption changes nothing."""

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from support import Silent, last_snapshot, logged, run, settings

from lmtrain.config import load_config
from lmtrain.config.document import Document
from lmtrain.config.space import Space
from lmtrain.errors import ConfigError, Interrupted, StorageError, UsageError
from lmtrain.jobs.sweep import SweepResult, TrialRecord, sweep

SPACE = "train.optimizer.lr: {float: [0.01, 2], log: true}\nmodel.cell: {choice: [lstm, gru]}\n"


class Watching(Silent):
    """Remembers which trials began and ended."""

    def __init__(self, at_step: Callable[[int], None] = lambda step: None) -> None:
        super().__init__(at_step)
        self.begun: list[int] = []
        self.ended: list[tuple[int, str]] = []

    def on_trial(self, trial: TrialRecord, assignments: list[str]) -> None:
        self.begun.append(trial.number)

    def on_trial_end(self, trial: TrialRecord) -> None:
        self.ended.append((trial.number, trial.state))


@pytest.fixture
def space(corpus: Path, tmp_path: Path) -> Callable[..., Space]:
    def make(text: str = SPACE, **changes: Any) -> Space:
        values = settings(corpus, **{"snapshots__every": 7, "logging__samples": 0, **changes})
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
        (tmp_path / "s.yaml").write_text(text)
        return Space(Document(tmp_path / "c.yaml"), tmp_path / "s.yaml")

    return make


def search(
    space: Space, folder: Path, num_trials: int, observer: Watching | None = None, **options: Any
) -> SweepResult:
    options = {"prune_after": None, "device": "cpu", **options}
    return sweep(space, observer or Watching(), sweep_dir=folder, num_trials=num_trials, **options)


def outcomes(result: SweepResult) -> list[Any]:
    return [(t.number, t.state, t.perplexity, t.evaluations, t.values) for t in result.trials]


def test_a_sweep(space: Callable[..., Space], tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    result = search(space(), folder, 3)
    assert not result.was_finished
    assert [trial.number for trial in result.trials] == [0, 1, 2]
    assert {trial.state for trial in result.trials} == {"complete"}
    assert result.best == min(result.trials, key=lambda trial: trial.perplexity or 0)
    assert len({trial.values["train.optimizer.lr"] for trial in result.trials}) == 3
    for trial in result.trials:
        config = load_config(trial.run_dir / "config.yaml")
        assert config.train.optimizer.lr == trial.values["train.optimizer.lr"]
        assert config.model.cell == trial.values["model.cell"]
        assert config.data.test == ()  # what is chosen by may not be what is reported
        assert last_snapshot(trial.run_dir).name == "step-00000014"
        rows = map(json.loads, (trial.run_dir / "metrics.jsonl").read_text().splitlines())
        seen = [row["valid/perplexity"] for row in rows if "valid/perplexity" in row]
        assert trial.perplexity == pytest.approx(min(seen))
    best = load_config(folder / "best.yaml")
    assert best.name == "tiny-best"
    assert best.data.test
    assert best.train.optimizer.lr == result.best.values["train.optimizer.lr"]


def test_the_same_command_again_and_more_trials(space: Callable[..., Space], tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    first = search(space(), folder, 2)
    again = search(space(), folder, 2)
    assert again.was_finished
    assert outcomes(again) == outcomes(first)
    watch = Watching()
    more = search(space(), folder, 3, watch)
    assert (more.was_finished, watch.begun) == (False, [2])
    assert outcomes(more)[:2] == outcomes(first)


def test_an_interrupted_sweep_goes_on_as_if_it_had_not_been(
    space: Callable[..., Space], tmp_path: Path
) -> None:
    whole = search(space(), tmp_path / "whole", 3)
    folder = tmp_path / "interrupted"
    watch = Watching(lambda step: os.kill(os.getpid(), signal.SIGINT) if stop_now(step) else None)

    def stop_now(step: int) -> bool:
        return watch.begun[-1] == 1 and step == 7

    with pytest.raises(Interrupted, match="stopped by SIGINT at step 7; a snapshot was written"):
        search(space(), folder, 3, watch)
    assert watch.ended == [(0, "complete")]
    assert last_snapshot(folder / "trial-0001").name == "step-00000007"
    after = Watching()
    result = search(space(), folder, 3, after)
    assert after.begun == [1, 2]
    assert after.first_step == 0  # of the last one
    assert outcomes(result) == outcomes(whole)


def test_a_trial_that_a_kill_cut_short_is_made_again(space: Callable[..., Space], tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(step: int) -> None:
        if step == 5:
            raise KilledError

    folder = tmp_path / "sweep"
    with pytest.raises(KilledError):
        search(space(), folder, 1, Watching(kill))
    assert outcomes(search(space(), folder, 1)) == outcomes(search(space(), tmp_path / "whole", 1))


def test_bad_trials_are_pruned_and_can_be_continued(space: Callable[..., Space], tmp_path: Path) -> None:
    text = "train.optimizer.lr: {choice: [1.0e-9, 1.0]}\n"
    result = search(space(text), tmp_path / "sweep", 5, prune_after=1)
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned
    assert {trial.values["train.optimizer.lr"] for trial in pruned} == {1e-9}
    assert result.best is not None
    assert result.best.values["train.optimizer.lr"] == 1.0
    one = pruned[0]
    assert one.evaluations == 1
    assert last_snapshot(one.run_dir).name == "step-00000003"
    values = load_config(one.run_dir / "config.yaml").to_dict()
    assert run(values, one.run_dir, device="cpu").steps == 14


def test_a_trial_that_diverges_is_the_worst_of_all(space: Callable[..., Space], tmp_path: Path) -> None:
    text = "train.optimizer.lr: {choice: [1.0e+30, 0.5]}\n"
    changes = {"model__cell": "elman", "model__activation": "relu", "train__max_grad_norm": None}
    watch = Watching()
    result = search(space(text, **changes), tmp_path / "sweep", 4, watch)
    states = {trial.values["train.optimizer.lr"]: trial.state for trial in result.trials}
    assert states == {1e30: "diverged", 0.5: "complete"}
    assert any("diverged" in note for note in watch.notes)
    assert len(watch.ended) == 4


def test_values_that_do_not_go_together_end_a_trial(space: Callable[..., Space], tmp_path: Path) -> None:
    text = "model.cell: {choice: [lstm, elman]}\nmodel.activation: {choice: [tanh, relu]}\n"
    watch = Watching()
    result = search(space(text), tmp_path / "sweep", 6, watch)
    for trial in result.trials:
        is_invalid = trial.values == {"model.cell": "lstm", "model.activation": "relu"}
        assert trial.state == ("invalid" if is_invalid else "complete")
    assert "invalid" in {trial.state for trial in result.trials}


def test_a_trial_that_does_not_suit_the_texts_ends_as_invalid(
    space: Callable[..., Space], tmp_path: Path
) -> None:
    """It was tried again for ever, since a sweep goes on with the trial that it was stopped in."""
    text = "model.adaptive.cutoffs: {choice: [[4], [4000]]}\n"
    watch = Watching()
    result = search(space(text, model__softmax="adaptive"), tmp_path / "sweep", 4, watch)
    assert {(tuple(trial.values["model.adaptive.cutoffs"]), trial.state) for trial in result.trials} == {
        ((4,), "complete"),
        ((4000,), "invalid"),
    }
    assert any("model.adaptive.cutoffs" in note for note in watch.notes)


def test_whole_sections_can_be_chosen(space: Callable[..., Space], tmp_path: Path) -> None:
    text = "train.optimizer: {choice: [{name: adam}, {name: sgd, lr: 0.5}]}\n"
    trials = search(space(text), tmp_path / "sweep", 4).trials
    for trial in trials:
        optimizer = load_config(trial.run_dir / "config.yaml").train.optimizer
        assert optimizer.name == trial.values["train.optimizer"]["name"]
    assert {trial.values["train.optimizer"]["name"] for trial in trials} == {"adam", "sgd"}


@pytest.mark.parametrize("what", ["seed", "space", "config"])
def test_another_sweep_in_the_same_place_is_refused(
    what: str, space: Callable[..., Space], tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    search(space(), folder, 1)
    other = space(SPACE.replace("2]", "3]")) if what == "space" else space()
    if what == "config":
        other = space(train__max_steps=15)
    changed = {"seed": "seed: 1 → 2", "space": "3]", "config": "config.train.max_steps: 14 → 15"}[what]
    with pytest.raises(ConfigError, match="holds a sweep that differs") as caught:
        search(other, folder, 2, seed=2 if what == "seed" else 1)
    assert len(caught.value.problems) == 1
    assert changed in caught.value.problems[0]


def test_what_a_sweep_needs(
    space: Callable[..., Space], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"data\.valid: a sweep compares"):
        search(space(data__valid=None), tmp_path / "sweep", 1)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "study.db").write_text("this is no data base, but long enough to be taken for one" * 50)
    with pytest.raises(StorageError, match=r"study\.db: cannot be used: "):
        search(space(), broken, 1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'lmtrain\[sweep\]'"):
        search(space(), tmp_path / "sweep", 1)


def test_the_validation_in_the_end_counts_and_takes_no_part_in_pruning(
    space: Callable[..., Space], tmp_path: Path
) -> None:
    (trial,) = search(space(evaluation__every=4), tmp_path / "sweep", 1).trials
    assert [step for step, kind in logged(trial.run_dir) if kind == "valid"] == [4, 8, 12, 14]
    assert trial.evaluations == 4


def test_warnings_for_programmers_are_left_out(
    space: Callable[..., Space], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = optuna.Trial.suggest_float

    def warn(*arguments: Any, **options: Any) -> float:
        warnings.warn("an experiment", optuna.exceptions.ExperimentalWarning, stacklevel=1)
        np.log(np.zeros(1))
        return original(*arguments, **options)

    monkeypatch.setattr(optuna.Trial, "suggest_float", warn)
    assert search(space(), tmp_path / "sweep", 1).best
