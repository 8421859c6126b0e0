"""A run that begins from the weights of another model, whose words it keeps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lmtrain.config import Config
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import ConfigError
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.layout import find_snapshot
from lmtrain.training.manifest import MODEL
from lmtrain.training.snapshot import Snapshot

_OF_WORDS = ("embedding.weight", "softmax.weight", "softmax.bias")
"""Weights with a row a word; the rows of an adaptive softmax are of clusters, and get no word more."""


@dataclass(frozen=True)
class Origin:
    """The model that a run begins from: its weights and its words; everything else is fresh."""

    snapshot: Snapshot
    vocab: Vocabulary

    @classmethod
    def of(cls, path: Path, which: str | None = None) -> "Origin":
        """That of a run directory, the best snapshot of it, or of a snapshot.

        Raises:
            ModelError: There is none, or it is damaged.
        """
        snapshot = find_snapshot(path, which)
        return cls(snapshot, snapshot.vocabulary())

    def describe(self) -> dict[str, Any]:
        """What a run keeps of it: where it was, and the SHA-256 of its weights."""
        return {
            "snapshot": str(self.snapshot.path),
            "sha256": self.snapshot.manifest["files"][MODEL]["sha256"],
        }

    def refuse_other_model(self, config: Config) -> None:
        """Compares what the weights alone do not tell.

        Raises:
            ConfigError: The config is of another cell, reads words in another way, or takes word vectors
                from a file, which those of the model would overwrite.
        """
        theirs, ours = self.snapshot.config, config.to_dict()
        keys = [("model", key) for key in ("cell", "activation", "embedding_activation", "skip_connections")]
        keys += [("data", key) for key in ("lowercase", "tokenizer")]
        if config.model.cell == "mogrifier":
            keys.append(("model", "mogrifier"))
        if config.data.tokenizer == "moses":
            keys.append(("data", "moses_language"))
        problems = [
            f"{section}.{key}: {theirs[section][key]} there, {ours[section][key]} here"
            for section, key in keys
            if key in theirs[section] and theirs[section][key] != ours[section][key]
        ]
        draws_by_rank = (
            config.model.softmax == "sampled" and config.model.sampled.distribution == "log_uniform"
        )
        if draws_by_rank and not self.vocab.is_by_frequency:
            problems.append(
                "model.sampled.distribution: words are drawn by their rank, and those of the model are not "
                "in order of frequency; set sampled.distribution: unigram"
            )
        if config.model.pretrained_embedding:
            problems.append("model.pretrained_embedding: the model has word vectors already; leave one out")
        if problems:
            raise ConfigError(problems, f"{self.snapshot.path}: a model of another kind than the config says")

    @torch.no_grad()
    def copy_into(self, model: LanguageModel) -> None:
        """Puts the weights in place; words that are new keep the rows they were drawn with.

        Raises:
            ConfigError: The config makes weights of other shapes; names them.
        """
        found, problems = self.snapshot.model_tensors(), []
        weights = model.weights()
        for name in sorted(weights.keys() | found.keys()):
            shapes = [tuple(those[name].shape) if name in those else None for those in (found, weights)]
            theirs, ours = shapes
            has_new_rows = name in _OF_WORDS and theirs and ours and theirs[1:] == ours[1:] and theirs < ours
            if theirs != ours and not has_new_rows:
                problems.append(f"{name}: {theirs or 'nothing'} there, {ours or 'nothing'} here")
        if problems:
            raise ConfigError(
                problems, f"{self.snapshot.path}: its weights do not fit the model of the config"
            )
        for name, weight in weights.items():
            weight[: len(found[name])].copy_(found[name])


def refuse_other_origin(snapshot: Snapshot, start_from: Path | None) -> None:
    """Compares what a run began from with what the command names, if that is still there.

    Raises:
        ConfigError: The run to be continued began from nothing, or from another model.
    """
    if start_from is None:
        return
    began = snapshot.provenance.environment.get("from")
    if began is None:
        raise ConfigError(
            [f"--from {start_from}: the run did not begin from a model"],
            f"{snapshot.path}: holds a run that began anew; choose another --run-dir, or leave --from out",
        )
    if start_from.exists() and Origin.of(start_from).describe()["sha256"] != began["sha256"]:
        raise ConfigError(
            [f"--from: {began['snapshot']} → {start_from}"],
            f"{snapshot.path}: holds a run that began from another model; choose another --run-dir",
        )
