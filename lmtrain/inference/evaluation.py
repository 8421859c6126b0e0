"""Perplexity of held-out text: costs are summed in float64, divided once, exponentiated once."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from lmtrain.corpus.batching import Ids
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference.reader import Reader, Strategy
from lmtrain.inference.windows import HeldOutWindow
from lmtrain.model.language_model import LanguageModel


@dataclass(frozen=True)
class Band:
    """What the tokens of some words cost together."""

    name: str
    """The words: their ranks by frequency in the training text, as ``11-100``, or one word."""
    num_tokens: int
    nll_nats: float

    @property
    def perplexity(self) -> float:
        """exp(nats per token); NaN where there is no token."""
        return perplexity(self.nll_nats, self.num_tokens)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a held-out text cost, word by word of the vocabulary. All costs are in nats (natural log)."""

    nats_by_word: npt.NDArray[np.float64]
    """Summed costs of each word's tokens, shape (V)."""
    counts_by_word: npt.NDArray[np.int64]
    """Tokens of each word, shape (V)."""
    num_correct: int | None
    """Tokens that were the most probable word; None where that is not known."""
    eos_id: int
    unk_id: int
    seconds: float
    is_by_frequency: bool = True
    """Whether the ids of words are in order of frequency in the training text."""

    @classmethod
    def of_tokens(cls, ids: Ids, nats: npt.NDArray[np.floating], vocab: Vocabulary) -> Self:
        """Of tokens of which the costs are known, and nothing else."""
        nats_by_word = np.bincount(ids, weights=nats, minlength=len(vocab)).astype(np.float64)
        counts = np.bincount(ids, minlength=len(vocab))
        return cls(nats_by_word, counts, None, vocab.eos_id, vocab.unk_id, math.nan, vocab.is_by_frequency)

    def __add__(self, other: "Evaluation") -> "Evaluation":
        """Of two texts together."""
        is_known = self.num_correct is not None and other.num_correct is not None
        return Evaluation(
            self.nats_by_word + other.nats_by_word,
            self.counts_by_word + other.counts_by_word,
            (self.num_correct or 0) + (other.num_correct or 0) if is_known else None,
            self.eos_id,
            self.unk_id,
            self.seconds + other.seconds,
            self.is_by_frequency,
        )

    def sums(self) -> torch.Tensor:
        """All that is added up of parts of a text: costs, counts and hits, float64 of shape (2V + 1)."""
        parts = (self.nats_by_word, self.counts_by_word, [self.num_correct or 0])
        return torch.from_numpy(np.concatenate(parts).astype(np.float64))

    def with_sums(self, sums: torch.Tensor) -> "Evaluation":
        """The same of a text of which other parts were read elsewhere, from the sums over all of them."""
        nats, counts, hits = np.split(sums.numpy(), [len(self.nats_by_word), -1])
        return replace(
            self, nats_by_word=nats, counts_by_word=counts.astype(np.int64), num_correct=int(hits[0])
        )

    @property
    def nll_nats(self) -> float:
        """The sum over all tokens."""
        return float(self.nats_by_word.sum())

    @property
    def num_tokens(self) -> int:
        """Tokens scored, ``<eos>`` included."""
        return int(self.counts_by_word.sum())

    @property
    def num_eos(self) -> int:
        """Line ends."""
        return int(self.counts_by_word[self.eos_id])

    @property
    def num_oov(self) -> int:
        """Tokens scored as ``<unk>``, whether the text says so or its word is unknown."""
        return int(self.counts_by_word[self.unk_id])

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nll_nats / self.num_tokens

    @property
    def perplexity(self) -> float:
        """exp(nats per token)."""
        return perplexity(self.nll_nats, self.num_tokens)

    @property
    def accuracy(self) -> float:
        """Share of tokens that were the most probable word; NaN where that is not known."""
        return math.nan if self.num_correct is None else self.num_correct / self.num_tokens

    @property
    def bits_per_word(self) -> float:
        """Bits per token."""
        return self.loss / math.log(2)

    @property
    def perplexity_without_eos(self) -> float:
        """Of the words alone: the line ends are read but not counted."""
        return self._perplexity_without(self.eos_id)

    @property
    def perplexity_without_unk(self) -> float:
        """Of the tokens the model knows: ``<unk>`` is read but not counted."""
        return self._perplexity_without(self.unk_id)

    @property
    def oov_rate(self) -> float:
        """Share of tokens scored as ``<unk>``."""
        return self.num_oov / self.num_tokens

    @property
    def words_per_second(self) -> float:
        """Tokens scored per second."""
        return self.num_tokens / max(self.seconds, 1e-9)

    def bands(self) -> list[Band]:
        """Costs by word frequency: ranks 1-10, 11-100, …, and ``<eos>`` and ``<unk>`` on their own.

        The rank of a word is its id plus one where a vocabulary stands in order of frequency in the training
        text, ``<eos>`` and ``<unk>`` among the others. Adaptive and sampled softmax, and ``diagnose``, mean
        the same. Each token is in one band. Where words are those of a list, whose order says nothing, there
        are the bands of ``<eos>`` and ``<unk>`` alone.
        """
        specials = {"<eos>": self.eos_id, "<unk>": self.unk_id}
        return [*self._ranks(), *(self._band(name, np.array([id_])) for name, id_ in specials.items())]

    def _ranks(self) -> list[Band]:
        if not self.is_by_frequency:
            return []
        vocab_size = len(self.counts_by_word)
        ids = np.arange(vocab_size)
        is_word = (ids != self.eos_id) & (ids != self.unk_id)
        bands, first = [], 0
        while first < vocab_size:
            last = min(max(10, 10 * first), vocab_size)
            words = ids[first:last][is_word[first:last]]
            bands.append(self._band(f"{first + 1}-{last}", words))
            first = last
        return bands

    def _band(self, name: str, ids: npt.NDArray[np.int64]) -> Band:
        return Band(name, int(self.counts_by_word[ids].sum()), float(self.nats_by_word[ids].sum()))

    def _perplexity_without(self, word_id: int) -> float:
        nats, count = self.nats_by_word[word_id], self.counts_by_word[word_id]
        return perplexity(self.nll_nats - float(nats), self.num_tokens - int(count))


