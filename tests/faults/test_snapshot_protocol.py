"""A snapshot write that dies anywhere, or finds the disk full, leaves a whole snapshot behind."""

import itertools
import shutil
from pathlib import Path

import pytest
import torch
from crashing import dies_at, disk_with

from lmtrain.errors import StorageError
from lmtrain.training.snapshot import Provenance
from lmtrain.training.store import SnapshotStore


def write(store: SnapshotStore, step: int, version: int, best_step: int | None = None) -> None:
    provenance = Provenance(
        environment={},
        sha256={},
        num_tokens=1,
        epoch=1.0,
        best_step=best_step,
        best_loss=None,
        elapsed=0.0,
    )
    weights = {"w": torch.full((20,), float(version))}
    store.write(step, weights, {"version": version}, b"<eos>\n<unk>\n", config={}, provenance=provenance)


def versions(store: SnapshotStore) -> dict[int, int]:
    """What each snapshot holds, every one of them checked."""
    return {step: store.read(step).training_state()["version"] for step in store.steps()}


@pytest.fixture
def before(tmp_path: Path) -> Path:
    store = SnapshotStore(tmp_path / "before", keep=2)
    for step in (1, 2, 3):
        write(store, step, version=step, best_step=1)
    assert versions(store) == {1: 1, 2: 2, 3: 3}
    return store.directory


@pytest.mark.parametrize("moment", ["before", "after", "within"])
@pytest.mark.parametrize("step", [3, 4], ids=["the same step again", "a new step"])
def test_death_at_every_file_operation(step: int, moment: str, before: Path, tmp_path: Path) -> None:
    old, new = {1: 1, 2: 2, 3: 3}, {1: 1, 3: 3, 4: 10} if step == 4 else {1: 1, 2: 2, 3: 10}
    seen = set()
    for operation in itertools.count():
        store = SnapshotStore(tmp_path / "run", keep=2)
        shutil.copytree(before, store.directory)
        died = dies_at(operation, moment, lambda store=store: write(store, step, version=10, best_step=1))
        store.recover()
        left = versions(store)
        assert left[1] == 1, "the best one is always there"
        # Either the write has not happened, or it has; in the latter case pruning may not have.
        assert left in (old, new, {**old, step: 10}), f"operation {operation}"
        assert not [p for p in store.directory.iterdir() if p.name.startswith(".")]
        seen.add(left == old)
        write(store, step, version=10, best_step=1)
        assert versions(store) == new
        shutil.rmtree(store.directory)
        if not died:
            break
    assert operation > 25
    assert seen == {True, False}


def test_death_while_cleaning_up_after_a_death(before: Path, tmp_path: Path) -> None:
    for first in range(0, 40, 3):
        for second in itertools.count():
            store = SnapshotStore(tmp_path / "run", keep=2)
            shutil.copytree(before, store.directory)
            dies_at(first, "before", lambda store=store: write(store, 3, version=10, best_step=1))
            died = dies_at(second, "before", store.recover)
            store.recover()
            assert {**versions(store), 3: 0} in ({1: 1, 2: 2, 3: 0}, {1: 1, 3: 0})
            assert versions(store)[3] in (3, 10)
            shutil.rmtree(store.directory)
            if not died:
                break


def test_a_full_disk_at_any_byte(before: Path) -> None:
    store = SnapshotStore(before, keep=2)
    full = 0
    for free in range(0, 1600, 16):
        try:
            with disk_with(free):
                write(store, 4, version=10, best_step=1)
        except StorageError as error:
            assert "the disk is full" in str(error)  # noqa: PT017
            assert versions(store) == {1: 1, 2: 2, 3: 3}
            assert sorted(p.name for p in before.iterdir()) == [f"step-0000000{i}" for i in (1, 2, 3)]
            full += 1
    assert full >= 50
    write(store, 4, version=10, best_step=1)
    assert versions(store) == {1: 1, 3: 3, 4: 10}
