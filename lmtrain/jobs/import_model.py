"""Weights from elsewhere become a model like any other."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from lmtrain.config import Config, config_from_dict
from lmtrain.corpus.vocab import Vocabulary, read_vocabulary
from lmtrain.errors import ConfigError, ModelError, UsageError
from lmtrain.export.export import CONFIG, FORMAT_VERSION, SAFETENSORS, VOCAB, file_sha256
from lmtrain.export.torch_weights import TorchWeights
from lmtrain.files.atomic import new_folder, write_synced
from lmtrain.machine.environment import describe_environment
from lmtrain.run.build import build_model
from lmtrain.training.manifest import MANIFEST
from lmtrain.training.snapshot import Provenance, snapshot_files

_WORDS = ("vocab.txt", "words.txt", "tokens.txt")
"""Where the vocabulary is looked for."""
_UNKNOWN = "unknown"
"""Stands for the training text."""


@dataclass(frozen=True)
class Told:
    """What tensors do not tell of a model."""

    name: str | None = None
    step: int = 0
    model: dict[str, Any] = field(default_factory=dict)
    """Keys of ``model`` in a config."""
    data: dict[str, Any] = field(default_factory=dict)
    """Keys of ``data``."""
    div: float | None = None
    """Of an adaptive softmax."""
    words_by_frequency: bool = False
    """Whether its words stand in order of frequency."""
    sha256: dict[str, str] = field(default_factory=dict)
    """Of the files beside the description, by name."""


def import_model(
    source: Path,
    out: Path,
    told: Told,
    *,
    vocab: Path | None = None,
    unk: str | None = None,
    eos: str | None = None,
) -> None:
    """Makes a model of weights in torch's layout; see ``lmtrain.export.torch_weights``.

    Args:
        source: A folder with a safetensors file and a vocabulary, such as ``export`` writes, or the file.
        out: The snapshot to be made: a folder that is empty or not there yet.
        told: By who imports; what is not told is as ``config.json`` of an export has it.
        vocab: The vocabulary, where it lies elsewhere; see ``read_vocabulary``.
        unk: The unknown word of it.
        eos: The end of a line.

    Raises:
        UsageError: Which files are meant is not clear, or the folder holds files.
        DataError: The vocabulary cannot be used.
        ModelError: The weights are no such model, do not fit the vocabulary, or are not those that were
            exported.
        StorageError: The disk or the system refused; nothing was left there.
    """
    file = _weights_file(source)
    written = _read_description(file.parent / CONFIG)
    words = vocab or _vocabulary_file(file.parent)
    for each in (file, words):
        _refuse_changed(each, file.parent, written)
    weights = TorchWeights.of(_tensors(file), str(file))
    vocabulary = _vocabulary(words, unk, eos, written, weights)
    if len(vocabulary) != weights.vocab_size:
        raise ModelError(
            f"{file}: an embedding of {weights.vocab_size:,} words, where {words} has {len(vocabulary):,}"
        )
    config = _config(weights, None if vocabulary.is_by_frequency else words, written, told, file)
    model = build_model(config.model, len(vocabulary))
    weights.load_into(model)
    files = snapshot_files(
        written.step,
        model.weights(),
        {},
        vocabulary.to_bytes(),
        config=config.to_dict(),
        provenance=_provenance(file, vocabulary),
    )
    with new_folder(out, last=MANIFEST) as folder:
        for name, data in files.items():
            write_synced(folder / name, data)


def _weights_file(source: Path) -> Path:
    if source.is_file():
        return source
    found = sorted(source.glob("*.safetensors"))
    named = [path for path in found if path.name == SAFETENSORS]
    if len(named or found) == 1:
        return (named or found)[0]
    if found:
        raise UsageError(f"{source}: holds {len(found)} files of weights; name the one that is meant")
    others = [path.name for path in (*source.glob("*.pt"), *source.glob("*.pth"), *source.glob("*.bin"))]
    advice = f"; lmtrain convert makes one of {others[0]}" if others else ""
    raise ModelError(f"{source}: no .safetensors file is there{advice}")


def _vocabulary_file(folder: Path) -> Path:
    found = next((folder / name for name in _WORDS if (folder / name).exists()), None)
    if found is None:
        raise UsageError(f"{folder}: none of {', '.join(_WORDS)} is there; name the words with --vocab")
    return found


def _refuse_changed(path: Path, folder: Path, written: Told) -> None:
    known = written.sha256.get(path.name)
    if path.parent == folder and known and path.exists() and file_sha256(path) != known:
        raise ModelError(
            f"{path}: not the file that {CONFIG} beside it tells of (its SHA-256 differs); copy the export "
            f"again or, if it was changed on purpose, take it out of sha256 in {CONFIG}"
        )


def _vocabulary(
    words: Path, unk: str | None, eos: str | None, written: Told, weights: TorchWeights
) -> Vocabulary:
    """The words, whose order is known of an adaptive softmax, and of the very list that was exported."""
    found = read_vocabulary(words, unk, eos)
    is_known = written.words_by_frequency and written.sha256.get(VOCAB) == found.sha256
    return replace(found, is_by_frequency=is_known or weights.options(None)["softmax"] == "adaptive")


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(file)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"{file}: cannot be read as safetensors ({error}); lmtrain convert takes .pt files"
        ) from error


def _read_description(path: Path) -> Told:
    """What an export says of itself; nothing where the file is another program's, or there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return Told()
    except ValueError as error:
        raise ModelError(f"{path}: no JSON: {error}") from error
    if not isinstance(found, dict) or "lmtrain_version" not in found:
        return Told()
    try:
        if found["format_version"] > FORMAT_VERSION:
            raise ModelError(f"{path}: written in a newer format; install a newer lmtrain")
        text = found["text"]
        tokenizer = {"tokenizer": "penn"} if text.get("penn") else {}
        if text["moses"]:
            tokenizer = {"tokenizer": "moses", "moses_language": text["moses"]}
        return Told(
            found["name"],
            found["step"],
            {key: found[key] for key in ("activation", "embedding_activation")},
            {"lowercase": text["lowercase"], **tokenizer},
            found["adaptive"]["div_value"] if "adaptive" in found else None,
            text.get("words_by_frequency", True),
            dict(found["sha256"]),
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not as lmtrain export writes it: {error}") from error


def _config(weights: TorchWeights, fixed: Path | None, written: Told, told: Told, file: Path) -> Config:
    options = {**weights.options(written.div), **written.model, **told.model}
    values = {
        "name": told.name or written.name or "imported",
        "data": {
            "train": _UNKNOWN,
            "vocab": fixed and str(fixed),
            **written.data,
            **told.data,
        },
        "model": options,
        "train": {"epochs": 1},
    }
    try:
        return config_from_dict(values, str(file))
    except ConfigError as error:
        raise ModelError(str(error)) from error


def _provenance(file: Path, vocabulary: Vocabulary) -> Provenance:
    origin = {"snapshot": str(file), "sha256": file_sha256(file)}
    return Provenance(
        environment={**describe_environment(), "from": origin},
        sha256={"vocab": vocabulary.sha256},
        num_tokens=0,
        epoch=0.0,
        best_step=None,
        best_loss=None,
        elapsed=0.0,
        words_by_frequency=vocabulary.is_by_frequency,
    )
