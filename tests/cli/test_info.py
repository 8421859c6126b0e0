"""``lmtrain info`` and ``lmtrain env``."""

import json
import os
import re
import shutil
from pathlib import Path

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
    embedding, layer, softmax = about["parts"]
    assert embedding["shapes"] == {"weight": [11, 6]}
    assert (layer["kind"], layer["num_parameters"]) == ("LSTMLayer", 392)
    assert softmax["shapes"] == {"weight": [11, 7], "bias": [11]}
    assert sum(part["share"] for part in about["parts"]) == pytest.approx(1)
    assert [each["step"] for each in about["history"]] == [9, 17]
    assert about["history"][-1]["valid_perplexity"] == about["best_perplexity"]
    assert about["history"][-1]["lr"] == 0.3
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
    assert [
        "embedding",
        "Embedding    weight 11 × 6                                        66  12.1%",
    ] in lines
    assert re.search(r"25 steps, 3.00 epochs, \ds", outcome.out)
    assert "at step 17" in outcome.out
    assert outcome.out.count("text  ") == 3
    assert [line[0] for line in lines[-4:] if line] == ["step", "9", "17", "25"]
    assert [line[1].count("*") for line in lines[-3:]] == [0, 1, 0]


def test_info_of_shared_weights_dropout_and_a_long_history(trained: Trained, tmp_path: Path) -> None:
    changes = ("model.embedding_dim=7", "model.tie_weights=true", "evaluation.every=1")
    changes += ("model.dropout={input: 0.25, output: 0.25, words: 0.1, recurrent: 0.5, latent: 0.2}",)
    changes += ("model.softmax=mixture", "model.mixture.components=2")
    options = [word for change in changes for word in ("--set", change)]
    lmtrain("train", "--config", "config.yaml", *options, "--run-dir", tmp_path, folder=trained.folder)
    about = json.loads(lmtrain("info", tmp_path, "--snapshot", "last", "--json").out)
    names = [(part["name"], part["kind"]) for part in about["parts"]]
    assert names == [
        ("embedding", "Embedding"),
        ("words", "WeightDropout 0.1"),
        ("recurrent weights", "WeightDropout 0.5"),
        ("before layers.0", "Dropout 0.25"),
        ("layers.0", "LSTMLayer"),
        ("before softmax", "Dropout 0.25"),
        ("softmax", "MixtureSoftmax"),
        ("latent vectors", "Dropout 0.2"),
    ]
    assert about["parts"][-2]["shared"] == {"weight": "embedding.weight"}
    assert sum(part["num_parameters"] for part in about["parts"]) == about["num_parameters"]
    assert len(about["history"]) == 25
    shown = lmtrain("info", tmp_path, "--snapshot", "last").out.split("step  epoch")[1].splitlines()[1:]
    assert len(shown) <= 13
    assert shown[-1].split()[0] == "25"
    assert sum("*" in line for line in shown) == 1
    # A snapshot on its own has no log beside it.
    moved = shutil.copytree(tmp_path / "snapshots" / "step-00000025", tmp_path / "moved")
    assert json.loads(lmtrain("info", moved, "--json").out)["history"] == []


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
