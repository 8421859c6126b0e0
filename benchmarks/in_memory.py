"""lmtrain's own model and trainer, built from a config as the program builds them, over ids in memory.

Imports torch: call ``lmtrain.machine.process.prepare_process`` first, as the program does.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lmtrain.config import Config, config_from_dict
from lmtrain.corpus.corpus import Corpus
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import EOS, UNK, Vocabulary
from lmtrain.run.build import Corpora, build_trainer
from lmtrain.training.trainer import Trainer

EOS_ID = 1


def vocabulary(size: int) -> Vocabulary:
    """``<unk>``, ``<eos>``, ``w2``, ``w3`` …"""
    return Vocabulary((UNK, EOS, *(f"w{i}" for i in range(2, size))))


def random_ids(vocab_size: int, num_tokens: int) -> NDArray[np.int32]:
    """Tokens that are all equally probable."""
    return np.random.default_rng(0).integers(0, vocab_size, num_tokens).astype(np.int32)


def corpus(ids: NDArray[np.int32]) -> Corpus:
    """A text that came from no file."""
    return Corpus(ids, int((ids == EOS_ID).sum()), int((ids == 0).sum()), EOS_ID, "", ())


def trainer(
    vocab_size: int, ids: NDArray[np.int32], model: dict[str, Any], train: dict[str, Any], seed: int = 1
) -> Trainer:
    """What ``lmtrain train`` would train with these sections of a config, on the CPU."""
    corpora = Corpora(vocabulary(vocab_size), TextRules(), corpus(ids), None, None)
    return build_trainer(config(model, train, seed), corpora, torch.device("cpu"))


def config(model: dict[str, Any], train: dict[str, Any], seed: int = 1) -> Config:
    """These sections, all else by default."""
    length = {} if "epochs" in train else {"max_steps": 1}
    values = {"name": "benchmark", "data": {"train": "-"}, "model": model, "train": {**length, **train}}
    return config_from_dict({**values, "seed": seed}, "benchmark")
