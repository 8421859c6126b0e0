"""``lmtrain train``: what it prints, what it leaves on the disk, how it goes on and what it refuses."""

import json
import math
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from program import STEPS_OF_EPOCHS, Outcome, Trained, files_in, lmtrain
from support import every_event, last_snapshot, logged
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmtrain import __version__
from lmtrain.cli.watching import _figure
from lmtrain.config import Config
from lmtrain.errors import DivergenceError
from lmtrain.machine.interrupt import StopRequest
from lmtrain.run.observer import Observer, RunResult
from lmtrain.run.train import train as train_run
from lmtrain.training.manifest import MANIFEST

LAST = STEPS_OF_EPOCHS[-1]
_TRAIN = ("loss", "perplexity", "grad_norm", "grad_norm_clipped", "lr", "words_per_second")
_WEIGHTS = ("embedding.weight", "layers.0.weight_ih", "layers.0.weight_hh", "layers.0.bias")
TRAIN_TAGS = [
    *(f"train/{name}" for name in _TRAIN),
    *(f"weights/{name}" for name in (*_WEIGHTS, "softmax.weight", "softmax.bias")),
]
TEST_TAGS = [f"test/{name}" for name in ("loss", "perplexity", "accuracy")]
VALID_TAGS = [*(tag.replace("test", "valid") for tag in TEST_TAGS), "valid/best_perplexity"]


def train(folder: Path, *options: object) -> Outcome:
    return lmtrain("train", "--config", "config.yaml", *options, folder=folder)


def copy_of(trained: Trained, tmp_path: Path) -> Path:
    """The project of the trained run, to be changed."""
    return Path(shutil.copytree(trained.folder, tmp_path / "copy"))


