"""A trained model as a folder for others: what is in it, and that nothing is when something is wrong."""

import dataclasses
import errno
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch
from crashing import disk_with
from exported_models import KINDS, Kind, make
from program import files_in
from support import trained_in
from tiny_models import VOCAB

from lmtrain import __version__
from lmtrain.corpus.text import TextRules
from lmtrain.errors import LmtrainError, ModelError, StorageError, UsageError
from lmtrain.export import export
from lmtrain.export.export import Export, Original, export_onnx, export_safetensors
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.trained import TrainedModel, load_model

EXPORTERS = pytest.mark.parametrize("exporter", [export_onnx, export_safetensors])
Exporter = Callable[[Original, Path], Export]


@pytest.fixture(scope="module")
def trained(run_dir: Path) -> Original:
    return original_of(load_model(run_dir, "3", "cpu"))


def original_of(trained: TrainedModel) -> Original:
    snapshot = trained.snapshot
    return Original(
        trained.model, trained.vocab, trained.rules, trained.config.name, snapshot.step, snapshot.path
    )


def read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


@pytest.mark.parametrize(
    ("exporter", "model"), [(export_onnx, "model.onnx"), (export_safetensors, "model.safetensors")]
)
def test_what_is_in_a_folder(exporter: Exporter, model: str, trained: Original, tmp_path: Path) -> None:
    written = exporter(trained, tmp_path / "out")
    files = files_in(tmp_path / "out")
    assert files.keys() == {"config.json", "vocab.txt", model}
    assert written.files == {name: len(data) for name, data in files.items()}
    assert files["vocab.txt"] == trained.vocab.to_bytes()
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in (model, "vocab.txt")}
    assert hashes["vocab.txt"] == trained.vocab.sha256
    assert read_config(tmp_path / "out") == {
        "format_version": 1,
        "lmtrain_version": __version__,
        "name": "tiny",
        "step": 3,
        "cell": "lstm",
        "activation": "tanh",
        "embedding_dim": 6,
        "hidden_size": 7,
        "num_layers": 2,
        "vocab_size": len(trained.vocab),
        "tie_weights": False,
        "skip_connections": False,
        "embedding_activation": "none",
        "softmax": "full",
        "text": {
            "separators": "ASCII whitespace",
            "moses": None,
            "penn": False,
            "lowercase": False,
            "unk": "<unk>",
            "unk_id": trained.vocab.unk_id,
            "eos": "<eos>",
            "eos_id": trained.vocab.eos_id,
            "words_by_frequency": True,
        },
        "sha256": hashes,
    }


