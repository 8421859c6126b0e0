"""A held-out text as questions to a model: each position is a token, its context what stands before it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmtrain.corpus.batching import IGNORED, Ids
from lmtrain.corpus.corpus import Corpus

Positions = npt.NDArray[np.int64]
PADDING = -1
"""In an array of positions: none."""

_SWEEP_TOKENS = 4096
_BATCH_TOKENS = 8192
"""Tokens read at once. They bound memory and change no figure beyond rounding."""

T = TypeVar("T")


class Watch(Protocol):
    """Hands on what it is given, and shows how far it has come."""

    def __call__(self, items: Iterable[T], what: str, total: int) -> Iterable[T]:
        """Iterates over ``total`` items of ``what``."""


def unwatched(items: Iterable[T], what: str, total: int) -> Iterable[T]:  # noqa: ARG001
    """Shows nothing."""
    return items


@dataclass(frozen=True)
class Batch:
    """Positions that are asked about together, each after the same number of tokens of its context."""

    positions: Positions
    input_ids: Tensor
    """The last tokens of their contexts, int64, shape (T, B)."""
    targets: Tensor
    """What stands there, int64, shape (B)."""

    @property
    def length(self) -> int:
        """T."""
        return len(self.input_ids)


class HeldOutText:
    """A text and how much of it may be looked back at.

    The context of a token begins with one ``<eos>``: at the start of the text in ``stream`` context, at the
    start of the token's line in ``line`` context. It is never empty.

    Args:
        corpus: The text.
        context: ``stream`` or ``line``.
    """

    def __init__(self, corpus: Corpus, context: str) -> None:
        self.context = context
        self._ids: Ids = corpus.ids
        self._eos_id = corpus.eos_id
        self._line_ends = corpus.line_ends if context == "line" else None

    @property
    def num_tokens(self) -> int:
        """Positions there are."""
        return len(self._ids)

    def sample(self, number: int, seed: int) -> Positions:
        """Different positions, drawn evenly, in ascending order; all of them if there are fewer."""
        if number >= self.num_tokens:
            return np.arange(self.num_tokens)
        return np.sort(np.random.default_rng(seed).choice(self.num_tokens, number, replace=False))

    def context_lengths(self, positions: Positions) -> npt.NDArray[np.int64]:
        """Tokens in the context of each position, the first ``<eos>`` included."""
        if self._line_ends is None:
            return positions + 1
        lines = np.searchsorted(self._line_ends, positions)
        starts = np.where(lines > 0, self._line_ends[np.maximum(lines - 1, 0)] + 1, 0)
        return positions - starts + 1

    def inputs_at(self, positions: Positions) -> Tensor:
        """The token before each position, int64; ``<eos>`` before the first and for padding."""
        before = np.asarray(self._ids)[np.maximum(positions - 1, 0)].astype(np.int64)
        return torch.from_numpy(np.where(positions <= 0, self._eos_id, before))

    def targets_at(self, positions: Positions) -> Tensor:
        """The token at each position, int64; ``IGNORED`` for padding."""
        tokens = np.asarray(self._ids)[np.maximum(positions, 0)].astype(np.int64)
        return torch.from_numpy(np.where(positions == PADDING, IGNORED, tokens))

    def batches(self, positions: Positions, limit: int) -> list[Positions]:
        """Groups of positions of equal context length, where more than ``limit`` counts as ``limit``."""
        lengths = np.minimum(self.context_lengths(positions), limit)
        groups: list[Positions] = []
        for length in np.unique(lengths)[::-1]:
            group, size = positions[lengths == length], max(1, _BATCH_TOKENS // int(length))
            groups.extend(group[start : start + size] for start in range(0, len(group), size))
        return groups

    def batch(self, positions: Positions, limit: int) -> Batch:
        """One group of ``batches``, with at most the last ``limit`` tokens of each context."""
        length = min(int(self.context_lengths(positions[:1])[0]), limit)
        times = np.arange(1 - length, 1)[:, None]
        return Batch(positions, self.inputs_at(positions + times), self.targets_at(positions))

    def sweep(self) -> Iterator[Positions]:
        """All positions, each once, as windows (T, B) with padding.

        In stream context one stream, in order, whose state is to be carried on; in line context lines of
        about equal length together, each window from the initial state.
        """
        if self._line_ends is None:
            for start in range(0, self.num_tokens, _SWEEP_TOKENS):
                yield np.arange(start, min(start + _SWEEP_TOKENS, self.num_tokens))[:, None]
            return
        starts = np.concatenate(([0], self._line_ends[:-1] + 1))
        lengths = self._line_ends - starts + 1
        order = np.argsort(lengths, kind="stable")[::-1]
        while len(order):
            size = max(1, _SWEEP_TOKENS // int(lengths[order[0]]))
            lines, order = order[:size], order[size:]
            times = np.arange(lengths[lines].max())[:, None]
            yield np.where(times < lengths[lines], starts[lines] + times, PADDING)
