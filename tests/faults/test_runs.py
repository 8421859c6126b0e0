"""Whole runs that die, are stopped, fill the disk or diverge, and are continued by the same command."""

import itertools
import shutil
from pathlib import Path

import pytest
import torch
from crashing import dies_at, disk_with
from support import STEPS, Silent, every_event, fingerprint, last_snapshot, logged, make_corpus, run, settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmtrain.errors import ConfigError, DivergenceError, ModelError, StorageError
from lmtrain.training.trainer import Trainer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def test_death_at_file_operations_of_a_whole_run(corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus, snapshots__every=5, snapshots__keep=1, logging__every=1)
    run(values, tmp_path / "whole")
    expected = fingerprint(tmp_path / "whole")
    run_dir = tmp_path / "run"
    # A prime stride meets every kind of operation; benchmarks/faults.py takes them all.
    for operation in itertools.count(0, 13):
        died = dies_at(operation, "after", lambda: run(values, run_dir))
        run(values, run_dir)
        assert fingerprint(run_dir) == expected, f"operation {operation}"
        shutil.rmtree(run_dir)
        if not died:
            break
    assert operation > 100


def test_twenty_five_deaths_in_one_run(corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus, snapshots__every=1, logging__every=1)
    run(values, tmp_path / "whole")
    run_dir = tmp_path / "run"
    deaths = 0
    while deaths < 25:
        # Late enough that each life writes a snapshot or not, in turn.
        assert dies_at(60 + 37 * deaths % 45, "after", lambda: run(values, run_dir)) or deaths
        deaths += 1
    run(values, run_dir)
    assert fingerprint(run_dir) == fingerprint(tmp_path / "whole")
    assert logged(run_dir) == every_event(logging=1, evaluation=3)
    steps = list(range(1, STEPS + 1))
    events = EventAccumulator(str(run_dir / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == steps


def test_a_full_disk_stops_a_run_and_space_continues_it(corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus, snapshots__every=4)
    run(values, tmp_path / "whole")
    size = sum(path.stat().st_size for path in last_snapshot(tmp_path / "whole").iterdir())
    for snapshots in (0.5, 1.5, 2.5):
        run_dir = tmp_path / f"run-{snapshots}"
        with pytest.raises(StorageError, match="the disk is full"), disk_with(int(snapshots * size)):
            run(values, run_dir)
        assert len(list((run_dir / "snapshots").iterdir())) == int(snapshots)
        run(values, run_dir)
        assert fingerprint(run_dir) == fingerprint(tmp_path / "whole")


def test_a_damaged_snapshot_is_left_aside(corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus, snapshots__every=3, snapshots__keep=2)
    run(values, tmp_path / "run")
    expected = fingerprint(tmp_path / "run")
    last = last_snapshot(tmp_path / "run")
    (last / "model.safetensors").write_bytes(b"damaged")
    observer = Silent()
    run(values, tmp_path / "run", observer)
    assert observer.first_step == 12
    assert "step-00000014" in observer.notes[0]
    assert "left aside as damaged-step-00000014.1" in observer.notes[0]
    assert fingerprint(tmp_path / "run") == expected
    names = sorted(path.name for path in (tmp_path / "run" / "snapshots").iterdir())
    assert "damaged-step-00000014.1" in names
    assert "step-00000014" in names


def test_nothing_is_overwritten_where_no_snapshot_is_whole(corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus, snapshots__every="epoch", snapshots__keep=1, train__max_steps=2)
    run(values, tmp_path / "run")
    for path in (tmp_path / "run" / "snapshots").rglob("*.safetensors"):
        path.write_bytes(b"damaged")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(ModelError, match="no snapshot is whole; nothing was changed"):
        run(values, tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("bad_step", [1, 2, 7, 13])
def test_a_loss_that_is_not_finite_is_caught_before_the_update(
    bad_step: int, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = settings(corpus, snapshots__every=1)
    original = Trainer.step

    def step(self: Trainer) -> None:
        if self.steps == bad_step and self.hidden is not None:
            self.hidden[0][0][1, 2] = torch.nan
        original(self)

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(DivergenceError, match=f"step {bad_step + 1} is not finite"):
        run(values, tmp_path / "run")
    assert last_snapshot(tmp_path / "run").name == f"step-{bad_step:08d}"
    monkeypatch.setattr(Trainer, "step", original)
    run(values, tmp_path / "run")
    run(values, tmp_path / "whole")
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "whole")


CHANGES = {
    "seed": (lambda v: v.update(seed=2), "seed: 1 → 2"),
    "hidden": (lambda v: v["model"].update(hidden_size=8), "model.hidden_size: 7 → 8"),
    "dropout": (lambda v: v["model"].update(dropout=0.1), "model.dropout.input: 0.3 → 0.1"),
    "batch": (lambda v: v["train"].update(batch_size=5), "train.batch_size: 4 → 5"),
    "lr": (lambda v: v["train"]["optimizer"].update(lr=0.25), "train.optimizer.lr: 0.5 → 0.25"),
    "streams": (lambda v: v["evaluation"].update(streams=2), "evaluation.streams: 1 → 2"),
    "vocabulary": (lambda v: v["data"].update(min_count=14), "the vocabulary: "),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_config_is_refused_with_the_difference(change: str, corpus: Path, tmp_path: Path) -> None:
    run(settings(corpus), tmp_path / "run")
    values = settings(corpus)
    CHANGES[change][0](values)
    with pytest.raises(ConfigError) as refused:
        run(values, tmp_path / "run")
    assert CHANGES[change][1] in str(refused.value)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_another_text_is_refused(split: str, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    run(settings(corpus), tmp_path / "run")
    with (corpus / f"{split}.txt").open("a") as file:
        file.write("w1\n")
    with pytest.raises(ConfigError, match=f"the content of data.{split}: "):
        run(settings(corpus), tmp_path / "run")


def test_what_may_change_may_change(corpus: Path, tmp_path: Path) -> None:
    run(settings(corpus, train__max_steps=6), tmp_path / "run")
    changed = settings(
        corpus,
        train__max_steps=None,
        train__epochs=3,
        evaluation__every="epoch",
        snapshots__every=7,
        snapshots__keep=1,
        logging__every=1,
        logging__samples=0,
    )
    assert run(changed, tmp_path / "run").steps > 6