def test_weights_of_a_folder_are_those_of_the_model(trained: Original, tmp_path: Path) -> None:
    export_safetensors(trained, tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    lstm = trained.model.layers[1]
    assert torch.equal(weights["encoder.weight"], trained.model.embedding.weight)
    assert torch.equal(weights["rnn.weight_hh_l1"], lstm.weight_hh)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert metadata["vocab_sha256"] == trained.vocab.sha256


def test_a_folder_says_that_text_is_tokenised(trained: Original, tmp_path: Path) -> None:
    rules = TextRules(lowercase=True, moses="en")
    export_safetensors(dataclasses.replace(trained, rules=rules), tmp_path / "out")
    text = read_config(tmp_path / "out")["text"]
    assert (text["moses"], text["lowercase"]) == ("en", True)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_every_kind_of_model_is_checked_and_written(kind: Kind, trained: Original, tmp_path: Path) -> None:
    model = dataclasses.replace(trained, model=make(kind), vocab=VOCAB)
    difference = export_onnx(model, tmp_path / "onnx").difference
    assert difference is not None
    assert difference.nats <= difference.allowed < 1e-3
    if kind[-1] == "skip":
        with pytest.raises(UsageError, match="skip connections"):
            export_safetensors(model, tmp_path / "torch")
        return
    export_safetensors(model, tmp_path / "torch")
    assert "encoder.weight" in safetensors.torch.load_file(tmp_path / "torch" / "model.safetensors")


@pytest.mark.parametrize("export", [export_onnx, export_safetensors])
def test_layers_of_different_sizes_are_refused(
    export: Callable[[Original, Path], object], trained: Original, tmp_path: Path
) -> None:
    uneven = dataclasses.replace(trained, model=LanguageModel(len(VOCAB), 6, 7, 3, last_hidden_size=5))
    with pytest.raises(UsageError, match=r"layers of different sizes \(7, 7, 5\) cannot be exported"):
        export(uneven, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_an_adaptive_softmax_is_rebuilt_from(corpus: Path, tmp_path: Path) -> None:
    changes = {"model__softmax": "adaptive", "model__adaptive": {"cutoffs": [3, 6], "div": 2.0}}
    trained = original_of(load_model(trained_in(tmp_path / "run", corpus, **changes), device="cpu"))
    export_safetensors(trained, tmp_path / "out")
    config = read_config(tmp_path / "out")
    assert config["softmax"] == "adaptive"
    assert config["adaptive"] == {
        "cutoffs": [3, 6],
        "div_value": 2.0,
        "head_bias": True,
        "projection_sizes": [3, 1],
    }
    sizes = (config["hidden_size"], config["vocab_size"], [3, 6], 2.0, True)
    weights = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    prefix = "decoder."
    torch.nn.AdaptiveLogSoftmaxWithLoss(*sizes).load_state_dict(
        {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
    )


def test_torch_takes_an_adaptive_softmax_of_a_fractional_div(tmp_path: Path) -> None:
    softmax = AdaptiveSoftmax(8, len(VOCAB), [3], div=1.6)
    model = LanguageModel(len(VOCAB), 5, 8, 1, softmax=softmax)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    export_safetensors(Original(model, VOCAB, TextRules(), "tiny", 1, tmp_path), tmp_path / "out")
    weights = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, len(VOCAB), [3], 1.6, head_bias=True)
    theirs.load_state_dict(
        {key.removeprefix("decoder."): w for key, w in weights.items() if key.startswith("decoder.")}
    )
    features = torch.randn(3, 8)
    torch.testing.assert_close(theirs.log_prob(features), softmax.logits(features))


def test_a_sampled_softmax_is_a_full_one(corpus: Path, tmp_path: Path) -> None:
    changes = {"model__softmax": "sampled", "model__sampled": {"num_samples": 5}}
    trained = original_of(load_model(trained_in(tmp_path / "run", corpus, **changes), device="cpu"))
    export_onnx(trained, tmp_path / "out")
    assert read_config(tmp_path / "out")["softmax"] == "full"


def test_metadata_of_an_onnx_file(trained: Original, tmp_path: Path) -> None:
    export_onnx(dataclasses.replace(trained, rules=TextRules(lowercase=True)), tmp_path / "out")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert session.get_modelmeta().custom_metadata_map == {
        "lmtrain_version": __version__,
        "name": "tiny",
        "step": "3",
        "text_rules": "ws+lower",
        "unk": "<unk>",
        "eos": "<eos>",
        "vocab_sha256": trained.vocab.sha256,
    }


def test_weights_too_large_for_protobuf_lie_beside_it(trained: Original, tmp_path: Path) -> None:
    export_onnx(trained, tmp_path / "whole")
    with patch.object(export, "_MAX_FILE_BYTES", 100), patch.object(export, "_MIN_BYTES_APART", 64):
        written = export_onnx(trained, tmp_path / "parted")
    assert written.files.keys() == {"config.json", "vocab.txt", "model.onnx", "model.onnx.data"}
    assert written.difference == export_onnx(trained, tmp_path / "again").difference
    assert read_config(tmp_path / "parted")["sha256"].keys() == written.files.keys() - {"config.json"}
    parted, whole = (onnx.load(tmp_path / name / "model.onnx") for name in ("parted", "whole"))
    for a, b in zip(parted.graph.initializer, whole.graph.initializer, strict=True):
        assert a.name == b.name
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(a), onnx.numpy_helper.to_array(b))


@EXPORTERS
def test_a_folder_that_holds_files_is_refused(exporter: Exporter, trained: Original, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds files already, and none is overwritten"):
        exporter(trained, tmp_path)
    assert files_in(tmp_path) == {"mine.txt": b"mine"}


@EXPORTERS
def test_nothing_is_left_on_a_full_disk(exporter: Exporter, trained: Original, tmp_path: Path) -> None:
    size = sum(exporter(trained, tmp_path / "whole").files.values())
    for free_bytes in (0, size // 2, size - 1):
        with (
            disk_with(free_bytes),
            pytest.raises(StorageError, match="out: cannot be written: the disk is full"),
        ):
            exporter(trained, tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    with disk_with(size):
        exporter(trained, tmp_path / "out")


def test_data_beside_an_onnx_file_that_cannot_be_written(trained: Original, tmp_path: Path) -> None:
    with (
        patch.object(export, "_MAX_FILE_BYTES", 100),
        patch.object(export.os, "fsync", side_effect=OSError(errno.EIO, "Input/output error")),
        pytest.raises(StorageError, match="cannot be written: Input/output error"),
    ):
        export_onnx(trained, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("error", "shown"), [(2e-3, r"\d\.\de-\d\d"), (np.nan, "inf")])
def test_a_graph_that_computes_something_else_is_not_kept(
    error: float, shown: str, trained: Original, tmp_path: Path
) -> None:
    write = export._write_onnx

    def write_another(graph: Any, path: Path) -> None:
        bias = graph.weights["softmax.bias"] = graph.weights["softmax.bias"].copy()
        bias[0] += error
        write(graph, path)

    with (
        patch.object(export, "_write_onnx", write_another),
        pytest.raises(LmtrainError, match=f"differ by {shown} nats .*, more than 1e-04; please report"),
    ):
        export_onnx(trained, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_large_scores_may_differ_by_more(trained: Original, tmp_path: Path) -> None:
    """Float32 has seven digits: at log-probabilities of 1e5 the fourth decimal is not one of them."""
    model = make(KINDS[0])
    with torch.no_grad():
        model.softmax.weight *= 1e5
    difference = export_onnx(
        dataclasses.replace(trained, model=model, vocab=VOCAB), tmp_path / "out"
    ).difference
    assert difference is not None
    assert 0.1 < difference.allowed < 10


def test_a_graph_that_is_not_valid_is_not_kept(trained: Original, tmp_path: Path) -> None:
    write = export._write_onnx

    def write_another(graph: Any, path: Path) -> None:
        graph.proto.graph.node[0].op_type = "Shuffle"
        write(graph, path)

    with (
        patch.object(export, "_write_onnx", write_another),
        pytest.raises(onnx.checker.ValidationError, match="Shuffle"),
    ):
        export_onnx(trained, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_model_whose_scores_are_not_finite_is_refused(trained: Original, tmp_path: Path) -> None:
    model = make(KINDS[0])
    with torch.no_grad():
        model.softmax.bias[2] = torch.nan
    with pytest.raises(ModelError, match="step-00000003: its scores are not finite"):
        export_onnx(dataclasses.replace(trained, model=model, vocab=VOCAB), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_package_that_is_not_installed(package: str, trained: Original, tmp_path: Path) -> None:
    with (
        patch.dict(sys.modules, {package: None}),
        pytest.raises(UsageError, match=rf"{package}.*: pip install 'lmtrain\[onnx\]'"),
    ):
        export_onnx(trained, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    with patch.dict(sys.modules, {package: None}):
        export_safetensors(trained, tmp_path / "out")
