"""A trained model is taken elsewhere: as weights for torch's modules, or as an ONNX graph.

Either way it becomes a folder with ``config.json``, which says what the model is, and ``vocab.txt``, whose
lines are the words of ids 0, 1, 2 …
"""

import hashlib
import importlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch

from lmtrain import __version__
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import EOS, UNK, Vocabulary
from lmtrain.errors import LmtrainError, ModelError, UsageError
from lmtrain.export.torch_layout import torch_layout
from lmtrain.files.atomic import new_folder, write_synced
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.language_model import LanguageModel

if TYPE_CHECKING:
    from lmtrain.export.onnx_check import Difference
    from lmtrain.export.onnx_graph import OnnxGraph

FORMAT_VERSION = 1
"""Of the folder; it grows when a reader of an earlier one would misread a later one."""
CONFIG = "config.json"
VOCAB = "vocab.txt"
SAFETENSORS = "model.safetensors"
SHAPES = ((1, 1), (4, 5), (20, 2))
"""(time, batch) that an ONNX file is checked on."""
_MAX_FILE_BYTES = 2_000_000_000
"""Of weights in an ONNX file: protobuf takes less than 2 GiB, so that larger ones lie in a file beside it."""
_MIN_BYTES_APART = 1024
"""Of a weight in that file; shapes and axes stay in the graph, which has to know them."""


@dataclass(frozen=True)
class Original:
    """A model that is to be taken elsewhere."""

    model: LanguageModel
    vocab: Vocabulary
    rules: TextRules
    name: str
    step: int
    source: Path
    """Where it comes from, for messages."""


@dataclass(frozen=True)
class Export:
    """A model that was taken elsewhere."""

    files: dict[str, int]
    """Size in bytes of each file written."""
    difference: "Difference | None" = None
    """Between onnxruntime's log-probabilities and ours; None where it computes none."""


def export_safetensors(original: Original, out: Path) -> Export:
    """Writes the weights as torch's modules take them; see ``lmtrain.export.torch_layout``.

    Args:
        original: The model.
        out: A folder that is empty or not there yet.

    Raises:
        UsageError: The folder holds files, or a part of the model has no layout in torch.
        StorageError: The disk or the system refused; nothing was left there.
    """
    _refuse_different_sizes(original.model)
    with new_folder(out, last=CONFIG) as folder:
        weights = safetensors.torch.save(torch_layout(original.model), {"format": "pt", **_about(original)})
        write_synced(folder / SAFETENSORS, weights)
        return Export(_add_descriptions(folder, original))


def export_onnx(original: Original, out: Path, layout: str = "lmtrain") -> Export:
    """Writes the model as ONNX graphs, and checks them; see ``lmtrain.export.onnx_layouts``.

    Args:
        original: The model.
        out: A folder that is empty or not there yet.
        layout: ``lmtrain``, ``sherpa`` or ``icefall``.

    Raises:
        UsageError: The packages are missing, the folder holds files, or a part has no counterpart in ONNX.
        ModelError: The model's own scores are not finite.
        StorageError: The disk or the system refused; nothing was left there.
        LmtrainError: onnxruntime computes something else than the model; nothing was left there.
    """
    _require_onnx()
    _refuse_different_sizes(original.model)
    import onnx

    from lmtrain.export.onnx_layouts import LAYOUTS

    model, eos_id = original.model, original.vocab.eos_id
    differences = []
    with new_folder(out, last=CONFIG) as folder:
        for name, face in LAYOUTS[layout].items():
            path = folder / name
            _write_onnx(face.build(model, _about(original), eos_id), path)
            onnx.checker.check_model(path, full_check=True)
            differences.append(face.difference(path, model, SHAPES, eos_id))
            if not differences[-1].nats <= differences[-1].allowed:
                _refuse(original, differences[-1])
        greatest = max(differences, key=lambda each: each.nats / each.allowed)
        return Export(_add_descriptions(folder, original), greatest)


def _require_onnx() -> None:
    try:
        importlib.import_module("onnx")
        importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UsageError(
            f"ONNX needs more than is installed ({error}): pip install 'lmtrain[onnx]'"
        ) from error


def _write_onnx(graph: "OnnxGraph", path: Path) -> None:
    if sum(weight.nbytes for weight in graph.weights.values()) <= _MAX_FILE_BYTES:
        write_synced(path, graph.with_weights().SerializeToString())
    else:
        _write_weights_apart(graph, path)


