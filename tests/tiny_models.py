"""Models of seven words, for tests of what is done with a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from lmtrain.corpus.corpus import Corpus
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.model.language_model import LanguageModel

VOCAB = Vocabulary(("the", "<eos>", "cat", "<unk>", "sat", "on", "mat"))
V, E, H = len(VOCAB), 5, 6
EOS, UNK = VOCAB.eos_id, VOCAB.unk_id

Lines = list[list[str]]
texts = st.lists(st.lists(st.sampled_from(["the", "cat", "sat", "on", "dog"]), max_size=9), min_size=1)


def make_model(**options: Any) -> LanguageModel:
    """A model with opinions: costs differ much from word to word, and with what was read before."""
    model = LanguageModel(V, options.pop("embedding_dim", E), H, 2, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.7, generator=generator)
    return model.eval()


def unigram_model(probabilities: Sequence[float]) -> LanguageModel:
    """A model that predicts the same, whatever it has read."""
    model = LanguageModel(V, E, H, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.softmax.bias.copy_(torch.tensor(probabilities).log())
    return model.eval()


def corpus_of(lines: Lines) -> Corpus:
    ids = np.array([i for words in lines for i in VOCAB.encode_line(words)], dtype=np.int32)
    return Corpus(ids, len(lines), int((ids == UNK).sum()), EOS, "", ())


def log_prob_of(model: LanguageModel, prompt: Sequence[int], ids: Sequence[int], eos_id: int = EOS) -> float:
    """Ln p of what follows a prompt that starts a line, found by scoring it."""
    line = torch.tensor([eos_id, *prompt, *ids])[:, None]
    with torch.no_grad():
        features = model(line[:-1], model.initial_state(1)).features
        costs = model.softmax.token_costs(features[len(prompt) :, 0], line[1 + len(prompt) :, 0])
    return -float(costs.nats.double().sum())


def random_lines(number: int, seed: int = 0) -> Lines:
    random = np.random.default_rng(seed)
    words = ["the", "cat", "sat", "on", "mat", "dog"]
    return [list(random.choice(words, size=random.integers(0, 12))) for _ in range(number)]