def perplexity(nats: float, num_tokens: int) -> float:
    """exp(nats / num_tokens); infinite beyond the range of a float, NaN where there is no token."""
    if num_tokens == 0:
        return math.nan
    try:
        return math.exp(nats / num_tokens)
    except OverflowError:
        return math.inf


def evaluate(
    model: LanguageModel,
    windows: Iterable[HeldOutWindow],
    vocab: Vocabulary,
    precision: torch.dtype = torch.float32,
    strategy: Strategy | None = None,
) -> Evaluation:
    """Scores a held-out text. Memory does not grow with its length, and no graph is kept.

    Args:
        model: In training or evaluation mode, which it is left in.
        windows: The text, from its start.
        vocab: Tells line ends and unknown words.
        precision: What products are computed in; whatever the model was trained in.
        strategy: How to read; by default with the weights as they are.
    """
    started = time.perf_counter()
    device = model.device
    # On the device, which is asked for sums once, at the end.
    nats = torch.zeros(len(vocab), dtype=torch.float64, device=device)
    counts = torch.zeros(len(vocab), dtype=torch.int64, device=device)
    num_correct = torch.zeros((), dtype=torch.int64, device=device)
    for read, costs in Reader(model, precision, strategy).costs(windows):
        nats.index_add_(0, read.targets, costs.nats.double())
        counts.index_add_(0, read.targets, torch.ones_like(read.targets))
        num_correct += costs.hits.sum()
    return Evaluation(
        nats.cpu().numpy(),
        counts.cpu().numpy(),
        int(num_correct),
        vocab.eos_id,
        vocab.unk_id,
        time.perf_counter() - started,
        vocab.is_by_frequency,
    )
