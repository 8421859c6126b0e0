"""Values for an adaptation, and for the weight of an n-gram model beside it, that suit a text best.

What costs a pass over the text, the rate of dynamic evaluation and its decay, is sought along lines on the
beginning of the text. The longer a text, the further a rate takes the weights: a lower rate and a higher
decay are then compared on the whole of it, in a race. All else follows from one pass: under each temperature
what the model gives each word, under each cache what that gives it. Between them and the n-gram model the
weights are found exactly, since the likelihood is concave.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmtrain.corpus.corpus import Corpus
from lmtrain.errors import ModelError
from lmtrain.inference.adapt import (
    Adaptation,
    Cache,
    Dynamic,
    Memory,
    Past,
    Statistics,
    cache_shares,
)
from lmtrain.inference.reader import Reader, ReadWindow
from lmtrain.inference.windows import HeldOutWindow, ordered_windows
from lmtrain.model.fused_softmax import row_chunks
from lmtrain.model.language_model import LanguageModel

Floats = npt.NDArray[np.float64]
Watch = Callable[[Iterable[HeldOutWindow], int], Iterable[HeldOutWindow]]
"""Hands on windows, and is told how many tokens they hold."""

TEMPERATURES = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3)
THETAS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
WINDOWS = (200, 500, 1000, 2000, 4000)
"""What is tried; of the windows those up to the one asked for."""
_LINE_TOKENS = 10_000
"""Of the beginning, on which a rate is sought."""
_LINE_FACTOR = 2.0
_RACERS = [(1 / _LINE_FACTOR**i, _LINE_FACTOR**j) for i in range(2) for j in range(2)]
"""What is tried on the whole text: the rate and the decay that were found, times these."""
_FIRST_DECAY = 4e-3
_TOLERANCE = 1e-9
_DIGITS = 4
"""Of the values found: a figure is reproduced by what its signature says."""
_MOST = 0.9999
"""Of a cache, to which the model is never left out."""


@dataclass(frozen=True)
class Tuned:
    """What suits a text best."""

    adaptation: Adaptation
    ngram_weight: float | None
    """None where there is no n-gram model."""
    loss: float
    """Nats per token of the text that it was tuned on."""


@dataclass(frozen=True, eq=False)
class Tuner:
    """Tunes on one text, which is read in its order.

    Attributes:
        model: In any mode.
        corpus: The text, in words of the model.
        context: ``stream`` or ``line``.
        statistics: For the rule ``rms``.
        of_ngram: Log-probabilities (natural log) of the text under an n-gram model, (N).
        precision: Of the products.
        watch: Is shown the windows of each pass.
    """

    model: LanguageModel
    corpus: Corpus
    context: str = "stream"
    statistics: Statistics | None = None
    of_ngram: Floats | None = None
    precision: torch.dtype = torch.float32
    watch: Watch = lambda windows, _: windows

    def tune(self, start: Adaptation) -> Tuned:
        """Tunes what an adaptation consists of, its temperature, and the weight of the n-gram model.

        Args:
            start: What takes part; a rate is sought from its value, a cache up to its window.

        Raises:
            ModelError: The model gives scores that are not numbers (NaN).
        """
        dynamic = start.dynamic and self._race(self._on_a_line(start.dynamic, start.cache), start.cache)
        by_temperature, by_cache = self._profile(start.cache, dynamic)
        best: tuple[float, Adaptation, float | None] | None = None
        for (temperature, log_probs), (cache, shares) in itertools.product(by_temperature, by_cache):
            parts = [np.exp(log_probs)]
            parts += [np.where(shares < 0, parts[0], shares)] if cache else []  # the first word has no past
            parts += [np.exp(self.of_ngram)] if self.of_ngram is not None else []
            weights, loss = mixture_weights(np.stack(parts))
            if best is None or loss < best[0]:
                if cache is not None:
                    share = _rounded(weights[1] / (weights[0] + weights[1]))
                    cache = replace(cache, weight=min(share, _MOST))
                ngram_weight = None if self.of_ngram is None else _rounded(weights[-1])
                best = loss, Adaptation(cache, dynamic, temperature), ngram_weight
        assert best is not None  # noqa: S101  (there is a temperature)
        return Tuned(best[1], best[2], best[0])

    def _on_a_line(self, start: Dynamic, cache: Cache | None) -> Dynamic:
        """The rate, the decay, and the rate again, each the best of its neighbours for the beginning."""
        text = self.corpus.beginning(_LINE_TOKENS)
        windows = list(ordered_windows(text, self.context, start.every))

        @functools.cache
        def loss(options: Dynamic) -> float:
            return self._racer(options, cache).read(self.watch(windows, text.num_tokens))

        def faster(options: Dynamic, factor: float) -> Dynamic:
            return replace(options, lr=_rounded(options.lr * factor))

        def tighter(options: Dynamic, factor: float) -> Dynamic:
            return replace(options, decay=_rounded(options.decay * factor))

        best = replace(start, decay=start.decay or _FIRST_DECAY)
        for step in (faster, tighter, faster):
            best = _descend(best, step, loss)
        return best

    def _race(self, start: Dynamic, cache: Cache | None) -> Dynamic:
        """The rate and decay that are best for the whole text: side by side, the worst on each part goes out.

        Source: Audibert, Bubeck and Munos (2010), "Best arm identification in multi-armed bandits", of whose
        successive rejects this keeps the rule and not the lengths of the parts.
        """
        racers = [
            self._racer(
                replace(start, lr=_rounded(start.lr * slower), decay=_rounded(start.decay * tighter)), cache
            )
            for slower, tighter in _RACERS
        ]
        windows = list(ordered_windows(self.corpus, self.context, start.every))
        cuts = [len(windows) * i // (len(racers) - 1) for i in range(len(racers))]
        parts = [windows[start:end] for start, end in itertools.pairwise(cuts)]

        def schedule() -> Iterator[HeldOutWindow]:
            for part in parts:
                for _ in list(racers):
                    yield from part

        count = sum(len(w.positions) * (len(racers) - i) for i, part in enumerate(parts) for w in part)
        stream = iter(self.watch(schedule(), count))
        for part in parts[:-1]:
            costs = [racer.read(itertools.islice(stream, len(part))) for racer in racers]
            del racers[int(np.argmax(costs))]
        for racer in racers:
            racer.read(itertools.islice(stream, len(parts[-1])))
        return min(racers, key=lambda racer: racer.nats).dynamic

    def _racer(self, dynamic: Dynamic, cache: Cache | None) -> "_Racer":
        strategy = Adaptation(cache, dynamic).strategy(self.statistics)
        return _Racer(dynamic, Reader(self.model, self.precision, strategy))

    def _profile(
        self, cache: Cache | None, dynamic: Dynamic | None
    ) -> tuple[list[tuple[float, Floats]], list[tuple[Cache | None, Floats]]]:
        """What one pass says of each word: its log-probability by temperature, its probability by cache.

        The probability of a word that has no past is negative.
        """
        caches: list[Cache] = []
        if cache is not None:
            windows = [*(window for window in WINDOWS if window < cache.window), cache.window]
            caches = [Cache(window, theta) for window, theta in itertools.product(windows, THETAS)]
        memory = Memory(cache.window if cache else 1)
        how = Adaptation(dynamic=dynamic)
        strategy = how.strategy(self.statistics)

        @torch.no_grad()
        def ask(read: ReadWindow) -> Tensor:
            contexts, targets = read.features.detach().float(), read.targets
            past = memory.followed_by(contexts, targets)
            parts = [
                torch.stack(
                    [
                        *_by_temperature(strategy.model.softmax.logits(contexts[rows]), targets[rows]),
                        *_by_cache(past, targets, rows, caches),
                    ]
                )
                for rows in row_chunks(contexts, self.model.vocab_size)
            ]
            if caches:
                memory.remember(contexts, targets)
            return torch.cat(parts, dim=1)

        num_tokens = self.corpus.num_tokens
        found = np.empty((len(TEMPERATURES) + len(caches), num_tokens))
        text = self.watch(ordered_windows(self.corpus, self.context, how.window_len), num_tokens)
        for read, answers in Reader(self.model, self.precision, strategy).read(text, ask):
            found[:, read.positions] = answers.cpu()
        if np.isnan(found).any():
            raise ModelError(strategy.not_a_number)
        by_temperature = list(zip(TEMPERATURES, found, strict=False))
        if not caches:
            return by_temperature, [(None, found[0])]
        return by_temperature, list(zip(caches, found[len(TEMPERATURES) :], strict=True))


@dataclass(eq=False)
class _Racer:
    """Who reads a text, part after part, and adapts to it."""

    dynamic: Dynamic
    reader: Reader
    nats: float = 0.0
    """That all it has read cost."""

    def read(self, windows: Iterable[HeldOutWindow]) -> float:
        """What a part costs; infinite where the rate was too high."""
        nats = sum(float(costs.nats.sum(dtype=torch.float64)) for _, costs in self.reader.costs(windows))
        nats = nats if math.isfinite(nats) else math.inf
        self.nats += nats
        return nats


def mixture_weights(parts: Floats) -> tuple[Floats, float]:
    """The weights of K distributions whose mixture gives a text the highest probability, by EM.

    Args:
        parts: The probability of each of N tokens under each distribution, (K, N).

    Returns:
        The weights, (K), which sum to 1, and nats per token of the mixture. Tokens that are impossible under
        all distributions have no say.

    Source: Dempster, Laird and Rubin (1977), "Maximum likelihood from incomplete data via the EM algorithm".
    """
    parts = parts[:, parts.max(axis=0) > 0]
    weights, before = np.full(len(parts), 1 / len(parts)), -np.inf
    while True:
        mixed = weights @ parts
        loss = -float(np.log(mixed).mean())
        if len(parts) == 1 or abs(before - loss) <= _TOLERANCE * abs(loss):
            return weights, loss
        before = loss
        weights = weights * (parts / mixed).mean(axis=1)


def _descend(
    start: Dynamic, step: Callable[[Dynamic, float], Dynamic], loss: Callable[[Dynamic], float]
) -> Dynamic:
    best, lowest = start, loss(start)
    for factor in (_LINE_FACTOR, 1 / _LINE_FACTOR):
        has_improved = False
        while (found := loss(candidate := step(best, factor))) < lowest:
            best, lowest, has_improved = candidate, found, True
        if has_improved:
            break
    return best


def _by_temperature(logits: Tensor, targets: Tensor) -> Iterator[Tensor]:
    for temperature in TEMPERATURES:
        yield (logits / temperature).log_softmax(dim=1).gather(1, targets[:, None])[:, 0]


def _by_cache(past: Past, targets: Tensor, rows: slice, caches: Sequence[Cache]) -> Iterator[Tensor]:
    if not caches:
        return
    likeness, distance, words = past.look_back(rows)
    is_same = words == targets[rows, None]
    for cache in caches:
        shares = cache_shares(likeness, distance, cache.window, cache.theta)
        yield torch.where(shares.sum(dim=1) > 0, (shares * is_same).sum(dim=1), -1.0)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
