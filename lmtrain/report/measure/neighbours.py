"""The words whose vectors point the same way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def frequent_words(vocab: Vocabulary) -> list[str]:
    """A few words from the most frequent to the less frequent ones, fit to be looked at."""
    ids = [i for i in range(len(vocab)) if i not in (vocab.eos_id, vocab.unk_id)]
    return [vocab.words[i] for i in ids if i + 1 in _RANKS] or [vocab.words[i] for i in ids[:1]]


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
