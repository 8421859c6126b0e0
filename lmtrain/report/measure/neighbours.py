"""The words whose vectors point the same way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.model.language_model import LanguageModel

_RANKS = (5, 10, 20, 50, 100, 150, 200, 300, 500, 1000)


@dataclass(frozen=True)
class Neighbours:
    """A word and those nearest to it in the embedding, the nearest first."""

    word: str
    words: tuple[str, ...]
    cosines: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        pairs = zip(self.words, self.cosines, strict=True)
        return {"word": self.word, "nearest": [{"word": word, "cosine": cosine} for word, cosine in pairs]}


def frequent_words(vocab: Vocabulary, counts: npt.NDArray[np.int64]) -> list[str]:
    """A few words from the most frequent to the less frequent ones, fit to be looked at.

    Args:
        vocab: The words; their places are ranks, or else those by ``counts`` are taken.
        counts: How often each occurs in the held-out text, shape (V).
    """
    order = range(len(vocab)) if vocab.is_by_frequency else np.argsort(-counts, kind="stable").tolist()
    ranked = [(rank, i) for rank, i in enumerate(order, 1) if i not in (vocab.eos_id, vocab.unk_id)]
    return [vocab.words[i] for rank, i in ranked if rank in _RANKS] or [vocab.words[i] for _, i in ranked[:1]]


@torch.inference_mode()
def nearest_words(
    model: LanguageModel, vocab: Vocabulary, words: Sequence[str], number: int = 6
) -> list[Neighbours]:
    """The words nearest to each of ``words`` by the cosine of their vectors; never ``<eos>`` or ``<unk>``."""
    vectors = torch.nn.functional.normalize(model.embedding.weight.float(), dim=1)
    special = [vocab.eos_id, vocab.unk_id]
    found = []
    for word in words:
        cosines = vectors @ vectors[vocab.id_of(word)]
        cosines[[*special, vocab.id_of(word)]] = -torch.inf
        best = cosines.topk(min(number, len(vocab)))
        pairs = [
            (vocab.words[i], c) for c, i in zip(*map(torch.Tensor.tolist, best), strict=True) if c >= -1.001
        ]
        found.append(Neighbours(word, tuple(w for w, _ in pairs), tuple(c for _, c in pairs)))
    return found