def _write_weights_apart(graph: "OnnxGraph", path: Path) -> None:
    """Writes large weights, all float32, one after the other into a file; the graph says where each is."""
    from onnx import StringStringEntryProto, TensorProto, numpy_helper

    found = graph.proto.graph.initializer
    name_of_file = f"{path.name}.data"
    with (path.parent / name_of_file).open("xb") as file:
        for name, weight in graph.weights.items():
            if weight.nbytes < _MIN_BYTES_APART:
                found.append(numpy_helper.from_array(weight, name))
                continue
            place = {"location": name_of_file, "offset": str(file.tell()), "length": str(weight.nbytes)}
            entries = [StringStringEntryProto(key=key, value=value) for key, value in place.items()]
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=weight.shape)
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.extend(entries)
            found.append(tensor)
            file.write(weight.data)
        file.flush()
        os.fsync(file.fileno())
    write_synced(path, graph.proto.SerializeToString())


def _refuse(original: Original, difference: "Difference") -> None:
    if math.isnan(difference.nats):
        raise ModelError(f"{original.source}: its scores are not finite; --snapshot picks another")
    raise LmtrainError(
        f"{original.source}: not exported: log-probabilities of onnxruntime differ by {difference.nats:.1e} "
        f"nats from those of lmtrain {__version__}, more than {difference.allowed:.0e}; please report this"
    )


def _about(original: Original) -> dict[str, str]:
    """What the file of the weights says of itself."""
    return {
        "lmtrain_version": __version__,
        "name": original.name,
        "step": str(original.step),
        "text_rules": original.rules.name,
        "unk": UNK,
        "eos": EOS,
        "vocab_sha256": original.vocab.sha256,
    }


def _add_descriptions(folder: Path, original: Original) -> dict[str, int]:
    """Writes the vocabulary and the config beside the weights; gives the size of each file."""
    write_synced(folder / VOCAB, original.vocab.to_bytes())
    config = {
        "format_version": FORMAT_VERSION,
        "lmtrain_version": __version__,
        "name": original.name,
        "step": original.step,
        **_describe_model(original),
        "text": _describe_text(original),
        "sha256": {path.name: file_sha256(path) for path in sorted(folder.iterdir())},
    }
    write_synced(folder / CONFIG, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def _refuse_different_sizes(model: LanguageModel) -> None:
    sizes = [layer.hidden_size for layer in model.recurrent_layers()]
    if len(set(sizes)) > 1:
        raise UsageError(
            f"layers of different sizes ({', '.join(map(str, sizes))}) cannot be exported: torch's modules "
            "and the ONNX graph have the states of all layers in one tensor"
        )


def _describe_model(original: Original) -> dict[str, Any]:
    model, softmax = original.model, original.model.softmax
    layers = model.recurrent_layers()
    about = {
        "cell": layers[0].cell,
        "activation": layers[0].activation,
        "embedding_dim": model.embedding.embedding_dim,
        "hidden_size": layers[0].hidden_size,
        "num_layers": len(layers),
        "vocab_size": len(original.vocab),
        "tie_weights": model.is_tied,
        "skip_connections": model.has_skip_connections,
        "embedding_activation": "tanh" if isinstance(model.embedding_activation, torch.nn.Tanh) else "none",
    }
    if not isinstance(softmax, AdaptiveSoftmax):  # a sampled one is full once it is trained
        return {**about, "softmax": "full"}
    adaptive = {  # as nn.AdaptiveLogSoftmaxWithLoss calls it, and the sizes, which follow from that
        "cutoffs": softmax.bounds[:-1],
        "div_value": softmax.div,
        "head_bias": True,
        "projection_sizes": [len(projection) for projection in softmax.projections],
    }
    return {**about, "softmax": "adaptive", "adaptive": adaptive}


def _describe_text(original: Original) -> dict[str, Any]:
    vocab = original.vocab
    return {
        "separators": "ASCII whitespace",
        "moses": original.rules.moses,
        "penn": original.rules.penn,
        "lowercase": original.rules.lowercase,
        "unk": UNK,
        "unk_id": vocab.unk_id,
        "eos": EOS,
        "eos_id": vocab.eos_id,
        "words_by_frequency": vocab.is_by_frequency,
    }


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
