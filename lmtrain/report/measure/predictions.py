"""What a model expects at every position of a text: the cost of the word that came, and its best guess."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference.evaluation import Evaluation
from lmtrain.inference.reader import Reader, ReadWindow
from lmtrain.model.fused_softmax import row_chunks
from lmtrain.model.language_model import LanguageModel
from lmtrain.report.measure.held_out import HeldOutText, Watch, unwatched

_NUM_BINS = 15
"""As in Guo et al. (2017)."""
_MIN_COUNT = 5
"""Occurrences from which on the mean cost of a word says something."""


@dataclass(frozen=True)
class Predictions:
    """Arrays of shape (N), a place for each token of a text.

    Attributes:
        ids: The tokens, int32.
        nats: -ln p(token), float32.
        confidence: The probability of the most probable word, float32.
        hits: Whether it was the token, bool.
    """

    ids: npt.NDArray[np.int32]
    nats: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    hits: npt.NDArray[np.bool_]


def predict(model: LanguageModel, text: HeldOutText, watch: Watch = unwatched) -> Predictions:
    """Reads a text from end to end, exactly as ``lmtrain eval`` does."""
    n, number = text.num_tokens, sum(1 for _ in text.sweep())
    ids, nats = np.zeros(n, np.int32), np.zeros(n, np.float32)
    confidence, hits = np.zeros(n, np.float32), np.zeros(n, np.bool_)

    def ask(read: ReadWindow) -> None:
        for rows in row_chunks(read.features, model.vocab_size):
            at, targets = read.positions[rows], read.targets[rows]
            log_probs = model.softmax.logits(read.features[rows]).log_softmax(dim=1)
            best, word = log_probs.max(dim=1)
            ids[at] = targets.cpu().numpy()
            nats[at] = -log_probs.gather(1, targets[:, None])[:, 0].cpu().numpy()
            confidence[at] = best.exp().cpu().numpy()
            hits[at] = (word == targets).cpu().numpy()

    for _ in Reader(model).read(watch(text.sweep(), "predictions", number), ask):
        pass
    return Predictions(ids, nats, confidence, hits)


@dataclass(frozen=True)
class Bin:
    """Predictions about equally confident."""

    num_tokens: int
    confidence: float
    """Mean probability of the most probable word."""
    accuracy: float
    """How often it came."""


@dataclass(frozen=True)
class Calibration:
    """Whether a model that says 30 % is right three times in ten.

    Source: Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks", equation 3;
    bins of equal numbers of tokens, not of equal width, since most predictions of a language model are
    unsure (Nguyen and O'Connor, 2015).
    """

    bins: tuple[Bin, ...]

    @property
    def expected_error(self) -> float:
        """ECE: the distance between confidence and accuracy of a bin, averaged over tokens."""
        return self._mean([abs(b.accuracy - b.confidence) for b in self.bins])

    @property
    def confidence(self) -> float:
        """Averaged over all tokens."""
        return self._mean([b.confidence for b in self.bins])

    @property
    def accuracy(self) -> float:
        """Averaged over all tokens."""
        return self._mean([b.accuracy for b in self.bins])

    def _mean(self, values: Sequence[float]) -> float:
        weights = [b.num_tokens for b in self.bins]
        return math.fsum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {
            "expected_calibration_error": self.expected_error,
            "mean_confidence": self.confidence,
            "accuracy": self.accuracy,
            "bins": [vars(b) for b in self.bins],
        }


def calibration(predictions: Predictions, num_bins: int = _NUM_BINS) -> Calibration:
    """Confidence against accuracy of the most probable word, in bins of equal numbers of tokens."""
    order = np.argsort(predictions.confidence, kind="stable")
    parts = [part for part in np.array_split(order, num_bins) if len(part)]
    return Calibration(
        tuple(
            Bin(
                len(part),
                float(predictions.confidence[part].mean(dtype=np.float64)),
                float(predictions.hits[part].mean(dtype=np.float64)),
            )
            for part in parts
        )
    )


@dataclass(frozen=True)
class CostlyWord:
    """A word of the text and what it cost in all."""

    word: str
    count: int
    nats: float

    @property
    def mean_nats(self) -> float:
        """A single time."""
        return self.nats / self.count

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {"word": self.word, "count": self.count, "nats": self.nats, "mean_nats": self.mean_nats}


@dataclass(frozen=True)
class CostlyWords:
    """The words that cost most."""

    in_all: tuple[CostlyWord, ...]
    each_time: tuple[CostlyWord, ...]
    """On average, of the words that occur at least ``min_count`` times."""
    min_count: int
    total_nats: float
    """Of the whole text."""

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {
            "total_nats": self.total_nats,
            "in_all": [word.to_dict() for word in self.in_all],
            "min_count": self.min_count,
            "each_time": [word.to_dict() for word in self.each_time],
        }


def costly_words(evaluation: Evaluation, vocab: Vocabulary, number: int = 20) -> CostlyWords:
    """The words of a text that cost most in all, and those that cost most each time they occur."""
    counts, nats = evaluation.counts_by_word, evaluation.nats_by_word
    means = np.where(counts >= _MIN_COUNT, nats / np.maximum(counts, 1), -np.inf)

    def words(order: npt.NDArray[np.int64], enough: int) -> tuple[CostlyWord, ...]:
        best = [int(i) for i in order[:number] if counts[i] >= enough]
        return tuple(CostlyWord(vocab.words[i], int(counts[i]), float(nats[i])) for i in best)

    return CostlyWords(
        words(np.argsort(-nats, kind="stable"), 1),
        words(np.argsort(-means, kind="stable"), _MIN_COUNT),
        _MIN_COUNT,
        evaluation.nll_nats,
    )
