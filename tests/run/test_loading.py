"""A run directory or snapshot becomes a model: which one, and what is refused."""

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support import STEPS, trained_in

from lmtrain.errors import ModelError, UsageError
from lmtrain.model.cells.mogrifier import MogrifierLayer
from lmtrain.run.layout import find_snapshot
from lmtrain.run.trained import load_model
from lmtrain.training.fitting import refuse_other_shapes
from lmtrain.training.snapshot import Snapshot, read_snapshot
from lmtrain.training.store import SnapshotStore


def rewritten(snapshot: Snapshot, folder: Path, **changes: Any) -> Path:
    """The snapshot, written as whole and sound as any other, with something else in it."""
    parts: dict[str, Any] = {
        "model": snapshot.model_tensors(),
        "training_state": snapshot.training_state(),
        "vocab_bytes": snapshot.vocab_bytes(),
        "config": snapshot.config,
        "provenance": snapshot.provenance,
    }
    return SnapshotStore(folder).write(snapshot.step, **parts | changes)


def step_of(run_dir: Path, which: str | None) -> int:
    return find_snapshot(run_dir, which).step


def test_the_best_unless_told(run_dir: Path, tmp_path: Path) -> None:
    snapshot = find_snapshot(run_dir, "3")
    provenance = snapshot.provenance.model_copy(update={"best_step": 5})
    for step in (3, 5, 9):
        rewritten(dataclasses.replace(snapshot, step=step), tmp_path / "snapshots", provenance=provenance)
    assert step_of(tmp_path, None) == step_of(tmp_path, "best") == 5
    assert step_of(tmp_path, "last") == 9
    assert step_of(tmp_path, "3") == step_of(tmp_path, "0003") == 3
    assert find_snapshot(tmp_path / "snapshots" / "step-00000003").step == 3


def test_the_last_where_none_is_the_best(unvalidated: Path) -> None:
    assert step_of(unvalidated, None) == step_of(unvalidated, "last") == STEPS
    with pytest.raises(
        ModelError, match="no snapshot is the best, since the run was not validated; use last"
    ):
        find_snapshot(unvalidated, "best")


@pytest.mark.parametrize(
    ("which", "error", "message"),
    [
        ("99", ModelError, f"no snapshot of step 99, only of .*, {STEPS}$"),
        ("-1", UsageError, "--snapshot -1: allowed: best, last or the number of a step"),
        ("newest", UsageError, "--snapshot newest: allowed"),
        ("", UsageError, "allowed"),
    ],
)
def test_a_snapshot_that_there_is_not(
    which: str, error: type[Exception], message: str, run_dir: Path
) -> None:
    with pytest.raises(error, match=message):
        find_snapshot(run_dir, which)


def test_a_single_snapshot_is_not_picked_from(run_dir: Path) -> None:
    snapshot = run_dir / "snapshots" / "step-00000003"
    with pytest.raises(UsageError, match="one snapshot; --snapshot last picks from a run directory"):
        find_snapshot(snapshot, "last")


def test_an_older_model_does_not_stand_in_for_a_damaged_one(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "run")
    (tmp_path / "run" / "snapshots" / f"step-{STEPS:08d}" / "model.safetensors").write_bytes(b"")
    for which in (None, "last", "best"):
        with pytest.raises(ModelError, match=f"step-{STEPS:08d}: damaged snapshot: model.safetensors"):
            find_snapshot(tmp_path / "run", which)
    assert step_of(tmp_path / "run", "3") == 3


@pytest.mark.parametrize("path", ["missing", "empty", "file"])
def test_no_model_at_all(path: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=f"{path}: neither a run directory with a snapshot nor a snapshot"):
        load_model(tmp_path / path)


def test_a_device_that_there_is_not(run_dir: Path) -> None:
    with pytest.raises(UsageError, match="--device tpu: unknown"):
        load_model(run_dir, device="tpu")


def test_a_loaded_model_has_the_weights_of_its_snapshot_and_is_ready(run_dir: Path) -> None:
    trained = load_model(run_dir, "3", "cpu")
    weights = find_snapshot(run_dir, "3").model_tensors()
    assert not trained.model.training
    for name, parameter in trained.model.named_parameters():
        assert torch.equal(parameter, weights[name])


def test_tied_weights_are_one_matrix_again(corpus: Path, tmp_path: Path) -> None:
    changes = {"model__tie_weights": True, "model__embedding_dim": 7}
    model = load_model(trained_in(tmp_path / "run", corpus, **changes), device="cpu").model
    assert model.embedding.weight is model.softmax.weight


@pytest.mark.parametrize("softmax", ["adaptive", "sampled", "mixture"])
def test_models_of_any_softmax_are_loaded_and_used(softmax: str, corpus: Path, tmp_path: Path) -> None:
    changes = {
        "model__softmax": softmax,
        "model__adaptive": {"cutoffs": [3, 6]},
        "model__sampled": {"num_samples": 5, "distribution": "unigram"},
        "model__mixture": {"components": 3},
    }
    trained = load_model(trained_in(tmp_path / "run", corpus, **changes), "best", "cpu")
    loss = trained.snapshot.provenance.best_loss
    evaluation = trained.evaluate(corpus / "valid.txt").evaluation
    assert evaluation.nll_nats / evaluation.num_tokens == pytest.approx(loss, rel=1e-6)
    assert trained.generate("w1", num_words=5).texts[0].startswith("w1")


