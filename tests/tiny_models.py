"""Models of seven words, for tests of what is done with a model."""

from collections.abc import Sequence
from typing import Any

import torch

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.model.language_model import LanguageModel

VOCAB = Vocabulary(("the", "<eos>", "cat", "<unk>", "sat", "on", "mat"))
V, E, H = len(VOCAB), 5, 6


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
