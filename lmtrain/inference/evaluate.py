"""Perplexity of held-out text: every token once, none of them twice, nothing wrapped.

The first token is predicted from one ``<eos>``, each later one from all before it. In stream context the
text is one stream whose state is carried from end to end; in line context each line starts from the
initial state. Costs are summed in float64, divided once, exponentiated once.
"""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmtrain.corpus.batching import IGNORED, Ids, Lines, Window
from lmtrain.corpus.corpus import Corpus
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.softmax import TokenCosts

_WINDOW_TOKENS = 4096
"""Tokens scored at once. It bounds memory, and how long a request to stop waits; it changes no figure beyond
rounding."""


@dataclass(frozen=True)
class Evaluation:
    """What a held-out text cost. All costs are sums in nats (natural log)."""

    nll_nats: float
    num_tokens: int
    num_correct: int
    """Tokens that were the most probable word."""
    eos_nats: float
    num_eos: int
    unk_nats: float
    num_oov: int
    """Tokens scored as ``<unk>``, whether the text says so or its word is unknown."""
    seconds: float

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
        """Share of tokens that were the most probable word."""
        return self.num_correct / self.num_tokens

    @property
    def bits_per_word(self) -> float:
        """Bits per token."""
        return self.loss / math.log(2)

    @property
    def perplexity_without_eos(self) -> float:
        """Of the words alone: the line ends are read but not counted."""
        return perplexity(self.nll_nats - self.eos_nats, self.num_tokens - self.num_eos)

    @property
    def perplexity_without_unk(self) -> float:
        """Of the tokens the model knows: ``<unk>`` is read but not counted."""
        return perplexity(self.nll_nats - self.unk_nats, self.num_tokens - self.num_oov)

    @property
    def oov_rate(self) -> float:
        """Share of tokens scored as ``<unk>``."""
        return self.num_oov / self.num_tokens

    @property
    def words_per_second(self) -> float:
        """Tokens scored per second."""
        return self.num_tokens / max(self.seconds, 1e-9)


def perplexity(nats: float, num_tokens: int) -> float:
    """exp(nats / num_tokens); infinite beyond the range of a float, NaN where there is no token."""
    if num_tokens == 0:
        return math.nan
    try:
        return math.exp(nats / num_tokens)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class HeldOutWindows:
    """A held-out text as windows to be scored in order; iterating gives ``(input_ids, targets)``."""

    windows: Iterable[Window]
    carries_state: bool
    """Whether the hidden state flows from one window into the next."""

    def __iter__(self) -> Iterator[Window]:
        return iter(self.windows)


def stream_windows(ids: Ids, eos_id: int, streams: int = 1, window_len: int | None = None) -> HeldOutWindows:
    """One stream, or a text cut into ``streams`` of them, each starting from ``<eos>`` and no context.

    Args:
        ids: The N token ids, int32.
        eos_id: The context of each stream's first token.
        streams: Number of streams; 1 is exact. More than N are N.
        window_len: Time steps of a window; by default as many as fit the memory bound.
    """
    streams = max(1, min(streams, len(ids)))
    length = window_len or max(1, _WINDOW_TOKENS // streams)
    cuts = np.arange(streams + 1, dtype=np.int64) * len(ids) // streams
    longest = int(np.diff(cuts).max())

    def windows() -> Iterator[Window]:
        for begin in range(0, longest, length):
            times = np.arange(begin, min(begin + length, longest))[:, None]
            positions = cuts[:-1] + times
            inside = positions < cuts[1:]
            tokens = np.asarray(ids)[np.where(inside, positions, 0)].astype(np.int64)
            before = np.asarray(ids)[np.maximum(positions - 1, 0)].astype(np.int64)
            input_ids = np.where(times == 0, eos_id, before)
            yield torch.from_numpy(input_ids), torch.from_numpy(np.where(inside, tokens, IGNORED))

    return HeldOutWindows(windows(), carries_state=True)


def line_windows(corpus: Corpus, eos_id: int, batch_size: int | None = None) -> HeldOutWindows:
    """Every line on its own, about equally long lines together.

    Args:
        corpus: The held-out text.
        eos_id: The context of each line's first word.
        batch_size: Lines of a window; by default as many as fit the memory bound.
    """
    lines = Lines(corpus.ids, corpus.line_ends, eos_id)
    order = np.argsort(lines.lengths, kind="stable")[::-1]
    batches: list[npt.NDArray[np.int64]] = []
    while len(order):
        size = batch_size or max(1, _WINDOW_TOKENS // int(lines.lengths[order[0]]))
        batches.append(order[:size])
        order = order[size:]
    return HeldOutWindows(map(lines.padded, batches), carries_state=False)


def held_out_windows(
    corpus: Corpus, vocab: Vocabulary, context: str, *, streams: int = 1, batch_size: int | None = None
) -> HeldOutWindows:
    """A held-out text in ``stream`` context (``streams`` of them) or ``line`` context (in batches)."""
    if context == "line":
        return line_windows(corpus, vocab.eos_id, batch_size)
    return stream_windows(corpus.ids, vocab.eos_id, streams)


@torch.inference_mode()
def evaluate(
    model: LanguageModel,
    windows: HeldOutWindows,
    vocab: Vocabulary,
    precision: torch.dtype = torch.float32,
) -> Evaluation:
    """Scores a held-out text. Memory does not grow with its length, and no graph is kept.

    Args:
        model: In training or evaluation mode, which it is left in.
        windows: The text.
        vocab: Tells line ends and unknown words.
        precision: What products are computed in; whatever the model was trained in.
    """
    started = time.perf_counter()
    device = model.device
    with model.evaluating(precision):
        tally = _Tally(vocab, device)
        state = None
        for input_ids, targets in windows:
            if state is None or not windows.carries_state:
                state = model.initial_state(input_ids.shape[1])
            costs, state = model.token_costs(input_ids.to(device, non_blocking=True), targets, state)
            tally.add(costs, targets[targets >= 0].to(device))
        return tally.result(started)


class _Tally:
    """Sums on the device: it is asked for them once, at the end."""

    def __init__(self, vocab: Vocabulary, device: torch.device) -> None:
        self._kinds = torch.tensor([[vocab.eos_id], [vocab.unk_id]], device=device)
        self._nats = torch.zeros(3, dtype=torch.float64, device=device)
        self._counts = torch.zeros(4, dtype=torch.int64, device=device)

    def add(self, costs: TokenCosts, targets: Tensor) -> None:
        selected = torch.cat([targets[None] >= 0, targets == self._kinds])  # all, <eos>, <unk>
        self._nats += torch.where(selected, costs.nats.double(), 0.0).sum(dim=1)
        self._counts += torch.cat([selected, costs.hits[None]]).sum(dim=1)

    def result(self, started: float) -> Evaluation:
        nats, eos_nats, unk_nats = self._nats.tolist()
        num_tokens, num_eos, num_oov, num_correct = self._counts.tolist()
        return Evaluation(
            nll_nats=nats,
            num_tokens=num_tokens,
            num_correct=num_correct,
            eos_nats=eos_nats,
            num_eos=num_eos,
            unk_nats=unk_nats,
            num_oov=num_oov,
            seconds=time.perf_counter() - started,
        )
