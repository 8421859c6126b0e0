"""A run that is continued from any of its snapshots ends exactly as the one that was never interrupted."""

import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import STEPS, Silent, every_event, fingerprint, last_snapshot, logged, run, settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmtrain.errors import Interrupted, UsageError
from lmtrain.machine.interrupt import StopRequest
from lmtrain.model import fused_recurrence
from lmtrain.model.cells import CELLS
from lmtrain.run import build
from lmtrain.training.manifest import read_manifest, sealed
from lmtrain.training.store import SnapshotStore


def continued_from(step: int, whole: Path, values: dict[str, Any], run_dir: Path) -> str:
    """The fingerprint of a run that was killed right after the snapshot of ``step``."""
    shutil.copytree(whole, run_dir)
    for path in (run_dir / "snapshots").iterdir():
        if int(path.name.removeprefix("step-")) > step:
            shutil.rmtree(path)
    manifest = last_snapshot(run_dir) / "snapshot.json"
    manifest.write_bytes(sealed({**read_manifest(manifest), "finished": False}))
    observer = Silent()
    run(values, run_dir, observer=observer)
    assert observer.first_step == step
    result = fingerprint(run_dir)
    shutil.rmtree(run_dir)
    return result


CASES: dict[str, dict[str, Any]] = {
    **{" ".join(key): dict(zip(("model__cell", "model__activation"), key, strict=True)) for key in CELLS},
    "tied": {"model__tie_weights": True, "model__embedding_dim": 7},
    "dropped words and weights": {
        "model__dropout": {"input": 0.3, "output": 0.3, "words": 0.2, "recurrent": 0.4, "locked": True},
    },
    "a narrow last layer": {
        "model__tie_weights": True,
        "model__last_hidden_size": 6,
        "model__dropout": {"words": 0.2, "recurrent": 0.4},
    },
    "skip connections": {"model__skip_connections": True, "model__dropout": 0.3},
    "penalties": {"train__activation_regularization": 2.0, "train__temporal_regularization": 1.0},
    "random windows": {"train__random_bptt": True},
    "partial shuffle": {"train__partial_shuffle": True},
    "asgd": {
        "train__averaging": {"name": "asgd", "nonmono": 1},
        "train__optimizer": {"name": "sgd", "lr": 20.0},
        "evaluation__every": 2,
    },
    "ema": {
        "train__averaging": {"name": "ema", "decay": 0.8},
        "model__tie_weights": True,
        "model__embedding_dim": 7,
    },
    "adaptive": {"model__softmax": "adaptive"},
    "sampled": {"model__softmax": "sampled", "model__sampled": {"num_samples": 5}},
    "sampled unigram": {
        "model__softmax": "sampled",
        "model__sampled": {"num_samples": 5, "distribution": "unigram"},
    },
    "mixture": {
        "model__softmax": "mixture",
        "model__mixture": {"components": 3},
        "model__tie_weights": True,
        "model__dropout": {"output": 0.2, "latent": 0.3},
    },
    "mogrifier of low rank": {
        "model__cell": "mogrifier",
        "model__mogrifier": {"rounds": 3, "rank": 2, "cap_input_gate": True},
    },
    "bfloat16": {"train__precision": "bfloat16"},
    "line context": {"data__context": "line"},
    "sum over time": {"train__loss_reduction": "sum_over_time"},
    "momentum": {"train__optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True}},
    "adam": {"train__optimizer": {"name": "adam", "lr": 0.01}},
    "adamw": {"train__optimizer": {"name": "adamw", "lr": 0.01}},
    "step_decay": {"train__schedule": {"name": "step_decay", "constant_epochs": 1}},
    "plateau": {"train__schedule": {"name": "plateau"}, "train__optimizer": {"name": "sgd", "lr": 30.0}},
    "linear": {"train__schedule": {"name": "linear", "warmup_steps": 4}},
    "cosine": {"train__schedule": {"name": "cosine", "warmup_steps": 4}},
    "one_cycle": {"train__schedule": {"name": "one_cycle"}},
    "early stopping": {
        "train__early_stopping": {"patience": 1},
        "train__max_steps": 40,
        "train__optimizer": {"name": "sgd", "lr": 20.0},
    },
}


@pytest.mark.parametrize("case", CASES)
def test_any_step_continues_bit_identically(case: str, corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus, **CASES[case])
    whole = tmp_path / "whole"
    result = run(values, whole)
    expected = fingerprint(whole)
    for step in sorted({1, result.steps // 2, result.steps // 2 + 1, result.steps}):
        assert continued_from(step, whole, values, tmp_path / "part") == expected, f"from step {step}"


def test_every_step_of_two_epochs_continues_bit_identically(corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus, train__max_steps=None, train__epochs=2, evaluation__every="epoch")
    whole = tmp_path / "whole"
    result = run(values, whole)
    assert result.steps > 10
    expected = fingerprint(whole)
    for step in range(1, result.steps + 1):
        assert continued_from(step, whole, values, tmp_path / "part") == expected, f"from step {step}"


def test_snapshots_do_not_change_training(corpus: Path, tmp_path: Path) -> None:
    often, once = settings(corpus), settings(corpus, snapshots__every="epoch", snapshots__keep=1)
    run(often, tmp_path / "often")
    run(once, tmp_path / "once")
    for name in ("model.safetensors", "training.safetensors"):
        last = [last_snapshot(tmp_path / d) / name for d in ("often", "once")]
        assert last[0].read_bytes() == last[1].read_bytes()


@pytest.mark.parametrize(
    "case", ["elman tanh", "lstm tanh", "tied", "ema", "a narrow last layer", "sampled", "bfloat16"]
)
def test_so_do_the_paths_of_large_models(
    case: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_recurrence, "has_faster_elman", lambda x, size: True)
    monkeypatch.setattr(fused_recurrence, "has_faster_lstm", lambda x, size: True)
    monkeypatch.setattr(build, "_SMALL_EMBEDDING", 0)
    test_any_step_continues_bit_identically(case, corpus, tmp_path)


@pytest.mark.parametrize("moment", ["step", "validation", "test"])
def test_a_stop_request_is_granted_and_continued(
    moment: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = settings(corpus, snapshots__every="epoch")
    run(values, tmp_path / "whole")
    requests: list[StopRequest] = []
    enter = StopRequest.__enter__
    monkeypatch.setattr(StopRequest, "__enter__", lambda self: requests.append(self) or enter(self))
    places: list[str] = []

    def ask(self: StopRequest) -> list[int]:
        callers = {frame.name for frame in traceback.extract_stack()}
        names = {"_finish": "test", "_evaluate": "validation", "_train_to_the_end": "step"}
        places.append(next(place for name, place in names.items() if name in callers))
        if places[-1] == moment and places.count("step") >= 5:
            self._received = 15
        return original(self)

    original = StopRequest.requests
    monkeypatch.setattr(StopRequest, "requests", ask)
    with pytest.raises(Interrupted) as stopped:
        run(values, tmp_path / "part")
    assert stopped.value.exit_code == 143
    monkeypatch.setattr(StopRequest, "requests", original)
    run(values, tmp_path / "part")
    assert fingerprint(tmp_path / "part") == fingerprint(tmp_path / "whole")


def test_each_event_is_logged_once_however_often_it_is_interrupted(corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus, snapshots__every=5, logging__every=1)
    run_dir = tmp_path / "run"

    class KilledError(Exception):
        pass

    def kill_at(step: int) -> Callable[[int], None]:
        def kill(now: int) -> None:
            if now == step:
                raise KilledError

        return kill

    for step in (2, 7, 8, 12, 14):
        with pytest.raises(KilledError):
            run(values, run_dir, observer=Silent(kill_at(step)))
    run(values, run_dir)
    assert logged(run_dir) == every_event(logging=1, evaluation=3)
    steps = list(range(1, STEPS + 1))
    events = EventAccumulator(str(run_dir / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == steps
    assert [event.step for event in events.Scalars("valid/perplexity")] == [3, 6, 9, 12, 14]
    assert [event.step for event in events.Scalars("test/perplexity")] == [14]


def test_a_finished_run_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus)
    assert not run(values, tmp_path / "run").was_finished
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.name != ".lock"}
    assert run(values, tmp_path / "run").was_finished
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.name != ".lock"} == before


def test_a_longer_training_goes_on(corpus: Path, tmp_path: Path) -> None:
    run(settings(corpus, train__max_steps=12), tmp_path / "run")
    assert run(settings(corpus), tmp_path / "run").steps == STEPS
    run(settings(corpus), tmp_path / "whole")
    for name in ("model.safetensors", "training.safetensors"):
        last = [last_snapshot(tmp_path / d) / name for d in ("run", "whole")]
        assert last[0].read_bytes() == last[1].read_bytes()


def test_a_run_from_another_kind_of_device_goes_on(corpus: Path, tmp_path: Path) -> None:
    """What a CUDA generator's state looks like is all of CUDA that a CPU can test."""
    values = settings(corpus, snapshots__every=5)
    run(values, tmp_path / "run", Silent())
    store = SnapshotStore(tmp_path / "run" / "snapshots")
    snapshot = store.read(5)
    state = snapshot.training_state()
    state["trainer"]["generator"] = torch.zeros(16, dtype=torch.uint8)
    moved = SnapshotStore(tmp_path / "moved" / "snapshots").write(
        5,
        snapshot.model_tensors(),
        state,
        snapshot.vocab_bytes(),
        config=snapshot.config,
        provenance=snapshot.provenance,
    )
    observer = Silent()
    assert run(values, moved.parents[1], observer).steps == STEPS
    assert observer.first_step == 5


def test_an_evaluation_that_was_put_off_is_logged_once(corpus: Path, tmp_path: Path) -> None:
    """Stopped before an evaluation, continued, and killed before the next snapshot."""
    values = settings(corpus, snapshots__every=100, evaluation__every=7, logging__every=100)
    original = StopRequest.requests
    stops = iter([True])

    def stop_in_validation(self: StopRequest) -> list[int]:
        if trainer_steps and trainer_steps[-1] == 7 and next(stops, False):
            self._received = 15
        return original(self)

    trainer_steps: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopRequest, "requests", stop_in_validation)
        with pytest.raises(Interrupted):
            run(values, tmp_path / "run", Silent(trainer_steps.append))
    assert last_snapshot(tmp_path / "run").name == "step-00000007"

    class KilledError(Exception):
        pass

    def kill(step: int) -> None:
        raise KilledError

    for _ in range(2):
        with pytest.raises(KilledError):
            run(values, tmp_path / "run", Silent(kill))
    run(values, tmp_path / "run")
    assert logged(tmp_path / "run") == every_event(logging=100, evaluation=7)


def test_a_branch_never_touches_another_run(corpus: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(settings(corpus, snapshots__every=7), tmp_path / name)
    before = {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"
    }
    for step in (7, 14):
        snapshot = tmp_path / "b" / "snapshots" / f"step-{step:08d}"
        with pytest.raises(UsageError, match="nothing is overwritten"):
            run(settings(corpus), tmp_path / "a", resume=str(snapshot))
    after = {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"
    }
    assert after == before
    run(settings(corpus), tmp_path / "branch", resume=str(tmp_path / "b" / "snapshots" / "step-00000007"))
    assert last_snapshot(tmp_path / "branch").name == f"step-{STEPS:08d}"


def files_of(*run_dirs: Path) -> dict[Path, bytes]:
    paths = (path for run_dir in run_dirs for path in run_dir.rglob("*"))
    return {path: path.read_bytes() for path in paths if path.is_file() and path.name != ".lock"}


class _KilledError(Exception):
    pass


def _kill(step: int) -> None:
    raise _KilledError


def test_a_branch_has_its_beginning_at_once(corpus: Path, tmp_path: Path) -> None:
    """The same command, without --resume, goes on from there even after a kill."""
    values, branch = settings(corpus, snapshots__every="epoch", snapshots__keep=1), tmp_path / "branch"
    run(settings(corpus), tmp_path / "whole")
    chosen = tmp_path / "whole" / "snapshots" / "step-00000007"
    with pytest.raises(_KilledError):
        run(values, branch, Silent(_kill), resume=str(chosen))
    assert last_snapshot(branch).name == chosen.name
    observer = Silent()
    run(values, branch, observer)
    assert observer.first_step == 7
    same = [last_snapshot(tmp_path / name) / "model.safetensors" for name in ("branch", "whole")]
    assert same[0].read_bytes() == same[1].read_bytes()


def test_a_branch_off_a_finished_run_is_a_run(corpus: Path, tmp_path: Path) -> None:
    run(settings(corpus), tmp_path / "whole")
    before = files_of(tmp_path / "whole")
    result = run(settings(corpus), tmp_path / "branch", resume=str(last_snapshot(tmp_path / "whole")))
    assert not result.was_finished
    assert last_snapshot(tmp_path / "branch").name == f"step-{STEPS:08d}"
    assert logged(tmp_path / "branch") == [(STEPS, "test")]
    assert run(settings(corpus), tmp_path / "branch").was_finished
    assert files_of(tmp_path / "whole") == before


@pytest.mark.parametrize(
    ("resume", "message"),
    [
        ("", "--resume: nothing is named; allowed: auto, never or a snapshot directory"),
        ("{}", "a run directory; name one of its snapshots, such as .*/snapshots/step-00000014$"),
    ],
)
def test_what_is_no_snapshot_to_resume_from(
    resume: str, message: str, corpus: Path, run_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        run(settings(corpus), tmp_path / "branch", resume=resume.format(run_dir))
    assert not (tmp_path / "branch").exists()


def test_a_test_text_added_to_a_finished_run_is_tested(corpus: Path, tmp_path: Path) -> None:
    without = settings(corpus, data__test=None, snapshots__keep=1)
    run(without, tmp_path / "run")
    assert run(without, tmp_path / "run").was_finished
    result = run(settings(corpus), tmp_path / "run")
    assert result.test is not None
    assert logged(tmp_path / "run") == every_event(logging=2, evaluation=3)
    before = files_of(tmp_path / "run")
    assert run(settings(corpus), tmp_path / "run").was_finished
    assert run(without, tmp_path / "run").was_finished  # nothing is left to be done
    assert files_of(tmp_path / "run") == before
    other = tmp_path / "other.txt"
    other.write_text("w1 w4 w9\n")
    again = run(settings(corpus, data__test=str(other)), tmp_path / "run")
    assert again.test is not None
    assert again.test.num_tokens == 4
    assert logged(tmp_path / "run") == every_event(logging=2, evaluation=3)  # in place of the other


@pytest.mark.parametrize(
    "changes",
    [
        {"train__schedule": {"name": "plateau"}, "train__optimizer": {"name": "sgd", "lr": 30.0}},
        {
            "train__early_stopping": {"patience": 2},
            "train__optimizer": {"name": "sgd", "lr": 20.0},
            "evaluation__every": 2,
        },
    ],
    ids=["plateau", "early stopping"],
)
@pytest.mark.parametrize("first_end", [5, 7, 9, 11])
def test_training_that_is_extended_is_as_if_it_had_been_meant_so(
    first_end: int, changes: dict[str, Any], corpus: Path, tmp_path: Path
) -> None:
    """The validation at its first end, which would not have been made, counts for the best model alone."""
    changes = {"evaluation__every": 3, "train__max_steps": 30, **changes}
    whole = run(settings(corpus, **changes), tmp_path / "whole")
    run(settings(corpus, **{**changes, "train__max_steps": first_end}), tmp_path / "run")
    assert run(settings(corpus, **changes), tmp_path / "run").steps == whole.steps
    same = [last_snapshot(tmp_path / name) / "model.safetensors" for name in ("run", "whole")]
    assert same[0].read_bytes() == same[1].read_bytes()
    validated = [step for step, kind in logged(tmp_path / "run") if kind == "valid"]
    assert set(validated) == {
        min(first_end, whole.steps),
        *(s for s, kind in logged(tmp_path / "whole") if kind == "valid"),
    }
    assert validated == sorted(set(validated))


def test_a_best_snapshot_that_is_gone_is_told(corpus: Path, tmp_path: Path) -> None:
    run(settings(corpus, train__max_steps=9), tmp_path / "run")
    store = SnapshotStore(tmp_path / "run" / "snapshots")
    best = store.read(8).provenance.best_step
    assert best in (3, 6)
    for step in (best, 9):
        shutil.rmtree(store.path_of(step))
    observer = Silent()
    run(settings(corpus), tmp_path / "run", observer)
    (told,) = observer.notes
    assert f"the best snapshot so far, of step {best} with validation perplexity" in told


def test_steps_that_tensorboard_has_lost_come_from_the_log(corpus: Path, tmp_path: Path) -> None:
    values = settings(corpus, logging__every=1, train__max_steps=9)
    run(values, tmp_path / "run")
    (events,) = (tmp_path / "run" / "tensorboard").glob("events*")
    events.write_bytes(events.read_bytes()[:5000])
    run(settings(corpus, logging__every=1), tmp_path / "run")
    shown = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in shown.Scalars("train/loss")] == list(range(1, STEPS + 1))
    assert [event.step for event in shown.Scalars("valid/perplexity")] == [3, 6, 9, 12, 14]
