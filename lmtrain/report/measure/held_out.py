"""A held-out text as questions to a model: each position is a token, its context what stands before it."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from lmtrain.corpus.batching import IGNORED, Ids
from lmtrain.corpus.corpus import Corpus
from lmtrain.inference.windows import WINDOW_TOKENS, HeldOutWindow, Positions, held_out_windows

T = TypeVar("T")


class Watch(Protocol):
    """Hands on what it is given, and shows how far it has come."""

    def __call__(self, items: Iterable[T], what: str, total: int) -> Iterable[T]:
        """Iterates over ``total`` items of ``what``."""


def unwatched(items: Iterable[T], what: str, total: int) -> Iterable[T]:  # noqa: ARG001
    """Shows nothing."""
    return items


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
        self._corpus = corpus
        self._ids: Ids = np.asarray(corpus.ids)
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

    def batches(self, positions: Positions, limit: int) -> list[Positions]:
        """Groups of positions of equal context length, where more than ``limit`` counts as ``limit``."""
        lengths = np.minimum(self.context_lengths(positions), limit)
        groups: list[Positions] = []
        for length in np.unique(lengths)[::-1]:
            group, size = positions[lengths == length], max(1, WINDOW_TOKENS // int(length))
            groups.extend(group[start : start + size] for start in range(0, len(group), size))
        return groups

    def window(self, positions: Positions, limit: int) -> HeldOutWindow:
        """One group of ``batches``: the last ``limit`` tokens of each context, a target at the last step."""
        length = min(int(self.context_lengths(positions[:1])[0]), limit)
        before = positions + np.arange(-length, 0)[:, None]  # (T, B)
        input_ids = np.where(before < 0, self._eos_id, self._ids[np.maximum(before, 0)])
        targets = np.full_like(input_ids, IGNORED)
        targets[-1] = self._ids[positions]
        ids, at = (torch.from_numpy(array.astype(np.int64)) for array in (input_ids, targets))
        return HeldOutWindow(ids, at, positions, goes_on=False)

    def sweep(self) -> Iterable[HeldOutWindow]:
        """The whole text, each token once, as ``lmtrain eval`` reads it."""
        return held_out_windows(self._corpus, self.context)