def test_an_adaptive_softmax_of_an_earlier_version_is_used_and_continued(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its projections were a unit wider for some fractional div: 8 / 1.6 was 5 to it."""
    changes = {
        "model__softmax": "adaptive",
        "model__hidden_size": 8,
        "model__adaptive": {"cutoffs": [3], "div": 1.6},
    }
    with monkeypatch.context() as patch:
        patch.setattr("lmtrain.model.adaptive_softmax._projection_sizes", lambda *_: [5])
        earlier = trained_in(tmp_path / "run", corpus, **changes, train__max_steps=4)
        (tmp_path / "whole").mkdir()
        whole = trained_in(tmp_path / "whole" / "run", corpus, **changes, train__max_steps=8)
    model = load_model(earlier, device="cpu").model
    assert len(model.softmax.projections[0]) == 5
    continued = trained_in(tmp_path / "run", corpus, **changes, train__max_steps=8)
    ours, theirs = (load_model(run, "last", "cpu").model.state_dict() for run in (continued, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_options_of_a_cell_are_those_of_the_config(corpus: Path, tmp_path: Path) -> None:
    options = {"rounds": 3, "rank": 2, "cap_input_gate": True}
    changes = {"model__cell": "mogrifier", "model__mogrifier": options}
    trained = load_model(trained_in(tmp_path / "run", corpus, **changes), device="cpu")
    for layer in trained.model.recurrent_layers():
        assert isinstance(layer, MogrifierLayer)
        assert layer.cap_input_gate
        assert [len(modulation.weights) for modulation in layer.modulations] == [2, 2, 2]


def test_cutoffs_that_do_not_suit_the_vocabulary_are_refused(run_dir: Path, tmp_path: Path) -> None:
    snapshot = find_snapshot(run_dir, "3")
    changes = {"softmax": "adaptive", "adaptive": {"cutoffs": [500], "div": 4.0}}
    config = {**snapshot.config, "model": {**snapshot.config["model"], **changes}}
    with pytest.raises(ModelError, match=r"model\.adaptive\.cutoffs: .* a vocabulary of 11 words"):
        load_model(rewritten(snapshot, tmp_path, config=config))


def test_weights_of_another_shape_are_refused(run_dir: Path, tmp_path: Path) -> None:
    snapshot = find_snapshot(run_dir, "3")
    config = {**snapshot.config, "model": {**snapshot.config["model"], "hidden_size": 9}}
    path = rewritten(snapshot, tmp_path, config=config)
    message = re.escape("layers.0.bias is (28,), expected (36,)")
    with pytest.raises(ModelError, match=f"step-00000003: its weights do not fit its config: {message}"):
        load_model(path)


def test_weights_that_are_missing_or_too_many_are_refused(run_dir: Path) -> None:
    snapshot, model = find_snapshot(run_dir, "3"), load_model(run_dir, "3", "cpu").model
    refuse_other_shapes(snapshot, model)
    del model.softmax.bias
    with pytest.raises(ModelError, match=r"softmax.bias is \(\d+,\), expected nothing"):
        refuse_other_shapes(snapshot, model)
    model.extra = torch.nn.Parameter(torch.zeros(2, 3))
    with pytest.raises(ModelError, match=r"extra is missing, expected \(2, 3\)"):
        refuse_other_shapes(snapshot, model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"name": "tiny"}}, "data.train: missing"),
        ({"vocab_bytes": b"<unk>\n<eos>\n"}, r"embedding.weight is \(\d+, 6\), expected \(2, 6\)"),
        ({"vocab_bytes": b"the\ncat\n"}, "vocab.txt: <unk> is missing"),
        ({"vocab_bytes": b"\xff\n"}, "vocab.txt: "),
    ],
)
def test_whole_snapshots_that_hold_no_model(
    changes: dict[str, Any], message: str, run_dir: Path, tmp_path: Path
) -> None:
    path = rewritten(find_snapshot(run_dir, "3"), tmp_path, **changes)
    read_snapshot(path)
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_a_damaged_newest_snapshot_does_not_stop_one_who_asks_for_the_best(
    run_dir: Path, tmp_path: Path
) -> None:
    snapshot = find_snapshot(run_dir, "3")
    provenance = snapshot.provenance.model_copy(update={"best_step": 5})
    for step in (3, 5, 9):
        rewritten(dataclasses.replace(snapshot, step=step), tmp_path / "snapshots", provenance=provenance)
    newest = tmp_path / "snapshots" / "step-00000009"
    (newest / "model.safetensors").write_bytes(b"damaged")
    assert step_of(tmp_path, None) == step_of(tmp_path, "best") == 5
    (newest / "snapshot.json").write_bytes(b"{}")
    notes: list[str] = []
    assert find_snapshot(tmp_path, None, notes.append).step == 5
    assert "step-00000009: damaged snapshot" in notes[0]
    with pytest.raises(ModelError, match="step-00000009: damaged snapshot"):
        find_snapshot(tmp_path, "last")
    for step in (3, 5):
        (tmp_path / "snapshots" / f"step-{step:08d}" / "snapshot.json").unlink()
    with pytest.raises(ModelError, match="no snapshot is whole"):
        find_snapshot(tmp_path)


def test_the_newest_is_not_read_to_learn_which_is_the_best(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = SnapshotStore.read
    monkeypatch.setattr(SnapshotStore, "read", lambda self, step: read.append(step) or original(self, step))
    best = find_snapshot(run_dir)
    assert read == [best.step]