def rows_of(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def weights_of(run_dir: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(last_snapshot(run_dir) / "model.safetensors")


def test_the_files_of_a_run_directory(trained: Trained) -> None:
    names = {path for path in files_in(trained.run_dir) if not Path(path).name.startswith(".")}
    events = [name for name in names if Path(name).name.startswith("events.out.tfevents.")]
    parts = ("snapshot.json", "model.safetensors", "training.safetensors", "vocab.txt")
    folders = sorted(str(Path(name).parent) for name in events)
    assert folders == ["tensorboard", "tensorboard/train", "tensorboard/valid"]
    assert names - set(events) == {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        *(f"tensorboard/{name}" for name in ("projector_config.pbtxt", "metadata.tsv", "tensors.tsv")),
        *(f"snapshots/step-{step:08d}/{part}" for step in STEPS_OF_EPOCHS for part in parts),
    }


def test_the_config_of_a_run_holds_every_value(trained: Trained) -> None:
    config = trained.run_dir / "config.yaml"
    assert lmtrain("config", "validate", config).code == 0
    values = yaml.safe_load(config.read_text())
    sgd = {"name": "sgd", "lr": 0.3, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    assert values["train"]["optimizer"] == sgd
    assert values["evaluation"] == {"every": "epoch", "streams": 1}


def test_the_environment_of_a_run(trained: Trained) -> None:
    about = json.loads((trained.run_dir / "environment.json").read_text())
    assert about["lmtrain"] == __version__
    assert about["command"] == "lmtrain train --config config.yaml"
    assert about["seed"] == 1
    assert about["device"] in ("cpu", "cuda")
    assert about["threads"] == torch.get_num_threads()
    assert about["packages"]["torch"] == torch.__version__
    assert about["num_tokens"] == 300
    assert set(about["sha256"]) == {"vocab", "train", "valid", "test"}
    assert "git_revision" in about


def test_the_vocabulary_is_one_word_a_line(trained: Trained) -> None:
    words = (last_snapshot(trained.run_dir) / "vocab.txt").read_text().splitlines()
    text = (trained.folder / "train.txt").read_text().split()
    assert sorted(words) == sorted({*text, "<unk>", "<eos>"})


def test_the_log_has_one_line_an_event(trained: Trained) -> None:
    rows = rows_of(trained.run_dir)
    assert [(row["step"], list(row)) for row in rows] == [
        (9, ["step", "epoch", "elapsed", *VALID_TAGS]),
        (10, ["step", "epoch", "elapsed", *TRAIN_TAGS]),
        (17, ["step", "epoch", "elapsed", *VALID_TAGS]),
        (20, ["step", "epoch", "elapsed", *TRAIN_TAGS]),
        (25, ["step", "epoch", "elapsed", *TRAIN_TAGS]),
        (25, ["step", "epoch", "elapsed", *VALID_TAGS]),
        (25, ["step", "epoch", "elapsed", *TEST_TAGS]),
    ]
    assert [row["epoch"] for row in rows] == [row["step"] * 36 / 300 for row in rows]


def test_tensorboard_has_the_same_figures(trained: Trained) -> None:
    events = EventAccumulator(str(trained.run_dir / "tensorboard")).Reload()
    for tag in (*TRAIN_TAGS, *VALID_TAGS, "test/perplexity"):
        logged = [(row["step"], row[tag]) for row in rows_of(trained.run_dir) if tag in row]
        scalars = [(event.step, event.value) for event in events.Scalars(tag)]
        assert scalars == [(step, pytest.approx(value, rel=1e-6)) for step, value in logged]


def test_a_table_goes_to_stdout_and_messages_to_stderr(trained: Trained) -> None:
    outcome, rows = trained.outcome, rows_of(trained.run_dir)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    header = next(i for i, line in enumerate(lines) if "train loss" in line)
    assert lines[header].split("  ")[-1] == "elapsed"
    for line, step in zip(lines[header + 1 :], STEPS_OF_EPOCHS, strict=False):
        epoch, loss, ppl, valid_ppl, accuracy, lr, speed, elapsed = line.split()
        row = next(row for row in rows if row["step"] == step and "valid/loss" in row)
        assert epoch == f"{step * 36 / 300:.2f}"
        assert float(ppl) == pytest.approx(torch.tensor(float(loss)).exp().item(), rel=1e-3)
        assert valid_ppl.rstrip("*") == f"{row['valid/perplexity']:.2f}"
        assert accuracy == f"{row['valid/accuracy']:.4f}"
        assert lr == "0.3"
        assert float(speed.replace(",", "")) > 0
        assert re.fullmatch(r"\d+s", elapsed)
    assert max(map(len, lines)) < 80
    assert f"test perplexity {rows[-1]['test/perplexity']:.2f}" in outcome.out
    assert "before training the model writes:" in outcome.out
    assert "after training it writes:" in outcome.out
    assert "tensorboard --logdir runs/tiny" in outcome.err
    assert "lmtrain generate runs/tiny" in outcome.err
    assert "lmtrain eval runs/tiny --data test.txt" in outcome.err
    assert "* marks the best" in outcome.err


def test_the_best_epoch_is_marked(trained: Trained) -> None:
    perplexities = [row["valid/perplexity"] for row in rows_of(trained.run_dir) if "valid/loss" in row]
    is_best = [value == min(perplexities[: i + 1]) for i, value in enumerate(perplexities)]
    found = re.findall(r"\d\.\d\d(\*?)  +0\.\d{4} +0\.3", trained.outcome.out)
    assert [mark == "*" for mark in found] == is_best


def test_a_finished_run_says_so_and_is_left_alone(trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    before = files_in(folder)
    outcome = train(folder)
    assert outcome.code == 0
    assert outcome.out == ""
    assert outcome.err.startswith("already finished: runs/tiny")
    assert ", valid perplexity " in outcome.err.splitlines()[0]
    assert files_in(folder) == before


def test_never_refuses_what_holds_a_run(trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    before = files_in(folder)
    outcome = train(folder, "--resume", "never")
    assert outcome.code == 2
    assert "runs/tiny" in outcome.err
    assert "nothing is overwritten" in outcome.err
    assert files_in(folder) == before


def test_never_starts_where_there_is_none(project: Path) -> None:
    assert train(project, "--resume", "never", "--run-dir", "elsewhere").code == 0
    assert (project / "elsewhere" / "metrics.jsonl").exists()
    assert not (project / "runs").exists()


def test_a_run_goes_on_from_a_snapshot_elsewhere(trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    snapshot = folder / "runs" / "tiny" / "snapshots" / "step-00000009"
    outcome = train(folder, "--resume", snapshot, "--run-dir", "branch")
    assert outcome.code == 0
    assert "continuing from step 9 of 25" in outcome.err
    branch, original = weights_of(folder / "branch"), weights_of(trained.run_dir)
    assert branch.keys() == original.keys()
    assert all(torch.equal(branch[name], original[name]) for name in original)


def test_a_branch_that_gets_worse_ends_well(trained: Trained, tmp_path: Path) -> None:
    """The best snapshot is then the one it started from, of another run."""
    folder = copy_of(trained, tmp_path)
    snapshot = folder / "runs" / "tiny" / "snapshots" / "step-00000017"
    assert train(folder, "--resume", snapshot, "--run-dir", "branch").code == 0
    assert lmtrain("eval", folder / "branch", "--data", folder / "test.txt").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "model.hidden_size=8"], "model.hidden_size: 7 → 8"),
        (["--set", "train.optimizer.lr=0.1", "--set", "seed=2"], "train.optimizer.lr: 0.3 → 0.1"),
        (["--set", "data.min_count=20"], "the vocabulary: "),
    ],
)
def test_a_changed_config_is_refused(
    options: list[str], message: str, trained: Trained, tmp_path: Path
) -> None:
    folder = copy_of(trained, tmp_path)
    before = files_in(folder)
    outcome = train(folder, *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert files_in(folder) == before


@pytest.mark.parametrize("name", ["train", "valid"])
def test_a_changed_corpus_is_refused(name: str, trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    with (folder / f"{name}.txt").open("a") as file:
        file.write("w1 w4\n")
    before = files_in(folder)
    outcome = train(folder)
    assert outcome.code == 2
    assert f"the content of data.{name}: " in outcome.err
    assert files_in(folder) == before


def test_a_longer_training_goes_on(trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    outcome = train(folder, "--set", "train.epochs=4")
    assert outcome.code == 0
    assert "continuing from step 25 of 34" in outcome.err
    assert "before training" not in outcome.out
    events = [(9, "valid"), (10, "train"), (17, "valid"), (20, "train"), (25, "train"), (25, "valid")]
    events += [(30, "train"), (34, "train"), (34, "valid"), (34, "test")]
    assert logged(folder / "runs" / "tiny") == events


def test_validation_does_not_touch_training(trained: Trained, project: Path) -> None:
    assert train(project, "--set", "data.valid=null", "--set", "data.test=null").code == 0
    assert train(project, "--set", "evaluation.every=1", "--run-dir", "often").code == 0
    expected = weights_of(trained.run_dir)
    for run_dir in (project / "runs" / "tiny", project / "often"):
        found = weights_of(run_dir)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_without_validation_the_table_has_dashes(project: Path) -> None:
    nothing = ("data.valid=null", "data.test=null", "logging.samples=0")
    outcome = train(project, *(word for change in nothing for word in ("--set", change)))
    assert outcome.code == 0
    rows = [line.split() for line in outcome.out.splitlines()][1:]
    assert [row[3:5] for row in rows] == [["-", "-"]] * 3
    assert "perplexity" not in outcome.out


def test_a_dry_run_estimates_and_writes_nothing(project: Path) -> None:
    before = files_in(project)
    outcome = train(project, "--dry-run", "--set", "train.batch_size=7")
    assert outcome.code == 0
    assert files_in(project) == before
    assert not (project / "runs").exists()
    pairs = dict(re.split(r"  +", line, maxsplit=1) for line in outcome.out.splitlines())
    assert pairs["parameters"] == f"{sum(w.numel() for w in _tiny_weights()):,}"
    assert pairs["vocabulary"] == "11 words"
    assert pairs["training tokens"] == "300, 1 of them read twice an epoch"
    assert pairs["steps"] == "15"
    assert pairs["validation tokens"] == "61, 1.6 % unknown words"
    assert pairs.keys() >= {"memory", "disk", "words per second", "time"}


def test_a_dry_run_as_json(project: Path) -> None:
    outcome = train(project, "--dry-run", "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 0
    assert found["num_parameters"] == sum(w.numel() for w in _tiny_weights())
    parts = ("parameters", "gradients", "optimizer", "rest")
    assert found["memory"]["total"] == sum(found["memory"][part] for part in parts)
    assert found["valid"] == {"num_tokens": 61, "num_oov": 1}
    assert train(project, "--json").code == 2


def test_a_dry_run_that_finds_no_room_prints_it_and_fails(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(project)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    outcome = train(project, "--dry-run", "--set", "snapshots.keep=100")
    assert outcome.code == 6
    assert "words per second" in outcome.out
    assert "lower snapshots.keep" in outcome.err


def test_a_dry_run_where_nothing_can_be_written(project: Path) -> None:
    outcome = train(project, "--dry-run", "--run-dir", "config.yaml/run")
    assert outcome.code == 6
    assert "config.yaml/run: cannot be used as run directory" in outcome.err


def _tiny_weights() -> list[torch.Tensor]:
    lstm = [torch.empty(28, 6), torch.empty(28, 7), torch.empty(28)]
    return [torch.empty(11, 6), *lstm, torch.empty(11, 7), torch.empty(11)]


def test_a_loss_that_is_not_finite(project: Path) -> None:
    options = ["model.cell=elman", "model.activation=relu", "train.max_grad_norm=null", "snapshots.every=1"]
    outcome = train(project, "--set", "train.optimizer.lr=1e30", *(x for o in options for x in ("--set", o)))
    assert outcome.code == 5
    assert "Traceback" not in outcome.err
    step = re.search(r"step (\d+) is not finite; the update was not made", outcome.err)
    assert step
    run_dir = project / "runs" / "tiny"
    assert int(last_snapshot(run_dir).name.removeprefix("step-")) < int(step[1])
    for path in run_dir.rglob("*.safetensors"):
        assert all(t.isfinite().all() for t in safetensors.torch.load_file(path).values())
    # What finite weights make of words need not be finite, which is then a fault of the model.
    assert lmtrain("generate", run_dir, "--snapshot", "last", "--num-words", "5").code in (0, 4)


def test_a_loss_beyond_any_perplexity_is_no_fault_of_ours(project: Path) -> None:
    outcome = train(project, "--set", "train.optimizer.lr=1e30")
    assert outcome.code in (0, 5)
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_and_the_same_command_continues(number: signal.Signals, project: Path) -> None:
    options = ["--set", "train.epochs=null", "--set", "train.max_steps=800", "--set", "evaluation.every=400"]
    arguments = ["train", "--config", "config.yaml", *options, "--set", "snapshots.every=1000"]
    log = project / "runs" / "tiny" / "metrics.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "lmtrain", *arguments, "--resume", "never"],
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not (log.exists() and log.read_text()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == 128 + number
    stopped_at = int(last_snapshot(project / "runs" / "tiny").name.removeprefix("step-"))
    told, again = err.splitlines()[-2:]
    assert told == (
        f"lmtrain: stopped by {number.name} at step {stopped_at:,}; a snapshot was written, "
        "the same command continues from it, without --resume:"
    )
    words = shlex.split(again)
    assert words[1:3] == ["-m", "lmtrain"]
    assert words[3:] == arguments
    outcome = lmtrain(*words[3:], folder=project)
    assert outcome.code == 0
    assert f"continuing from step {stopped_at:,} of 800" in outcome.err
    assert logged(log.parent) == every_event(logging=10, evaluation=400, end=800)


def test_seeds_make_a_run_each_and_a_table(trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    options = ("--seeds", "1,5", "--run-dir", "runs/both")
    first = train(folder, *options)
    assert first.code == 0, first.err
    rows = [line.split() for line in first.out[first.out.rindex("\nperplexity") :].splitlines()[2:]]
    ends = [rows_of(folder / "runs/both" / f"seed-{seed}") for seed in (1, 5)]
    valid = [min(row["valid/perplexity"] for row in run if "valid/perplexity" in row) for run in ends]
    test = [run[-1]["test/perplexity"] for run in ends]
    found = {" ".join(words[:-2]): [float(x) for x in words[-2:]] for words in rows}
    for name, of in (
        ("seed 1", lambda values: values[0]),
        ("seed 5", lambda values: values[1]),
        ("mean", statistics.fmean),
        ("standard deviation", statistics.stdev),
        ("best", min),
    ):
        assert found[name] == pytest.approx([of(valid), of(test)], abs=0.006)
    alone = weights_of(trained.run_dir)  # of seed 1, its default
    assert all(torch.equal(alone[k], w) for k, w in weights_of(folder / "runs/both/seed-1").items())

    again = train(folder, *options, "--json")
    assert again.code == 0, again.err
    assert again.err.count("already finished") == 2
    about = json.loads(again.out)
    assert [run["seed"] for run in about["runs"]] == [1, 5]
    assert about["valid"]["mean"] == pytest.approx(statistics.fmean(valid))
    listed = lmtrain("runs", "runs/both", folder=folder)
    assert (
        f"runs/both: 2 seeds, valid {statistics.fmean(valid):.2f} ± {statistics.stdev(valid):.2f}"
        in listed.err
    )
    side_by_side = lmtrain(
        "eval", "runs/both/seed-1", "runs/both/seed-5", "--data", "test.txt", folder=folder
    )
    assert side_by_side.code == 0, side_by_side.err
    spread = f"{statistics.fmean(test):.2f} ± {statistics.stdev(test):.2f} (best {min(test):.2f})"
    assert f"test.txt: 2 seeds, perplexity {spread}" in side_by_side.err
    newest = max((folder / "runs/both/seed-5/snapshots").glob("step-*")) / MANIFEST
    newest.write_text(json.dumps(json.loads(newest.read_text()) | {"finished": False}))
    models = ("runs/both/seed-1", "runs/both/seed-5")
    unfinished = lmtrain("eval", *models, "--data", "test.txt", folder=folder)
    assert (unfinished.code, unfinished.out) == (0, side_by_side.out)
    assert "no mean: 2 seeds, not all of them finished" in unfinished.err
    assert "2 seeds, perplexity" not in unfinished.err


def test_json_of_seeds_stands_alone_on_standard_output(trained: Trained, tmp_path: Path) -> None:
    outcome = train(copy_of(trained, tmp_path), "--seeds", "2", "--run-dir", "runs/b", "--json")
    assert json.loads(outcome.out)["test"]["deviation"] is None
    assert "valid ppl" in outcome.err


def test_a_seed_that_diverges_keeps_no_other_from_being_trained(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others were not begun, that day or ever: the same command came to the same end."""
    folder = copy_of(trained, tmp_path)

    def diverging(config: Config, observer: Observer, **options: Any) -> RunResult:
        if config.seed == 1:
            raise DivergenceError("training diverged: so it goes")
        return train_run(config, observer, **options)

    monkeypatch.setattr("lmtrain.run.train.train", diverging)
    outcome = train(folder, "--seeds", "1,2", "--run-dir", "runs/b", "--set", "train.epochs=1", "--json")
    assert outcome.code == 5
    assert "seed 1: training diverged: so it goes\n" in outcome.err
    assert outcome.err.endswith("training diverged with seed 1\n")
    about = json.loads(outcome.out)
    assert about["runs"][0]["status"] == "interrupted"
    assert about["runs"][1]["valid_perplexity"] > 1
    assert (about["valid"], about["test"]) == (None, None)


def test_what_goes_on_with_seeds_begins_those_to_come_as_the_first(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --from, those after the one that was stopped would have begun from nothing."""
    folder, original = copy_of(trained, tmp_path), StopRequest.requests

    def stopping(self: StopRequest) -> list[int]:
        if (folder / "runs/b/seed-1/metrics.jsonl").exists():
            self._received = signal.SIGTERM
        return original(self)

    monkeypatch.setattr(StopRequest, "requests", stopping)
    options = ("--seeds", "1,2", "--run-dir", "runs/b", "--from", "runs/tiny")
    outcome = train(folder, *options, "--resume", "never")
    assert outcome.code == 128 + signal.SIGTERM
    assert "continues from it, without --resume:" in outcome.err
    again = shlex.split(outcome.err.splitlines()[-1])
    assert sorted(again[again.index("train") :]) == sorted(["train", "--config", "config.yaml", *options])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "1,x"], "whole numbers"),
        (["--seeds", "1,2", "--set", "seed=7"], "leave --set seed=… out"),
        (["--seeds", "1,1"], "twice"),
        (["--seeds", "1,2", "--dry-run"], "leave --seeds out"),
        (["--seeds", "1,2", "--resume", "runs/tiny/snapshots/step-00000025"], "auto or never"),
        (["--from", "runs/tiny", "--dry-run"], "leave --from out"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], message: str, trained: Trained) -> None:
    outcome = train(trained.folder, *options)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_a_run_from_another_tells_where_it_began(trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    outcome = train(folder, "--from", "runs/tiny", "--run-dir", "runs/next", "--set", "train.epochs=1")
    assert outcome.code == 0, outcome.err
    assert "began from" in lmtrain("info", "runs/next", folder=folder).out
    first, anew = (
        next(row["valid/loss"] for row in rows_of(run) if "valid/loss" in row)
        for run in (folder / "runs/next", trained.run_dir)
    )
    assert first < anew
    missing = train(folder, "--from", "nothing", "--run-dir", "runs/none")
    assert missing.code == 4


def test_a_known_corpus_that_is_not_there_is_one_to_fetch(trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    outcome = train(folder, "--set", "data.train=data/ptb/train.txt", "--run-dir", "runs/ptb")
    assert outcome.code == 3
    assert "data/ptb/train.txt: no such file; lmtrain data fetch ptb brings it" in outcome.err
    assert not (folder / "runs/ptb").exists()


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("data/ptb/valid.txt", "; lmtrain data fetch ptb brings it"),
        ("my data/ptb/valid.txt", "; lmtrain data fetch ptb --to 'my data/ptb' brings it"),
        ("data/ptb/dev.txt", ""),
    ],
)
def test_a_text_that_a_folder_of_a_known_corpus_lacks(
    trained: Trained, tmp_path: Path, path: str, hint: str
) -> None:
    folder = copy_of(trained, tmp_path)
    (folder / path).parent.mkdir(parents=True)
    outcome = train(folder, "--set", f"data.valid={path}", "--run-dir", "runs/ptb")
    assert outcome.code == 3
    assert f"{path}: no such file{hint}\n" in outcome.err


@pytest.fixture(scope="module")
def lost(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object]]:
    """A folder, and what trains there at a rate that is far too high."""
    folder = Path(shutil.copytree(trained.folder, tmp_path_factory.mktemp("lost") / "project"))
    values = ("optimizer={name: sgd, lr: 300}", "max_steps=60", "epochs=null")
    options = [x for value in values for x in ("--set", f"train.{value}")]
    return folder, [*options, "--set", "logging.every=10", "--run-dir", "runs/lost"]


def test_a_run_that_is_lost_ends(lost: tuple[Path, list[object]]) -> None:
    folder, options = lost
    outcome = train(folder, *options)
    assert outcome.code == 5
    assert re.search(
        r"training diverged: at step \d+ train/loss is .* cost ln V = 2\.398; lower", outcome.err
    )
    assert "diverged" in lmtrain("runs", "runs/lost", folder=folder).out
    assert train(folder, *options).code == 5  # as before: nothing has changed
    assert train(folder, *options, "--set", "train.stop_above_uniform=false").code == 0


def test_many_unknown_words_are_told_at_the_end_too(trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    (folder / "test.txt").write_text("cat sat unicorn unicorn\n" * 9)
    outcome = train(folder, "--set", "data.test=test.txt", "--set", "train.epochs=1", "--run-dir", "runs/unk")
    assert outcome.code == 0, outcome.err
    told = outcome.err.split("data.test: 40.0% of the tokens are <unk>")
    assert len(told) == 3
    assert "tensorboard --logdir" in told[1]
    assert "done in" in told[2]
    assert "w/o <unk>" not in outcome.out  # few of the validation text are unknown


def test_where_many_words_are_unknown_each_perplexity_stands_beside_that_of_the_others(
    trained: Trained, tmp_path: Path
) -> None:
    folder = copy_of(trained, tmp_path)
    (folder / "unknown.txt").write_text("cat sat unicorn unicorn\n" * 9)
    options = ("--set", "data.valid=unknown.txt", "--set", "train.epochs=1", "--run-dir", "runs/unk")
    outcome = train(folder, *options)
    assert outcome.code == 0, outcome.err
    header, row, *_ = outcome.out[outcome.out.index(" epoch") :].splitlines()
    assert "valid ppl  w/o <unk>  valid acc" in header
    found = lmtrain("eval", "runs/unk", "--data", "unknown.txt", "--json", folder=folder)
    expected = json.loads(found.out)["perplexity_without_unk"]
    assert header[: header.index("  valid acc")].endswith("w/o <unk>")
    assert float(row[: header.index("  valid acc")].split()[-1]) == pytest.approx(expected, abs=0.01)
    assert f", {expected:.2f} without <unk>\n" in outcome.out


def test_what_is_read_for_the_first_time_has_a_header(trained: Trained, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    (folder / "valid.txt").write_text("cat sat\n")
    for run_dir, times in (("runs/a", 1), ("runs/b", 0)):
        outcome = train(
            folder, "--set", "data.valid=valid.txt", "--set", "train.epochs=1", "--run-dir", run_dir
        )
        assert outcome.err.count("reading the texts; the next run finds them in the cache") == times


def test_what_comes_next(trained: Trained) -> None:
    commands = re.findall(r"^    \S*lmtrain (\w+) runs/tiny\b", trained.outcome.err, re.MULTILINE)
    assert commands == ["generate", "eval", "score", "plot", "diagnose"]


@pytest.mark.parametrize("perplexity", [1.0, 12_345.678, 999_999.99, 3.3e26, math.inf, None])
def test_a_perplexity_fits_its_column(perplexity: float | None) -> None:
    assert len(_figure(perplexity)) <= len("train ppl")
    assert _figure(12_345.678) == "12345.68"
