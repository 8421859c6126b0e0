"""``lmtrain info`` and ``lmtrain env``."""

import json
import os

import pytest
import safetensors.torch
import torch
from program import Trained, lmtrain

from lmtrain import __version__


def test_info_as_json(trained: Trained) -> None:
    outcome = lmtrain("info", "runs/tiny", "--json", folder=trained.folder)
    assert (outcome.code, outcome.err) == (0, "")
    about = json.loads(outcome.out)
    snapshot = trained.run_dir / "snapshots" / "step-00000017"
    weights = safetensors.torch.load_file(snapshot / "model.safetensors")
    assert about["name"] == "tiny"
    assert about["snapshot"] == "runs/tiny/snapshots/step-00000017"
    assert about["step"] == about["best_step"] == 17
    assert about["num_parameters"] == sum(weight.numel() for weight in weights.values())
    assert about["parameters"] == {"embedding": 66, "layers.0": 392, "softmax": 88}
    assert about["vocab_size"] == 11
    assert about["num_tokens"] == 300
    assert about["epoch"] == 17 * 36 / 300
    assert about["text_rules"] == "ws"
    assert about["sha256"].keys() == {"vocab", "train", "valid", "test"}
    assert about["environment"]["lmtrain"] == __version__
    assert about["config"]["model"]["hidden_size"] == 7
    rows = map(json.loads, (trained.run_dir / "metrics.jsonl").read_text().splitlines())
    best = next(row for row in rows if row["step"] == 17)
    assert about["best_loss"] == best["valid/loss"]
    assert about["best_perplexity"] == pytest.approx(best["valid/perplexity"])


def test_info_for_a_person(trained: Trained) -> None:
    outcome = lmtrain("info", "runs/tiny", "--snapshot", "last", folder=trained.folder)
    assert outcome.code == 0
    lines = [line.split(maxsplit=1) for line in outcome.out.splitlines()]
    assert ["name", "tiny"] in lines
    assert ["snapshot", "runs/tiny/snapshots/step-00000025"] in lines
    assert ["model", "lstm 1 × 7, embedding 6"] in lines
    assert ["parameters", "546"] in lines
    assert ["embedding", "66"] in lines
    assert "25 steps, 3.00 epochs, 0s" in outcome.out
    assert "at step 17" in outcome.out
    assert outcome.out.count("text  ") == 3


def test_info_of_a_run_without_validation(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> None:
    run_dir = tmp_path_factory.mktemp("run")
    options = ("data.valid=null", "data.test=null", "train.epochs=1")
    changes = [word for option in options for word in ("--set", option)]
    lmtrain("train", "--config", "config.yaml", *changes, "--run-dir", run_dir, folder=trained.folder)
    outcome = lmtrain("info", run_dir)
    assert outcome.code == 0
    assert "None" not in outcome.out
    about = json.loads(lmtrain("info", run_dir, "--json").out)
    assert about["best_step"] is about["best_loss"] is about["best_perplexity"] is None
    assert lmtrain("info", run_dir, "--snapshot", "best").code == 4


def test_env_as_json() -> None:
    outcome = lmtrain("env", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    about = json.loads(outcome.out)
    assert about["lmtrain"] == __version__
    assert about["threads"] == torch.get_num_threads()
    assert about["cpu_count"] == os.cpu_count()
    assert about["packages"]["torch"] == torch.__version__
    assert len(about["cuda_devices"]) == torch.cuda.device_count()
    assert {"python", "platform", "processor", "cuda"} <= about.keys()


def test_env_for_a_person() -> None:
    about = json.loads(lmtrain("env", "--json").out)
    pairs = dict(line.split(maxsplit=1) for line in lmtrain("env").out.splitlines())
    assert pairs["lmtrain"] == about["lmtrain"]
    assert pairs["torch"] == about["packages"]["torch"]
    assert pairs["threads"] == str(about["threads"])
    assert pairs["cuda_devices"] == (", ".join(about["cuda_devices"]) or "none")
