"""The next word, drawn from what a model predicts."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

_BLOCK_DRAWS = 32
"""Words for which each row draws at once."""


@dataclass(frozen=True)
class Sampling:
    """How the next word is chosen; filters apply in the order of the fields.

    Raises:
        ValueError: A value is out of range; names it.
    """

    allow_unk: bool = False
    """Whether ``<unk>`` may be produced."""
    temperature: float = 1.0
    """Logits are divided by it: below 1 bolder, above 1 more varied."""
    top_k: int | None = None
    """Only the k most probable words."""
    top_p: float | None = None
    """Only the fewest words that together have this probability (Holtzman et al., 2020)."""
    greedy: bool = False
    """The most probable word, always. It passes every filter, so that these change nothing then."""
    min_p: float | None = None
    """Only words at least this times as probable as the most probable one (Nguyen et al., 2024)."""

    def __post_init__(self) -> None:
        if not self.temperature > 0 or self.temperature == float("inf"):
            raise ValueError(
                f"temperature must be a finite number above 0, not {self.temperature}; "
                "greedy (--greedy) leaves nothing to chance"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top-k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top-p must be above 0 and at most 1, not {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ValueError(f"min-p must be from 0 to 1, not {self.min_p}")


class Draws:
    """Random numbers for the rows of a batch, each row from a generator of its own.

    What a row draws is decided by the seed, its prompt and its number among the samples of that prompt,
    and not by the rows beside it.

    Args:
        seed: Of all draws.
        rows: The prompt of each row, as ids, and the number of the sample.
        device: Where the numbers are wanted.
    """

    def __init__(self, seed: int, rows: Sequence[tuple[Sequence[int], int]], device: torch.device) -> None:
        self._device = device
        self._generators = []
        before, entropy = None, [seed]
        for prompt, number in rows:
            if prompt is not before:
                digest = hashlib.blake2b(np.asarray(prompt, dtype="<i8").tobytes(), digest_size=16).digest()
                before, entropy = prompt, [seed, int.from_bytes(digest, "little")]
            source = np.random.SeedSequence(entropy, spawn_key=(number,))
            self._generators.append(np.random.Generator(np.random.PCG64(source)))
        self._block = torch.empty(0)
        self._next = 0

    def next(self) -> Tensor:
        """Two numbers in [0, 1) for each row, float64, shape (B, 2)."""
        if self._next == len(self._block):
            drawn = np.stack([generator.random((_BLOCK_DRAWS, 2)) for generator in self._generators], axis=1)
            self._block = torch.from_numpy(drawn).to(self._device)
            self._next = 0
        self._next += 1
        return self._block[self._next - 1]

    def keep(self, rows: Tensor) -> None:
        """Goes on with some of the rows only."""
        self._generators = [self._generators[i] for i in rows.tolist()]
        self._block = self._block[:, rows]


def choose(logits: Tensor, draws: Tensor, sampling: Sampling, unk_id: int) -> tuple[Tensor, Tensor]:
    """One word a row.

    Args:
        logits: float32, shape (B, V); overwritten.
        draws: See ``Draws``; unused when greedy.
        sampling: How words are chosen.
        unk_id: The word that may be ruled out.

    Returns:
        The words, int64 of shape (B), and their ln p in the model's own distribution, float32 of shape (B).
    """
    if not sampling.greedy and sampling.temperature == 1:
        return _choose_as_predicted(logits, draws, sampling, unk_id)
    log_probs = torch.log_softmax(logits, dim=1, out=logits)
    if not sampling.allow_unk:
        log_probs[:, unk_id] = -torch.inf
    if sampling.greedy:
        words = log_probs.argmax(dim=1)
    else:
        # The best word stands at 0, so that no temperature, however low, makes infinities to subtract. A word
        # that is ruled out stands at -inf, which no temperature may divide by infinity.
        scaled = log_probs - log_probs.amax(dim=1, keepdim=True)
        tiny = torch.finfo(scaled.dtype).tiny
        scaled.div_(min(max(sampling.temperature, tiny), 1 / tiny))
        words = _inverse_cdf(_filtered(scaled.softmax(dim=1), sampling), draws)
    return words, log_probs.gather(1, words[:, None])[:, 0]


def _choose_as_predicted(
    logits: Tensor, draws: Tensor, sampling: Sampling, unk_id: int
) -> tuple[Tensor, Tensor]:
    """``choose`` at temperature 1, where one pass over the vocabulary gives probability and normaliser."""
    of_unk = logits[:, unk_id].clone()
    if not sampling.allow_unk:
        logits[:, unk_id] = -torch.inf
    probabilities = logits.softmax(dim=1)
    words = _inverse_cdf(_filtered(probabilities, sampling), draws)
    log_probs = probabilities.gather(1, words[:, None])[:, 0].log()
    if not sampling.allow_unk:
        scores = logits.gather(1, words[:, None])[:, 0]
        log_probs = scores - torch.logaddexp(scores - log_probs, of_unk)  # less the normaliser with <unk>
    return words, log_probs


def _inverse_cdf(probabilities: Tensor, draws: Tensor) -> Tensor:
    """The words at which cumulative distributions pass the draws; none of probability 0.

    The first number picks a block of words, the second a word in it. One pass over a block instead of the
    vocabulary saves most of the time. And rounding, which differs a little from batch to batch, moves the
    ends of some 2 * sqrt(V) intervals that a draw may fall into, not of V: with one number a word, it would
    change the choice some twenty times as often.

    Args:
        probabilities: (B, V), not normalised, some positive in each row.
        draws: In [0, 1), float64, shape (B, 2).
    """
    num_rows, num_words = probabilities.shape
    size = math.isqrt(num_words - 1) + 1
    blocks = nn.functional.pad(probabilities, (0, -num_words % size)).view(num_rows, -1, size)
    block = _passed(blocks.sum(dim=2), draws[:, :1])
    word = _passed(blocks.gather(1, block[..., None].expand(-1, -1, size))[:, 0], draws[:, 1:])
    return (block * size + word)[:, 0].clamp(max=num_words - 1)


def _passed(weights: Tensor, draws: Tensor) -> Tensor:
    """Where the cumulative sums of ``weights`` (B, N), as shares of their last, pass ``draws`` (B, 1)."""
    ends = weights.cumsum(dim=1, dtype=torch.float64)
    # Always below the last end, however it is rounded: a draw is at most 1 - 2^-53. But NaN, of a model that
    # diverged, is passed nowhere: any word will do, but one of the vocabulary.
    return torch.searchsorted(ends, draws * ends[:, -1:], right=True).clamp(max=ends.shape[1] - 1)


def _filtered(probabilities: Tensor, sampling: Sampling) -> Tensor:
    """The probabilities (B, V) with 0, in place, for each word that a filter rules out; not normalised."""
    if sampling.top_k is not None or sampling.top_p is not None:
        _keep_most_probable(probabilities, sampling.top_k or probabilities.shape[1], sampling.top_p)
    if sampling.min_p is not None:
        least = sampling.min_p * probabilities.amax(dim=1, keepdim=True)
        probabilities.masked_fill_(probabilities < least, 0.0)
    return probabilities


def _keep_most_probable(probabilities: Tensor, top_k: int, top_p: float | None) -> None:
    """Top-k and then top-p: everything below the least probability that both leave becomes 0."""
    num_rows, num_words = probabilities.shape
    if top_k < num_words:
        ranked = probabilities.topk(top_k + 1).values  # one more than is kept
    else:
        top_k, ranked = num_words, _descending(probabilities)
    if top_p is None:
        num_kept = torch.full((num_rows, 1), top_k, device=ranked.device)
    else:
        candidates = ranked[:, :top_k]
        cumulative = candidates.cumsum(dim=1, dtype=torch.float64)
        num_kept = (cumulative - candidates < top_p * cumulative[:, -1:]).sum(dim=1, keepdim=True)
    least = ranked.gather(1, (num_kept - 1).clamp(min=0))
    is_out = probabilities < least
    if (ranked.gather(1, num_kept.clamp(max=ranked.shape[1] - 1)) == least).any():
        # Of words that are as probable as the last one kept, the first count as more probable, as in argmax.
        is_last = probabilities == least
        num_above = num_words - (is_out | is_last).sum(dim=1, keepdim=True)
        is_out |= is_last & (is_last.cumsum(dim=1) > num_kept - num_above)
    probabilities.masked_fill_(is_out, 0.0)


def _descending(values: Tensor) -> Tensor:
    """Each row sorted; by numpy on a CPU, which takes a quarter of torch's time."""
    if values.device.type != "cpu":
        return values.sort(dim=1, descending=True).values
    return torch.from_numpy(np.sort(values.numpy(), axis=1)).flip(1)
