"""Runs as they are found and told, whole or broken."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
from support import STEPS, Silent, last_snapshot, run, settings

from lmtrain.errors import DivergenceError
from lmtrain.jobs.compare_runs import RunSummary, find_runs, summarise
from lmtrain.run.layout import is_owned, owning
from lmtrain.training.manifest import read_manifest, sealed
from lmtrain.training.trainer import Trainer


@pytest.fixture
def copied(run_dir: Path, tmp_path: Path) -> Path:
    """A finished run, to be broken."""
    return Path(shutil.copytree(run_dir, tmp_path / "run"))


def rows(run_dir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_a_finished_run(run_dir: Path) -> None:
    told = summarise(run_dir)
    logged = rows(run_dir)
    weights = safetensors.torch.load_file(last_snapshot(run_dir) / "model.safetensors")
    best = min((row for row in logged if "valid/loss" in row), key=lambda row: row["valid/loss"])
    assert (told.status, told.problem) == ("finished", None)
    assert (told.path, told.name, told.model) == (run_dir, "tiny", "lstm 2×7")
    assert told.num_parameters == sum(weight.numel() for weight in weights.values())
    assert (told.step, told.epoch) == (STEPS, logged[-1]["epoch"])
    assert (told.best_step, told.best_perplexity) == (best["step"], pytest.approx(best["valid/perplexity"]))
    assert told.test_perplexity == logged[-1]["test/perplexity"]
    assert told.elapsed == logged[-1]["elapsed"]
    speeds = sorted(row["train/words_per_second"] for row in logged if "train/words_per_second" in row)
    assert told.words_per_second in speeds
    assert told.sha256.keys() == {"vocab", "train", "valid", "test"}
    assert json.loads(json.dumps(told.to_dict()))["path"] == str(run_dir)


def test_a_recipe_is_all_but_the_seed_and_where_things_lie(corpus: Path, tmp_path: Path) -> None:
    few = {"train__max_steps": 2}
    seeds = [settings(corpus, **few) | {"seed": seed, "name": f"run-{seed}"} for seed in (1, 2)]
    longer = settings(corpus, train__max_steps=3)
    for name, values in zip("abc", [*seeds, longer], strict=True):
        run(values, tmp_path / name)
    run(settings(corpus, **few), tmp_path / "d", start_from=tmp_path / "a")
    first, second, *others = (summarise(tmp_path / name).recipe for name in "abcd")
    assert first == second
    assert len({first, *others}) == 3


def test_tied_adaptive_and_mixed_models_say_so(corpus: Path, tmp_path: Path) -> None:
    run(settings(corpus, model__tie_weights=True, model__embedding_dim=7, train__max_steps=1), tmp_path / "a")
    run(settings(corpus, model__softmax="adaptive", model__cell="gru", train__max_steps=1), tmp_path / "b")
    run(settings(corpus, model__softmax="mixture", train__max_steps=1), tmp_path / "c")
    found = [summarise(tmp_path / name).model for name in "abc"]
    assert found == ["lstm 2×7 tied", "gru 2×7 adaptive", "lstm 2×7 mixture"]


@pytest.mark.parametrize(
    "changes",
    [
        {"train__max_steps": None, "train__epochs": 1.5},
        {"data__valid": None, "data__test": None},
        {"data__context": "line", "train__max_steps": None, "train__epochs": 0.3},
        {
            "train__early_stopping": {"patience": 1},
            "train__max_steps": 40,
            "train__optimizer": {"name": "sgd", "lr": 20.0},
        },
    ],
    ids=["epochs", "not validated", "lines", "early stopping"],
)
def test_all_that_ends_a_run_is_finished(changes: dict[str, object], corpus: Path, tmp_path: Path) -> None:
    result = run(settings(corpus, **changes), tmp_path / "run")
    told = summarise(tmp_path / "run")
    assert (told.status, told.step, told.problem) == ("finished", result.steps, None)


class _Killed(Exception):  # noqa: N818
    pass


def test_running_and_interrupted(corpus: Path, tmp_path: Path) -> None:
    states: list[RunSummary] = []

    def watch(step: int) -> None:
        states.append(summarise(tmp_path))
        if step == 7:
            raise _Killed

    with pytest.raises(_Killed):
        run(settings(corpus, snapshots__every=5), tmp_path, observer=Silent(watch))
    assert {told.status for told in states} == {"running"}
    assert (states[1].num_parameters, states[1].model) == (None, "lstm 2×7")  # from its config.yaml
    assert states[-1].step == 6
    told = summarise(tmp_path)
    assert (told.status, told.step, told.problem) == ("interrupted", 6, None)
    assert told.test_perplexity is None


def test_interrupted_in_the_test_is_interrupted(copied: Path) -> None:
    log, manifest = copied / "metrics.jsonl", last_snapshot(copied) / "snapshot.json"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    manifest.write_bytes(sealed({**read_manifest(manifest), "finished": False}))
    assert summarise(copied).status == "interrupted"


def test_begun_anew_with_a_later_end_is_interrupted(copied: Path) -> None:
    with (copied / "metrics.jsonl").open("a") as file:
        file.write(f'{{"step": {STEPS + 1}, "train/loss": 1.0}}\n')
    assert summarise(copied).status == "interrupted"


def test_diverged_until_it_goes_on(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = settings(corpus)
    original = Trainer.step

    def step(self: Trainer) -> None:
        if self.steps == 5 and self.hidden is not None:
            self.hidden[0][0][1, 2] = float("nan")
        original(self)

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(DivergenceError):
        run(values, tmp_path)
    told = summarise(tmp_path)
    assert told.status == "diverged"
    assert "step 6 is not finite" in (told.problem or "")
    monkeypatch.setattr(Trainer, "step", original)
    run(values, tmp_path)
    assert summarise(tmp_path).status == "finished"


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("snapshot.json", b"{}", "was changed after it was written"),
        ("snapshot.json", None, "snapshot.json is missing"),
        ("model.safetensors", b"short", "model.safetensors has another size"),
        ("vocab.txt", None, "vocab.txt is missing"),
    ],
)
def test_a_damaged_snapshot(name: str, content: bytes | None, complaint: str, copied: Path) -> None:
    path = last_snapshot(copied) / name
    path.unlink() if content is None else path.write_bytes(content)
    told = summarise(copied)
    assert told.status == "damaged"
    assert f"step-{STEPS:08d}" in (told.problem or "")
    assert complaint in (told.problem or "")
    assert told.num_parameters == summarise(copied).num_parameters is not None  # from the one before


@pytest.mark.parametrize("name", ["metrics.jsonl", "environment.json", "config.yaml", "snapshots"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00{", b"[1, 2]\n", b"[" * 100_000, b'{"step": 3}\n', None])
def test_whatever_is_broken_is_told(name: str, content: bytes | None, copied: Path) -> None:
    path = copied / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if content is not None:
        path.write_bytes(content)
    told = summarise(copied)
    assert told.status in ("finished", "interrupted", "damaged")
    assert told.status != "finished" or name != "snapshots"
    json.dumps(told.to_dict(), allow_nan=False)
    if name == "snapshots":
        assert "snapshot" in (told.problem or "")


def test_lines_that_are_none_are_counted(copied: Path) -> None:
    with (copied / "metrics.jsonl").open("a") as file:
        file.write('garbage\n[]\n{"step": 14, "valid/perplexity": "low"}\n{"step": 14, "tra')
    told = summarise(copied)
    assert told.problem == "metrics.jsonl: 2 damaged lines"
    assert told.status == "finished"


def test_runs_are_found_at_any_depth_and_not_in_runs(run_dir: Path, tmp_path: Path) -> None:
    for name in ("b", "a/trial-1", "a/trial-0", ".hidden/x"):
        (tmp_path / name / "snapshots").mkdir(parents=True)
    (tmp_path / "b" / "inner" / "snapshots").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "config.yaml").write_text("name: sweep")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert [str(path.relative_to(tmp_path)) for path in find_runs(tmp_path)] == [
        "a/trial-0",
        "a/trial-1",
        "b",
    ]
    assert list(find_runs(run_dir)) == [run_dir]


def test_a_lock_is_seen_and_left_alone(tmp_path: Path) -> None:
    assert not is_owned(tmp_path)
    with owning(tmp_path):
        assert is_owned(tmp_path)
        assert is_owned(tmp_path)
    assert not is_owned(tmp_path)
    with owning(tmp_path):  # what looked at it does not hold it
        pass


def test_neither_torch_nor_pydantic_is_imported(run_dir: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lmtrain.jobs.compare_runs import summarise; "
        f"assert summarise(Path({str(run_dir)!r})).status == 'finished'; "
        "print({'torch', 'pydantic', 'numpy', 'tensorboard', 'yaml'} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
